"""A profile as plain text for a terminal: one line a column, with a small histogram of block characters."""

from collections.abc import Sequence
from datetime import UTC, datetime

from penstock.data.profile import ColumnProfile, Histogram, TableProfile, Value
from penstock.data.schema import DataType

__all__ = ["profile_text", "shown_number", "shown_time", "sparkline"]

BLOCKS = "▁▂▃▄▅▆▇█"
SPARK_CELLS = 16
_NAME_WIDTH = 28
_TOP_VALUES = 4
_VALUE_WIDTH = 24


def profile_text(profile: TableProfile) -> str:
    """The profile as lines of text, without a final newline."""
    sections = []
    numbers = [c for c in profile.columns if c.histogram is not None and c.type is not DataType.TIMESTAMP]
    times = [c for c in profile.columns if c.histogram is not None and c.type is DataType.TIMESTAMP]
    others = [c for c in profile.columns if c.histogram is None]
    if numbers:
        headers = ["column", "type", "missing", "distinct", "min", "25 %", "median", "mean", "75 %", "max", "std"]
        rows = [_number_row(column) for column in numbers]
        sections.append(_aligned([*headers, "histogram"], rows, left={0, 1, 11}))
    if times:
        rows = [_time_row(column) for column in times]
        sections.append(
            _aligned(
                ["column", "type", "missing", "distinct", "from", "median", "to", "histogram"], rows, left={0, 1, 7}
            )
        )
    if others:
        rows = [_text_row(column) for column in others]
        sections.append(_aligned(["column", "type", "missing", "distinct", "most frequent"], rows, left={0, 1, 4}))
    head = f"{profile.rows:,} rows, {len(profile.columns)} columns"
    return "\n\n".join([head, *sections])


def sparkline(histogram: Histogram, *, cells: int = SPARK_CELLS) -> str:
    """The counts as a row of blocks; an empty bin is a space, and the smallest block is not nothing.

    >>> sparkline(Histogram((0.0, 1.0, 2.0, 3.0), (8, 0, 1)), cells=3)
    '█ ▂'
    """
    counts = _merged(histogram.counts, cells)
    most = max(counts)
    if most == 0:
        return ""
    return "".join(BLOCKS[min(7, count * 8 // most)] if count else " " for count in counts)


def shown_number(value: float | None) -> str:
    """A number in at most about eight characters.

    >>> [shown_number(x) for x in (22532.806324, 0.00632, 24.0, 1.5e12, None)]
    ['22,532.8', '0.00632', '24', '1.5e+12', '–']
    """
    if value is None:
        return "–"
    size = abs(value)
    if value == int(value) and size < 1e9:
        return f"{int(value):,}"
    if size >= 1e9 or size < 1e-4:
        return f"{value:.4g}"
    if size >= 1000:
        return f"{value:,.1f}"
    return f"{value:.4g}"


def shown_time(microseconds: float | None) -> str:
    """A timestamp in UTC, without its time where that is midnight.

    >>> shown_time(1296247379000000), shown_time(0)
    ('2011-01-28 20:42:59', '1970-01-01')
    """
    if microseconds is None:
        return "–"
    try:
        time = datetime.fromtimestamp(microseconds / 1e6, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return f"{microseconds:.4g} µs"
    return f"{time:%Y-%m-%d}" if (time.hour, time.minute, time.second) == (0, 0, 0) else f"{time:%Y-%m-%d %H:%M:%S}"


def shown_value(value: Value, *, width: int = _VALUE_WIDTH) -> str:
    """One value of a column on one line, cut where it is long."""
    text = shown_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _number_row(column: ColumnProfile) -> list[str]:
    assert column.histogram is not None
    low, middle, high = column.quartiles or (None, None, None)
    statistics = (column.min, low, middle, column.mean, high, column.max, column.std)
    return [*_common(column), *map(shown_number, statistics), sparkline(column.histogram)]


def _time_row(column: ColumnProfile) -> list[str]:
    assert column.histogram is not None
    return [*_common(column), *map(shown_time, (column.min, column.median, column.max)), sparkline(column.histogram)]


def _text_row(column: ColumnProfile) -> list[str]:
    if not column.present:
        return [*_common(column), "every value is missing"]
    top = [f"{shown_value(v.value)} {v.count / column.present:.0%}" for v in column.values[:_TOP_VALUES]]
    return [*_common(column), ", ".join(top) + (", …" if column.distinct > _TOP_VALUES else "")]


def _common(column: ColumnProfile) -> list[str]:
    name = shown_value(column.name, width=_NAME_WIDTH)
    missing = "" if not column.missing else f"{column.missing:,} ({column.missing / column.rows:.1%})"
    distinct = f"{column.distinct:,}" if column.is_distinct_exact else f"~{column.distinct:,}"
    return [name, column.type.value, missing, distinct]


def _aligned(headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: set[int]) -> str:
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [headers, *rows]
    )


def _merged(counts: Sequence[int], cells: int) -> list[int]:
    """The counts of fewer, wider bins."""
    if len(counts) <= cells:
        return list(counts)
    merged = [0] * cells
    for i, count in enumerate(counts):
        merged[i * cells // len(counts)] += count
    return merged
