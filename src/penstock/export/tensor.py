"""A tensor of a graph under construction that knows Python's operators: a formula reads as arithmetic, not as nodes."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from onnx import TensorProto

from penstock.export.graph import GraphBuilder

__all__ = ["ElementType", "Tensor"]

ElementType = Literal["float32", "float64", "int64", "bool", "string"]

_ONNX: dict[ElementType, int] = {
    "float32": int(TensorProto.FLOAT),
    "float64": int(TensorProto.DOUBLE),
    "int64": int(TensorProto.INT64),
    "bool": int(TensorProto.BOOL),
    "string": int(TensorProto.STRING),
}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor, by its name in `graph`. An operation adds a node and returns its result.

    `//` and `%` follow Python for values that are not negative; ONNX truncates where Python floors.
    """

    graph: GraphBuilder
    name: str
    dtype: ElementType

    def apply(self, op: str, *others: "Tensor", dtype: ElementType | None = None, **attributes: Any) -> "Tensor":
        """The result of an operator on this tensor and others; `dtype` where the operator changes it."""
        name = self.graph.node(op, [self.name, *(other.name for other in others)], **attributes)
        return Tensor(self.graph, name, dtype or self.dtype)

    def cast(self, dtype: ElementType) -> "Tensor":
        return self if dtype == self.dtype else Tensor(self.graph, self.graph.cast(self.name, _ONNX[dtype]), dtype)

    def constant(self, value: Any, dtype: ElementType | None = None) -> "Tensor":
        """A constant of this graph, by default of this tensor's type; a tensor is returned as it is."""
        if isinstance(value, Tensor):
            return value
        dtype = dtype or self.dtype
        numpy_type = object if dtype == "string" else np.dtype(dtype)
        return Tensor(self.graph, self.graph.constant(value, numpy_type), dtype)

    def __add__(self, other: Any) -> "Tensor":
        return self.apply("Add", self.constant(other))

    def __radd__(self, other: Any) -> "Tensor":
        return self.constant(other).apply("Add", self)

    def __sub__(self, other: Any) -> "Tensor":
        return self.apply("Sub", self.constant(other))

    def __rsub__(self, other: Any) -> "Tensor":
        return self.constant(other).apply("Sub", self)

    def __mul__(self, other: Any) -> "Tensor":
        return self.apply("Mul", self.constant(other))

    def __rmul__(self, other: Any) -> "Tensor":
        return self.constant(other).apply("Mul", self)

    def __truediv__(self, other: Any) -> "Tensor":
        return self.apply("Div", self.constant(other))

    def __rtruediv__(self, other: Any) -> "Tensor":
        return self.constant(other).apply("Div", self)

    def __floordiv__(self, other: Any) -> "Tensor":
        return self.apply("Div", self.constant(other))

    def __mod__(self, other: Any) -> "Tensor":
        return self.apply("Mod", self.constant(other), fmod=0)

    def __neg__(self) -> "Tensor":
        return self.apply("Neg")

    def __eq__(self, other: object) -> Any:
        return self.apply("Equal", self.constant(other), dtype="bool")

    def __ne__(self, other: object) -> Any:
        return ~(self == other)

    def __lt__(self, other: Any) -> "Tensor":
        return self.apply("Less", self.constant(other), dtype="bool")

    def __le__(self, other: Any) -> "Tensor":
        return self.apply("LessOrEqual", self.constant(other), dtype="bool")

    def __gt__(self, other: Any) -> "Tensor":
        return self.apply("Greater", self.constant(other), dtype="bool")

    def __ge__(self, other: Any) -> "Tensor":
        return self.apply("GreaterOrEqual", self.constant(other), dtype="bool")

    def __and__(self, other: "Tensor") -> "Tensor":
        return self.apply("And", other)

    def __or__(self, other: "Tensor") -> "Tensor":
        return self.apply("Or", other)

    def __invert__(self) -> "Tensor":
        return self.apply("Not")

    __hash__ = None  # type: ignore[assignment]
