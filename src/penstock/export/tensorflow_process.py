"""Runs in a process of its own, where TensorFlow may load: a bundle's graph to a SavedModel or a LiteRT file.

`python -m penstock.export.tensorflow_process GRAPH TARGET OUTPUT EXPECTED.npz` writes OUTPUT once its answers are those
in EXPECTED (`in/NAME`, `out/NAME`); what it cannot do it says on stderr in one line after `refused: `.
"""

import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.export.tensorflow_graph import GraphFunction, untranslatable

__all__ = ["argument_names", "main"]

_RELATIVE, _ABSOLUTE = 1e-3, 1e-4
_NO_ARGUMENT = re.compile(r"[^A-Za-z0-9_]")


def argument_names(columns: list[str]) -> dict[str, str]:
    """What TensorFlow's signature calls each column: letters, digits and '_', each name once."""
    names: dict[str, str] = {}
    for column in columns:
        name = _NO_ARGUMENT.sub("_", column) or "_"
        name = f"_{name}" if name[0].isdigit() else name
        while name in names.values():
            name += "_"
        names[column] = name
    return names


def main(graph: str, target: str, output: str, expected: str) -> None:
    model = onnx.load(graph)
    if refused := untranslatable(model):
        told = "; ".join(f"{name} (of {', '.join(columns) or 'no column'})" for name, columns in refused)
        _refuse(f"there is no translation of {told}; numbers and vocabularies can be exported")
    with np.load(expected) as kept:
        arrays = {name: kept[name] for name in kept.files}
    fed = {name.removeprefix("in/"): array for name, array in arrays.items() if name.startswith("in/")}
    wanted = {name.removeprefix("out/"): array for name, array in arrays.items() if name.startswith("out/")}
    with tempfile.TemporaryDirectory(prefix="penstock-tensorflow-") as folder:
        saved = _saved_model(model, Path(folder, "saved"), narrow=target == "litert")
        names = argument_names([value.name for value in model.graph.input])
        if target == "savedmodel":
            _compare(wanted, _ask_saved(saved, {names[name]: array for name, array in fed.items()}))
            shutil.copytree(saved, output, dirs_exist_ok=True)
            return
        content = _litert(saved)
        _compare(wanted, _ask_litert(content, {names[name]: array for name, array in fed.items()}))
        Path(output).write_bytes(content)


def _saved_model(model: onnx.ModelProto, place: Path, *, narrow: bool) -> Path:
    import tensorflow as tf

    call = GraphFunction(model, narrow=narrow)
    names = argument_names([value.name for value in model.graph.input])
    types = {
        int(TensorProto.STRING): tf.string,
        int(TensorProto.INT64): tf.int64,
        int(TensorProto.DOUBLE): tf.float32 if narrow else tf.float64,
        int(TensorProto.FLOAT): tf.float32,
    }
    specs = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if tensor.elem_type not in types:
            _refuse(f"input {value.name!r} is of no type that is exported")
        sizes = [None, *(dim.dim_value or None for dim in tensor.shape.dim[1:])]
        specs[names[value.name]] = tf.TensorSpec(sizes, types[tensor.elem_type], name=names[value.name])

    class Served(tf.Module):  # type: ignore[misc]
        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def serve(self, **columns: Any) -> dict[str, Any]:
            return call({column: columns[name] for column, name in names.items()})

    served = Served()
    served.graph = call
    signature = served.serve.get_concrete_function(**specs)
    tf.saved_model.save(served, str(place), signatures={"serving_default": signature})
    return place


def _litert(saved: Path) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default"])
    try:
        return bytes(converter.convert())
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if "op" in line.lower()]
        _refuse(f"LiteRT has no operator for a part of it: {' '.join(lines)[:300]}")


def _ask_saved(saved: Path, fed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    import tensorflow as tf

    function = tf.saved_model.load(str(saved)).signatures["serving_default"]
    specs = function.structured_input_signature[1]
    tensors = {name: tf.constant(array.astype(specs[name].dtype.as_numpy_dtype)) for name, array in fed.items()}
    return {name: answer.numpy() for name, answer in function(**tensors).items()}


def _ask_litert(content: bytes, fed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    import warnings

    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_content=content)
    runner = interpreter.get_signature_runner("serving_default")
    details = runner.get_input_details()
    tensors = {}
    for name, array in fed.items():
        dtype = details[name]["dtype"]
        texts = np.array([str(text).encode() for text in array.ravel()], dtype=np.bytes_).reshape(array.shape)
        tensors[name] = texts if dtype in (np.bytes_, np.object_) else array.astype(dtype)
    return dict(runner(**tensors).items())


def _compare(wanted: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any]]) -> None:
    if set(wanted) != set(found):
        _refuse(f"it answers {', '.join(found)} and the bundle {', '.join(wanted)}; nothing was written")
    sure = np.ones(len(next(iter(wanted.values()))), bool)
    if "probabilities" in wanted and wanted["probabilities"].shape[1] > 1:
        best = np.sort(wanted["probabilities"], axis=1)
        sure = best[:, -1] - best[:, -2] > 10 * _RELATIVE
    for name, own in wanted.items():
        other = found[name].reshape(own.shape)
        if own.dtype.kind == "f":
            scale = float(np.abs(own[np.isfinite(own)]).max(initial=0.0))
            near = np.isclose(other, own, rtol=_RELATIVE, atol=_ABSOLUTE * scale, equal_nan=True)
        else:
            texts = [item.decode() if isinstance(item, bytes) else str(item) for item in other.ravel().tolist()]
            near = np.array(texts).reshape(own.shape) == own if own.dtype.kind == "U" else other == own
            near |= ~sure.reshape(-1, *[1] * (near.ndim - 1))
        if not near.all():
            row = int(np.argwhere(~near)[0][0])
            _refuse(
                f"output {name!r} of sample row {row} is {own[row].tolist()} in the bundle and {other[row].tolist()} "
                "in TensorFlow; nothing was written"
            )


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"\nrefused: {' '.join(str(reason).split())[:600]}\n")
    sys.exit(3)


if __name__ == "__main__":
    main(*sys.argv[1:5])
