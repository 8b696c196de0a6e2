"""A pre-trained ONNX image classifier cut before its head: from uint8 pixels `[N, height, width, 3]` to embeddings."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from penstock.data.schema import Column, DataType
from penstock.errors import ConfigError, NotFoundError
from penstock.estimators.packs import pack_place
from penstock.export.graph import OPSET, GraphBuilder
from penstock.runtime.model import GRAPH_NAME
from penstock.settings import Settings, load_settings
from penstock.store import blobs

__all__ = ["INPUT_NAME", "Backbone", "Scaling", "backbone_place", "load_backbone"]

INPUT_NAME = "image"

Scaling = Literal["auto", "none", "unit", "signed", "imagenet"]

_PASSED = {"Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Transpose", "Clip"}
_PASSED |= {"QuantizeLinear", "DequantizeLinear", "Add", "Mul", "Div", "ArgMax", "TopK"}
_HEADS = {"Conv", "Gemm", "MatMul", "QLinearConv", "QGemm", "QLinearMatMul", "MatMulInteger"}
_DEFAULT_SIZE = 224
_BATCH = 16
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, by which most published classifiers were trained (torchvision's transforms)."""


@dataclass(frozen=True)
class Backbone:
    """model: from the network's own input to the embedding. size: height and width. scaling: what pixels go through.

    rank: 4 where the embedding still has places, which are averaged. width: numbers of an embedding.
    """

    model: onnx.ModelProto
    size: tuple[int, int]
    channels_first: bool
    element_type: int
    scaling: Scaling
    rank: int
    width: int

    @property
    def column(self) -> Column:
        """The photo as callers send it."""
        return Column(name=INPUT_NAME, type=DataType.IMAGE, shape=(*self.size, 3), description="a photo")

    def emit(self, graph: GraphBuilder, pixels: str) -> str:
        """The nodes from uint8 `[N, height, width, 3]` to the embedding, float32 `[N, width]`."""
        values = self._scaled(graph, pixels)
        if self.channels_first:
            values = graph.node("Transpose", [values], perm=[0, 3, 1, 2])
        prefixed = compose.add_prefix(self.model, prefix=graph.unique("backbone") + "/")
        (declared,) = prefixed.graph.input
        (output,) = prefixed.graph.output
        entry = helper.make_node("Identity", [values], [declared.name], name=f"{declared.name}/in")
        used = {node.domain for node in prefixed.graph.node}
        domains = [opset.domain for opset in prefixed.opset_import if opset.domain in used]
        graph.splice([entry, *prefixed.graph.node], prefixed.graph.initializer, domains)
        tensor = graph.cast(output.name, int(TensorProto.FLOAT))
        if self.rank == 4:
            tensor = graph.node("ReduceMean", [tensor, graph.constant([2, 3], np.int64)], keepdims=0)
        shape = graph.constant([-1, self.width], np.int64)
        return graph.node("Reshape", [tensor, shape], hint="embedding")

    def embed(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of `[N, height, width, 3]`: `[N, width]`."""
        parts = [
            self._session.run(["embedding"], {INPUT_NAME: pixels[start : start + _BATCH]})[0]
            for start in range(0, len(pixels), _BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)

    @cached_property
    def _session(self) -> Any:
        graph = GraphBuilder()
        made = self.emit(graph, graph.input(INPUT_NAME, DataType.IMAGE, (None, *self.size, 3)))
        graph.output("embedding", made, int(TensorProto.FLOAT), (None, self.width))
        return _session(graph.build(), threads=load_settings().threads)

    def _scaled(self, graph: GraphBuilder, pixels: str) -> str:
        if self.scaling == "none":
            return pixels if self.element_type == TensorProto.UINT8 else graph.cast(pixels, self.element_type)
        values = graph.cast(pixels, int(TensorProto.FLOAT))
        scale, shift = {
            "unit": (np.array(1 / 255), np.array(0.0)),
            "signed": (np.array(1 / 127.5), np.array(-1.0)),
            "imagenet": (1 / (255 * np.array(_DEVIATION)), -np.array(_MEAN) / _DEVIATION),
        }[self.scaling]
        values = graph.node("Mul", [values, graph.constant(scale, np.float32)])
        values = graph.node("Add", [values, graph.constant(shift, np.float32)])
        return values if self.element_type == TensorProto.FLOAT else graph.cast(values, self.element_type)


def backbone_place(name: str, *, settings: Settings) -> Path:
    """The ONNX file that a path, a bundle's folder or the name of a pack means. Raises NotFoundError."""
    path = blobs.local_path(name) if blobs.is_local(name) else Path(name)
    if path.is_file():
        if path.suffix.lower() != ".onnx":
            raise ConfigError(
                f"the backbone {name} is no ONNX file; make a pack of it: penstock import {name} --pack NAME"
            )
        return path
    if (path / GRAPH_NAME).is_file():
        return path / GRAPH_NAME
    packs = settings.home / "packs"
    if "/" not in name and (pack_place(name, settings=settings) / GRAPH_NAME).is_file():
        return pack_place(name, settings=settings) / GRAPH_NAME
    known = ", ".join(sorted(pack.name for pack in packs.iterdir() if pack.is_dir())) if packs.is_dir() else ""
    raise NotFoundError(
        f"there is no backbone {name!r}: neither an ONNX file, nor a bundle, nor a pack ({known or 'there are none'}); "
        "make one of an image classifier: penstock import MODEL.tflite --pack NAME"
    )


def load_backbone(
    path: Path, *, scaling: Scaling = "auto", layer: str | None = None, size: int | None = None
) -> Backbone:
    """The classifier in an ONNX file, cut before its last layer with weights.

    scaling: of pixels, which the file does not tell. "auto": none for a network that takes bytes, "imagenet" for
        channels first (PyTorch's way), "signed" for channels last (TensorFlow's way).
    layer: the tensor to take as the embedding. size: of photos, for a network that takes any.
    Raises ConfigError for what is no image classifier.
    """
    try:
        model = onnx.load(path)
    except Exception as error:
        raise ConfigError(f"the backbone {path} is not an ONNX model: {' '.join(str(error).split())[:200]}") from error
    weights = {item.name for item in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim] if len(inputs) == 1 else []
    if len(dims) != 4 or 3 not in (dims[1], dims[3]):
        told = ", ".join(f"{value.name}" for value in inputs)
        raise ConfigError(f"the backbone {path} takes {told} of {dims}; expected one input [N,3,H,W] or [N,H,W,3]")
    channels_first = dims[3] != 3
    sides = dims[2:] if channels_first else dims[1:3]
    height, width = (side or size or _DEFAULT_SIZE for side in sides)
    kind = inputs[0].type.tensor_type.elem_type
    if scaling == "auto":
        scaling = "none" if kind == TensorProto.UINT8 else "imagenet" if channels_first else "signed"
    cut = _cut(_with_free_batch(model), layer or _embedding_tensor(model, path), path)
    element = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
    shape = (2, 3, height, width) if channels_first else (2, height, width, 3)
    try:
        converted = version_converter.convert_version(cut, OPSET)
        made = _session(converted).run(None, {inputs[0].name: np.zeros(shape, element)})[0]
    except Exception as error:
        told = " ".join(str(error).split())[:300]
        raise ConfigError(f"the backbone {path} cannot be run up to its last layer: {told}") from error
    if made.shape[0] != 2 or made.ndim not in (2, 3, 4):
        raise ConfigError(f"the backbone {path} yields {list(made.shape)} for two photos; name another layer")
    rank = 4 if made.ndim == 4 and made.shape[2] * made.shape[3] > 1 else 2
    count = made.shape[1] if rank == 4 else int(np.prod(made.shape[1:]))
    return Backbone(converted, (height, width), channels_first, int(kind), scaling, rank, count)


def _embedding_tensor(model: onnx.ModelProto, path: Path) -> str:
    """What goes into the last layer with weights, walking up from the output."""
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = {item.name for item in model.graph.initializer}
    name = model.graph.output[0].name
    while name in makers:
        node = makers[name]
        if node.op_type in _HEADS:
            return str(node.input[0])
        if node.op_type not in _PASSED and not node.op_type.endswith("Pool"):
            break
        name = next((given for given in node.input if given not in constants and given in makers), "")
    raise ConfigError(
        f"where the backbone {path} ends cannot be told: walking up from its output there is no layer with weights; "
        "name the tensor to take as the embedding (layer=…)"
    )


def _cut(model: onnx.ModelProto, tensor: str, path: Path) -> onnx.ModelProto:
    """The model up to a tensor, and nothing that this does not need."""
    makers = {output: node for node in model.graph.node for output in node.output}
    if tensor not in makers:
        raise ConfigError(f"the backbone {path} has no tensor {tensor!r}; name one of its layers' outputs")
    needed: set[int] = set()
    pending, used = [tensor], set()
    while pending:
        name = pending.pop()
        used.add(name)
        node = makers.get(name)
        if node is not None and id(node) not in needed:
            needed.add(id(node))
            pending.extend(node.input)
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    kept = [node for node in model.graph.node if id(node) in needed]
    del cut.graph.node[:]
    cut.graph.node.extend(kept)
    weights = [item for item in model.graph.initializer if item.name in used]
    del cut.graph.initializer[:]
    cut.graph.initializer.extend(weights)
    inputs = [value for value in model.graph.input if value.name not in {item.name for item in weights}]
    del cut.graph.input[:]
    cut.graph.input.extend(value for value in inputs if value.name in used)
    del cut.graph.output[:]
    cut.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    return cut


def _with_free_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """A batch fixed at 1, as exporters write it, made free: in inputs and in the shapes that Reshape goes by."""
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    del freed.graph.value_info[:]
    for value in freed.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and dims[0].dim_value == 1:
            dims[0].dim_param = "N"
    shapes = {node.input[1] for node in freed.graph.node if node.op_type == "Reshape"}
    for item in freed.graph.initializer:
        sizes = numpy_helper.to_array(item).copy() if item.name in shapes else np.empty(0)
        if len(sizes) and sizes[0] == 1:
            sizes[0] = 0 if -1 in sizes else -1
            item.CopyFrom(numpy_helper.from_array(sizes, item.name))
    return freed


def _session(model: onnx.ModelProto, *, threads: int = 1) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
