"""Tensors of the Open Inference Protocol: their datatypes, JSON and binary forms, and NumPy arrays.

Binary form: little-endian, row-major, no padding; an element of BYTES is its length as u32, then its bytes.
"""

import struct
from collections.abc import Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import Column, DataType
from penstock.errors import InstanceError
from penstock.runtime.values import shorten
from penstock.serving.answers import Answers

__all__ = [
    "binary_form",
    "datatype_of",
    "input_datatype",
    "json_form",
    "read_binary",
    "read_json_data",
    "sizes_of_shape",
    "text_or_bytes",
    "wire_shape",
]

_NUMPY: dict[str, str] = {
    "BOOL": "?",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_DATATYPES = {np.dtype(code): name for name, code in _NUMPY.items()}
_INPUT_DATATYPES = {
    DataType.INTEGER: "INT64",
    DataType.FLOAT: "FP64",
    DataType.BOOLEAN: "BOOL",
    DataType.STRING: "BYTES",
    DataType.TIMESTAMP: "BYTES",
    DataType.IMAGE: "UINT8",
}
_MOST_SIZES = 32
_MOST_VALUES = 2**40
_LENGTH = struct.Struct("<I")


def input_datatype(data_type: DataType) -> str:
    """The datatype that metadata names for a column; others are taken as well, where nothing is lost."""
    return _INPUT_DATATYPES[data_type]


def datatype_of(dtype: str) -> str:
    """The datatype of an output whose NumPy type has this name; strings are "str"."""
    return "BYTES" if dtype == "str" else _DATATYPES[np.dtype(dtype)]


def wire_shape(column: Column) -> list[int]:
    """The shape that metadata names for a column, the rows first."""
    return [-1, *(-1 if size is None else size for size in column.shape or (1,))]


def sizes_of_shape(name: str, shape: object) -> tuple[int, ...]:
    """The sizes of an input: `(rows,)` also for `[rows, 1]`, and a tensor's after its rows. Raises InstanceError."""
    if isinstance(shape, list) and shape and all(type(size) is int and size >= 0 for size in shape):
        sizes = tuple(map(int, shape))
        # NumPy has a bound on both, and holds [0, 2**62] against it too.
        if len(sizes) > _MOST_SIZES or prod(max(size, 1) for size in sizes) > _MOST_VALUES:
            raise InstanceError(f"input {name!r} has the shape {shorten(shape)}, which no tensor can have", column=name)
        return sizes[:1] if sizes[1:] == (1,) else sizes
    raise InstanceError(f"input {name!r} has the shape {shorten(shape)}; expected [rows] or [rows, 1]", column=name)


def read_json_data(name: str, datatype: str, sizes: tuple[int, ...], data: object) -> list[Any] | NDArray[Any]:
    """The values of `data`, nested or flat. Raises InstanceError when there are more or fewer than the shape says."""
    if datatype not in _NUMPY and datatype != "BYTES":
        raise _unknown_datatype(name, datatype)
    if not isinstance(data, list):
        raise InstanceError(f"the data of input {name!r} is {shorten(data)}; expected a list", column=name)
    values = data
    for _ in range(max(1, len(sizes) - 1)):
        if values and all(isinstance(item, list) for item in values):
            values = list(chain.from_iterable(values))
    rows = prod(sizes)
    if len(values) != rows:
        raise InstanceError(f"input {name!r} has {len(values)} values; its shape says {rows}", column=name)
    if len(sizes) == 1:
        return values
    array = np.empty(rows, dtype=object)
    array[:] = values
    try:
        return array.reshape(sizes) if datatype == "BYTES" else array.astype(_NUMPY[datatype]).reshape(sizes)
    except (TypeError, ValueError, OverflowError):
        raise InstanceError(f"input {name!r} does not hold numbers of {datatype}", column=name) from None


def read_binary(name: str, datatype: str, sizes: tuple[int, ...], data: memoryview) -> NDArray[Any]:
    """The array in binary form, of this shape. Raises InstanceError when size, shape and datatype disagree.

    BYTES that are no UTF-8 text stay bytes: they may be a photo, and are refused where text is expected.
    """
    rows = prod(sizes)
    if datatype == "BYTES":
        return _read_strings(name, rows, data).reshape(sizes)
    if datatype not in _NUMPY:
        raise _unknown_datatype(name, datatype)
    dtype = np.dtype(_NUMPY[datatype])
    if len(data) != rows * dtype.itemsize:
        raise InstanceError(
            f"input {name!r} has {len(data)} bytes; {rows} values of {datatype} are {rows * dtype.itemsize}",
            column=name,
        )
    return np.frombuffer(data, dtype=dtype).reshape(sizes)


def binary_form(array: NDArray[Any]) -> bytes:
    """An array in binary form."""
    if array.dtype.kind not in "OU":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [str(value).encode() for value in array.ravel().tolist()]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(value)), value) for value in encoded))


def json_form(array: NDArray[Any]) -> bytes:
    """An array as a flat JSON list; NaN and infinities are bare tokens."""
    flat = array.reshape(prod(array.shape))
    return Answers({"data": flat}).columns(0, len(flat))


def _read_strings(name: str, rows: int, data: memoryview) -> NDArray[Any]:
    if rows * _LENGTH.size > len(data):  # before room is made for them
        raise InstanceError(f"input {name!r} has {len(data)} bytes, too few for {rows} values of BYTES", column=name)
    values = np.empty(rows, dtype=object)
    position = 0
    try:
        for index in range(rows):
            (length,) = _LENGTH.unpack_from(data, position)
            position += _LENGTH.size
            value = data[position : position + length]
            if len(value) != length:
                raise struct.error("the last one is cut off")
            values[index] = text_or_bytes(value)
            position += length
    except struct.error as error:
        raise InstanceError(f"input {name!r} does not hold {rows} values of BYTES: {error}", column=name) from None
    if position != len(data):
        raise InstanceError(f"input {name!r} has {len(data) - position} bytes beyond its {rows} values", column=name)
    return values


def text_or_bytes(value: bytes | memoryview) -> str | bytes:
    """Text where it is UTF-8; bytes else, which may be a photo."""
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError:
        return bytes(value)


def _unknown_datatype(name: str, datatype: str) -> InstanceError:
    known: Sequence[str] = ("BYTES", *_NUMPY)
    return InstanceError(
        f"input {name!r} has the datatype {shorten(datatype)}; expected one of {', '.join(known)}", column=name
    )
