"""Values of a column that holds tensors or photos, as callers send them, to one array `[rows, *shape]`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import dtype_of
from penstock.data.schema import Column, DataType
from penstock.errors import InstanceError
from penstock.runtime.images import decode_photo, photo_bytes
from penstock.runtime.values import MAX_EXACT_INTEGER, shorten, value_reader

__all__ = ["TensorDecoder"]

Array = NDArray[Any]


class TensorDecoder:
    """Decodes one column. Tensors come as nested lists or as an array; photos also as base64 of a file."""

    def __init__(self, column: Column) -> None:
        self.name = column.name
        self._column = column
        self._shape = column.shape
        self._dtype = dtype_of(column.type)
        self._read_text = value_reader(Column(name=column.name, type=DataType.STRING))

    def __call__(self, values: Sequence[Any] | Array) -> Array:
        """Raises InstanceError naming the index of a value that does not fit."""
        if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
            if not self._fits(values.shape[1:]):
                raise self._refusal(0, f"has the shape {list(values.shape[1:])}; expected {self._told}")
            return self._checked(values)
        decoded = [self._value(index, value) for index, value in enumerate(values)]
        shapes = {array.shape for array in decoded}
        if len(shapes) > 1:
            told = " and ".join(str(list(shape)) for shape in sorted(shapes))
            raise InstanceError(f"column {self.name!r} has values of the shapes {told}; expected one", column=self.name)
        return np.stack(decoded)

    def _value(self, index: int, value: Any) -> Array:
        if self._column.type is DataType.IMAGE and not isinstance(value, list):
            try:
                return decode_photo(photo_bytes(value), self._column)
            except ValueError as error:
                raise self._refusal(index, f"holds no photo: {error}") from None
        array = self._texts(index, value) if self._column.type is DataType.STRING else self._numbers(index, value)
        if not self._fits(array.shape):
            raise self._refusal(index, f"has the shape {list(array.shape)}; expected {self._told}")
        return array if self._column.type is DataType.STRING else self._checked(array[None], index)[0]

    def _numbers(self, index: int, value: Any) -> Array:
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "fiub":
                raise ValueError
        except ValueError:
            raise self._refusal(index, f"is {shorten(value)}; expected numbers in nested lists, {self._told}") from None
        return array

    def _texts(self, index: int, value: Any) -> Array:
        array = np.array(value, dtype=object)
        try:
            flat = [self._read_text(item) for item in array.ravel().tolist()]
        except ValueError as error:
            raise self._refusal(index, f"is {shorten(value)}; {error}") from None
        result = np.empty(array.size, dtype=object)
        result[:] = flat
        return result.reshape(array.shape)

    def _checked(self, array: Array, index: int = 0) -> Array:
        """Numbers in the array's type, `[rows, …]`. index: of the first row, for messages."""
        match self._column.type:
            case DataType.FLOAT:
                wrong, told = np.isinf(array), "expected finite numbers"
            case DataType.IMAGE:
                wrong, told = (array < 0) | (array > 255) | (array != np.floor(array)), "expected pixels from 0 to 255"
            case DataType.BOOLEAN:
                wrong, told = (array != 0) & (array != 1), "expected true or false"
            case _:
                wrong = ~(np.abs(array) <= MAX_EXACT_INTEGER) | (array != np.floor(array))
                told = "expected integers below 2^53"
        if wrong.any():
            row, *place = np.argwhere(wrong)[0].tolist()
            raise self._refusal(index + row, f"holds {array[(row, *place)].item()} at {place}; {told}")
        return array.astype(self._dtype, copy=False)

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self._shape) and all(
            wanted in (None, size) for wanted, size in zip(self._shape, shape, strict=True)
        )

    @property
    def _told(self) -> str:
        sizes = ", ".join("any" if size is None else str(size) for size in self._shape)
        return f"the shape [{sizes}]"

    def _refusal(self, index: int, what: str) -> InstanceError:
        return InstanceError(f"instance {index}: column {self.name!r} {what}", index=index, column=self.name)
