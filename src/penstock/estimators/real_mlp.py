"""`RealMLPRegressor` and `RealMLPClassifier`: a perceptron with the defaults that were tuned on many tables.

Source: Holzmüller, Grinsztajn, Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data"
(NeurIPS 2024), RealMLP-TD: its architecture, initialization, optimizer and schedules.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.errors import ConfigError
from penstock.estimators.activations import activation_name
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.backend import has_accelerator
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.defaults import Recipe
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.real_mlp_network import RealMLPNetwork
from penstock.estimators.regimen import Regimen
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.features.column import FeatureColumn

__all__ = ["RealMLPClassifier", "RealMLPRegressor"]

_HIDDEN_UNITS = (256, 256, 256)
_DROPOUT = 0.15
_BATCH_ROWS = 256
_EPOCHS = 256
_LEAST_STEPS = 1_000
_MOST_STEPS_ON_CORES = 12_000
_WEIGHT_DECAY = 0.02


class RealMLPRegressor(NetworkEstimator):
    """Predicts numbers with the perceptron of "Better by Default" and its tuned defaults.

    Numbers are robustly scaled, smoothly bounded and embedded by trained cosines; small categories are one-hot, larger
    ones embedded. Training lasts 256 passes, on processor cores at most 12,000 steps, and the best weights on rows held
    out are kept. The arguments are those of `DNNRegressor`.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = _HIDDEN_UNITS,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = None,
        activation_fn: str | Callable[..., Any] = "mish",
        dropout: float | None = _DROPOUT,
        config: RunConfig | None = None,
        warm_start_from: Any = None,
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
        network = RealMLPNetwork(tuple(hidden_units), activation_name(activation_fn), dropout or 0.0)
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
            normalization="robust",
            regimen=_regimen(0.2),
        )


class RealMLPClassifier(NetworkEstimator):
    """Predicts classes with the perceptron of "Better by Default" and its tuned defaults.

    label_smoothing: share of a label that is spread over all classes. The authors take 0.1 where only the accuracy
    counts; it makes probabilities timid, so the default is none. The rest as in `RealMLPRegressor` and `DNNClassifier`.
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
        activation_fn: str | Callable[..., Any] = "selu",
        dropout: float | None = _DROPOUT,
        config: RunConfig | None = None,
        warm_start_from: Any = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = None,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        class_weight: Mapping[str, float] | str | None = None,
        label_smoothing: float = 0.0,
        early_stopping: bool | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        if not 0.0 <= label_smoothing < 1.0:
            raise ConfigError(f"label_smoothing is {label_smoothing}; expected a share of at least 0 and below 1")
        network = RealMLPNetwork(tuple(hidden_units), activation_name(activation_fn), dropout or 0.0)
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
                "label_smoothing": label_smoothing,
            },
            normalization="robust",
            regimen=_regimen(0.04, label_smoothing=label_smoothing),
        )


def _regimen(rate: float, *, label_smoothing: float = 0.0) -> Regimen:
    def recipe(rows: int, batch_size: int) -> Recipe:
        steps = max(_LEAST_STEPS, _EPOCHS * rows // batch_size)
        return Recipe(rate, _WEIGHT_DECAY, steps if has_accelerator() else min(steps, _MOST_STEPS_ON_CORES))

    return Regimen(
        key="real_mlp",
        recipe=recipe,
        batch_rows=_BATCH_ROWS,
        betas=(0.9, 0.95),
        schedule="cosine_cycles",
        regularization="flat_cosine",
        rate_of=RealMLPNetwork.rate_of,
        decay_of=RealMLPNetwork.decay_of,
        looks=64,
        # The rate falls to nothing four times: what comes before the last is no reason to stop.
        patience=64,
        label_smoothing=label_smoothing,
    )


def _network_params(network: RealMLPNetwork) -> dict[str, Any]:
    return {
        "hidden_units": list(network.hidden_units),
        "activation_fn": network.activation,
        "dropout": network.dropout,
    }
