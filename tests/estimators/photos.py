"""A small image classifier as other tools write them, and photos that it can tell apart."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

__all__ = ["make_backbone", "make_photos"]

_COLOURS = {"blue": (40, 60, 220), "green": (50, 200, 60), "red": (220, 40, 50)}


def make_backbone(path: Path, *, layout: str = "NCHW", batch: int | str = 1, element: int = TensorProto.FLOAT) -> str:
    """Convolution, pooling, a layer of 12 numbers, then a head of 5 classes with softmax; weights are random."""
    random = np.random.default_rng(0)
    shape = [batch, 3, 16, 16] if layout == "NCHW" else [batch, 16, 16, 3]
    weights = {
        "conv": random.normal(size=(8, 3, 3, 3)) * 0.4,
        "dense": random.normal(size=(8, 12)),
        "head": random.normal(size=(12, 5)),
    }
    nodes = [helper.make_node("Cast", ["photo"], ["float"], to=TensorProto.FLOAT)]
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2]))
    nodes += [
        helper.make_node("Conv", [nodes[-1].output[0], "conv"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["pool"]),
        helper.make_node("Reshape", ["pool", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["d"]),
        helper.make_node("Relu", ["d"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "head"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    constants.append(numpy_helper.from_array(np.array([1, 8]), "shape"))
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("photo", element, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 5])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    return str(path)


def make_photos(folder: Path, *, count: int = 12, classes: int = 2) -> Path:
    """`class/number.png`: noise around a colour."""
    random = np.random.default_rng(1)
    for name, colour in list(_COLOURS.items())[:classes]:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = np.clip(random.normal(colour, 60, (24, 20, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
