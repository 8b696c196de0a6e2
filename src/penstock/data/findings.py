"""What is worth knowing of a table's columns and rows, in words."""

import math
from collections import defaultdict
from collections.abc import Sequence

import duckdb

from penstock.data.profile import ColumnProfile, Finding
from penstock.data.profile_text import shown_number, shown_value
from penstock.data.sample import SAMPLE, SampledRows
from penstock.data.schema import DataType

__all__ = ["column_findings", "outlier_findings", "row_findings", "sampled_text_findings"]

_MANY_MISSING = 0.05
_NEARLY_ALL = 0.995
_MIN_ROWS_OF_AN_IDENTIFIER = 100
_LARGE_SKEW = 3.0
_COLUMNS_AT_ONCE = 128
_FENCE = 1.5
_ROBUST_Z = 3.5
_MAD_OF_A_NORMAL = 0.6745
_MOSTLY = 0.9
_MAJORITY = 0.8
_MAX_CLASSES = 50


def column_findings(columns: Sequence[ColumnProfile], *, label: str | None) -> list[Finding]:
    """Of each column by itself, from its profile."""
    found: list[Finding] = []
    for column in columns:
        found += _of_values(column)
        found += _of_writing(column)
        if column.name == label:
            found += _of_label(column)
    return found


def row_findings(duplicates: int, sample: SampledRows) -> list[Finding]:
    if not duplicates:
        return []
    where = "rows" if sample.is_whole else f"of {sample.rows:,} sampled rows"
    return [Finding(kind="duplicate_rows", text=f"{duplicates:,} {where} are the same as an earlier one")]


def outlier_findings(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile], sample: SampledRows
) -> list[Finding]:
    """Values far from the middle: beyond 1.5 interquartile ranges of the quartiles, and of a robust z above 3.5.

    The robust z is Iglewicz and Hoaglin's: 0.6745 (x - median) / MAD.
    """
    numbers = [
        (i, column)
        for i, column in enumerate(columns)
        if column.type in (DataType.INTEGER, DataType.FLOAT) and column.quartiles and column.distinct > 2
    ]
    if not sample.rows:
        return []
    parts = [numbers[start : start + _COLUMNS_AT_ONCE] for start in range(0, len(numbers), _COLUMNS_AT_ONCE)]
    return [finding for part in parts for finding in _outliers(connection, part, sample)]


def _outliers(
    connection: duckdb.DuckDBPyConnection, numbers: Sequence[tuple[int, ColumnProfile]], sample: SampledRows
) -> list[Finding]:
    deviations = connection.execute(
        f"SELECT {', '.join(f'mad(CASE WHEN isfinite(c{i}::DOUBLE) THEN c{i}::DOUBLE END)' for i, _ in numbers)} "
        f"FROM {SAMPLE}"
    ).fetchone()
    assert deviations is not None
    bounds = []
    for (i, column), mad in zip(numbers, deviations, strict=True):
        low, middle, high = column.quartiles or (0.0, 0.0, 0.0)
        fence = _FENCE * (high - low)
        reach = _ROBUST_Z * mad / _MAD_OF_A_NORMAL if mad else math.inf
        bounds.append((i, column, low - fence, high + fence, middle - reach, middle + reach))
    counted = connection.execute(
        "SELECT "
        + ", ".join(
            f"count(CASE WHEN c{i} NOT BETWEEN {_sql(low)} AND {_sql(high)} THEN 1 END), "
            f"count(CASE WHEN c{i} NOT BETWEEN {_sql(least)} AND {_sql(most)} THEN 1 END), count(c{i})"
            for i, _, low, high, least, most in bounds
        )
        + f" FROM {SAMPLE}"
    ).fetchone()
    assert counted is not None
    found = []
    for place, (_, column, low, high, _, _) in enumerate(bounds):
        fenced, far, present = counted[3 * place : 3 * place + 3]
        if fenced and far:
            rows = "values" if sample.is_whole else f"of {present:,} sampled values"
            text = (
                f"{column.name}: {fenced:,} {rows} ({fenced / present:.1%}) lie below {shown_number(low)} or above "
                f"{shown_number(high)}, 1.5 interquartile ranges from the quartiles; {far:,} have a robust z above 3.5"
            )
            found.append(Finding(kind="outliers", text=text, columns=(column.name,)))
    return found


def sampled_text_findings(connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile]) -> list[Finding]:
    """Texts that are nearly all numbers, and the ones that are not."""
    texts = [(i, column) for i, column in enumerate(columns) if column.type is DataType.STRING and column.present]
    if not texts:
        return []
    answer = connection.execute(
        f"SELECT {', '.join(f'count(c{i}), count(TRY_CAST(c{i} AS DOUBLE))' for i, _ in texts)} FROM {SAMPLE}"
    ).fetchone()
    assert answer is not None
    found = []
    for place, (i, column) in enumerate(texts):
        present, numbers = answer[2 * place : 2 * place + 2]
        if not present or not _MOSTLY <= numbers / present < 1:
            continue
        other = connection.execute(
            f"SELECT any_value(c{i}) FROM {SAMPLE} WHERE c{i} IS NOT NULL AND TRY_CAST(c{i} AS DOUBLE) IS NULL"
        ).fetchone()
        assert other is not None
        text = (
            f"{column.name}: would be numbers but for {present - numbers:,} of {present:,} values, such as "
            f"{shown_value(other[0])!r}; name it as a null mark if it means missing"
        )
        found.append(Finding(kind="nearly_numbers", text=text, columns=(column.name,)))
    return found


def _of_values(column: ColumnProfile) -> list[Finding]:
    found: list[Finding] = []
    if not column.present:
        return [_finding("empty", column, "every value is missing")] if column.rows else []
    missing = column.missing / column.rows
    if missing >= _MANY_MISSING:
        found.append(_finding("missing", column, f"missing in {missing:.1%} of the rows"))
    top = column.values[0] if column.values else None
    if column.distinct == 1 and top is not None:
        found.append(_finding("constant", column, f"holds one value only, {shown_value(top.value)!r}"))
    elif top is not None and top.count >= _NEARLY_ALL * column.present and column.present >= 1 / (1 - _NEARLY_ALL):
        found.append(
            _finding("nearly_constant", column, f"{top.count / column.present:.2%} are {shown_value(top.value)!r}")
        )
    if _is_identifier(column):
        found.append(_finding("identifier", column, "nearly every value is another: an identifier, not a feature"))
    if column.infinite:
        found.append(_finding("infinite", column, f"{column.infinite:,} values are infinite"))
    is_number = column.type in (DataType.INTEGER, DataType.FLOAT) and column.distinct > 2
    if is_number and abs(column.skew or 0.0) > _LARGE_SKEW:
        side = "a few large values" if (column.skew or 0.0) > 0 else "a few small values"
        found.append(_finding("skewed", column, f"skewed ({column.skew:.1f}): {side} far from the others"))
    return found


def _of_writing(column: ColumnProfile) -> list[Finding]:
    found = []
    if len(column.formats) > 1:
        formats = ", ".join(column.formats)
        found.append(
            _finding("mixed_dates", column, f"dates are written in several ways, tried in this order: {formats}")
        )
    if column.type is DataType.STRING and column.are_values_complete:
        spellings: defaultdict[str, list[str]] = defaultdict(list)
        for entry in column.values:
            if isinstance(entry.value, str):
                spellings["".join(entry.value.casefold().split())].append(entry.value)
        for alike in [words for words in spellings.values() if len(words) > 1][:3]:
            words = ", ".join(repr(shown_value(word)) for word in alike[:4])
            found.append(_finding("spellings", column, f"{words} differ only in case or spaces"))
    return found


def _of_label(column: ColumnProfile) -> list[Finding]:
    found = []
    if column.missing:
        found.append(_finding("label_missing", column, f"the label is missing in {column.missing:,} rows"))
    is_class = column.type in (DataType.STRING, DataType.BOOLEAN) or column.distinct == 2
    if is_class and 1 < column.distinct <= _MAX_CLASSES and column.are_values_complete:
        most, least = column.values[0], column.values[-1]
        if most.count >= _MAJORITY * column.present or most.count >= 10 * least.count:
            text = (
                f"the classes are uneven: {shown_value(most.value)!r} {most.count / column.present:.1%}, "
                f"{shown_value(least.value)!r} {least.count / column.present:.1%}"
            )
            found.append(_finding("imbalance", column, text))
    return found


def _is_identifier(column: ColumnProfile) -> bool:
    if column.type not in (DataType.STRING, DataType.INTEGER) or column.present < _MIN_ROWS_OF_AN_IDENTIFIER:
        return False
    tolerance = 0.99 if column.is_distinct_exact else 0.92
    return column.distinct >= tolerance * column.present and not (column.values and column.values[0].count > 3)


def _finding(kind: str, column: ColumnProfile, text: str) -> Finding:
    return Finding(kind=kind, text=f"{column.name}: {text}", columns=(column.name,))


def _sql(value: float) -> str:
    return f"'{value!r}'::DOUBLE"
