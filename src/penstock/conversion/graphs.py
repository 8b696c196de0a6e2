"""Foreign ONNX graphs made fit for a bundle: one file, rows as a free first dimension, plain tensors out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from penstock.conversion.converted import plausible
from penstock.data.schema import Column, DataType
from penstock.errors import BundleError, NotFoundError, UsageError

__all__ = [
    "columns_of",
    "load_graph",
    "outputs_of",
    "rename",
    "run",
    "split_input",
    "with_free_batch",
    "with_opset",
    "without_zipmap",
    "zipped_classes",
]

_TYPES: dict[int, DataType] = {
    int(TensorProto.FLOAT): DataType.FLOAT,
    int(TensorProto.DOUBLE): DataType.FLOAT,
    int(TensorProto.FLOAT16): DataType.FLOAT,
    int(TensorProto.INT64): DataType.INTEGER,
    int(TensorProto.INT32): DataType.INTEGER,
    int(TensorProto.INT8): DataType.INTEGER,
    int(TensorProto.UINT8): DataType.INTEGER,
    int(TensorProto.BOOL): DataType.BOOLEAN,
    int(TensorProto.STRING): DataType.STRING,
}
_FREE = "N"
_OPSET = 15


def load_graph(path: Path) -> onnx.ModelProto:
    """The model in a file, weights in files beside it included, with a free batch. Raises BundleError."""
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}")
    try:
        graph = onnx.load(path)
        onnx.checker.check_model(graph)
    except Exception as error:
        raise BundleError(f"{path} is not an ONNX model: {_on_one_line(error)}") from error
    return with_free_batch(without_zipmap(graph)[0], name=path.name)


def zipped_classes(path: Path) -> tuple[str, ...]:
    """The class names that a file's ZipMap has; none where it has no ZipMap."""
    return without_zipmap(onnx.load(path, load_external_data=False))[1]


def with_free_batch(graph: onnx.ModelProto, *, name: str) -> onnx.ModelProto:
    """The model for any number of rows. A batch fixed at 1 is freed, and two rows compared with one and one.

    Raises BundleError for an input without a shape, and for a graph that works on one row alone.
    """
    fixed = []
    for value in _inputs(graph):
        shape = value.type.tensor_type
        if not value.type.HasField("tensor_type") or not shape.HasField("shape") or not shape.shape.dim:
            raise BundleError(
                f"input {value.name!r} of {name} has no rows (it is no tensor, or has no shape); expected tensors with "
                "the rows as their first dimension"
            )
        first = shape.shape.dim[0]
        if first.HasField("dim_value") and first.dim_value > 0:
            fixed.append((value.name, first.dim_value))
    if not fixed:
        return graph
    if any(size != 1 for _, size in fixed):
        raise BundleError(f"input {fixed[0][0]!r} of {name} takes {fixed[0][1]} rows at a time; expected a free batch")
    freed = onnx.ModelProto()
    freed.CopyFrom(graph)
    for value in [*_inputs(freed), *freed.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == 1:
            dims[0].dim_param = _FREE
    del freed.graph.value_info[:]
    _free_reshapes(freed)
    _check_rows(graph, freed, name)
    return freed


def _free_reshapes(graph: onnx.ModelProto) -> None:
    """The leading 1 of every constant that a Reshape goes by becomes -1 (or 0, "as it was", beside another -1)."""
    constants = {item.name: item for item in graph.graph.initializer}
    nodes = {node.output[0]: node for node in graph.graph.node if node.op_type == "Constant"}
    for node in graph.graph.node:
        if node.op_type != "Reshape" or len(node.input) < 2:
            continue
        found = constants.get(node.input[1])
        if found is None and node.input[1] in nodes:
            found = next((a.t for a in nodes[node.input[1]].attribute if a.name == "value"), None)
        if found is None:
            continue
        sizes = numpy_helper.to_array(found).copy()
        if sizes.ndim == 1 and len(sizes) and sizes[0] == 1:
            sizes[0] = 0 if -1 in sizes else -1
            name = found.name
            found.CopyFrom(numpy_helper.from_array(sizes, name))


def _check_rows(fixed: onnx.ModelProto, freed: onnx.ModelProto, name: str) -> None:
    outputs = [output.name for output in fixed.graph.output]
    feed = {value.name: _plausible_input(value, rows=2) for value in _inputs(freed)}
    try:
        both = run(freed, outputs, feed)
        apart = [run(fixed, outputs, {key: array[i : i + 1] for key, array in feed.items()}) for i in range(2)]
        same = all(
            whole.shape[:1] == (2,) and _near(whole, np.concatenate([first, second]))
            for whole, first, second in zip(both, *apart, strict=True)
        )
    except Exception as error:
        raise BundleError(f"{name} works on one row at a time: {_on_one_line(error)}; {_EXPORT_AGAIN}") from error
    if not same:
        raise BundleError(f"{name} works on one row at a time, and answers two rows otherwise; {_EXPORT_AGAIN}")


_EXPORT_AGAIN = "export it again with a free batch dimension (dynamic_axes in PyTorch)"


def _near(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    if found.dtype.kind == "f":
        return bool(np.allclose(found, expected, rtol=1e-3, atol=1e-4 * max(1.0, float(np.abs(expected).max()))))
    if found.dtype == np.uint8:  # quantized: one step apart is rounding
        return bool(np.abs(found.astype(int) - expected.astype(int)).max(initial=0) <= 1)
    return bool((found == expected).all())


def run(graph: onnx.ModelProto, outputs: Sequence[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """The named outputs of a graph in memory."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [np.asarray(array) for array in session.run(list(outputs), feed)]


def without_zipmap(graph: onnx.ModelProto) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model with plain tensors in place of sequences of maps, and the class names that these had."""
    zipped = {node.output[0]: node for node in graph.graph.node if node.op_type == "ZipMap"}
    if not zipped:
        return graph, ()
    plain = onnx.ModelProto()
    plain.CopyFrom(graph)
    classes: tuple[str, ...] = ()
    for place, output in enumerate(plain.graph.output):
        node = zipped.get(output.name)
        if node is None:
            continue
        labels = [helper.get_attribute_value(attribute) for attribute in node.attribute]
        classes = tuple(item.decode() if isinstance(item, bytes) else str(item) for item in labels[0])
        tensor = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, [_FREE, len(classes)])
        plain.graph.output[place].CopyFrom(tensor)
        mine = next(item for item in plain.graph.node if item.output[0] == output.name)
        mine.CopyFrom(helper.make_node("Identity", [node.input[0]], [output.name], name=f"plain/{output.name}"))
    return plain, classes


def with_opset(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each operator set named once, the default one too; some converters leave it out."""
    versions: dict[str, int] = {}
    for opset in graph.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        versions[domain] = max(opset.version, versions.get(domain, 0))
    versions.setdefault("", _OPSET)
    named = onnx.ModelProto()
    named.CopyFrom(graph)
    del named.opset_import[:]
    named.opset_import.extend([helper.make_opsetid(domain, version) for domain, version in versions.items()])
    return named


def columns_of(graph: onnx.ModelProto, *, nullable: bool) -> tuple[Column, ...]:
    """A column an input; one whose values are no single numbers or texts has a shape."""
    columns = []
    for value in _inputs(graph):
        tensor = value.type.tensor_type
        if tensor.elem_type not in _TYPES:
            known = ", ".join(TensorProto.DataType.Name(kind) for kind in _TYPES)
            raise BundleError(
                f"input {value.name!r} is of {TensorProto.DataType.Name(tensor.elem_type)}; expected one of {known}"
            )
        sizes = tuple(_size(dim) for dim in tensor.shape.dim[1:])
        shape = () if sizes in ((), (1,)) else sizes
        kind = _TYPES[tensor.elem_type]
        may_miss = nullable and kind is DataType.FLOAT and not shape
        columns.append(Column(name=value.name, type=kind, shape=shape, nullable=may_miss))
    return tuple(columns)


def outputs_of(graph: onnx.ModelProto) -> list[tuple[str, int, tuple[int | None, ...]]]:
    """Name, element type and shape of each output, the batch first."""
    return [
        (
            output.name,
            output.type.tensor_type.elem_type,
            (None, *(_size(dim) for dim in output.type.tensor_type.shape.dim[1:])),
        )
        for output in graph.graph.output
    ]


def split_input(graph: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """The model with a `[N, 1]` input a name in place of its one packed `[N, k]` input, numbers as float64.

    Raises UsageError where the names do not fit the input.
    """
    packed = _inputs(graph)
    sizes = [_size(dim) for value in packed for dim in value.type.tensor_type.shape.dim[1:]]
    if len(packed) != 1 or len(sizes) != 1 or sizes[0] not in (len(names), None):
        told = ", ".join(
            f"{value.name} of {[_size(dim) for dim in value.type.tensor_type.shape.dim]}" for value in packed
        )
        raise UsageError(f"{len(names)} columns are named; the model takes {told}")
    outputs = {output.name for output in graph.graph.output}
    for name in names:
        if names.count(name) > 1 or name in outputs:
            why = "named twice" if names.count(name) > 1 else "the name of an output of the model"
            raise UsageError(f"column {name!r} is {why}; expected a name of its own for each of {len(names)} values")
    kind = packed[0].type.tensor_type.elem_type
    entry = TensorProto.STRING if kind == TensorProto.STRING else TensorProto.DOUBLE
    split = onnx.ModelProto()
    split.CopyFrom(graph)
    # Names of inner tensors may be those of columns.
    taken = {name for node in graph.graph.node for name in (*node.input, *node.output)} - {packed[0].name}
    if clash := taken & set(names):
        raise UsageError(f"column {min(clash)!r} has the name of a tensor inside the model; choose another name")
    joined = helper.make_node("Concat", list(names), ["penstock/joined"], name="penstock/join", axis=1)
    into = "penstock/packed"
    cast = helper.make_node("Cast", ["penstock/joined"], [into], name="penstock/cast", to=kind)
    if entry == kind:
        cast = helper.make_node("Identity", ["penstock/joined"], [into], name="penstock/cast")
    for node in split.graph.node:
        for place, given in enumerate(node.input):
            if given == packed[0].name:
                node.input[place] = into
    split.graph.node.insert(0, cast)
    split.graph.node.insert(0, joined)
    for place, value in enumerate(split.graph.input):
        if value.name == packed[0].name:
            del split.graph.input[place]
            break
    split.graph.input.extend([helper.make_tensor_value_info(name, entry, [_FREE, 1]) for name in names])
    return split


def rename(graph: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """The model with some of its inputs and outputs called otherwise."""
    renamed = onnx.ModelProto()
    renamed.CopyFrom(graph)
    inner = {name for node in graph.graph.node for name in (*node.input, *node.output)} - set(names)
    free = {old: new for old, new in names.items() if old != new and new not in inner}
    for value in [*renamed.graph.input, *renamed.graph.output, *renamed.graph.value_info]:
        value.name = free.get(value.name, value.name)
    for node in renamed.graph.node:
        for names_of in (node.input, node.output):
            for place, name in enumerate(names_of):
                names_of[place] = free.get(name, name)
    return renamed


def _plausible_input(value: Any, *, rows: int) -> NDArray[Any]:
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    sizes = [_size(dim) for dim in value.type.tensor_type.shape.dim[1:]]
    return plausible((rows, *(16 if size is None else size for size in sizes)), np.dtype(dtype), seed=0)


def _inputs(graph: onnx.ModelProto) -> list[Any]:
    weights = {item.name for item in graph.graph.initializer}
    return [value for value in graph.graph.input if value.name not in weights]


def _size(dim: Any) -> int | None:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value > 0 else None


def _on_one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:400]}…"
