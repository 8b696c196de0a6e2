"""`DNNRegressor` and `DNNClassifier`: fully connected networks, with the arguments of `tf.estimator`'s."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.estimators.activations import activation_name
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.networks import DNNNetwork
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.features.column import FeatureColumn

__all__ = ["DNNClassifier", "DNNRegressor"]

_HIDDEN_UNITS = (128, 64)


class DNNRegressor(NetworkEstimator):
    """Predicts numbers with a fully connected network.

    hidden_units: sizes of the hidden layers. feature_columns: None chooses them by the training data.
    label_dimension: numbers a row. optimizer: None for Adam with decoupled weight decay, warm-up and a cosine
    schedule; or a name, a Keras optimizer, or a function that makes one. loss: "mean_squared_error",
    "mean_absolute_error", "huber", "quantile" (with `quantile`) or "poisson" (for counts). early_stopping: None stops
    early where `train` is given no number of steps. warm_start_from: a model folder whose weights are taken where
    they fit.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = _HIDDEN_UNITS,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = None,
        activation_fn: str | Callable[..., Any] = "relu",
        dropout: float | None = None,
        config: RunConfig | None = None,
        warm_start_from: Any = None,
        batch_norm: bool = False,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = None,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        loss: RegressionLoss = "mean_squared_error",
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        early_stopping: bool | None = None,
        intervals: float | None = None,
    ) -> None:
        network = DNNNetwork(tuple(hidden_units), activation_name(activation_fn), dropout or 0.0, batch_norm)
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
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(intervals=intervals),
                warm_start_from=warm_start_from,
            ),
            params={
                **_network_params(network),
                "label_dimension": label_dimension,
                "loss": loss,
                "huber_delta": huber_delta,
                "quantile": quantile,
            },
        )


class DNNClassifier(NetworkEstimator):
    """Predicts classes with a fully connected network.

    n_classes: None for as many as the training labels have. label_vocabulary: class names in the order of their ids;
    None for the distinct labels in order. class_weight: weight by class name, or "balanced". The rest as in
    `DNNRegressor`.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = _HIDDEN_UNITS,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = None,
        activation_fn: str | Callable[..., Any] = "relu",
        dropout: float | None = None,
        config: RunConfig | None = None,
        warm_start_from: Any = None,
        batch_norm: bool = False,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = None,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        class_weight: Mapping[str, float] | str | None = None,
        early_stopping: bool | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        network = DNNNetwork(tuple(hidden_units), activation_name(activation_fn), dropout or 0.0, batch_norm)
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
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(calibrate=calibrate, prediction_sets=prediction_sets),
                class_weight=class_weight,
                warm_start_from=warm_start_from,
            ),
            params={
                **_network_params(network),
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
        )


def _network_params(network: DNNNetwork) -> dict[str, Any]:
    return {
        "hidden_units": list(network.hidden_units),
        "activation_fn": network.activation,
        "dropout": network.dropout,
        "batch_norm": network.batch_norm,
    }
