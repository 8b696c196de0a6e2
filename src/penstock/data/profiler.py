"""Computes a table's profile, out of core."""

import math
from collections.abc import Callable
from typing import Any

import duckdb

from penstock.data.engine import mapped_errors
from penstock.data.options import Progress
from penstock.data.profile import ColumnProfile, Histogram, TableProfile, ValueCount
from penstock.data.schema import Column, DataType
from penstock.data.table import Table

__all__ = ["profile_table"]

BINS = 32
RANKS = 256


def profile_table(
    table: Table, *, values: int = 10_000, progress: Callable[[Progress], None] | None = None
) -> TableProfile:
    """What all rows of a table say of each column.

    values: how many of a column's most frequent values are kept, with their counts.
    """
    with table.connect() as connection, mapped_errors(f"cannot profile {table.name}"):
        columns = []
        for i, column in enumerate(table.schema):
            if progress is not None:
                progress(Progress(stage=f"profiling {column.name}", fraction=i / len(table.schema)))
            columns.append(_profile_column(connection, table, column, values))
    table.verify_unchanged()
    return TableProfile(rows=table.count(), columns=tuple(columns))


def _profile_column(connection: duckdb.DuckDBPyConnection, table: Table, column: Column, values: int) -> ColumnProfile:
    counted = table.value_counts(column.name, limit=values + 1)
    place = table.schema.names.index(column.name)
    source = f"(SELECT c{place} AS v FROM ({table.scan.select([column.name], is_numbered=True)}))"
    present = table.survey.columns[place].present
    shared: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "rows": table.count(),
        "missing": table.count() - present,
        "values": tuple(ValueCount(value, count) for value, count in counted[:values]),
        "are_values_complete": len(counted) <= values,
    }
    if len(counted) > values:
        answer = connection.execute(f"SELECT approx_count_distinct(v) FROM {source}").fetchone()
        assert answer is not None
        shared |= {"distinct": max(int(answer[0]), len(counted)), "is_distinct_exact": False}
    else:
        shared |= {"distinct": len(counted)}
    if column.type is DataType.STRING:
        return ColumnProfile(**shared)
    number = "epoch_us(v)" if column.type is DataType.TIMESTAMP else "CAST(v AS DOUBLE)"
    finite = f"(SELECT CAST({number} AS DOUBLE) AS x FROM {source} WHERE v IS NOT NULL) WHERE isfinite(x)"
    ranks = ", ".join(str(i / RANKS) for i in range(RANKS + 1))
    answer = connection.execute(
        f"SELECT count(*), min(x), max(x), avg(x), stddev_pop(x), skewness(x), count(*) FILTER (x = 0), "
        f"quantile_cont(x, [{ranks}]) FROM {finite}"
    ).fetchone()
    assert answer is not None
    finite_count, low, high, mean, std, skew, zeros, quantiles = answer
    if not finite_count:
        return ColumnProfile(**shared, infinite=present)
    edges = [low + (high - low) * i / BINS for i in range(BINS + 1)] if high > low else [low, low]
    upper = ", ".join(repr(edge) for edge in edges[1:-1])
    bins = dict(
        connection.execute(
            f"SELECT list_sum(list_transform([{upper}], lambda e: CAST(x >= e AS INTEGER))) AS b, count(*) "
            f"FROM {finite} GROUP BY b"
            if upper
            else f"SELECT 0, count(*) FROM {finite}"
        ).fetchall()
    )
    counts = tuple(int(bins.get(i, 0)) for i in range(len(edges) - 1))
    return ColumnProfile(
        **shared,
        min=low,
        max=high,
        mean=mean,
        std=std,
        skew=None if skew is None or not math.isfinite(skew) else skew,
        zeros=zeros,
        infinite=present - finite_count,
        quantiles=tuple(quantiles),
        histogram=Histogram(tuple(edges), counts),
    )
