"""Writes a bundle's graph as a TensorFlow SavedModel or a LiteRT file, once it answers the bundle's samples alike."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from penstock.bundle.folder import find_bundle, read_manifest
from penstock.data.columns import ColumnBatch, concatenate
from penstock.errors import AlreadyExistsError, ExportError, MissingExtraError
from penstock.export.exported import Exported
from penstock.export.hostile import hostile_rows
from penstock.export.tensorflow_process import argument_names
from penstock.runtime.model import GRAPH_NAME, RECIPE_NAME, SAMPLES_NAME, LoadedModel, load_model, read_file
from penstock.store import blobs
from penstock.store.staging import StagedFolder

__all__ = ["export_tensorflow"]

_TIMEOUT_S = 1800


def export_tensorflow(bundle_uri: str, *, target: Literal["savedmodel", "litert"], output: str) -> Exported:
    """Writes the folder (savedmodel) or file (litert) `output`, with one named `[N, 1]` input a column.

    Its answers on the bundle's samples, and on variations with missing and extreme values, are those of the bundle.
    Raises MissingExtraError without TensorFlow, ExportError naming the columns that there is no translation of, or the
    row that is answered otherwise, AlreadyExistsError where something is at `output`.
    """
    uri = find_bundle(bundle_uri)
    manifest = read_manifest(uri)
    graph = read_file(uri, manifest, GRAPH_NAME)
    what = "a TensorFlow SavedModel" if target == "savedmodel" else "a LiteRT file"
    if importlib.util.find_spec("tensorflow") is None:
        raise MissingExtraError("tensorflow", f"exporting to {what}")
    if RECIPE_NAME in manifest.files or any(column.shape for column in manifest.signature.inputs):
        raise ExportError(
            f"{uri} has steps in front of its model, or takes tensors; {what} is made of models of plain columns"
        )
    place = blobs.absolute(output)
    if blobs.exists(place):
        raise AlreadyExistsError(f"{place} is there already; name another with --output, or delete it first")
    model = load_model(uri)
    rows = _rows(model, read_file(uri, manifest, SAMPLES_NAME) if SAMPLES_NAME in manifest.files else b"")
    arrays = {f"in/{name}": _plain(rows[name])[:, None] for name in rows.schema.names}
    arrays |= {f"out/{name}": _plain(answer) for name, answer in model.predict(rows).items()}
    with StagedFolder(place, last="saved_model.pb") as staged, tempfile.TemporaryDirectory() as folder:
        Path(folder, GRAPH_NAME).write_bytes(graph)
        np.savez(Path(folder, "expected.npz"), allow_pickle=False, **arrays)
        made = staged.path if target == "savedmodel" else Path(folder, "model.tflite")
        _run([str(Path(folder, GRAPH_NAME)), target, str(made), str(Path(folder, "expected.npz"))], what, uri)
        if target == "savedmodel":
            files = tuple(blobs.list_files(str(staged.path)))
            staged.publish()
        else:
            parent, _, name = place.rpartition("/")
            blobs.write_bytes(parent or "/", name, made.read_bytes())
            files = (name,)
    return Exported(target=target, place=place, files=files, notes=_notes(model, target))


def _rows(model: LoadedModel, samples: bytes) -> ColumnBatch:
    lines = [msgspec.json.decode(line) for line in samples.splitlines()]
    if not lines:
        raise ExportError(f"{model.uri} has no samples to prove the export on; export the model again")
    real = model.decode(lines)
    return concatenate([real, hostile_rows(real)])


def _plain(
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Text as fixed-width text: an array of objects would be pickled."""
    return array.astype("U") if array.dtype == object else array


def _run(arguments: list[str], what: str, uri: str) -> None:
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    command = [sys.executable, "-m", "penstock.export.tensorflow_process", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode:
        _, _, reason = done.stderr.rpartition("refused: ")
        last = reason.strip() or (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ExportError(f"{what} cannot be made of {uri}: {last}")


def _notes(model: LoadedModel, target: str) -> tuple[str, ...]:
    names = argument_names([column.name for column in model.manifest.graph_inputs])
    renamed = [f"{column} is called {name}" for column, name in names.items() if column != name]
    kind = "float64" if target == "savedmodel" else "float32"
    return (
        f"numbers and booleans go in as {kind} [N, 1], NaN where missing; text as strings, U+E000 where missing",
        *renamed,
    )
