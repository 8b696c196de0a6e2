"""What a sample of rows says of whole rows and of pairs of columns: duplicates, associations, and findings in words."""

from collections.abc import Sequence
from itertools import combinations

import duckdb

from penstock.data.findings import column_findings, outlier_findings, row_findings, sampled_text_findings
from penstock.data.leaks import leak_findings
from penstock.data.profile import Association, ColumnProfile, Relations
from penstock.data.sample import SAMPLE, SampledRows
from penstock.data.schema import DataType

__all__ = ["relate"]

MAX_COMPARED = 60
MAX_CATEGORIES = 200
_MIN_PAIRS = 10
_COMPARED = "compared_columns"


def relate(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[ColumnProfile],
    sample: SampledRows,
    *,
    label: str | None,
) -> Relations:
    """Of the sample, a table of the connection. Of wide tables the first 60 columns of each kind are compared."""
    distinct_rows = _number(connection, f"SELECT count(*) FROM (SELECT DISTINCT * FROM {SAMPLE})")
    duplicates = sample.rows - distinct_rows
    numbers = [i for i, column in enumerate(columns) if _is_number(column)][:MAX_COMPARED]
    categories = [i for i, column in enumerate(columns) if _is_category(column)][:MAX_COMPARED]
    source = _narrow(connection, [*numbers, *categories]) if len(columns) > 2 * MAX_COMPARED else SAMPLE
    associations = [
        *_pearson(connection, columns, numbers, source),
        *_cramers_v(connection, columns, categories, source),
        *_correlation_ratios(connection, columns, categories, numbers, source),
    ]
    associations.sort(key=lambda found: (-abs(found.strength), found.first, found.second))
    findings = [
        *leak_findings(connection, columns, associations, label=label),
        *column_findings(columns, label=label),
        *row_findings(duplicates, sample),
        *outlier_findings(connection, columns, sample),
        *sampled_text_findings(connection, columns),
    ]
    return Relations(
        rows=sample.rows,
        is_sample=not sample.is_whole,
        duplicate_rows=duplicates,
        associations=tuple(associations),
        findings=tuple(findings),
    )


def _narrow(connection: duckdb.DuckDBPyConnection, places: Sequence[int]) -> str:
    """A copy of these columns alone: what a query costs DuckDB grows with the columns of the table it is about."""
    if not places:
        return SAMPLE
    chosen = ", ".join(f"c{i}" for i in places)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_COMPARED} AS SELECT {chosen} FROM {SAMPLE}")
    return _COMPARED


def number_sql(column: ColumnProfile, place: int) -> str:
    """SQL of a column's finite values as DOUBLE."""
    value = f"epoch_us(c{place})" if column.type is DataType.TIMESTAMP else f"c{place}"
    number = f"CAST({value} AS DOUBLE)"
    return f"CASE WHEN isfinite({number}) THEN {number} END" if column.type is DataType.FLOAT else number


def _is_number(column: ColumnProfile) -> bool:
    return (
        column.type in (DataType.INTEGER, DataType.FLOAT, DataType.TIMESTAMP)
        and column.distinct > 1
        and column.std is not None
        and column.std > 0
    )


def _is_category(column: ColumnProfile) -> bool:
    return column.type in (DataType.STRING, DataType.BOOLEAN) and 1 < column.distinct <= MAX_CATEGORIES


def _pearson(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile], places: Sequence[int], source: str
) -> list[Association]:
    pairs = list(combinations(places, 2))
    if not pairs:
        return []
    numbers = ", ".join(f"{number_sql(columns[i], i)} AS x{i}" for i in places)
    wanted = ", ".join(f"corr(x{i}, x{j}), regr_count(x{i}, x{j})" for i, j in pairs)
    answer = connection.execute(f"SELECT {wanted} FROM (SELECT {numbers} FROM {source})").fetchone()
    assert answer is not None
    found = []
    for (i, j), strength, count in zip(pairs, answer[0::2], answer[1::2], strict=True):
        if strength is not None and strength == strength and count >= _MIN_PAIRS:  # NaN where a part does not vary
            found.append(Association(columns[i].name, columns[j].name, "pearson", max(-1.0, min(1.0, strength))))
    return found


def _cramers_v(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile], places: Sequence[int], source: str
) -> list[Association]:
    """Bias-corrected, as in Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", 2013."""
    found = []
    for i, j in combinations(places, 2):
        answer = connection.execute(
            f"WITH cells AS (SELECT c{i} AS a, c{j} AS b, count(*) AS n FROM {source} "
            f"WHERE c{i} IS NOT NULL AND c{j} IS NOT NULL GROUP BY ALL), "
            "sums AS (SELECT n, sum(n) OVER (PARTITION BY a) AS row_sum, sum(n) OVER (PARTITION BY b) AS column_sum "
            "FROM cells) SELECT sum(n), sum(n * n / (row_sum * column_sum)), "
            "(SELECT count(DISTINCT a) FROM cells), (SELECT count(DISTINCT b) FROM cells) FROM sums"
        ).fetchone()
        assert answer is not None
        total, squares, rows, across = answer
        if total is None or total < _MIN_PAIRS or min(rows, across) < 2:
            continue
        phi = max(0.0, squares - 1 - (rows - 1) * (across - 1) / (total - 1))
        rows_corrected = rows - (rows - 1) ** 2 / (total - 1)
        across_corrected = across - (across - 1) ** 2 / (total - 1)
        least = min(rows_corrected, across_corrected) - 1
        if least > 0:
            strength = min(1.0, (phi / least) ** 0.5)
            found.append(Association(columns[i].name, columns[j].name, "cramers_v", strength))
    return found


def _correlation_ratios(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[ColumnProfile],
    categories: Sequence[int],
    numbers: Sequence[int],
    source: str,
) -> list[Association]:
    """The root of the share of a number's variance that lies between the categories, less what chance puts there.

    That is ε² (Kelley, "An unbiased correlation ratio measure", 1935): by the plain η², names that occur once each
    explain every number.
    """
    if not numbers:
        return []
    shifted = ", ".join(f"{number_sql(columns[j], j)} - ({columns[j].mean!r}) AS x{j}" for j in numbers)
    groups = ", ".join(f"count(x{j}) AS n{j}, sum(x{j}) AS s{j}, sum(x{j} * x{j}) AS q{j}" for j in numbers)
    wanted = ", ".join(
        f"sum(n{j}), sum(s{j}), sum(q{j}), sum(s{j} * s{j} / nullif(n{j}, 0)), count(nullif(n{j}, 0))" for j in numbers
    )
    found = []
    for i in categories:
        answer = connection.execute(
            f"SELECT {wanted} FROM (SELECT g, {groups} FROM (SELECT c{i} AS g, {shifted} FROM {source} "
            f"WHERE c{i} IS NOT NULL) GROUP BY g)"
        ).fetchone()
        assert answer is not None
        for place, j in enumerate(numbers):
            count, total, squares, between, groups_seen = answer[5 * place : 5 * place + 5]
            if not count or count < _MIN_PAIRS or count <= groups_seen:
                continue
            spread = squares - total**2 / count
            if spread > 0:
                within = max(0.0, 1 - (between - total**2 / count) / spread)
                share = max(0.0, 1 - within * (count - 1) / (count - groups_seen))
                found.append(Association(columns[j].name, columns[i].name, "correlation_ratio", share**0.5))
    return found


def _number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    answer = connection.execute(query).fetchone()
    assert answer is not None
    return int(answer[0])
