"""Turns rows in the caller's form into the instances of a prediction request, as JSON knows them."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from penstock.errors import InstanceError

__all__ = ["DataFrameLike", "rows_of"]

Plain = None | bool | int | float | str | list[Any] | dict[str, Any]


@runtime_checkable
class DataFrameLike(Protocol):
    """What a pandas DataFrame is recognised by; this module does not import pandas."""

    @property
    def columns(self) -> Any: ...

    def to_dict(self, orient: Literal["records"], /) -> Any: ...


Instances = Sequence[object] | Mapping[str, Iterable[object]] | DataFrameLike
"""Rows as a list of objects, as columns by name, or as a DataFrame."""


def rows_of(instances: object) -> list[Plain]:
    """The rows as values that JSON can hold: NaN, NaT and NA become null, moments ISO 8601, bytes `{"b64": …}`.

    instances: a list of rows (each an object by column, or the bare value of a model with one input), columns by name,
        or a pandas DataFrame. NumPy scalars and arrays are taken anywhere.

    Raises InstanceError naming the row and column for an infinite number, a value that JSON cannot hold, columns that
    differ in length, or something that is no rows at all.
    """
    if isinstance(instances, DataFrameLike):
        return _rows(instances.to_dict("records"))
    if isinstance(instances, Mapping):
        return _rows(_from_columns(instances))
    if isinstance(instances, str | bytes | bytearray) or not hasattr(instances, "__iter__"):
        raise InstanceError(
            f"instances are a {type(instances).__name__}; expected a list of rows, a dictionary of columns or a "
            "DataFrame; one row goes as a list of one"
        )
    return _rows(instances)


def _rows(rows: Iterable[object]) -> list[Plain]:
    return [_plain(row, index, None) for index, row in enumerate(rows)]


def _from_columns(columns: Mapping[Any, Any]) -> list[dict[Any, object]]:
    values: dict[Any, list[object]] = {}
    for name, column in columns.items():
        if isinstance(column, str | bytes | Mapping) or not hasattr(column, "__iter__"):
            raise InstanceError(
                f"column {name!r} is a {type(column).__name__}; expected a list of values, one a row; "
                "one row goes as a list of one: [{…}]",
                column=str(name),
            )
        values[name] = list(column)
    lengths = {len(column) for column in values.values()}
    if len(lengths) > 1:
        shown = ", ".join(f"{name} {len(column)}" for name, column in values.items())
        raise InstanceError(f"the columns differ in length: {shown}")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def _plain(value: Any, index: int, column: str | None) -> Plain:
    """`value` as JSON can hold it. index, column: where it stands, for messages."""
    match value:
        case None | bool():
            return value
        case str():
            if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise _refused(index, column, f"{value!r} holds half a character (a lone surrogate)")
            return str(value)
        case float():
            if math.isinf(value):
                raise _refused(index, column, f"{value} cannot be sent; a missing value is None or NaN")
            return None if math.isnan(value) else float(value)
        case int():
            if not -(2**63) <= value < 2**64:
                raise _refused(index, column, f"{value} does not fit into 64 bits")
            return int(value)
        case bytes() | bytearray():
            return {"b64": base64.b64encode(value).decode()}
        case datetime() | date():
            # pandas' NaT is a datetime, and the only one that does not equal itself.
            return value.isoformat() if value == value else None
        case Mapping():
            return {str(name): _plain(item, index, column or str(name)) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item, index, column) for item in value]
    if hasattr(value, "tolist"):  # NumPy
        if getattr(value, "dtype", None) is not None and value.dtype.kind == "M":
            value = value.astype("datetime64[us]")
        return _plain(value.tolist(), index, column)
    if type(value).__name__ == "NAType":  # pandas.NA
        return None
    raise _refused(index, column, f"a {type(value).__name__} cannot be sent as JSON")


def _refused(index: int, column: str | None, reason: str) -> InstanceError:
    place = f"instance {index}" + (f", column {column!r}" if column is not None else "")
    return InstanceError(f"{place}: {reason}", index=index, column=column)
