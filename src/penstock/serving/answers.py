"""Outputs of a graph as JSON, row by row or column by column, for any slice of the rows that were run together.

Floats get the fewest digits that round-trip for their type, always with a fraction or an exponent; NaN and infinities
are bare tokens, as TensorFlow Serving writes them. Strings of an output named `*_bytes` become `{"b64": …}`.
"""

import base64
import json
from collections.abc import Mapping
from operator import add
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

__all__ = ["Answers"]

_NUMPY = orjson.OPT_SERIALIZE_NUMPY


class Answers:
    """The outputs of one call of a graph, by name, each with the rows as its first dimension."""

    def __init__(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        self.outputs = outputs
        self._texts: list[bytes] | None = None
        self._named_texts: list[bytes] | None = None
        self._single = next(iter(outputs.values())) if len(outputs) == 1 else None
        self._plain = all(_is_plain(array) for array in outputs.values())
        if self._single is not None and not (
            self._plain and _is_number(self._single) and self._single.flags.c_contiguous
        ):
            self._single = None

    def rows(self, start: int, stop: int, *, bare: bool) -> bytes:
        """A JSON list of one value a row. bare: leave out the name of an only output."""
        if stop - start == 1:  # most requests: the batch is written once, and each gets its part
            return b"[" + (self._bare_rows() if bare else self._named_rows())[start] + b"]"
        if bare and self._single is not None:
            return orjson.dumps(self._single[start:stop], option=_NUMPY)
        columns = self._columns(start, stop)
        if bare and len(columns) == 1:
            return self._dump(next(iter(columns.values())))
        names = tuple(columns)
        return self._dump([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])

    def lines(self) -> list[bytes]:
        """Every row as a JSON object of the outputs' values."""
        return self._named_rows()

    def columns(self, start: int, stop: int) -> bytes:
        """JSON of the column form: the bare values of an only output, else an object of values by output."""
        columns = self._columns(start, stop)
        return self._dump(next(iter(columns.values())) if len(columns) == 1 else columns)

    def flattened(self) -> "Answers":
        """The same, with one value a row in place of a list of one."""
        return Answers(
            {
                name: array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
                for name, array in self.outputs.items()
            }
        )

    def _bare_rows(self) -> list[bytes]:
        """The text of every row, without the name of an only output."""
        if self._texts is None:
            arrays = list(self.outputs.values())
            self._texts = self._row_texts(next(iter(self.outputs))) if len(arrays) == 1 else self._named_rows()
        return self._texts

    def _named_rows(self) -> list[bytes]:
        """The text of every row, an object of the outputs' values."""
        if self._named_texts is None:
            heads = [orjson.dumps(name) + b":" for name in self.outputs]
            columns = [self._row_texts(name) for name in self.outputs]
            self._named_texts = [b"{" + b",".join(map(add, heads, row)) + b"}" for row in zip(*columns, strict=True)]
        return self._named_texts

    def _row_texts(self, name: str) -> list[bytes]:
        """The text of every row of one output."""
        array = self.outputs[name]
        if array.ndim <= 2 and array.size and _is_number(array) and _is_plain(array):
            text = orjson.dumps(np.ascontiguousarray(array), option=_NUMPY)
            if array.ndim == 1:
                return text[1:-1].split(b",")
            return [b"[" + part + b"]" for part in text[2:-2].split(b"],[")]
        return [self._dump(value) for value in self._columns(0, len(array))[name]]

    def _columns(self, start: int, stop: int) -> dict[str, list[Any]]:
        """One value a row of each output, in a form that `_dump` writes."""
        columns = {}
        for name, array in self.outputs.items():
            part = array[start:stop]
            if not _is_number(part):
                columns[name] = [_strings(row, as_bytes=name.endswith("_bytes")) for row in part.tolist()]
            elif self._plain and part.dtype.kind in "iub":
                columns[name] = part.tolist()
            elif self._plain:
                columns[name] = list(np.ascontiguousarray(part))
            else:
                columns[name] = _shortest(part) if part.dtype in (np.float32, np.float16) else part.tolist()
        return columns

    def _dump(self, value: object) -> bytes:
        if self._plain:
            return orjson.dumps(value, option=_NUMPY)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _is_number(array: NDArray[Any]) -> bool:
    return array.dtype.kind not in "OUS"


def _is_plain(array: NDArray[Any]) -> bool:
    """Whether orjson writes this array as it should be: it has no token for NaN."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _shortest(array: NDArray[Any]) -> Any:
    """Nested lists of the doubles that print with the digits of these narrower floats."""
    flat = [float(str(value)) for value in array.ravel()]
    return np.array(flat, dtype=np.float64).reshape(array.shape).tolist()


def _strings(value: Any, *, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_strings(item, as_bytes=as_bytes) for item in value]
    return {"b64": base64.b64encode(str(value).encode()).decode()} if as_bytes else value
