"""The arithmetic that feature columns are written in: performed on arrays in training, written as nodes into a graph.

A column's formula is stated once, against `Operators`. `ArrayOperators` computes it; `GraphOperators` emits it. Both do
the same operations on the same element types in the same order, so they agree to the last bit wherever IEEE 754 defines
the operation.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from onnx import TensorProto, numpy_helper

from penstock.data.schema import MISSING_STRING
from penstock.export.graph import GraphBuilder
from penstock.export.tensor import ElementType, Tensor
from penstock.features.hashing import murmur3
from penstock.features.lookup import Lookup, WordLookup

__all__ = ["ARRAYS", "ArrayOperators", "GraphOperators", "Operators", "Values"]

Values = Any
"""An array `[rows, width]`, or a `Tensor` of a graph; both know `+ - * / // %`, comparisons, `& | ~`.

`//` and `%` are used of integers that are not negative only: there ONNX and NumPy agree.
"""


class Operators(Protocol):
    """What a formula may use besides Python's operators. All values are `[rows, width]`."""

    def constant(self, value: Any, dtype: ElementType) -> Values: ...

    def cast(self, values: Values, dtype: ElementType) -> Values: ...

    def is_nan(self, values: Values) -> Values: ...

    def where(self, condition: Values, then: Values, otherwise: Values) -> Values: ...

    def clip(self, values: Values, low: Values, high: Values) -> Values:
        """Values limited to `[low, high]`; values are not NaN."""

    def abs(self, values: Values) -> Values: ...

    def sign(self, values: Values) -> Values: ...

    def floor(self, values: Values) -> Values: ...

    def sqrt(self, values: Values) -> Values: ...

    def exp(self, values: Values) -> Values: ...

    def power(self, values: Values, exponents: Values) -> Values: ...

    def log(self, values: Values) -> Values: ...

    def sin(self, values: Values) -> Values: ...

    def cos(self, values: Values) -> Values: ...

    def tanh(self, values: Values) -> Values: ...

    def concat(self, parts: Sequence[Values]) -> Values:
        """The columns of all parts, side by side."""

    def pick(self, values: Values, columns: Sequence[int]) -> Values:
        """The columns at these positions."""

    def count_reached(self, values: Values, boundaries: Sequence[float]) -> Values:
        """How many of the ascending boundaries each value reaches (`boundary <= value`), int64 `[rows, 1]`."""

    def look_up(self, values: Values, lookup: Lookup) -> Values:
        """The id of each word or number, int64 `[rows, 1]`."""

    def is_missing_text(self, values: Values) -> Values: ...

    def text_of(self, values: Values) -> Values:
        """Decimal text of int64 values."""

    def hash_text(self, values: Values) -> Values:
        """MurmurHash3 of each text as int64 in `[0, 2**32)`."""


class ArrayOperators:
    """On NumPy arrays."""

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


class GraphOperators:
    """As nodes of a graph."""

    def __init__(self, graph: GraphBuilder) -> None:
        self.graph = graph

    def constant(self, value: Any, dtype: ElementType) -> Values:
        return Tensor(self.graph, self.graph.constant(value, _NUMPY[dtype]), dtype)

    def cast(self, values: Values, dtype: ElementType) -> Values:
        return values.cast(dtype)

    def is_nan(self, values: Values) -> Values:
        return values.apply("IsNaN", dtype="bool")

    def where(self, condition: Values, then: Values, otherwise: Values) -> Values:
        like = then if isinstance(then, Tensor) else otherwise
        return condition.apply("Where", like.constant(then), like.constant(otherwise), dtype=like.dtype)

    def clip(self, values: Values, low: Values, high: Values) -> Values:
        return values.apply("Max", values.constant(low)).apply("Min", values.constant(high))

    def abs(self, values: Values) -> Values:
        return values.apply("Abs")

    def sign(self, values: Values) -> Values:
        return values.apply("Sign")

    def floor(self, values: Values) -> Values:
        return values.apply("Floor")

    def sqrt(self, values: Values) -> Values:
        return values.apply("Sqrt")

    def exp(self, values: Values) -> Values:
        return values.apply("Exp")

    def power(self, values: Values, exponents: Values) -> Values:
        return values.apply("Pow", exponents)

    def log(self, values: Values) -> Values:
        return values.apply("Log")

    def sin(self, values: Values) -> Values:
        return values.apply("Sin")

    def cos(self, values: Values) -> Values:
        return values.apply("Cos")

    def tanh(self, values: Values) -> Values:
        return values.apply("Tanh")

    def concat(self, parts: Sequence[Values]) -> Values:
        return parts[0] if len(parts) == 1 else parts[0].apply("Concat", *parts[1:], axis=1)

    def pick(self, values: Values, columns: Sequence[int]) -> Values:
        return values.apply("Gather", values.constant(list(columns), "int64"), axis=1)

    def count_reached(self, values: Values, boundaries: Sequence[float]) -> Values:
        if not boundaries:
            return (values == values.constant(float("nan"))).cast("int64")
        reached = (values >= values.constant([list(boundaries)])).cast("int64")
        return reached.apply("ReduceSum", reached.constant([1]), keepdims=1)

    def look_up(self, values: Values, lookup: Lookup) -> Values:
        if isinstance(lookup, WordLookup):
            table: dict[str, Any] = {
                "keys_strings": [*lookup.words, MISSING_STRING],
                "values_int64s": [*range(len(lookup.words)), lookup.missing],
                "default_int64": lookup.unknown,
            }
        else:
            table = {
                "keys_tensor": numpy_helper.from_array(np.array([*lookup.numbers, np.nan], dtype=np.float64), "keys"),
                "values_tensor": numpy_helper.from_array(
                    np.array([*range(len(lookup.numbers)), lookup.missing], dtype=np.int64), "values"
                ),
                "default_tensor": numpy_helper.from_array(np.array([lookup.unknown], dtype=np.int64), "default"),
            }
        return Tensor(self.graph, self.graph.ml_node("LabelEncoder", [values.name], **table), "int64")

    def is_missing_text(self, values: Values) -> Values:
        return values == MISSING_STRING

    def text_of(self, values: Values) -> Values:
        return values.cast("string")

    def hash_text(self, values: Values) -> Values:
        name = self.graph.contrib_node("MurmurHash3", [values.name], seed=0, positive=1)
        return Tensor(self.graph, self.graph.cast(name, int(TensorProto.INT64)), "int64")


ARRAYS = ArrayOperators()

_NUMPY: dict[ElementType, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": object,
}


def _conforms(arrays: ArrayOperators, graph: GraphOperators) -> tuple[Operators, Operators]:
    return arrays, graph
