"""Feature columns' arithmetic performed on NumPy arrays."""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import MISSING_STRING
from penstock.export.tensor import ElementType
from penstock.features.hashing import hash_pairs, murmur3, nfc
from penstock.features.lookup import Lookup
from penstock.features.operators import Operators, Values
from penstock.features.tokens import NUMBER_PATTERN, PAIR_LIMIT, Tokens

__all__ = ["ARRAYS", "ArrayOperators"]


class ArrayOperators:
    """Values are arrays `[rows, width]`."""

    def constant(self, value: Any, dtype: ElementType) -> Values:
        return np.asarray(value, dtype=_NUMPY[dtype])

    def cast(self, values: Values, dtype: ElementType) -> Values:
        return values.astype(_NUMPY[dtype], copy=False)

    def is_nan(self, values: Values) -> Values:
        return np.isnan(values)

    def where(self, condition: Values, then: Values, otherwise: Values) -> Values:
        return np.where(condition, then, otherwise)

    def clip(self, values: Values, low: Values, high: Values) -> Values:
        return np.minimum(np.maximum(values, low), high)

    def abs(self, values: Values) -> Values:
        return np.abs(values)

    def sign(self, values: Values) -> Values:
        return np.sign(values)

    def floor(self, values: Values) -> Values:
        return np.floor(values)

    def sqrt(self, values: Values) -> Values:
        return np.sqrt(values)

    def exp(self, values: Values) -> Values:
        return np.exp(values)

    def power(self, values: Values, exponents: Values) -> Values:
        return np.power(values, exponents)

    def log(self, values: Values) -> Values:
        return np.log(values)

    def sin(self, values: Values) -> Values:
        return np.sin(values)

    def cos(self, values: Values) -> Values:
        return np.cos(values)

    def tanh(self, values: Values) -> Values:
        return np.tanh(values)

    def concat(self, parts: Sequence[Values]) -> Values:
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def pick(self, values: Values, columns: Sequence[int]) -> Values:
        return values[:, list(columns)]

    def count_reached(self, values: Values, boundaries: Sequence[float]) -> Values:
        # searchsorted puts NaN behind every boundary, a graph's comparisons before: callers treat NaN themselves.
        ids = np.searchsorted(np.asarray(boundaries, dtype=np.float64), values, side="right")
        return np.where(np.isnan(values), 0, ids).astype(np.int64, copy=False)

    def look_up(self, values: Values, lookup: Lookup) -> Values:
        return lookup.ids(values[:, 0]).reshape(-1, 1)

    def is_missing_text(self, values: Values) -> Values:
        return np.asarray(values == MISSING_STRING, dtype=bool)

    def text_of(self, values: Values) -> Values:
        return values.astype("U20").astype(object)

    def hash_text(self, values: Values) -> Values:
        return murmur3(values[:, 0]).astype(np.int64).reshape(-1, 1)

    def hash_pair(self, left: Values, right: Values) -> Values:
        return hash_pairs(left, right).astype(np.int64)

    def count_tokens(self, values: Values, tokens: Tokens) -> Values:
        rows = [tokens.split(nfc(text)) for text in values[:, 0].tolist()]
        lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        flat = list(chain.from_iterable(rows))
        row = np.repeat(np.arange(len(rows)), lengths)
        weights = np.ones(len(flat), dtype=np.float32)
        if tokens.weight_separator is not None:
            parts = [f"{token}{tokens.weight_separator}1".split(tokens.weight_separator) for token in flat]
            flat = [part[0] for part in parts]
            weights = np.asarray([_weight(part[1]) if part[0] else 0.0 for part in parts], dtype=np.float32)
        ids, hashes = self._token_ids(flat, tokens)
        counts = np.zeros(len(rows) * tokens.width, dtype=np.float32)
        np.add.at(counts, row * tokens.width + ids, weights)
        if tokens.pairs and len(flat):
            adjacent = row[:-1] == row[1:]
            pairs = hash_pairs(hashes[:-1] % PAIR_LIMIT, hashes[1:]).astype(np.int64) % tokens.width
            np.add.at(counts, (row[:-1] * tokens.width + pairs)[adjacent], np.float32(1.0))
        return counts.reshape(len(rows), tokens.width)

    def _token_ids(self, flat: list[str], tokens: Tokens) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        words = np.empty(len(flat), dtype=object)
        words[:] = flat
        if tokens.lookup is not None:
            return tokens.lookup.ids(words), np.empty(0, dtype=np.int64)
        hashes = murmur3(words).astype(np.int64)
        return hashes % tokens.width, hashes

    def take(self, table: NDArray[np.float64], ids: Values) -> Values:
        return table[ids[:, 0]]

    def one_hot(self, ids: Values, size: int) -> Values:
        return (ids == np.arange(size)).astype(np.float32)

    def sum(self, values: Values) -> Values:
        return values.sum(axis=1, keepdims=True, dtype=values.dtype)

    def arcsin(self, values: Values) -> Values:
        # By way of float64: with AVX-512, NumPy's float32 arc sine is four roundings off, ONNX Runtime's one.
        return np.arcsin(values.astype(np.float64)).astype(values.dtype)


ARRAYS = ArrayOperators()

_NUMPY: dict[ElementType, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": object,
}


def _weight(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else 0.0


_NUMBER = re.compile(NUMBER_PATTERN)


def _conforms(arrays: ArrayOperators) -> Operators:
    return arrays
