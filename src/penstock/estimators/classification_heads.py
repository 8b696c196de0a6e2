"""Classification: labels to class ids, logits to probabilities, class ids and class names, in arrays and in
the graph.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.bundle.manifest import Task
from penstock.data.schema import MISSING_STRING
from penstock.errors import ConfigError, DataError
from penstock.estimators.heads import Answers, Head
from penstock.estimators.label_summary import Labels, LabelSummary
from penstock.estimators.metrics import binary_metrics, multiclass_metrics
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput

__all__ = ["BinaryHead", "ClassificationHead", "MulticlassHead", "class_names", "fit_classification_head"]

_MOST_CLASSES = 1000


class BinaryHead(msgspec.Struct, frozen=True, kw_only=True, tag="binary"):
    """One logit a row: of the second class against the first."""

    label: str
    classes: tuple[str, ...]

    @property
    def task(self) -> Task:
        return Task.BINARY_CLASSIFICATION

    @property
    def outputs(self) -> int:
        return 1

    @property
    def key(self) -> str:
        return "binary"

    @property
    def loss_scale(self) -> float:
        return 1.0

    @property
    def objective(self) -> tuple[str, bool]:
        return "average_loss", False

    def encode(self, labels: NDArray[Any]) -> NDArray[np.int32]:
        return class_ids(labels, self.label, self.classes)

    def loss(self, *, smoothing: float = 0.0) -> Callable[[Any, Any, Any], Any]:
        # Keras takes seconds to import, and trees have losses of their own.
        from penstock.estimators.losses import sigmoid_cross_entropy

        return partial(sigmoid_cross_entropy, smoothing=smoothing) if smoothing else sigmoid_cross_entropy

    def answers(self, outputs: NDArray[np.float32]) -> Answers:
        chance = _sigmoid(outputs)
        ids = (outputs > 0).astype(np.int64)
        return {
            "logits": outputs,
            "probabilities": np.concatenate([1.0 - chance, chance], axis=1),
            "class_ids": ids,
            "classes": np.array(self.classes, dtype=object)[ids],
        }

    def evaluate(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], weights: NDArray[np.float32] | None
    ) -> dict[str, float]:
        metrics = binary_metrics(_sigmoid(outputs)[:, 0], self.encode(labels), weights)
        return {"average_loss": metrics["log_loss"], "loss": metrics["log_loss"], **metrics}

    def emit(self, graph: GraphBuilder, outputs: str) -> dict[str, EmittedOutput]:
        chance = graph.node("Sigmoid", [outputs])
        other = graph.node("Sub", [graph.constant(1.0, np.float32), chance])
        positive = graph.node("Greater", [outputs, graph.constant(0.0, np.float32)])
        probabilities = graph.node("Concat", [other, chance], axis=1)
        return _emitted(graph, outputs, probabilities, graph.cast(positive, int(TensorProto.INT64)), self.classes, 1)


class MulticlassHead(msgspec.Struct, frozen=True, kw_only=True, tag="multiclass"):
    """A logit a class."""

    label: str
    classes: tuple[str, ...]

    @property
    def task(self) -> Task:
        return Task.MULTICLASS_CLASSIFICATION

    @property
    def outputs(self) -> int:
        return len(self.classes)

    @property
    def key(self) -> str:
        return f"multiclass {len(self.classes)}"

    @property
    def loss_scale(self) -> float:
        return 1.0

    @property
    def objective(self) -> tuple[str, bool]:
        return "average_loss", False

    def encode(self, labels: NDArray[Any]) -> NDArray[np.int32]:
        return class_ids(labels, self.label, self.classes)

    def loss(self, *, smoothing: float = 0.0) -> Callable[[Any, Any, Any], Any]:
        from penstock.estimators.losses import softmax_cross_entropy

        return partial(softmax_cross_entropy, smoothing=smoothing) if smoothing else softmax_cross_entropy

    def answers(self, outputs: NDArray[np.float32]) -> Answers:
        ids = outputs.argmax(axis=1).astype(np.int64).reshape(-1, 1)
        return {
            "logits": outputs,
            "probabilities": _softmax(outputs),
            "class_ids": ids,
            "classes": np.array(self.classes, dtype=object)[ids],
        }

    def evaluate(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], weights: NDArray[np.float32] | None
    ) -> dict[str, float]:
        metrics = multiclass_metrics(_softmax(outputs), self.encode(labels), weights)
        return {"average_loss": metrics["log_loss"], "loss": metrics["log_loss"], **metrics}

    def emit(self, graph: GraphBuilder, outputs: str) -> dict[str, EmittedOutput]:
        probabilities = graph.node("Softmax", [outputs], axis=1)
        ids = graph.node("ArgMax", [outputs], axis=1, keepdims=1)
        return _emitted(graph, outputs, probabilities, ids, self.classes, self.outputs)


ClassificationHead = BinaryHead | MulticlassHead


def fit_classification_head(
    labels: Labels,
    *,
    label: str,
    n_classes: int | None = None,
    label_vocabulary: Sequence[str] | None = None,
) -> ClassificationHead:
    """The head for these training labels: their distinct values in order, or `label_vocabulary`, are the classes.

    Raises DataError for missing labels, for one class only, and where the number of classes is not `n_classes`.
    """
    rows = labels.rows if isinstance(labels, LabelSummary) else len(labels)
    names = class_names(labels.values(label) if isinstance(labels, LabelSummary) else labels, label)
    if label_vocabulary is not None:
        classes = tuple(str(name) for name in label_vocabulary)
        if twice := sorted(name for name in set(classes) if classes.count(name) > 1):
            raise ConfigError(f"label_vocabulary names the class {twice[0]!r} twice; expected each class once")
        class_ids(names, label, classes)
    elif n_classes is not None and _are_ids(names, n_classes):
        classes = tuple(str(number) for number in range(n_classes))
    else:
        classes = tuple(sorted(set(names.tolist()), key=_class_order))
    present = set(names.tolist())
    if len(present) < 2:
        raise DataError(
            f"label {label!r} has only the class {present.pop()!r} in all {rows} rows; a classifier needs at least two"
        )
    if n_classes is not None and len(classes) != n_classes:
        raise DataError(f"label {label!r} has {len(classes)} classes ({_some(classes)}); n_classes is {n_classes}")
    if label_vocabulary is None and 2 * len(classes) > rows and any(map(_is_fraction, classes)):
        raise DataError(
            f"label {label!r} holds numbers with fractions, {len(classes)} different ones in {rows} rows "
            f"({_some(classes)}); use a regressor"
        )
    if len(classes) > _MOST_CLASSES:
        raise DataError(
            f"label {label!r} has {len(classes)} distinct values ({_some(classes)}); "
            f"classifiers take up to {_MOST_CLASSES}: use a regressor, or name another label"
        )
    return (BinaryHead if len(classes) == 2 else MulticlassHead)(label=label, classes=classes)


def class_names(labels: NDArray[Any], label: str) -> NDArray[np.object_]:
    """Labels as class names `[rows]`: whole numbers without a point, booleans as `false` and `true`.

    Raises DataError naming the first row whose label is missing.
    """
    array = np.asarray(labels)
    if array.ndim > 1:
        if array.size != len(array):
            raise DataError(f"label {label!r} has {array.shape[1]} values a row; a classifier takes one")
        array = array.reshape(-1)
    if len(array) == 0:
        raise DataError("the data has no rows; training and evaluation need at least one")
    if array.dtype.kind == "f":
        missing = np.isnan(array)
    elif array.dtype == object:
        missing = np.array([value is None or value == MISSING_STRING or value != value for value in array], dtype=bool)
    else:
        missing = np.zeros(len(array), dtype=bool)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(
            f"label {label!r} is missing in {int(missing.sum())} of {len(array)} rows (first: row {row}); "
            "leave these rows out"
        )
    distinct, inverse = np.unique(array.astype("U") if array.dtype == object else array, return_inverse=True)
    return np.array([_class_name(value) for value in distinct], dtype=object)[inverse]


def class_ids(labels: NDArray[Any], label: str, classes: Sequence[str]) -> NDArray[np.int32]:
    """Ids of the labels among the classes, int32 `[rows]`. Raises DataError for a label that is none of them."""
    names = class_names(labels, label)
    ids = {name: number for number, name in enumerate(classes)}
    unknown = sorted(set(names.tolist()) - set(ids))
    if unknown:
        raise DataError(f"label {label!r} has the value {unknown[0]!r}; its classes are {_some(classes)}")
    distinct, inverse = np.unique(names.astype("U"), return_inverse=True)
    return np.array([ids[str(name)] for name in distinct], dtype=np.int32)[inverse]


def _class_name(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _class_order(name: str) -> tuple[int, float, str]:
    """Numbers in their order before words in theirs."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _is_fraction(name: str) -> bool:
    try:
        return not float(name).is_integer()
    except (ValueError, OverflowError):
        return False


def _are_ids(names: NDArray[np.object_], n_classes: int) -> bool:
    """Whether labels are class ids as tf.estimator takes them; then a class may be absent from the training data."""
    return all(name.isdecimal() and int(name) < n_classes for name in set(names.tolist()))


def _some(classes: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in classes[:5])
    return f"{shown}, …" if len(classes) > 5 else shown


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    # Both branches are computed; clipping keeps the unused one from overflowing.
    rising = np.exp(np.minimum(logits, 0.0))
    falling = np.exp(-np.maximum(logits, 0.0))
    return np.where(logits >= 0, 1.0 / (1.0 + falling), rising / (1.0 + rising)).astype(np.float32)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)


def _emitted(
    graph: GraphBuilder, logits: str, probabilities: str, ids: str, classes: Sequence[str], width: int
) -> dict[str, EmittedOutput]:
    names = graph.constant(np.array(classes, dtype=object), hint="class_names")
    chosen = graph.node("Gather", [names, ids], axis=0)
    number, text = int(TensorProto.FLOAT), int(TensorProto.STRING)
    return {
        "logits": EmittedOutput(logits, number, (None, width)),
        "probabilities": EmittedOutput(probabilities, number, (None, len(classes))),
        "class_ids": EmittedOutput(ids, int(TensorProto.INT64), (None, 1)),
        "classes": EmittedOutput(chosen, text, (None, 1)),
    }


def _proves_protocol(binary: BinaryHead, multiclass: MulticlassHead) -> tuple[Head, Head]:
    return binary, multiclass
