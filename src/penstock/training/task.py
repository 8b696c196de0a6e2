"""Which task a label calls for, and why; told from the label's profile."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.bundle.manifest import Task
from penstock.data.profile import ColumnProfile
from penstock.data.schema import DataType, Schema
from penstock.errors import DataError, TrainingError, did_you_mean

__all__ = ["InferredTask", "check_label", "check_label_values", "infer_task"]

_MOST_INTEGER_CLASSES = 10
"""Whole numbers with more different values than this are quantities, not names of classes."""


@dataclass(frozen=True)
class InferredTask:
    """A task with the observation that led to it, in words."""

    task: Task
    reason: str


def check_label(schema: Schema, label: str, *, source: str) -> None:
    """Raises DataError where the table has no such column, or none besides it to learn from."""
    if label not in schema:
        known = ", ".join(schema.names)
        close = did_you_mean(label, schema.names)
        raise DataError(f"the label {label!r} is not a column of {source}; it has {known}{close}")
    if len(schema) == 1:
        raise DataError(f"{source} has no column besides the label {label!r}; there is nothing to learn it from")


def check_label_values(label: ColumnProfile, *, may_be_missing: bool, note: Callable[[str], None]) -> None:
    """Raises DataError where rows have no label, unless they may, and where a label is infinite."""
    if label.infinite:
        raise DataError(f"the label {label.name!r} is infinite in {label.infinite:,} of {label.rows:,} rows; mend them")
    if not label.missing or not label.present:
        return
    told = f"the label {label.name!r} is missing in {label.missing:,} of {label.rows:,} rows"
    if not may_be_missing:
        raise DataError(f"{told}; to leave these rows out, write label: {{name: {label.name}, missing: drop}}")
    note(f"{told}, which are left out")


def infer_task(label: ColumnProfile) -> InferredTask:
    """Text and booleans are classes; so are a few whole numbers; anything else is a quantity.

    Raises TrainingError for a label that nothing can be learned from: no value, one value only, a timestamp.
    """
    name = repr(label.name)
    if label.rows == 0:
        raise TrainingError("the table has no rows; there is nothing to learn from")
    if label.present == 0:
        raise TrainingError(f"the label {name} has no value in any row; name another column as the label")
    if label.distinct == 1:
        only = repr(label.values[0].value) if label.values else "one"
        rows = "its only row" if label.rows == 1 else "every row"
        raise TrainingError(f"the label {name} is {only} in {rows}; there is nothing to learn from a single value")
    match label.type:
        case DataType.TIMESTAMP | DataType.IMAGE:
            raise TrainingError(f"the label {name} is of type {label.type}; expected a number, a boolean or text")
        case DataType.STRING | DataType.BOOLEAN:
            if label.type is DataType.STRING and label.distinct > max(100, label.present // 2):
                raise TrainingError(
                    f"the label {name} has {label.distinct} different texts in {label.present} rows; "
                    "expected classes that repeat, or a number"
                )
            return InferredTask(_classification(label.distinct), f"{label.distinct} classes")
        case DataType.INTEGER if label.distinct <= _MOST_INTEGER_CLASSES:
            return InferredTask(
                _classification(label.distinct), f"{label.distinct} different whole numbers, taken as classes"
            )
        case _:
            return InferredTask(Task.REGRESSION, f"{label.distinct} different numbers")


def _classification(classes: int) -> Task:
    return Task.BINARY_CLASSIFICATION if classes == 2 else Task.MULTICLASS_CLASSIFICATION
