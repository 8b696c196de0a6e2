"""Regression: labels standardized for the network, and the standardization undone in answers and in the graph."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.bundle.manifest import Task
from penstock.errors import ConfigError, DataError
from penstock.estimators.heads import Answers, Head
from penstock.estimators.label_summary import Labels, LabelSummary
from penstock.estimators.metrics import regression_metrics
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput

__all__ = ["RegressionHead", "RegressionLoss", "fit_regression_head", "numeric_labels"]

_LARGEST = 1e30

RegressionLoss = Literal["mean_squared_error", "mean_absolute_error", "huber", "quantile", "poisson"]


class RegressionHead(msgspec.Struct, frozen=True, kw_only=True, tag="regression"):
    """Targets are `(label - center) / scale`; with the Poisson loss, labels over their mean, and outputs its logarithm.

    delta: of Huber's loss, in units of `scale`. quantile: of the quantile loss.
    """

    label: str
    center: tuple[float, ...]
    scale: tuple[float, ...]
    loss_name: RegressionLoss = "mean_squared_error"
    delta: float = 1.0
    quantile: float = 0.5

    @property
    def task(self) -> Task:
        return Task.REGRESSION

    @property
    def outputs(self) -> int:
        return len(self.center)

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    @property
    def key(self) -> str:
        return f"regression {self.outputs} {self.loss_name} {self.delta} {self.quantile}"

    @property
    def loss_scale(self) -> float:
        spread = float(np.mean(self.scale))
        match self.loss_name:
            case "mean_squared_error":
                return float(np.mean(np.square(self.scale)))
            case "huber":
                return spread * spread
            case "poisson":
                return 1.0
            case _:
                return spread

    @property
    def objective(self) -> tuple[str, bool]:
        return "loss", False

    def encode(self, labels: NDArray[Any]) -> NDArray[np.float32]:
        values = numeric_labels(labels, self.label, self.outputs)
        if self.loss_name == "poisson" and (values < 0).any():
            raise DataError(f"label {self.label!r} has negative values; the Poisson loss is for counts and rates")
        return ((values - self._center) / self._scale).astype(np.float32)

    def loss(self, *, smoothing: float = 0.0) -> Callable[[Any, Any, Any], Any]:
        # Keras takes seconds to import, and trees have losses of their own.
        from penstock.estimators.losses import mean_loss, ops

        return mean_loss(partial(self._errors, ops))

    def answers(self, outputs: NDArray[np.float32]) -> Answers:
        scale, center = self._scale.astype(np.float32), self._center.astype(np.float32)
        return {"predictions": self._linked(outputs) * scale + center}

    def evaluate(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], weights: NDArray[np.float32] | None
    ) -> dict[str, float]:
        values = numeric_labels(labels, self.label, self.outputs)
        metrics = regression_metrics(self.answers(outputs)["predictions"], values, weights)
        loss = metrics["mse"] if self.loss_name == "mean_squared_error" else self._loss_value(outputs, values, weights)
        return {"average_loss": loss, "loss": loss, **metrics}

    def emit(self, graph: GraphBuilder, outputs: str) -> dict[str, EmittedOutput]:
        if self.loss_name == "poisson":
            outputs = graph.node("Exp", [outputs])
        scaled = graph.node("Mul", [outputs, graph.constant(self._scale, np.float32, hint="label_scale")])
        shifted = graph.node("Add", [scaled, graph.constant(self._center, np.float32, hint="label_center")])
        return {"predictions": EmittedOutput(shifted, int(TensorProto.FLOAT), (None, self.outputs))}

    @property
    def _center(self) -> NDArray[np.float64]:
        return np.asarray(self.center)

    @property
    def _scale(self) -> NDArray[np.float64]:
        return np.asarray(self.scale)

    def _linked(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.exp(outputs) if self.loss_name == "poisson" else outputs

    def _loss_value(
        self, outputs: NDArray[np.float32], values: NDArray[np.float64], weights: NDArray[np.float32] | None
    ) -> float:
        errors = self._errors(np, outputs.astype(np.float64), (values - self._center) / self._scale)
        return float(np.average(errors.mean(axis=1), weights=weights)) * self.loss_scale

    def _errors(self, xp: Any, outputs: Any, targets: Any) -> Any:
        """The loss of each number, in the functions of `xp`: NumPy or `keras.ops`."""
        difference = targets - outputs
        match self.loss_name:
            case "mean_squared_error":
                return xp.square(difference)
            case "mean_absolute_error":
                return xp.abs(difference)
            case "huber":
                size = xp.abs(difference)
                return xp.where(size <= self.delta, 0.5 * xp.square(size), self.delta * (size - 0.5 * self.delta))
            case "quantile":
                return xp.maximum(self.quantile * difference, (self.quantile - 1.0) * difference)
            case "poisson":
                return xp.exp(outputs) - targets * outputs


def fit_regression_head(
    labels: Labels,
    *,
    label: str,
    label_dimension: int = 1,
    loss: RegressionLoss = "mean_squared_error",
    delta: float = 1.0,
    quantile: float = 0.5,
) -> RegressionHead:
    """The head for these training labels. Raises DataError for missing, infinite or constant ones, or of another
    shape.
    """
    if not 0.0 < quantile < 1.0:
        raise ConfigError(f"quantile is {quantile}; expected a share between 0 and 1")
    if delta <= 0.0:
        raise ConfigError(f"delta is {delta}; expected a number above 0")
    if isinstance(labels, LabelSummary):
        rows, (center, scale, least) = labels.rows, labels.moments(label)
    else:
        values = numeric_labels(labels, label, label_dimension)
        with np.errstate(over="ignore", invalid="ignore"):
            rows, center, scale, least = len(values), values.mean(axis=0), values.std(axis=0), float(values.min())
    if not (scale > 0).all():
        raise DataError(
            f"label {label!r} has the same value in all {rows} rows ({least:g}); "
            "there is nothing to learn: name another label"
        )
    if not ((np.abs(center) < _LARGEST) & (scale < _LARGEST) & (scale > 1.0 / _LARGEST)).all():
        raise DataError(
            f"label {label!r} has the mean {center[0]:g} and the deviation {scale[0]:g}, and predictions are float32; "
            "give it in another unit, with values nearer to 1"
        )
    if loss == "poisson":
        if least < 0:
            raise DataError(f"label {label!r} has negative values; the Poisson loss is for counts and rates")
        center, scale = np.zeros_like(center), center
    return RegressionHead(
        label=label,
        center=tuple(center.tolist()),
        scale=tuple(scale.tolist()),
        loss_name=loss,
        delta=delta,
        quantile=quantile,
    )


def numeric_labels(labels: NDArray[Any], label: str, dimension: int) -> NDArray[np.float64]:
    """Labels as float64 `[rows, dimension]`. Raises DataError naming the first row that is no finite number."""
    array = np.asarray(labels)
    if array.dtype.kind not in "fiub":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise DataError(
                f"label {label!r} holds {array.flat[0]!r}, which is no number; use a classifier, or name another label"
            ) from None
    if len(array) == 0:
        raise DataError("the data has no rows; training and evaluation need at least one")
    values = array.astype(np.float64).reshape(len(array), -1)
    if values.shape[1] != dimension:
        raise DataError(f"label {label!r} has {values.shape[1]} numbers a row; label_dimension is {dimension}")
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"label {label!r} is missing or infinite in {int(wrong.sum())} of {len(values)} rows (first: row {row}); "
            "leave these rows out"
        )
    return values


def _proves_protocol(head: RegressionHead) -> Head:
    return head
