"""Fitted scikit-learn estimators and pipelines as graphs, through skl2onnx. Never from a file: theirs is a pickle."""

from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from penstock.bundle.manifest import Task
from penstock.conversion.converted import Converted, Reference
from penstock.conversion.graphs import without_zipmap
from penstock.errors import BundleError, DataError, MissingExtraError

__all__ = ["convert_sklearn"]

_PACKED = "features"
_ROWS = 1_000


def convert_sklearn(estimator: Any, sample_rows: Any) -> Converted:
    """The graph of a fitted estimator. sample_rows: rows as it was fitted on, a DataFrame or an array of numbers.

    Outputs: `predictions`, or `classes` and `probabilities`. Raises MissingExtraError, DataError for the rows,
    BundleError naming what skl2onnx cannot translate.
    """
    try:
        from skl2onnx import to_onnx
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, Int64TensorType, StringTensorType
    except ImportError as error:
        raise MissingExtraError("sklearn", "importing a scikit-learn model") from error
    inputs, names = _inputs(sample_rows)
    # Numbers in double where every operator can: a tree's threshold may lie between a double and its float32.
    for number, whole in (
        (DoubleTensorType, DoubleTensorType),
        (FloatTensorType, FloatTensorType),
        (FloatTensorType, Int64TensorType),
    ):
        kinds = {"f": number, "i": whole, "O": StringTensorType}
        types = [(name, kinds[array.dtype.kind]([None, array.shape[1]])) for name, array in inputs.items()]
        options = {"zipmap": False} if hasattr(estimator, "predict_proba") else {}
        try:
            graph = to_onnx(
                estimator,
                initial_types=types,
                options={id(estimator): options} if options else None,
                target_opset={"": 18, "ai.onnx.ml": 3},
            )
            made = without_zipmap(graph)[0]
            return _proven(estimator, sample_rows, inputs, names, made)
        except Exception as error:
            failure = error
    told = " ".join(str(failure).split())[:400]
    raise BundleError(f"{type(estimator).__name__} cannot be translated to ONNX by skl2onnx: {told}") from failure


def _proven(
    estimator: Any, sample_rows: Any, inputs: dict[str, NDArray[Any]], names: tuple[str, ...], graph: Any
) -> Converted:
    from penstock.conversion.graphs import rename, run

    given = [output.name for output in graph.graph.output]
    classes: tuple[str, ...] = ()
    first = np.asarray(estimator.predict(sample_rows[:_ROWS]))
    first = first.astype(object) if first.dtype.kind in "UO" else first
    if hasattr(estimator, "classes_"):
        classes = tuple(str(name) for name in estimator.classes_)
        answers: dict[str, NDArray[Any]] = {"classes": first}
        if hasattr(estimator, "predict_proba"):
            answers["probabilities"] = np.asarray(estimator.predict_proba(sample_rows[:_ROWS]), np.float32)
        task = Task.BINARY_CLASSIFICATION if len(classes) == 2 else Task.MULTICLASS_CLASSIFICATION
    else:
        answers, task = {"predictions": first.astype(np.float32).reshape(len(first), -1)}, Task.REGRESSION
    graph = rename(graph, dict(zip(given, answers, strict=False)))
    types = {
        value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in graph.graph.input
    }
    feed = {name: array[:_ROWS].astype(types[name]) for name, array in inputs.items()}
    found = dict(zip(answers, run(graph, list(answers), feed), strict=True))
    expected = {name: array.reshape(found[name].shape).astype(found[name].dtype) for name, array in answers.items()}
    while len(graph.graph.output) > len(answers):  # scores beside the labels of a classifier without probabilities
        graph.graph.output.pop()
    import sklearn

    return Converted(
        graph=graph,
        maker=type(estimator).__name__,
        task=task,
        classes=classes,
        feature_names=names,
        reference=Reference(feed, expected, f"scikit-learn {sklearn.__version__}"),
        versions={"scikit-learn": sklearn.__version__, "skl2onnx": metadata.version("skl2onnx")},
    )


def _inputs(sample_rows: Any) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """The rows as the graph's inputs, `[rows, k]`: a frame's columns one by one, an array packed."""
    if hasattr(sample_rows, "columns"):
        if not len(sample_rows):
            raise DataError("sample_rows has no rows; expected some that the model was fitted on")
        return {str(name): _column(sample_rows[name])[:, None] for name in sample_rows.columns}, ()
    array = np.asarray(sample_rows)
    if array.ndim != 2 or not len(array) or array.dtype.kind not in "fiub":
        raise DataError(
            f"sample_rows is an array of {array.dtype} and shape {list(array.shape)}; expected rows of numbers, "
            "or a DataFrame"
        )
    return {_PACKED: array.astype(np.float64)}, tuple(f"x{place}" for place in range(array.shape[1]))


def _column(series: Any) -> NDArray[Any]:
    array = series.to_numpy()
    match array.dtype.kind:
        case "i" | "u" | "b":
            return np.asarray(array, dtype=np.int64)
        case "f":
            return np.asarray(array, dtype=np.float64)
        case _:
            return np.array([str(value) for value in array.tolist()], dtype=object)
