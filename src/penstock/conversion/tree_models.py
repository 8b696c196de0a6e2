"""LightGBM's text and XGBoost's JSON or UBJSON as graphs, proven with the library's own predictions."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.bundle.manifest import Task
from penstock.conversion.converted import Converted, Reference
from penstock.conversion.graphs import rename
from penstock.data.schema import DataType
from penstock.errors import BundleError, MissingExtraError
from penstock.estimators.trees import emit_trees, nodes_of
from penstock.export.graph import GraphBuilder

__all__ = ["convert_lightgbm", "convert_xgboost"]

_ROWS = 256
_PACKED = "features"


def convert_lightgbm(path: Path) -> Converted:
    """The graph of a LightGBM model file: splits, missing values and category sets as LightGBM has them.

    Outputs as tf.estimator names them: `predictions`, or `logits`, `probabilities` and `class_ids`.
    Raises BundleError for what is no LightGBM text, and for objectives that the graph has no formula for.
    """
    import lightgbm

    try:
        booster = lightgbm.Booster(model_file=str(path))
    except Exception as error:
        raise BundleError(f"{path} is not a LightGBM model in text form: {error}") from error
    dump = booster.dump_model()
    if any("leaf_coeff" in json.dumps(tree["tree_structure"])[:10_000] for tree in dump["tree_info"]):
        raise BundleError(f"{path} has linear trees, which the graph has no node for; train with linear_tree=false")
    objective = (dump.get("objective") or "regression").split()
    names = tuple(booster.feature_name())
    graph = GraphBuilder()
    packed = graph.input(_PACKED, DataType.FLOAT, (None, len(names)))
    scores = emit_trees(graph, nodes_of(booster.model_to_string()), packed)
    if dump.get("average_output"):
        scores = graph.node("Div", [scores, graph.constant(float(_iterations(dump)), np.float32)])
    task, classes = _emit_objective(graph, scores, objective, int(dump["num_tree_per_iteration"]), path)
    rows = _rows(dump["feature_infos"], names)
    raw = np.asarray(booster.predict(rows, raw_score=True), np.float32).reshape(len(rows), -1)
    own = np.asarray(booster.predict(rows), np.float32).reshape(len(rows), -1)
    return Converted(
        graph=graph.build(),
        maker="LightGBM model",
        task=task,
        classes=classes,
        feature_names=names,
        takes_missing=True,
        reference=Reference({_PACKED: rows}, _answers(task, raw, own), f"lightgbm {lightgbm.__version__}"),
        versions={"lightgbm": lightgbm.__version__},
    )


def convert_xgboost(path: Path) -> Converted:
    """The graph of an XGBoost model file, through onnxmltools. Raises MissingExtraError, BundleError."""
    try:
        import onnxmltools
        import xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType
    except ImportError as error:
        raise MissingExtraError("xgboost", "importing an XGBoost model") from error
    booster = xgboost.Booster()
    try:
        booster.load_model(str(path))
    except Exception as error:
        # Behind its reason XGBoost lists where it was in its own code.
        told = " ".join(str(error).partition("Stack trace")[0].split())[:200]
        raise BundleError(f"{path} is not an XGBoost model in JSON or UBJSON form: {told}") from error
    if booster.feature_types and "c" in booster.feature_types:
        raise BundleError(f"{path} splits categories in sets, which its converter does not translate")
    width = booster.num_features()
    names = tuple(booster.feature_names or [f"f{place}" for place in range(width)])
    booster.feature_names = None  # the converter wants f0, f1, …
    objective = str(json.loads(booster.save_config())["learner"]["objective"]["name"])
    kind = xgboost.XGBRegressor
    if objective.startswith(("binary:", "multi:")):
        kind = xgboost.XGBClassifier
    model = kind()
    model.load_model(bytearray(booster.save_raw("ubj")))
    try:
        converted = onnxmltools.convert_xgboost(
            model, initial_types=[(_PACKED, FloatTensorType([None, width]))], target_opset=15
        )
    except Exception as error:
        raise BundleError(f"{path} cannot be translated to ONNX: {' '.join(str(error).split())[:300]}") from error
    rows = _rows([], names).astype(np.float32)
    own = np.asarray(booster.inplace_predict(rows, missing=np.nan), np.float32)
    if kind is xgboost.XGBClassifier:
        probabilities = np.stack([1.0 - own, own], axis=1) if own.ndim == 1 else own
        answers: dict[str, NDArray[Any]] = {
            "class_ids": probabilities.argmax(axis=1).astype(np.int64),
            "probabilities": probabilities.astype(np.float32),
        }
        classes = tuple(str(place) for place in range(probabilities.shape[1]))
        task = Task.BINARY_CLASSIFICATION if len(classes) == 2 else Task.MULTICLASS_CLASSIFICATION
    else:
        answers, classes, task = {"predictions": own.reshape(len(rows), -1)}, (), Task.REGRESSION
    version = xgboost.__version__
    return Converted(
        graph=rename(converted, dict(zip((output.name for output in converted.graph.output), answers, strict=True))),
        maker="XGBoost model",
        task=task,
        classes=classes,
        feature_names=names,
        takes_missing=True,
        reference=Reference({_PACKED: rows}, answers, f"xgboost {version}"),
        versions={"xgboost": version, "onnxmltools": metadata.version("onnxmltools")},
    )


def _emit_objective(
    graph: GraphBuilder, scores: str, objective: list[str], width: int, path: Path
) -> tuple[Task, tuple[str, ...]]:
    number = int(TensorProto.FLOAT)
    name, options = objective[0], dict(option.split(":") for option in objective[1:] if ":" in option)
    if name in ("binary", "cross_entropy") or name in ("multiclass", "multiclassova"):
        graph.output("logits", scores, number, (None, width))
        if name in ("multiclass", "multiclassova"):
            made = graph.node("Softmax", [scores], axis=1)
            if name == "multiclassova":
                made = graph.node("Sigmoid", [_scaled(graph, scores, options)])
        else:
            second = graph.node("Sigmoid", [_scaled(graph, scores, options)])
            first = graph.node("Sub", [graph.constant([[1.0]], np.float32), second])
            made = graph.node("Concat", [first, second], axis=1)
        count = max(2, width)
        graph.output("probabilities", made, number, (None, count))
        ids = graph.node("ArgMax", [made], axis=1, keepdims=1)
        graph.output("class_ids", ids, int(TensorProto.INT64), (None, 1))
        task = Task.BINARY_CLASSIFICATION if count == 2 else Task.MULTICLASS_CLASSIFICATION
        return task, tuple(str(place) for place in range(count))
    match name:
        case "regression" if "sqrt" in objective:
            made = graph.node("Mul", [graph.node("Sign", [scores]), graph.node("Mul", [scores, scores])])
        case "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank" | "rank_xendcg":
            made = scores
        case "poisson" | "gamma" | "tweedie":
            made = graph.node("Exp", [scores])
        case _:
            raise BundleError(f"{path} has the objective {name!r}, for which there is no formula in the graph")
    graph.output("predictions", made, number, (None, width))
    return Task.REGRESSION, ()


def _scaled(graph: GraphBuilder, scores: str, options: dict[str, str]) -> str:
    factor = float(options.get("sigmoid", "1"))
    return scores if factor == 1.0 else graph.node("Mul", [scores, graph.constant(factor, np.float32)])


def _answers(task: Task, raw: NDArray[np.float32], own: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    if task is Task.REGRESSION:
        return {"predictions": own}
    probabilities = np.concatenate([1.0 - own, own], axis=1) if own.shape[1] == 1 else own
    ids = probabilities.argmax(axis=1).astype(np.int64)[:, None]
    return {"logits": raw, "probabilities": probabilities, "class_ids": ids}


def _rows(infos: Any, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Rows within each feature's range in training where the file says it, a tenth of the values missing."""
    random = np.random.default_rng(0)
    columns = []
    for name in names:
        info = infos.get(name, {}) if isinstance(infos, dict) else {}
        if values := info.get("values"):
            columns.append(random.choice(np.asarray(values, np.float64), _ROWS))
            continue
        low, high = float(info.get("min_value", -3.0)), float(info.get("max_value", 3.0))
        columns.append(random.uniform(low, high if high > low else low + 1.0, _ROWS))
    rows = np.stack(columns, axis=1)
    rows[random.random(rows.shape) < 0.1] = np.nan
    return rows


def _iterations(dump: dict[str, Any]) -> int:
    return max(1, len(dump["tree_info"]) // int(dump["num_tree_per_iteration"]))
