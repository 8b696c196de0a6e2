"""How each column of text is to be read: what its sampled cells are, with what the user said over it."""

from collections.abc import Sequence
from dataclasses import replace

from penstock.data.cells import LIKELY_MARKS, Judgement, Notation, judge
from penstock.data.options import ReadOptions
from penstock.data.scan import ColumnPlan
from penstock.data.schema import DataType
from penstock.errors import UsageError, did_you_mean

__all__ = ["plan_text_column", "verify_named_columns"]

_NATIVE_TYPES = {
    DataType.INTEGER: "DOUBLE",
    DataType.FLOAT: "DOUBLE",
    DataType.BOOLEAN: "BOOLEAN",
}
"""What DuckDB reads a column as by itself. Whole numbers as DOUBLE first: as BIGINT it would read 1.5 as 2."""


def plan_text_column(
    name: str,
    texts: Sequence[str],
    *,
    base: str,
    options: ReadOptions,
    decimal_comma: bool = False,
    can_scan_typed: bool = True,
    is_padded: bool = True,
) -> ColumnPlan:
    """The plan of a column that files hold as text.

    texts: its distinct sampled cells, trimmed. can_scan_typed: whether the scan can make numbers itself (CSV can).
    is_padded: whether spaces stand around some of them.
    """
    marks = options.marks_of(name)
    judgement = judge(texts, marks=marks, decimal_comma=decimal_comma)
    told = options.types.get(name, DataType.TIMESTAMP if name in options.formats else None)
    if told is not None:
        judgement = _as_told(judgement, told, marks=marks, formats=options.formats.get(name, ()))
    is_native = (
        can_scan_typed
        and told not in (DataType.BOOLEAN, DataType.INTEGER)
        and judgement.notation is Notation.PLAIN
        and judgement.type in _NATIVE_TYPES
        and not judgement.marks
    )
    return ColumnPlan(
        name=name,
        base=base,
        base_type=_NATIVE_TYPES[judgement.type] if is_native else "VARCHAR",
        judgement=judgement,
        timezone=options.timezone,
        trim=options.trim,
        is_padded=is_padded or judgement.type is not DataType.STRING,
        is_told=told is not None,
        are_marks_told=marks is not None,
    )


def verify_named_columns(names: Sequence[str], options: ReadOptions) -> None:
    """Raises UsageError where the options speak of a column that the table has not."""
    marked = () if options.null_marks is None or isinstance(options.null_marks, tuple) else options.null_marks
    for what, named in (("types", options.types), ("formats", options.formats), ("null marks", marked)):
        for name in named:
            if name not in names:
                raise UsageError(
                    f"the {what} name a column {name!r}; the table has {', '.join(names)}{did_you_mean(name, names)}"
                )


def _as_told(
    judgement: Judgement, told: DataType, *, marks: tuple[str, ...] | None, formats: tuple[str, ...]
) -> Judgement:
    likely = LIKELY_MARKS if marks is None else marks
    how = "as told"
    if told is DataType.STRING:
        return Judgement(DataType.STRING, Notation.PLAIN, judgement.marks if marks is None else marks, how)
    if told is DataType.TIMESTAMP and formats:
        return Judgement(told, Notation.FORMATS, likely, how, formats)
    if told is judgement.type:
        return replace(judgement, marks=likely, how=how)
    is_number = judgement.type in (DataType.INTEGER, DataType.FLOAT) and told in (DataType.INTEGER, DataType.FLOAT)
    notation = judgement.notation if is_number and judgement.notation is not Notation.LONG_INTEGER else Notation.PLAIN
    return Judgement(told, notation, likely, how)
