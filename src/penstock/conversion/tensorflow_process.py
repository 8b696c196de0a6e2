"""Runs in a process of its own, where TensorFlow may load: a SavedModel, Keras or LiteRT file to ONNX, and its answers.

`python -m penstock.conversion.tensorflow_process SOURCE FOLDER SIGNATURE` writes `model.onnx` and `answers.npz` into
FOLDER, the latter with `in/NAME` and `out/NAME`; what it cannot do it says on stderr in one line after `refused: `.
"""

import sys
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from penstock.conversion.converted import plausible

__all__ = ["main"]

_OPSET = 18
_LITERT_OPSET = 15
_TEXT_OPSET = 19
"""The first in which texts can be compared."""
_ROWS = 16
_FREE_SIZE = {1: 16, 2: 16, 3: 64}
"""What free sizes are tried with, by the rank of a value; a photo's are larger."""


def main(source: str, folder: str, signature: str) -> None:
    """signature: of a SavedModel; empty for its serving default."""
    place = Path(source)
    if place.suffix == ".tflite":
        graph, fed, answers = _litert(place)
    elif place.is_dir():
        graph, fed, answers = _saved_model(place, signature)
    else:
        graph, fed, answers = _keras(place)
    Path(folder, "model.onnx").write_bytes(graph.SerializeToString())
    arrays = {f"in/{name}": array for name, array in fed.items()}
    arrays |= {f"out/{name}": array for name, array in answers.items()}
    # Text as text: object arrays are pickled.
    plain: dict[str, Any] = {name: a.astype("U") if a.dtype == object else a for name, a in arrays.items()}
    np.savez(Path(folder, "answers.npz"), **plain)


Arrays = dict[str, NDArray[Any]]


def _saved_model(place: Path, signature: str) -> tuple[Any, Arrays, Arrays]:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(place))
    except Exception as error:
        _refuse(f"TensorFlow cannot load it: {error}")
    known = list(loaded.signatures)
    chosen = signature or ("serving_default" if "serving_default" in known else "predict")
    if chosen not in known:
        _refuse(f"it has no signature {chosen!r}; it has {', '.join(known) or 'none'}")
    function = loaded.signatures[chosen]
    specs = dict(function.structured_input_signature[1])
    outputs = sorted(function.structured_outputs)
    names = sorted(specs)

    def call(*tensors: Any) -> list[Any]:
        answers = function(**dict(zip(names, tensors, strict=True)))
        return [answers[name] for name in outputs]

    return _through(call, [(name, specs[name].shape, specs[name].dtype) for name in names], outputs)


def _keras(place: Path) -> tuple[Any, Arrays, Arrays]:
    import keras

    try:
        model = keras.models.load_model(str(place), compile=False, safe_mode=True)
    except Exception as error:
        _refuse(f"Keras cannot load it: {error}")
    if not getattr(model, "inputs", None):
        _refuse(
            "a subclassed Keras model does not say what it takes; save it with model.export(FOLDER), and import that"
        )
    inputs = [(tensor.name, tensor.shape, tensor.dtype) for tensor in model.inputs]
    outputs = list(getattr(model, "output_names", [])) or [f"output_{i}" for i in range(len(model.outputs))]

    def call(*tensors: Any) -> list[Any]:
        answers = model(tensors[0] if len(tensors) == 1 else list(tensors), training=False)
        return list(keras.tree.flatten(answers))

    return _through(call, inputs, outputs)


def _through(call: Any, inputs: list[tuple[str, Any, Any]], outputs: list[str]) -> tuple[Any, Arrays, Arrays]:
    """Translates a function of tensors, and calls it."""
    import tensorflow as tf
    import tf2onnx
    from onnx import helper

    specs = []
    for name, shape, dtype in inputs:
        if shape is None or getattr(shape, "rank", 0) is None or len(shape) == 0:
            _refuse(f"input {name!r} has no rows; expected tensors with the rows as their first dimension")
        # A fixed batch of the signature would stay in the graph.
        specs.append(tf.TensorSpec([None, *list(shape)[1:]], dtype, name=name))
    function = tf.function(call, input_signature=specs)
    fed = {}
    for seed, (spec, (name, _, _)) in enumerate(zip(specs, inputs, strict=True)):
        sizes = spec.shape.as_list()[1:]
        free = _FREE_SIZE.get(len(sizes), 8)
        dtype = np.dtype(object) if spec.dtype == tf.string else np.dtype(spec.dtype.as_numpy_dtype)
        fed[name] = plausible((_ROWS, *(free if size is None else size for size in sizes)), dtype, seed=seed)
    try:
        answers = [np.asarray(answer) for answer in function(*map(tf.constant, fed.values()))]
        graph, _ = tf2onnx.convert.from_function(function, input_signature=specs, opset=_OPSET)
    except Exception as error:
        _refuse(f"it cannot be translated to ONNX: {error}")
    graph = _mended(graph)
    unknown = sorted({node.op_type for node in graph.graph.node if node.domain not in ("", "ai.onnx", "ai.onnx.ml")})
    if unknown:
        _refuse(f"it cannot be translated to ONNX: there is nothing for {', '.join(unknown)}")
    # Renamed in two steps: a new name may be an old one of another tensor.
    finals = [*(name for name, _, _ in inputs), *outputs]
    tensors = [*graph.graph.input, *graph.graph.output]
    names = {tensor.name: f"penstock/io/{place}" for place, tensor in enumerate(tensors)}
    for node in graph.graph.node:
        for series in (node.input, node.output):
            for place, old in enumerate(series):
                series[place] = names.get(old, old)
    for place, (tensor, final) in enumerate(zip(tensors, finals, strict=True)):
        tensor.name = final
        ends = ([final], [f"penstock/io/{place}"]) if place < len(inputs) else ([f"penstock/io/{place}"], [final])
        node = helper.make_node("Identity", *ends, name=f"penstock/name/{place}")
        if place < len(inputs):
            graph.graph.node.insert(0, node)
        else:
            graph.graph.node.append(node)
    return graph, fed, {name: _texts(answer) for name, answer in zip(outputs, answers, strict=True)}


_OF_SAME_TYPE = {"Identity", "Reshape", "Squeeze", "Unsqueeze", "Gather", "Concat", "Slice", "Expand", "Tile", "Where"}


def _mended(model: Any) -> Any:
    """Without what tf2onnx leaves unfit: an operator that ONNX does not have, and texts compared as numbers."""
    from onnx import TensorProto, helper, numpy_helper, version_converter

    graph = model.graph
    compares_texts = False
    texts = {item.name for item in graph.initializer if item.data_type == TensorProto.STRING}
    texts |= {item.name for item in graph.input if item.type.tensor_type.elem_type == TensorProto.STRING}
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, set()).add(node.op_type)
    graph.initializer.append(numpy_helper.from_array(np.array(1.0, np.float32), "penstock/one"))
    mended = []
    for node in graph.node:
        if node.op_type == "Constant" and any(part.t.data_type == TensorProto.STRING for part in node.attribute):
            texts.add(node.output[0])
        if node.op_type in _OF_SAME_TYPE and texts & set(node.input):
            texts.update(node.output)
        if node.op_type == "Cast" and node.input[0] in texts and users.get(node.output[0]) == {"Equal"}:
            mended.append(helper.make_node("Identity", node.input, node.output, name=node.name))
            compares_texts = True
        elif node.op_type == "Erfc":
            inner = f"{node.output[0]}/erf"
            mended.append(helper.make_node("Erf", node.input, [inner], name=f"{node.name}/erf"))
            mended.append(helper.make_node("Sub", ["penstock/one", inner], node.output, name=node.name))
        else:
            mended.append(node)
    del graph.node[:]
    graph.node.extend(mended)
    return version_converter.convert_version(model, _TEXT_OPSET) if compares_texts else model


def _litert(place: Path) -> tuple[Any, Arrays, Arrays]:
    import warnings

    import tensorflow as tf
    import tf2onnx

    try:
        graph, _ = tf2onnx.convert.from_tflite(str(place), opset=_LITERT_OPSET)
    except Exception as error:
        _refuse(f"it cannot be translated to ONNX: {error}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(str(place))
    interpreter.allocate_tensors()
    ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
    fed = {
        tensor.name: plausible((_ROWS, *detail["shape"].tolist()[1:]), np.dtype(detail["dtype"]), seed=seed)
        for seed, (tensor, detail) in enumerate(zip(graph.graph.input, ins, strict=True))
    }
    answers: list[list[NDArray[Any]]] = []
    for row in range(_ROWS):
        for detail, array in zip(ins, fed.values(), strict=True):
            interpreter.set_tensor(detail["index"], array[row : row + 1])
        interpreter.invoke()
        answers.append([interpreter.get_tensor(detail["index"]) for detail in outs])
    columns = [np.concatenate(parts) for parts in zip(*answers, strict=True)]
    return graph, fed, dict(zip((tensor.name for tensor in graph.graph.output), columns, strict=True))


def _texts(answer: NDArray[Any]) -> NDArray[Any]:
    if answer.dtype != object:
        return answer
    flat = [item.decode() if isinstance(item, bytes) else str(item) for item in answer.ravel()]
    return np.array(flat, dtype=object).reshape(answer.shape)


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"\nrefused: {' '.join(str(reason).split())[:600]}\n")
    sys.exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:4])
