"""Instances as callers send them (rows of values, or columns of values) to a typed `ColumnBatch`.

Implements the rules of values on the wire: a column is required unless it was ever missing in training; null, NaN and,
if nullable, absence mean missing; infinities are refused; unknown columns are refused, except the label and columns the
training table had and the model does not use. Every refusal names the instance and the column.
"""

import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from penstock.bundle.manifest import Signature
from penstock.data.columns import Array, ColumnBatch, dtype_of, is_missing
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import InstanceError, did_you_mean
from penstock.runtime.tensors import TensorDecoder
from penstock.runtime.values import MAX_EXACT_INTEGER, is_base64, shorten, value_reader

__all__ = ["InstanceDecoder"]

Values = list[Any] | Array
"""Values of one column as they came: plain Python, or an array that a binary protocol carried."""

_NUMBER_KINDS = frozenset({float, int, type(None)})
_OTHER_THAN_DIGITS = re.compile(r"[^0-9+\-.eE\n]")


class InstanceDecoder:
    """Decodes requests against one signature. Holds no state between calls."""

    def __init__(self, signature: Signature) -> None:
        self.schema = Schema(signature.inputs)
        self._columns = [
            TensorDecoder(column) if column.shape else _ColumnDecoder(column) for column in signature.inputs
        ]
        self._is_positional = signature.positional
        self._names = self.schema.names
        self._name_set = frozenset(self._names)
        self._required = frozenset(column.name for column in signature.inputs if not column.nullable)
        self._accepted = self._name_set | frozenset(signature.ignored)
        self._vectors = {key: parts for key, parts in vectors_of(signature).items() if key not in self._accepted}

    def rows(self, instances: Sequence[object]) -> ColumnBatch:
        """Row form: an object a row; a bare value a row where the model takes one column; a list of the values in the
        columns' order where the signature is positional.

        Raises InstanceError naming the index of the instance and the column at fault.
        """
        if not instances:
            raise InstanceError("there are no instances; send at least one row")
        first = instances[0]
        if self._is_positional and isinstance(first, list) and len(self._names) > 1:
            return self._listed_rows(instances)
        if not isinstance(first, dict) or is_base64(first):
            return self._bare_rows(instances)
        rows: list[Mapping[str, object]] = []
        whole = True
        for index, instance in enumerate(instances):
            if not isinstance(instance, dict):
                raise InstanceError(
                    f"instance {index} is {shorten(instance)}; expected an object like the ones before it", index=index
                )
            if self._vectors and not self._vectors.keys().isdisjoint(instance):
                instance = self._spread(instance, index)
            if instance.keys() != self._name_set:
                self._check_names(instance, f"instance {index}", index=index)
                whole = False
            rows.append(instance)
        if whole:
            return self._batch([list(map(itemgetter(name), rows)) for name in self._names])
        return self._batch([[row.get(name) for row in rows] for name in self._names])

    def columns(self, inputs: object) -> ColumnBatch:
        """Column form: an object of one list of values a column; a bare list where the model takes one column.

        A NumPy array `[rows]` may stand for a list; in one, integers in a timestamp column are microseconds since
        1970-01-01 UTC. Raises InstanceError naming the column, and the index where one value is at fault.
        """
        if self._is_positional and isinstance(inputs, list) and inputs and len(self._names) > 1:
            return self._listed_rows(inputs)
        if not isinstance(inputs, dict) or is_base64(inputs):
            if len(self._names) != 1:
                raise InstanceError(
                    f"the model takes {len(self._names)} columns; expected an object with {self._known}"
                )
            inputs = {self._names[0]: inputs}
        if self._vectors and not self._vectors.keys().isdisjoint(inputs):
            inputs = self._spread_columns(inputs)
        for column in self.schema:
            given = inputs.get(column.name)
            if isinstance(given, np.ndarray) and given.ndim > 1 and not column.shape:
                raise InstanceError(
                    f"input {column.name!r} has the shape {list(given.shape)}; expected [rows] or [rows, 1]",
                    column=column.name,
                )
        self._check_names(inputs, "'inputs'", index=None)
        values = {name: value if isinstance(value, list | np.ndarray) else [value] for name, value in inputs.items()}
        lengths = {name: len(values[name]) for name in self._names if name in values}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InstanceError(f"the columns of 'inputs' differ in length: {told}; expected one value a row in each")
        rows = next(iter(lengths.values()), 0)
        if rows == 0:
            raise InstanceError("'inputs' holds no rows; send at least one value a column")
        return self._batch([values.get(name, [None] * rows) for name in self._names])

    def check_columns(self, names: Sequence[str], what: str) -> None:
        """Raises InstanceError where columns of these names lack a required one, or hold one that nobody knows."""
        self._check_names(dict.fromkeys(names), what, index=None)

    def _bare_rows(self, instances: Sequence[object]) -> ColumnBatch:
        if len(self._names) != 1:
            raise InstanceError(
                f"instance 0 is {shorten(instances[0])}; the model takes {len(self._names)} columns, so each instance "
                f"is an object with {self._known}",
                index=0,
            )
        for index, instance in enumerate(instances):
            if isinstance(instance, dict) and not is_base64(instance):
                raise InstanceError(
                    f"instance {index} is an object; expected a bare value like the ones before it", index=index
                )
        return self._batch([list(instances)])

    def _spread(self, row: Mapping[str, object], index: int) -> dict[str, object]:
        """A row with a value under each name of a vector, in place of a list under the vector's."""
        flat = dict(row)
        for key in self._vectors.keys() & row.keys():
            parts, values = self._vectors[key], flat.pop(key)
            found: list[object] = _flat(values) if isinstance(values, list) else []
            if len(found) != len(parts):
                raise InstanceError(
                    f"instance {index}: column {key!r} is {shorten(values)}; expected a list of {len(parts)} numbers, "
                    f"which are the columns {parts[0]} to {parts[-1]}",
                    index=index,
                    column=key,
                )
            flat.update(zip(parts, found, strict=True))
        return flat

    def _spread_columns(self, columns: Mapping[str, object]) -> dict[str, object]:
        flat = dict(columns)
        for key in self._vectors.keys() & columns.keys():
            rows = flat.pop(key)
            if isinstance(rows, np.ndarray):
                rows = rows.tolist()
            wide = [self._spread({key: row}, index) for index, row in enumerate(rows if isinstance(rows, list) else [])]
            flat.update({part: [row[part] for row in wide] for part in self._vectors[key]})
        return flat

    def _listed_rows(self, instances: Sequence[object]) -> ColumnBatch:
        width = len(self._names)
        for index, instance in enumerate(instances):
            if not isinstance(instance, list) or len(instance) != width:
                found = f"has {len(instance)} values" if isinstance(instance, list) else f"is {shorten(instance)}"
                raise InstanceError(
                    f"instance {index} {found}; expected a list of {width} values, for {self._known}", index=index
                )
        return self._batch([list(values) for values in zip(*instances, strict=True)])

    def _check_names(self, row: Mapping[str, object], what: str, *, index: int | None) -> None:
        """Refuses a row without a required column, or with one that nobody knows."""
        for name in self._names:
            if name in self._required and name not in row:
                raise InstanceError(
                    f"{what} has no column {name!r}, which is required; the model takes {self._known}",
                    index=index,
                    column=name,
                )
        for name in row:
            if name not in self._accepted:
                raise InstanceError(
                    f"{what} has column {shorten(name)}, which the model does not know; it takes {self._known}"
                    f"{did_you_mean(name, self._names)}",
                    index=index,
                    column=name,
                )

    def _batch(self, values: Sequence[Values]) -> ColumnBatch:
        return ColumnBatch(
            self.schema, {column.name: column(items) for column, items in zip(self._columns, values, strict=True)}
        )

    @property
    def _known(self) -> str:
        return ", ".join(self._names)


def vectors_of(signature: Signature) -> dict[str, tuple[str, ...]]:
    """Columns that are the values of one vector, KEY_0, KEY_1, … of a number each, by the vector's key."""
    numbers = {column.name for column in signature.inputs if column.type in (DataType.FLOAT, DataType.INTEGER)}
    found = {}
    for key in sorted(name[:-2] for name in numbers if name.endswith("_0") and f"{name[:-2]}_1" in numbers):
        parts: list[str] = []
        while (part := f"{key}_{len(parts)}") in numbers:
            parts.append(part)
        found[key] = tuple(parts)
    return found


def _flat(values: list[Any]) -> list[object]:
    """The values of nested lists, in order."""
    return [item for value in values for item in (_flat(value) if isinstance(value, list) else [value])]


class _ColumnDecoder:
    """The values of one column to its array; whole columns of plain values at once, anything else value by value."""

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self._column = column
        self._dtype = dtype_of(column.type)
        self._read = value_reader(column)
        self._is_verbatim = not column.null_marks and not column.trim
        self._has_plain_digits = (
            column.decimal == "." and not column.groups and all(map(_OTHER_THAN_DIGITS.search, column.null_marks))
        )

    def __call__(self, values: Values) -> Array:
        """Raises InstanceError naming the index of a value that does not fit."""
        array = self._of_array(values) if isinstance(values, np.ndarray) else self._of_list(values)
        if array is not None and self._column.type is DataType.FLOAT and np.isfinite(array).all():
            return array  # most columns: nothing else is to be looked at
        if array is not None and not self._fits(array):
            array = None
        if array is None:
            array = self._one_by_one(values.tolist() if isinstance(values, np.ndarray) else values)
        if not self._column.nullable:
            self._refuse_missing(array, values)
        return array

    def _of_list(self, values: list[Any]) -> Array | None:
        """The array of plain values; None where one needs a closer look."""
        kinds = set(map(type, values))
        match self._column.type:
            case DataType.FLOAT | DataType.INTEGER if kinds <= _NUMBER_KINDS:
                try:
                    return np.array(values, dtype=np.float64)
                except OverflowError:
                    return None
            case DataType.FLOAT | DataType.INTEGER if kinds == {str} and self._has_plain_digits:
                return _of_plain_digits(values)
            case DataType.STRING if kinds == {str} and self._is_verbatim and "".join(values).isascii():
                return np.array(values, dtype=object)
        return None

    def _of_array(self, values: Array) -> Array | None:
        """The array of typed values; None where they need a closer look."""
        kind = values.dtype.kind
        match self._column.type:
            case DataType.FLOAT | DataType.INTEGER if kind in "fiu":
                return values.astype(np.float64, copy=False)
            case DataType.BOOLEAN if kind == "b":
                return values.astype(np.float64)
            case DataType.TIMESTAMP if kind == "i":
                return values.astype(np.int64, copy=False)
        return None

    def _fits(self, array: Array) -> bool:
        """Whether numbers are finite or missing and, in an integer column, integers that are held exactly."""
        match self._column.type:
            case DataType.FLOAT:
                return not np.isinf(array).any()
            case DataType.INTEGER:
                known = array[~np.isnan(array)]
                return bool((np.abs(known) <= MAX_EXACT_INTEGER).all() and (known == np.floor(known)).all())
        return True

    def _one_by_one(self, values: list[Any]) -> Array:
        array = np.empty(len(values), dtype=self._dtype)
        for index, value in enumerate(values):
            try:
                array[index] = self._read(value)
            except ValueError as error:
                raise InstanceError(
                    f"instance {index}: column {self.name!r} is {shorten(value)}; {error}",
                    index=index,
                    column=self.name,
                ) from None
        return array

    def _refuse_missing(self, array: Array, values: Values) -> None:
        missing = np.flatnonzero(is_missing(array, self._column.type))
        if len(missing):
            index = int(missing[0])
            raise InstanceError(
                f"instance {index}: column {self.name!r} is missing ({shorten(values[index])}); it never was in "
                "training, so a value is required",
                index=index,
                column=self.name,
            )


def _of_plain_digits(values: list[str]) -> Array | None:
    """Numbers in texts of nothing but digits, signs, points and exponents; None where one needs a closer look."""
    if _OTHER_THAN_DIGITS.search("\n".join(values)):
        return None
    try:
        return np.fromiter(map(float, values), np.float64, len(values))
    except ValueError:
        return None
