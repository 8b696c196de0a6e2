"""TensorFlow SavedModels, Keras files and LiteRT files as graphs, through a process in which TensorFlow loads."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx

from penstock.conversion.converted import Converted, Reference
from penstock.conversion.graphs import with_free_batch
from penstock.errors import BundleError, MissingExtraError

__all__ = ["convert_tensorflow"]

_TIMEOUT_S = 1800


def convert_tensorflow(source: Path, *, maker: str, signature: str = "") -> Converted:
    """The graph of a SavedModel's folder, a `.keras` or a `.tflite` file, with TensorFlow's own answers.

    signature: of a SavedModel; empty for its serving default. Code in a Keras file (a Lambda layer) is never run.
    Raises MissingExtraError without TensorFlow, BundleError naming what cannot be translated.
    """
    if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("tf2onnx") is None:
        raise MissingExtraError("tensorflow", f"importing a {maker}")
    with tempfile.TemporaryDirectory(prefix="penstock-import-") as folder:
        environment = {
            **os.environ,
            "KERAS_BACKEND": "tensorflow",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        command = [sys.executable, "-m", "penstock.conversion.tensorflow_process", str(source), folder, signature]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        if done.returncode:
            _, _, reason = done.stderr.rpartition("refused: ")
            last = reason.strip() or (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise BundleError(f"the {maker} {source} cannot be imported: {last}")
        graph = onnx.load(Path(folder, "model.onnx"))
        with np.load(Path(folder, "answers.npz")) as kept:
            arrays = {name: kept[name] for name in kept.files}
    texts = {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in arrays.items()}
    version = _tensorflow_version()
    return Converted(
        graph=with_free_batch(graph, name=source.name),
        maker=maker,
        reference=Reference(
            inputs={name.removeprefix("in/"): array for name, array in texts.items() if name.startswith("in/")},
            outputs={name.removeprefix("out/"): array for name, array in texts.items() if name.startswith("out/")},
            runtime=f"tensorflow {version}",
        ),
        versions={"tensorflow": version, "tf2onnx": metadata.version("tf2onnx")},
    )


def _tensorflow_version() -> str:
    for name in ("tensorflow-cpu", "tensorflow"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
