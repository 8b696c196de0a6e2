"""Everything that a profile knows of one column, as plain text for a terminal."""

from collections.abc import Sequence

from penstock.data.profile import ColumnProfile, Histogram
from penstock.data.profile_text import BLOCKS, shown_number, shown_time, shown_value
from penstock.data.schema import DataType

__all__ = ["WEEKDAYS", "column_text"]

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

_BINS = 12
_BAR_WIDTH = 40
_TOP_VALUES = 10
_VALUE_WIDTH = 40


def column_text(column: ColumnProfile) -> str:
    """The column as lines of text, without a final newline."""
    about = "" if column.is_distinct_exact else "about "
    missing = f"{column.missing:,} missing ({column.missing / max(column.rows, 1):.1%})"
    parts = [
        f"{shown_value(column.name, width=_VALUE_WIDTH)}  {column.type.value}",
        f"{column.rows:,} rows, {missing}, {about}{column.distinct:,} different values",
    ]
    if column.formats:
        parts.append(f"formats: {', '.join(column.formats)}")
    if column.quantiles and column.type is not DataType.BOOLEAN:
        parts += ["", *_statistics(column)]
    if column.lengths is not None:
        lengths = column.lengths
        parts += ["", f"length {lengths.min:,} to {lengths.max:,}, {shown_number(lengths.mean)} on average"]
    if column.histogram is not None and column.type is not DataType.BOOLEAN:
        parts += ["", *_bins(column, column.histogram)]
    if column.times is not None:
        parts += ["", *_bars([day[:3] for day in WEEKDAYS], column.times.weekdays)]
        parts += ["", f"hours, UTC, 0 to 23: {_row(column.times.hours)}"]
    if column.values and column.type is not DataType.TIMESTAMP:
        top = column.values[:_TOP_VALUES]
        names = [shown_value(value.value, width=_VALUE_WIDTH) for value in top]
        parts += ["", "most frequent", *_bars(names, [value.count for value in top], of=column.present)]
    return "\n".join(parts)


def _statistics(column: ColumnProfile) -> list[str]:
    shown = shown_time if column.type is DataType.TIMESTAMP else shown_number
    facts = [("min", shown(column.min)), ("max", shown(column.max)), ("mean", shown(column.mean))]
    if column.type is not DataType.TIMESTAMP:
        facts += [("deviation", shown(column.std)), ("skew", shown(column.skew)), ("zeros", f"{column.zeros:,}")]
    if column.infinite:
        facts.append(("infinite", f"{column.infinite:,}"))
    facts += [("quartiles", "  ".join(map(shown, column.quartiles or ())))]
    facts += [("deciles", "  ".join(map(shown, column.deciles)))]
    width = max(len(name) for name, _ in facts)
    close = "" if column.are_quantiles_exact else "quartiles and deciles lie within a rank of 1 % of the exact ones"
    return [f"{name.ljust(width)}  {value}" for name, value in facts] + ([close] if close else [])


def _bins(column: ColumnProfile, histogram: Histogram) -> list[str]:
    shown = shown_time if column.type is DataType.TIMESTAMP else shown_number
    size = -(-len(histogram.counts) // _BINS)
    starts = range(0, len(histogram.counts), size)
    counts = [sum(histogram.counts[i : i + size]) for i in starts]
    ends = [min(i + size, len(histogram.counts)) for i in starts]
    names = [
        f"{shown(histogram.edges[i])} – {shown(histogram.edges[end])}" for i, end in zip(starts, ends, strict=True)
    ]
    scale = ["bins on a logarithmic scale"] if histogram.is_log else []
    return [*scale, *_bars(names, counts)]


def _bars(names: Sequence[str], counts: Sequence[int], *, of: int | None = None) -> list[str]:
    """A line each: name, count, share, bar. of: what shares are of, by default of all counts together."""
    total, most = max(sum(counts) if of is None else of, 1), max(*counts, 1)
    width, digits = max(map(len, names)), max(len(f"{count:,}") for count in counts)
    return [
        f"{name.rjust(width)}  {f'{count:,}'.rjust(digits)}  {count / total:>6.1%}  "
        f"{'█' * round(count * _BAR_WIDTH / most)}".rstrip()
        for name, count in zip(names, counts, strict=True)
    ]


def _row(counts: Sequence[int]) -> str:
    most = max(*counts, 1)
    return "".join(BLOCKS[min(7, count * 8 // most)] if count else " " for count in counts)
