"""Functions into JSON texts, and the hash that makes splits and samples stable."""

import hashlib

import numpy as np

from penstock.data.columns import Array, is_missing
from penstock.data.expressions.casts import to_string
from penstock.data.expressions.json_values import json_path, value_at
from penstock.data.expressions.signature import Function, always, text, value
from penstock.data.expressions.text import map_texts
from penstock.data.schema import DataType

__all__ = ["NESTED", "UNIT_SEPARATOR", "hash_fraction"]

UNIT_SEPARATOR = "\x1f"


def hash_fraction(texts: str) -> float:
    """A number from 0 to below 1 that looks drawn at random but is always the same for the same text.

    The upper 53 bits of the last 8 bytes of its MD5, which has no security to give here, only an even spread.
    """
    digest = hashlib.md5(texts.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return float((int.from_bytes(digest[8:], "little") >> 11) / 2**53)


def _json_text(array: Array, path: str) -> Array:
    steps = json_path(path)
    return map_texts(lambda document: value_at(document, steps), array)


def _hash_fraction(*arrays: Array, types: tuple[DataType, ...]) -> Array:
    columns = [
        np.where(is_missing(array, data_type), "", to_string(array, types=(data_type,))).tolist()
        for array, data_type in zip(np.broadcast_arrays(*arrays), types, strict=True)
    ]
    return np.array([hash_fraction(UNIT_SEPARATOR.join(row)) for row in zip(*columns, strict=True)], dtype=np.float64)


NESTED = (
    Function(
        name="json_text",
        parameters=(text(), text("path", is_literal=True)),
        result=always(DataType.STRING),
        evaluate=_json_text,
        makes_missing=True,
        summary="the value at a path in a JSON text, as text; missing where there is none",
        example="""json_text('{"tags": ["a", "b"]}', 'tags[1]')""",
        answer="'b'",
    ),
    Function(
        name="hash_fraction",
        parameters=(value("x"),),
        repeats=1,
        result=always(DataType.FLOAT),
        evaluate=_hash_fraction,
        is_overloaded=True,
        handles_missing=True,
        never_missing=True,
        summary="a number from 0 to below 1 that looks random, always the same for the same values",
        example="hash_fraction('a', 1) < 1",
        answer="true",
    ),
)
