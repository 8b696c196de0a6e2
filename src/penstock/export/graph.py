"""Writes an ONNX graph node by node. Knows ONNX and nothing of columns or models."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from penstock.data.schema import DataType

__all__ = ["IR_VERSION", "ML_OPSET", "OPSET", "GraphBuilder", "element_type"]

# The newest that web and mobile runtimes load as well (onnxruntime-web 1.30 refuses opset 28 and IR 14).
OPSET = 21
ML_OPSET = 5
IR_VERSION = 10

_ML = "ai.onnx.ml"
_CONTRIB = "com.microsoft"


def element_type(data_type: DataType) -> int:
    """The ONNX element type of a graph input of this logical type."""
    match data_type:
        case DataType.STRING:
            return int(TensorProto.STRING)
        case DataType.TIMESTAMP:
            return int(TensorProto.INT64)
        case DataType.IMAGE:
            return int(TensorProto.UINT8)
        case _:
            return int(TensorProto.DOUBLE)


class GraphBuilder:
    """Collects nodes, constants, inputs and outputs; `build` returns the checked model.

    Tensors are referred to by name. Names of inputs and outputs are the caller's; inner names are made unique.
    """

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._names: dict[str, int] = {}
        self._domains: set[str] = set()

    def input(self, name: str, data_type: DataType, shape: Sequence[int | str | None] = (None, 1)) -> str:
        """Declares a graph input; a free size is None or a symbolic name."""
        dims = ["N" if size is None else size for size in shape]
        self._inputs.append(helper.make_tensor_value_info(name, element_type(data_type), dims))
        self._names[name] = 1
        return name

    def output(self, name: str, tensor: str, elem_type: int, shape: Sequence[int | str | None]) -> None:
        """Declares `tensor` as the graph output called `name`."""
        self._nodes.append(helper.make_node("Identity", [tensor], [name], name=f"output/{name}"))
        dims = ["N" if size is None else size for size in shape]
        self._outputs.append(helper.make_tensor_value_info(name, elem_type, dims))
        self._names[name] = 1

    def constant(
        self, value: NDArray[Any] | Sequence[Any] | float, dtype: Any = None, *, hint: str = "constant"
    ) -> str:
        """An initializer; equal small constants are shared."""
        array = np.asarray(value, dtype=dtype)
        if array.dtype.kind == "U":
            array = array.astype(object)
        key = None
        if array.dtype != object and array.size <= 16:
            key = (array.dtype.str, array.shape, array.tobytes())
            if key in self._constants:
                return self._constants[key]
        name = self.unique(hint)
        self._initializers.append(numpy_helper.from_array(array, name))
        if key is not None:
            self._constants[key] = name
        return name

    def node(
        self, op: str, inputs: Iterable[str], *, hint: str | None = None, domain: str = "", **attributes: Any
    ) -> str:
        """Adds a node with one output and returns that output's name."""
        return self.nodes(op, inputs, 1, hint=hint, domain=domain, **attributes)[0]

    def nodes(
        self,
        op: str,
        inputs: Iterable[str],
        outputs: int,
        *,
        hint: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Adds a node with several outputs."""
        name = self.unique(hint or op)
        results = [name] if outputs == 1 else [self.unique(f"{name}_{i}") for i in range(outputs)]
        self._nodes.append(helper.make_node(op, list(inputs), results, name=name, domain=domain, **attributes))
        self._domains.add(domain)
        return results

    def ml_node(self, op: str, inputs: Iterable[str], *, hint: str | None = None, **attributes: Any) -> str:
        """A node of the `ai.onnx.ml` operator set."""
        return self.node(op, inputs, hint=hint, domain=_ML, **attributes)

    def contrib_node(self, op: str, inputs: Iterable[str], *, hint: str | None = None, **attributes: Any) -> str:
        """A node of the `com.microsoft` operator set, which every build of ONNX Runtime carries."""
        return self.node(op, inputs, hint=hint, domain=_CONTRIB, **attributes)

    def cast(self, tensor: str, to: int) -> str:
        return self.node("Cast", [tensor], to=to)

    def splice(self, nodes: Iterable[Any], initializers: Iterable[Any], domains: Iterable[str] = ()) -> None:
        """Takes over nodes written elsewhere; their names must already be unique (prefix them)."""
        self._nodes.extend(nodes)
        self._initializers.extend(initializers)
        self._domains.update(domains)

    def unique(self, hint: str) -> str:
        """A name for an inner tensor. It holds a `/` in front, which keeps it apart from inputs and outputs to come."""
        name = hint if hint.startswith("/") else f"/{hint}"
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if count == 0 else self.unique(f"{name}_{count}")

    @property
    def operator_domains(self) -> dict[str, int]:
        """Operator sets used, with their versions; the default set is `ai.onnx`."""
        versions = {"": OPSET, _ML: ML_OPSET, _CONTRIB: 1}
        return {domain or "ai.onnx": versions[domain] for domain in sorted(self._domains | {""})}

    def build(self, name: str = "penstock") -> onnx.ModelProto:
        """The finished model, passed through ONNX's checker."""
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._initializers)
        opsets = [
            helper.make_opsetid("" if domain == "ai.onnx" else domain, version)
            for domain, version in self.operator_domains.items()
        ]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="penstock")
        onnx.checker.check_model(model)
        return model
