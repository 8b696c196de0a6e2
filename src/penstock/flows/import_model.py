"""Makes a bundle of another library's model, from its file or folder or from a fitted object at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.bundle.folder import MANIFEST_NAME
from penstock.bundle.manifest import BundleKind, Manifest, Task
from penstock.conversion.converted import Converted
from penstock.errors import NotFoundError, UsageError
from penstock.store import blobs

__all__ = ["import_file", "import_model", "is_foreign"]

_PICKLES = {".pkl", ".pickle", ".joblib", ".p", ".pth", ".pt", ".npy", ".skops"}
_SUFFIXES = {
    ".onnx": "ONNX model",
    ".tflite": "LiteRT model",
    ".keras": "Keras model",
    ".txt": "LightGBM model",
    ".lgb": "LightGBM model",
    ".json": "XGBoost model",
    ".ubj": "XGBoost model",
}


def is_foreign(origin: str) -> bool:
    """Whether this is a local file or folder that `import_file` takes, and no bundle or exporter's folder."""
    if not blobs.is_local(origin):
        return False
    path = blobs.local_path(origin)
    if path.is_dir():
        return not (path / MANIFEST_NAME).exists() and _saved_model_in(path) is not None
    return path.is_file() and path.suffix.lower() in {*_SUFFIXES, *_PICKLES, ".h5"}


def import_file(
    source: str,
    *,
    output: str,
    columns: Sequence[str] = (),
    classes: Sequence[str] = (),
    task: Task | None = None,
    signature: str = "",
    kind: BundleKind = BundleKind.IMPORTED,
) -> Manifest:
    """Writes the bundle `output` of an ONNX, `.keras`, `.tflite`, LightGBM (`.txt`) or XGBoost (`.json`, `.ubj`) file,
    or of a TensorFlow SavedModel's folder (or an exporter's: its newest); returns its manifest.

    columns, classes, task: see `write_imported`. signature: of a SavedModel. Nothing pickled is ever read.
    Raises UsageError for what is none of these, and as the converters do.
    """
    from penstock.conversion.writing import write_imported

    if blobs.exists(blobs.absolute(output)):
        raise UsageError(f"{output} is there already; name another folder with --output, or delete it first")
    converted = _convert(source, signature)
    return write_imported(converted, uri=output, columns=columns, classes=classes, task=task, kind=kind)


def import_model(
    estimator: Any, sample_rows: Any, *, output: str, columns: Sequence[str] = (), classes: Sequence[str] = ()
) -> Manifest:
    """Writes the bundle `output` of a fitted scikit-learn estimator or pipeline; returns its manifest.

    sample_rows: rows as it was fitted on, a DataFrame or an array of numbers: they give the columns and their types,
    and the bundle is published only where it answers them as the estimator does. Needs the extra `sklearn`.
    """
    from penstock.conversion.sklearn_models import convert_sklearn
    from penstock.conversion.writing import write_imported

    return write_imported(convert_sklearn(estimator, sample_rows), uri=output, columns=columns, classes=classes)


def _convert(source: str, signature: str) -> Converted:
    if not blobs.is_local(source):
        raise UsageError(f"{source} is not on this machine; copy it here, and import the copy")
    path = blobs.local_path(source)
    if not path.exists():
        raise NotFoundError(f"there is no file or folder {source}")
    if path.is_dir():
        saved = _saved_model_in(path)
        if saved is None:
            raise UsageError(f"the folder {source} holds no saved_model.pb; expected a TensorFlow SavedModel")
        from penstock.conversion.tensorflow_models import convert_tensorflow

        return convert_tensorflow(saved, maker="TensorFlow SavedModel", signature=signature)
    if signature:
        raise UsageError("a signature is of a TensorFlow SavedModel's folder; this is a file")
    if path.name == MANIFEST_NAME:
        raise UsageError(f"{source} describes the bundle that its folder is; name the folder, which needs no import")
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise UsageError(
            f"{source} is a pickle or may hold one, which runs any code in it when it is read, so it never is; "
            "load it where you trust it, and call penstock.import_model(estimator, sample_rows, output=…), or save the "
            "model in its library's own form (LightGBM text, XGBoost JSON, ONNX)"
        )
    if suffix == ".h5":
        raise UsageError(
            f"{source} is Keras' old form, in which layers are pickled code; save it as .keras, and import that"
        )
    match _SUFFIXES.get(suffix):
        case "ONNX model":
            from penstock.conversion.graphs import load_graph, zipped_classes

            return Converted(graph=load_graph(path), maker="ONNX model", classes=zipped_classes(path))
        case "LightGBM model":
            from penstock.conversion.tree_models import convert_lightgbm

            return convert_lightgbm(path)
        case "XGBoost model":
            from penstock.conversion.tree_models import convert_xgboost

            return convert_xgboost(path)
        case "Keras model" | "LiteRT model" as maker:
            from penstock.conversion.tensorflow_models import convert_tensorflow

            return convert_tensorflow(path, maker=maker)
        case _:
            known = ", ".join(_SUFFIXES)
            raise UsageError(
                f"{source} ends in {suffix or 'nothing'}; expected one of {known}, or a SavedModel's folder"
            )


def _saved_model_in(path: Path) -> Path | None:
    """The SavedModel in a folder: itself, or the newest of the folders named by a number in it."""
    if (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file():
        return path
    numbered = sorted((child for child in path.iterdir() if child.name.isdecimal()), key=lambda child: int(child.name))
    return next((child for child in reversed(numbered) if (child / "saved_model.pb").is_file()), None)
