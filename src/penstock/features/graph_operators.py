"""Feature columns' arithmetic written as nodes of an ONNX graph."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from penstock.data.schema import MISSING_STRING
from penstock.export.graph import GraphBuilder
from penstock.export.tensor import ElementType, Tensor
from penstock.features.lookup import Lookup, WordLookup
from penstock.features.operators import Operators, Values
from penstock.features.tokens import NUMBER_PATTERN, PAIR_LIMIT, Tokens

__all__ = ["GraphOperators"]


class GraphOperators:
    """Values are tensors of one graph."""

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

    def hash_pair(self, left: Values, right: Values) -> Values:
        together = left * 2**32 + right
        name = self.graph.contrib_node("MurmurHash3", [together.name], seed=0, positive=1)
        return Tensor(self.graph, self.graph.cast(name, int(TensorProto.INT64)), "int64")

    def count_tokens(self, values: Values, tokens: Tokens) -> Values:
        # Operators on texts answer no rows with shapes of their own: an empty row is put behind and taken off again.
        padded = values.apply("Concat", values.constant([[""]]), axis=0)
        flat = padded.apply("Reshape", values.constant([-1], "int64"))
        name = self.graph.contrib_node(
            "Tokenizer", [flat.name], mark=0, mincharnum=1, pad_value="", separators=[tokens.pattern]
        )
        cut = Tensor(self.graph, name, "string")
        weights = None
        if tokens.weight_separator is not None:
            cut, weights = self._weighted(cut, padded, tokens.weight_separator)
            weights = self._slice(weights, 0, -1, axis=0)
        cut = self._slice(cut, 0, -1, axis=0)
        present = (~(cut == "")).cast("float32")
        weights = present if weights is None else weights * present
        if tokens.lookup is not None:
            return self._count(values, tokens.width, [(self.look_up(cut, tokens.lookup), weights)])
        hashes = self.hash_text(cut)
        counted = [(hashes % tokens.width, weights)]
        if tokens.pairs:
            first, second = self._slice(hashes, 0, -1) % PAIR_LIMIT, self._slice(hashes, 1, _END)
            counted.append((self.hash_pair(first, second) % tokens.width, self._slice(present, 1, _END)))
        return self._count(values, tokens.width, counted)

    def _weighted(self, cut: Tensor, rows: Tensor, separator: str) -> tuple[Tensor, Tensor]:
        """Tokens without their weights, and the weights, float32 `[rows, tokens]`."""
        # With a weight of 1 behind each, and an empty token in each row, every split has two parts at least.
        none = self.where(rows == "", "", rows.constant([[""]]))
        together = cut.apply("Concat", none, axis=1)
        together = together.apply("StringConcat", together.constant(f"{separator}1"))
        name, _ = self.graph.nodes("StringSplit", [together.name], 2, delimiter=separator)
        parts = Tensor(self.graph, name, "string")
        names, texts = (parts.apply("Gather", parts.constant(i, "int64"), axis=2) for i in (0, 1))
        numeric = texts.apply("RegexFullMatch", dtype="bool", pattern=NUMBER_PATTERN)
        return names, self.where(numeric, texts, "0").cast("float64").cast("float32")

    def _count(self, values: Values, width: int, counted: list[tuple[Values, Values]]) -> Values:
        rows = values.apply("Shape", dtype="int64", start=0, end=1)
        shape = rows.apply("Concat", rows.constant([width]), axis=0)
        counts = rows.constant([[0.0]], "float32").apply("Expand", shape)
        for ids, present in counted:
            counts = counts.apply("ScatterElements", ids, present, axis=1, reduction="add")
        return counts

    def _slice(self, values: Values, start: int, stop: int, *, axis: int = 1) -> Values:
        return values.apply("Slice", *(values.constant([bound], "int64") for bound in (start, stop, axis)))

    def take(self, table: NDArray[np.float64], ids: Values) -> Values:
        rows = ids.constant(table, "float64").apply("Gather", ids, axis=0)
        return rows.apply("Squeeze", ids.constant([1]))

    def one_hot(self, ids: Values, size: int) -> Values:
        return (ids == ids.constant([list(range(size))])).cast("float32")

    def sum(self, values: Values) -> Values:
        return values.apply("ReduceSum", values.constant([1], "int64"), keepdims=1)

    def arcsin(self, values: Values) -> Values:
        return values.apply("Asin")


_END = 2**31 - 1

_NUMPY: dict[ElementType, Any] = {
    "float32": np.float32,
    "float64": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": object,
}


def _conforms(graph: GraphOperators) -> Operators:
    return graph
