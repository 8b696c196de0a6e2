"""`KerasRegressor` and `KerasClassifier`: any Keras model of the user's behind feature columns."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from penstock.errors import ConfigError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.backend import keras
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.front import Front
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.networks import Network, Weights
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.export.graph import GraphBuilder
from penstock.export.keras_onnx import splice_keras
from penstock.features.column import FeatureColumn

__all__ = ["KerasClassifier", "KerasRegressor"]

ModelOrFunction = Any
"""A Keras model from float32 `[rows, width]` to `[rows, outputs]`, or a function of (width, outputs) that makes one."""


@dataclass(frozen=True, eq=False)
class KerasNetwork:
    """The user's model, or the function that makes it, behind a front."""

    source: ModelOrFunction

    @property
    def writes_own_graph(self) -> bool:
        return False

    @property
    def key(self) -> str:
        # Its Python code is compiled into the steps, so only the very same object compiles to the same steps.
        return f"keras {id(self.source)}"

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        joined = front.read(inputs, front.parts, seed=seed)
        answer = self._model(int(joined.shape[-1]), outputs, seed)(joined)
        if tuple(getattr(answer, "shape", ())) != (None, outputs):
            raise ConfigError(
                f"the Keras model answers with shape {getattr(answer, 'shape', None)}; expected (rows, {outputs}): "
                f"{'logits without an activation' if outputs > 1 else 'one number a row, a logit for a classifier'}"
            )
        return keras.Model(inputs, answer, name="keras_model")

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        whole = self.build(front, outputs, seed=0)
        variables = (*whole.trainable_variables, *whole.non_trainable_variables)
        for variable, value in zip(variables, weights.values(), strict=True):
            variable.assign(value)
        dense = front.emit_dense(graph, tensors) if front.dense else None
        parts = [front.emit_part(graph, part, dense, tensors, weights) for part in front.parts]
        joined = parts[0] if len(parts) == 1 else graph.node("Concat", parts, axis=1, hint="features")
        width = sum(part.width for part in front.parts)
        return splice_keras(graph, whole.layers[-1], [joined], specs=[((None, width), "float32")])[0]

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        return dict(weights)

    def describe(self) -> Any:
        """As a JSON value: the configuration where Keras can tell it, else the name."""
        if isinstance(self.source, keras.Model):
            try:
                return json.loads(json.dumps(self.source.get_config(), default=str))
            except (NotImplementedError, TypeError, ValueError):
                return type(self.source).__name__
        return getattr(self.source, "__qualname__", type(self.source).__name__)

    def _model(self, width: int, outputs: int, seed: int) -> Any:
        if isinstance(self.source, keras.Model):
            return self.source
        keras.utils.set_random_seed(seed)
        made = self.source(width, outputs)
        if not isinstance(made, keras.Model):
            raise ConfigError(f"the model function returned a {type(made).__name__}; expected a Keras model")
        return made


class KerasRegressor(NetworkEstimator):
    """Predicts numbers with a Keras model of your own: functional, sequential or subclassed.

    model: takes the features as one float32 `[rows, width]` tensor and answers `[rows, label_dimension]`; or a
    function of (width, outputs) that makes such a model. It is not compiled: optimizer and loss are the estimator's.
    Standardization of the label, checkpoints and export are as in `DNNRegressor`, whose other arguments these are.
    """

    def __init__(
        self,
        model: ModelOrFunction,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = None,
        config: RunConfig | None = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = None,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        warm_start_from: Any = None,
        loss: RegressionLoss = "mean_squared_error",
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        early_stopping: bool | None = None,
        intervals: float | None = None,
    ) -> None:
        network = _network(model)
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=network,
            fit_head=lambda labels, label: fit_regression_head(
                labels, label=label, label_dimension=label_dimension, loss=loss, delta=huber_delta, quantile=quantile
            ),
            options=NetworkOptions(
                optimizer=optimizer,
                learning_rate=learning_rate,
                learning_rate_schedule=learning_rate_schedule,
                weight_decay=weight_decay,
                l1=l1_regularization_strength,
                l2=l2_regularization_strength,
                warm_start_from=warm_start_from,
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(intervals=intervals),
            ),
            params={
                "model": network.describe(),
                "label_dimension": label_dimension,
                "loss": loss,
                "huber_delta": huber_delta,
                "quantile": quantile,
            },
        )


class KerasClassifier(NetworkEstimator):
    """Predicts classes with a Keras model of your own.

    model: as in `KerasRegressor`; it answers logits, without an activation: one a row for two classes, else one a
    class.
    """

    def __init__(
        self,
        model: ModelOrFunction,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = None,
        config: RunConfig | None = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = None,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        warm_start_from: Any = None,
        class_weight: Mapping[str, float] | str | None = None,
        early_stopping: bool | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        network = _network(model)
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=network,
            fit_head=lambda labels, label: fit_classification_head(
                labels, label=label, n_classes=n_classes, label_vocabulary=label_vocabulary
            ),
            options=NetworkOptions(
                optimizer=optimizer,
                learning_rate=learning_rate,
                learning_rate_schedule=learning_rate_schedule,
                weight_decay=weight_decay,
                l1=l1_regularization_strength,
                l2=l2_regularization_strength,
                warm_start_from=warm_start_from,
                class_weight=class_weight,
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(calibrate=calibrate, prediction_sets=prediction_sets),
            ),
            params={
                "model": network.describe(),
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
        )


def _network(model: ModelOrFunction) -> KerasNetwork:
    if not (isinstance(model, keras.Model) or callable(model)):
        raise ConfigError(f"model is a {type(model).__name__}; expected a Keras model, or a function that makes one")
    return KerasNetwork(model)


def _proves_protocol(network: KerasNetwork) -> Network:
    return network
