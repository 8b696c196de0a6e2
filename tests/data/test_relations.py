"""Associations next to their definitions, and the findings that planted faults must bring about."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from penstock.data.profile import Relations
from penstock.data.profiler import profile_source, profile_table
from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.settings import Settings

ROWS = 600

Relate = Callable[..., Relations]


@pytest.fixture
def relate(tmp_path: Path, settings: Settings) -> Relate:
    """The relations of a table of these columns."""

    def make(columns: Mapping[str, Sequence[object]], *, label: str | None = None) -> Relations:
        path = tmp_path / "t.csv"
        rows = zip(*columns.values(), strict=True)
        text = "\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in rows)
        path.write_text(",".join(columns) + "\n" + text + "\n")
        with open_table(path, settings=settings) as table:
            relations = profile_table(table, label=label).relations
        assert relations is not None
        return relations

    return make


def strength(relations: Relations, first: str, second: str) -> float:
    return next(a.strength for a in relations.associations if {a.first, a.second} == {first, second})


def texts(relations: Relations, kind: str) -> list[str]:
    return [finding.text for finding in relations.findings if finding.kind == kind]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(3)


def test_pearson_leaves_out_rows_where_one_is_missing(relate: Relate, generator: np.random.Generator) -> None:
    x = generator.normal(size=ROWS)
    y = x + generator.normal(size=ROWS)
    shown: list[object] = [None if i % 5 == 0 else value for i, value in enumerate(y)]
    kept = np.arange(ROWS) % 5 != 0
    found = strength(relate({"x": x, "y": shown}), "x", "y")
    assert found == pytest.approx(np.corrcoef(x[kept], y[kept])[0, 1], abs=1e-12)


def test_cramers_v_is_corrected_for_bias(relate: Relate, generator: np.random.Generator) -> None:
    a = generator.integers(0, 4, ROWS)
    b = np.where(generator.random(ROWS) < 0.5, a, generator.integers(0, 4, ROWS))
    table = np.zeros((4, 4), dtype=int)
    np.add.at(table, (a, b), 1)
    found = strength(relate({"a": [f"a{v}" for v in a], "b": [f"b{v}" for v in b]}), "a", "b")
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / ROWS
    phi, correction = ((table - expected) ** 2 / expected).sum() / ROWS, 9 / (ROWS - 1)
    assert found == pytest.approx(np.sqrt(max(0.0, phi - correction) / (3 - correction)), abs=1e-9)
    independent = generator.integers(0, 4, ROWS)
    assert strength(relate({"a": [f"a{v}" for v in a], "b": [f"b{v}" for v in independent]}), "a", "b") < 0.1


def test_the_correlation_ratio_is_the_root_of_the_share_between_groups_less_chance(
    relate: Relate, generator: np.random.Generator
) -> None:
    group = generator.integers(0, 3, ROWS)
    x = group * 2.0 + generator.normal(size=ROWS)
    means = np.array([x[group == g].mean() for g in range(3)])[group]
    within = 1 - ((means - x.mean()) ** 2).sum() / ((x - x.mean()) ** 2).sum()
    expected = np.sqrt(1 - within * (ROWS - 1) / (ROWS - 3))
    assert strength(relate({"g": [f"g{v}" for v in group], "x": x}), "g", "x") == pytest.approx(expected, abs=1e-9)


def test_duplicate_rows_are_counted(relate: Relate) -> None:
    relations = relate({"a": [1, 2, 1, 1], "b": ["x", "y", "x", "z"]})
    assert relations.duplicate_rows == 1
    assert texts(relations, "duplicate_rows") == ["1 rows are the same as an earlier one"]


def test_a_sum_that_is_the_label_is_a_leak(relate: Relate, generator: np.random.Generator) -> None:
    a, b, c = (generator.integers(0, 100, ROWS) for _ in range(3))
    relations = relate({"a": a, "b": b, "c": c, "total": a + b}, label="total")
    assert len(texts(relations, "leak")) == 1
    assert "together they give the label away" in texts(relations, "leak")[0]
    assert {"a", "b", "total"} == set(next(f for f in relations.findings if f.kind == "leak").columns)


def test_nothing_leaks_where_there_is_noise(relate: Relate, generator: np.random.Generator) -> None:
    a, b = generator.normal(size=ROWS), generator.normal(size=ROWS)
    relations = relate({"a": a, "b": b, "y": a + b + generator.normal(size=ROWS) * 0.01}, label="y")
    assert texts(relations, "leak") == []


def test_bike_rentals_are_the_sum_of_their_parts(shared_data: Path, settings: Settings) -> None:
    table, profile = profile_source(shared_data / "tabular" / "bike_sharing_hour.csv", settings=settings, label="cnt")
    with table:
        assert profile.relations is not None
        leak = next(f for f in profile.relations.findings if f.kind == "leak")
    assert set(leak.columns) == {"casual", "registered", "cnt"}
    assert "= cnt in every sampled row" in leak.text


def test_a_category_that_goes_with_one_class_is_a_leak(relate: Relate, generator: np.random.Generator) -> None:
    label = generator.integers(0, 2, ROWS)
    code = label * 3 + generator.integers(0, 3, ROWS)
    relations = relate({"code": [f"k{v}" for v in code], "x": generator.normal(size=ROWS), "y": label}, label="y")
    assert ["code" in text for text in texts(relations, "leak")] == [True]


def test_ranges_that_do_not_overlap_between_classes_are_a_leak(relate: Relate, generator: np.random.Generator) -> None:
    label = generator.integers(0, 2, ROWS)
    score = generator.random(ROWS) + 2 * label
    found = texts(relate({"score": score, "y": [f"class {v}" for v in label]}, label="y"), "leak")
    assert found == ["score gives the label y away: its ranges do not overlap between classes"]


def test_outliers_are_those_beyond_the_fences(relate: Relate, generator: np.random.Generator) -> None:
    x = generator.normal(size=ROWS)
    x[:4] = 50.0
    found = texts(relate({"x": x, "w": generator.normal(size=ROWS)}), "outliers")
    low, high = np.quantile(x, [0.25, 0.75])
    beyond = int(((x < low - 1.5 * (high - low)) | (x > high + 1.5 * (high - low))).sum())
    assert any(text.startswith(f"x: {beyond} values") for text in found)


@pytest.mark.parametrize(
    ("kind", "column", "part"),
    [
        ("constant", ["same"] * ROWS, "holds one value only, 'same'"),
        ("nearly_constant", ["same"] * (ROWS - 1) + ["other"], "99.83% are 'same'"),
        ("identifier", [f"key-{i}" for i in range(ROWS)], "an identifier"),
        ("empty", [None] * ROWS, "every value is missing"),
        ("missing", [None, "a", "b", "c"] * (ROWS // 4), "missing in 25.0% of the rows"),
        ("spellings", ["Berlin", "berlin", "Paris", "Rome"] * (ROWS // 4), "'Berlin', 'berlin' differ only"),
        ("nearly_numbers", [str(i % 50) for i in range(ROWS - 1)] + ["n. b."], "1 of 600 values, such as 'n. b.'"),
        ("mixed_dates", ["24 October 2011", "10/25/2011", "Oct 26, 2011"] * (ROWS // 3), "written in several ways"),
        ("infinite", [1.5, 2.5, "inf", 3.5] * (ROWS // 4), "150 values are infinite"),
    ],
)
def test_a_fault_in_a_column_is_found(kind: str, column: list[object], part: str, relate: Relate) -> None:
    found = texts(relate({"c": [f'"{cell}"' if cell is not None else None for cell in column], "d": range(ROWS)}), kind)
    assert len([text for text in found if text.startswith("c: ")]) == 1
    assert part in found[0]


def test_uneven_classes_of_the_label_are_found(relate: Relate) -> None:
    columns = {"x": range(ROWS), "y": ["no"] * (ROWS - 40) + ["yes"] * 40}
    assert texts(relate(columns, label="y"), "imbalance") == ["y: the classes are uneven: 'no' 93.3%, 'yes' 6.7%"]
    assert texts(relate(columns), "imbalance") == []


def test_a_label_that_is_not_there_is_an_error(relate: Relate) -> None:
    with pytest.raises(DataError, match="there is no column 'z'"):
        relate({"x": [1, 2]}, label="z")


def test_hostile_names_are_only_names(relate: Relate) -> None:
    relations = relate({'"a\'; DROP TABLE x --"': range(20), '"b""c"': range(20)})
    assert {name for a in relations.associations for name in (a.first, a.second)} == {"a'; DROP TABLE x --", 'b"c'}


def test_names_that_occur_once_explain_nothing(relate: Relate, generator: np.random.Generator) -> None:
    names = [f"n{i}" for i in range(150)]
    relations = relate({"name": names, "x": generator.normal(size=150), "y": generator.normal(size=150)}, label="y")
    assert texts(relations, "leak") == texts(relations, "redundant") == []


@pytest.mark.parametrize("copy", [np.exp, lambda y: np.round(y, 1), lambda y: -(y**3)], ids=["exp", "round", "cube"])
def test_a_column_that_orders_the_rows_as_the_label_does_is_a_leak(
    relate: Relate, generator: np.random.Generator, copy: Callable[[np.ndarray], np.ndarray]
) -> None:
    hidden = generator.normal(size=ROWS)
    noise = generator.normal(size=ROWS)
    relations = relate({"hidden": 3 * hidden, "noise": noise, "y": copy(hidden)}, label="y")
    assert [text.split(":")[0] for text in texts(relations, "leak")] == ["hidden gives the label y away"]


def test_a_sum_is_found_next_to_a_column_of_holes(relate: Relate, generator: np.random.Generator) -> None:
    a, b = generator.integers(0, 100, ROWS), generator.integers(0, 100, ROWS)
    holes = [i if i % 50 == 0 else None for i in range(ROWS)]
    assert len(texts(relate({"a": a, "b": b, "holes": holes, "y": a + b}, label="y"), "leak")) == 1


@pytest.mark.parametrize(
    ("rows", "values"),
    [(12, [0, 1]), (30, ["u", "v"]), (40, [0, 1, 2]), (12, None)],
    ids=["bits", "words", "3", "float"],
)
def test_many_columns_of_few_random_rows_raise_no_alarm(
    relate: Relate, generator: np.random.Generator, rows: int, values: Sequence[object] | None
) -> None:
    columns = {
        f"x{i}": generator.normal(size=rows) if values is None else generator.choice(np.array(values), rows)
        for i in range(60)
    }
    relations = relate({**columns, "y": ["a"] * (rows - 2) + ["b"] * 2}, label="y")
    assert texts(relations, "leak") == texts(relations, "redundant") == []
