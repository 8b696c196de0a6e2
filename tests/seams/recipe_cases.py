"""A recipe for every step, and the tables they run on: nulls, ties, unicode, time zones, JSON that is none."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.data.expressions.tables import micros

from penstock.data.columns import Array, ColumnBatch, dtype_of, missing_value
from penstock.data.recipe.recipe import Recipe
from penstock.data.schema import Column, DataType, Schema

__all__ = ["CASES", "EMPTY", "SOURCE", "TABLES", "Case"]

KINDS = {
    "n": DataType.INTEGER,
    "x": DataType.FLOAT,
    "b": DataType.BOOLEAN,
    "s": DataType.STRING,
    "t": DataType.TIMESTAMP,
}


def batch(**columns: list[Any]) -> ColumnBatch:
    """Columns by name; the first letter gives the type; None is missing."""
    items, arrays = [], {}
    for name, values in columns.items():
        kind = KINDS[name[0]]
        missing = missing_value(kind)
        array: Array = np.empty(len(values), dtype=dtype_of(kind))
        array[:] = [
            missing if value is None else micros(value) if kind is DataType.TIMESTAMP else value for value in values
        ]
        items.append(Column(name=name, type=kind, nullable=None in values))
        arrays[name] = array
    return ColumnBatch(Schema(tuple(items)), arrays)


RIDES = batch(
    n=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11],
    s_zone=["A", "B", "A", None, "C", "B", "A", "é", None, "B", "A", "A"],
    s_name=[" ann ", "Bob", "ÅSE", "", None, "bob|x|y", "a b", "日本|語", "x|", "ann", "z", "z"],
    x=[1.5, 2.5, None, -4.0, 0.0, 2.5, 1e9, -0.0, 7.25, None, 3.0, 3.0],
    b=[True, False, None, True, True, None, False, False, True, True, False, False],
    t=[
        "2024-03-10T06:30:00",
        "2024-03-10T07:30:00",
        "2024-11-03T05:30:00",
        "2024-11-03T05:30:00",
        None,
        "1969-12-31T23:59:59.999999",
        "2024-02-29T00:00:00",
        "2024-02-29T00:00:00",
        "2000-01-01T12:00:00",
        "2038-01-19T03:14:08",
        "2024-03-10T06:30:00",
        "2024-03-10T06:30:00",
    ],
    s_json=[
        '{"a": {"b": [1, 2.5, "x"]}, "c": "1"}',
        '[1, [2, 3], null, "é"]',
        "not json",
        None,
        '{"c": 7}',
        "[]",
        '["only"]',
        '{"c": null}',
        '"scalar"',
        "[true, 1e2]",
        "",
        "",
    ],
)
ZONES = batch(
    s_zone=["A", "B", "B", None, "D", "é"],
    n_people=[100, 200, 201, 300, None, 500],
    x=[0.1, 0.2, 0.21, 0.3, 0.4, None],
)
MORE = batch(s_zone=["A", "Z"], x=[1.5, 9.0], s_new=["new", None])
KEYS = batch(x_key=[1.0, 2.0, 2.0, 2.5, None, 11.0], s_tag=["one", "two", "deux", "none", "nil", "eleven"])

TABLES = {"rides": RIDES, "zones": ZONES, "more": MORE, "keys": KEYS}
SOURCE = Recipe(source="rides")


@dataclass(frozen=True)
class Case:
    """rows: what must come out, where it is worth to be said; the engines must agree in any case."""

    recipe: Recipe
    rows: list[tuple[Any, ...]] | None = None


CASES = {
    "select": Case(SOURCE.select("x", "n"), None),
    "drop": Case(SOURCE.drop("s_json", "t")),
    "rename": Case(SOURCE.rename({"n": "N", "x": 'odd "name"; --'})),
    "cast": Case(SOURCE.cast({"n": "string", "x": "integer", "b": "float", "t": "string", "s_name": "float"})),
    "filter": Case(
        SOURCE.filter("x > 1 or b").select("n"), [(1,), (2,), (4,), (5,), (6,), (7,), (9,), (10,), (11,), (11,)]
    ),
    "filter nothing": Case(SOURCE.filter("n > 1000")),
    "derive": Case(SOURCE.derive(x2="x / n", x3="x2 * 2", n="n + 1", h="hour(t, 'America/New_York')")),
    "fill constants": Case(SOURCE.fill({"x": 0, "s_zone": "?", "b": False, "t": "2020-01-01"})),
    "fill statistics": Case(
        SOURCE.fill({"x": {"statistic": "median"}, "s_zone": {"statistic": "mode"}, "t": {"statistic": "median"}})
        .fill({"b": {"statistic": "mode"}})
        .select("n", "x", "s_zone", "b")
        .filter("n in [3, 4, 6, 10]"),
        [(3, 2.5, "A", False), (4, -4.0, "A", True), (6, 2.5, "B", False), (10, 2.5, "B", True)],
    ),
    # Behind a split, statistics are of the first part: the rows 5, 6 and 9, which lie before 2024 or have no time.
    "fill behind a split": Case(
        SOURCE.split("time", by="t", parts={"train": 0.5, "test": 0.5}, at=["2024-01-01"])
        .fill({"x": {"statistic": "mean"}, "s_zone": {"statistic": "mode"}})
        .clip({"n": {"quantiles": [0, 1]}})
        .select("n", "x", "s_zone")
        .filter("x == 3.25"),
        [(5, 3.25, "A"), (9, 3.25, "B")],
    ),
    "fill mean": Case(SOURCE.fill({"x": {"statistic": "mean"}})),
    "replace": Case(
        SOURCE.replace({"s_zone": {"A": "Alpha", "é": None}, "n": {1: 100, 2: None}, "x": {2.5: 0.5}})
        .select("n", "s_zone", "x")
        .filter("x == 0.5"),
        [(None, "B", 0.5), (6, "B", 0.5)],
    ),
    "clip": Case(SOURCE.clip({"x": {"low": 0, "high": 5}, "n": {"low": 3}})),
    "clip quantiles": Case(SOURCE.clip({"x": {"quantiles": [0.1, 0.8]}, "n": {"quantiles": [0.25, 0.75]}})),
    "clip outliers": Case(SOURCE.clip({"x": {"iqr": 1.5}})),
    "trim": Case(SOURCE.trim("s_name").select("s_name")),
    "case": Case(SOURCE.case({"s_name": "upper", "s_zone": "lower"})),
    "extract": Case(SOURCE.extract("first", "s_name", r"^(\w+)\W", group=1).select("n", "first")),
    "split_text": Case(
        SOURCE.split_text("s_name", "|", ["one", "two"]).select("n", "one", "two").filter("n in [5, 6, 8, 9]"),
        [(5, None, None), (6, "bob", "x"), (8, "日本", "語"), (9, "x", "")],
    ),
    "parse_dates": Case(
        SOURCE.derive(s="format_date(t, '%d/%m/%Y %H:%M')")
        .parse_dates({"s": ["%Y", "%d/%m/%Y %H:%M"]}, zone="Europe/Zurich")
        .derive(u="string(t)")
        .parse_dates({"u": "iso"})
    ),
    "bucketize": Case(
        SOURCE.bucketize("x", [0, 2.5, 100]).select("n", "x_bucket").filter("n < 4"), [(1, 1), (2, 2), (3, None)]
    ),
    "bucketize quantiles": Case(SOURCE.bucketize("n", quantiles=4, into="quarter").bucketize("x", quantiles=3)),
    "one_hot": Case(
        SOURCE.one_hot("s_zone", ["A", "é", "never"])
        .select("n", "s_zone_A", "s_zone_é", "s_zone_never")
        .filter("n in [1, 4, 8]"),
        [(1, 1, 0, 0), (4, 0, 0, 0), (8, 0, 1, 0)],
    ),
    "one_hot from the rows": Case(SOURCE.one_hot("s_zone", most=2, keep=True).one_hot("b").one_hot("x", most=3)),
    "flatten": Case(
        SOURCE.flatten(
            "s_json", {"c": "integer", "first": {"path": "a.b[0]", "type": "float"}, "all": {"path": "a.b"}}, keep=True
        )
    ),
    "explode": Case(
        SOURCE.explode("s_json", into="element", position="place").select("n", "element", "place"),
        [
            (2, "1", 0),
            (2, "[2,3]", 1),
            (2, None, 2),
            (2, "é", 3),
            (7, "only", 0),
            (10, "true", 0),
            (10, "100.0", 1),
        ],
    ),
    "explode as numbers": Case(SOURCE.explode("s_json", type="float", keep_empty=True, position="place")),
    "sample fraction": Case(SOURCE.sample(fraction=0.5, seed=1)),
    "sample by": Case(SOURCE.sample(fraction=0.5, seed=3, by=["s_zone"])),
    "sample rows": Case(SOURCE.sample(rows=5)),
    "sort": Case(SOURCE.sort("-x", "s_zone").select("n", "x")),
    "sort texts": Case(SOURCE.sort("-s_zone", "t")),
    "deduplicate": Case(SOURCE.deduplicate()),
    "deduplicate by": Case(
        SOURCE.deduplicate("s_zone", order=["-x"]).select("s_zone", "n", "x"),
        [("A", 7, 1e9), ("B", 2, 2.5), (None, 9, 7.25), ("C", 5, 0.0), ("é", 8, 0.0)],
    ),
    "union": Case(SOURCE.union("more")),
    "union of several": Case(SOURCE.drop("s_json").union("more", "zones")),
    **{
        f"join {how}": Case(SOURCE.join("zones", "s_zone", how=how))
        for how in ("inner", "left", "right", "full", "semi", "anti")
    },
    "join cross": Case(SOURCE.select("n").join("zones", how="cross")),
    "join integer with float": Case(
        SOURCE.select("n").join("keys", {"n": "x_key"}),
        [(1, "one"), (2, "two"), (2, "deux"), (11, "eleven"), (11, "eleven")],
    ),
    "join full integer with float": Case(SOURCE.select("n").join("keys", {"n": "x_key"}, how="full")),
    "join of two keys": Case(SOURCE.join("zones", ["s_zone", "x"], how="left")),
    "aggregate": Case(
        SOURCE.aggregate(
            {
                "rides": "count()",
                "known": "count(x)",
                "values": "distinct(s_name)",
                "total": "sum(x)",
                "whole": "sum(n)",
                "mean": "mean(x * 2)",
                "least": "min(s_name)",
                "latest": "max(t)",
                "median": "median(n)",
                "q": "quantile(x, 0.9)",
                "std": "std(x)",
                "variance": "variance(n)",
                "mode": "mode(s_zone)",
                "any": "any(b)",
                "all": "all(x > 0)",
            },
            by="s_zone",
        )
    ),
    "aggregate all": Case(
        SOURCE.aggregate({"n": "count()", "x": "sum(x)", "mode": "mode(t)"}).select("n", "x"), [(12, 1000000015.75)]
    ),
    "aggregate by two": Case(SOURCE.aggregate({"m": "mean(n)"}, by=["b", "x"])),
    "pivot": Case(
        SOURCE.pivot("s_zone", "sum(x)", by="b", values=["A", "B"]),
        [(True, 1.5, None), (False, 1000000006.0, 2.5), (None, None, 2.5)],
    ),
    "pivot counts from the rows": Case(SOURCE.pivot("s_zone", "count()", by=["b"], most=3, prefix="zone ")),
    "unpivot": Case(SOURCE.select("n", "x", "b").unpivot("x", "n", name="what", value="amount")),
    "unpivot known": Case(SOURCE.unpivot("s_zone", "s_name", keep_missing=False)),
    "window": Case(
        SOURCE.window(
            {
                "row": "row_number()",
                "rank": "rank()",
                "dense": "dense_rank()",
                "before": "lag(x)",
                "before2": "lag(s_name, 2)",
                "after": "lead(t)",
                "sum3": "rolling_sum(x, 3)",
                "whole3": "rolling_sum(n, 3)",
                "mean2": "rolling_mean(x + n, 2)",
                "least": "rolling_min(s_name, 2)",
                "count": "rolling_count(x, 4)",
                "std": "rolling_std(n, 3)",
                "running": "running_sum(x)",
                "so_far": "running_max(t)",
                "total": "total_mean(x)",
                "of": "total_count(n)",
            },
            by="s_zone",
            order="t",
        )
    ),
    "window over all": Case(
        SOURCE.window({"rank": "rank()", "dense": "dense_rank()", "sum": "running_sum(n)"}, order=["-x", "b"])
    ),
    "window without order": Case(SOURCE.window({"share": "total_sum(x)"}, by=["b", "s_zone"])),
    "split random": Case(SOURCE.split(seed=5)),
    "split by key": Case(SOURCE.split("key", by="n", parts={"a": 0.3, "b": 0.7})),
    "split by group": Case(SOURCE.split("group", by=["s_zone", "b"])),
    "split stratified": Case(SOURCE.split("stratified", by="s_zone", parts={"train": 0.5, "test": 0.5})),
    "split by time": Case(SOURCE.split("time", by="t")),
    "split at instants": Case(
        SOURCE.split("time", by="t", at=["2024-01-01", "2024-06-01"]).aggregate({"n": "count()"}, by="split"),
        [("train", 3), ("validation", 6), ("test", 3)],
    ),
    "all together": Case(
        SOURCE.filter("n > 1")
        .join("zones", "s_zone", how="left")
        .derive(y="coalesce(x, x_right, 0) * n", late="t > '2024-03-01'")
        .window({"y3": "rolling_sum(y, 3)"}, by="late", order="n")
        .fill({"n_people": {"statistic": "mean"}})
        .split("key", by="n")
        .aggregate({"y": "sum(y3)", "people": "max(n_people)", "rows": "count()"}, by=["split", "late"])
    ),
}

EMPTY = {name: rows.take(slice(0, 0)) for name, rows in TABLES.items()}
