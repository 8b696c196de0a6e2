"""A profile as plain text for a terminal: one line a column, with a small histogram of block characters."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from penstock.data.profile import ColumnProfile, Histogram, TableProfile, Value
from penstock.data.schema import DataType

__all__ = ["BLOCKS", "profile_text", "shown_number", "shown_time", "shown_value", "sparkline"]

BLOCKS = "▁▂▃▄▅▆▇█"
SPARK_CELLS = 16
_NAME_WIDTH = 28
_TOP_VALUES = 4
_VALUE_WIDTH = 24


def profile_text(profile: TableProfile, *, width: int | None = None) -> str:
    """The profile as lines of text, without a final newline.

    width: columns of the terminal; in one that the tables do not fit, statistics are left out. None for no bound.
    """
    sections = []
    numbers = [c for c in profile.columns if c.histogram is not None and c.type is not DataType.TIMESTAMP]
    times = [c for c in profile.columns if c.histogram is not None and c.type is DataType.TIMESTAMP]
    others = [c for c in profile.columns if c.histogram is None]
    if numbers:
        headers = ["column", "type", "missing", "distinct", "min", "25 %", "median", "mean", "75 %", "max", "std"]
        rows = [_number_row(column) for column in numbers]
        spare = (10, 5, 8, 1, 2, 7, 3)
        sections.append(_fitted([*headers, "histogram"], rows, left={0, 1, 11}, spare=spare, width=width))
    if times:
        rows = [_time_row(column) for column in times]
        headers = ["column", "type", "missing", "distinct", "from", "median", "to", "histogram"]
        sections.append(_fitted(headers, rows, left={0, 1, 7}, spare=(5, 1, 3, 2), width=width))
    if others:
        rows = [_text_row(column) for column in others]
        headers = ["column", "type", "missing", "distinct", "most frequent"]
        sections.append(_fitted(headers, rows, left={0, 1, 4}, spare=(), width=width))
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


def _fitted(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, left: set[int], spare: Sequence[int], width: int | None
) -> str:
    """An aligned table; where it is too wide, without the columns that can be spared, one after the other, then cut."""
    places = list(range(len(headers)))
    text = _aligned(headers, rows, left=left)
    if width is None:
        return text
    for place in spare:
        if max(map(len, text.splitlines())) <= width:
            break
        places.remove(place)
        chosen = [[row[i] for i in places] for row in [headers, *rows]]
        text = _aligned(chosen[0], chosen[1:], left={places.index(i) for i in left if i in places})
    return "\n".join(line if len(line) <= width else line[: width - 1] + "…" for line in text.splitlines())


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
    """The counts of fewer, wider bins, equally many in each, so that an even histogram stays even."""
    size = math.ceil(len(counts) / cells)
    return [sum(counts[i : i + size]) for i in range(0, len(counts), size)]
