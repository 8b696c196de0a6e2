"""`TabMRegressor` and `TabMClassifier`: an ensemble of perceptrons that share most of their weights.

Source: Gorishniy, Kotelnikov, Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling"
(ICLR 2025).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.backend import has_accelerator
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.defaults import Recipe
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.regimen import Regimen
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.ring import join_ring
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.estimators.tabm_network import TabMNetwork
from penstock.estimators.tabular_layers import Combination
from penstock.features.column import FeatureColumn

__all__ = ["TabMClassifier", "TabMRegressor"]

_DROPOUT = 0.1
_BATCH_ROWS = 256
_RATE = 0.002
_WEIGHT_DECAY = 3e-4
_EPOCHS = 100
_LEAST_STEPS = 1_000
_MOST_STEPS_ON_CORES = 6_000
_PATIENCE = 16


class TabMRegressor(NetworkEstimator):
    """Predicts numbers with an ensemble of perceptrons in one network.

    members: perceptrons that share their kernels and differ in how they scale inputs and outputs of each layer; None
    for 32, on processor cores 8. hidden_units: None for two layers of 512, on processor cores of 256. Each member has a
    loss of its own in training; the mean of their predictions is the model's. Numbers are brought to a bell curve and
    embedded piecewise linearly. Training ends once rows held out get no better for 16 passes. The rest as in
    `DNNRegressor`.
    """

    def __init__(
        self,
        members: int | None = None,
        hidden_units: Sequence[int] | None = None,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = None,
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
        network = _network(members, hidden_units, dropout, "exponential" if loss == "poisson" else "mean")
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
            regimen=_REGIMEN,
        )


class TabMClassifier(NetworkEstimator):
    """Predicts classes with an ensemble of perceptrons in one network, whose probabilities are averaged.

    Arguments as in `TabMRegressor` and `DNNClassifier`.
    """

    def __init__(
        self,
        members: int | None = None,
        hidden_units: Sequence[int] | None = None,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = None,
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
        early_stopping: bool | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        network = _network(members, hidden_units, dropout, "chance")
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
            regimen=_REGIMEN,
        )


def _recipe(rows: int, batch_size: int) -> Recipe:
    steps = max(_LEAST_STEPS, _EPOCHS * rows // batch_size)
    return Recipe(_RATE, _WEIGHT_DECAY, steps if has_accelerator() else min(steps, _MOST_STEPS_ON_CORES))


_REGIMEN = Regimen(
    key="tabm",
    recipe=_recipe,
    batch_rows=_BATCH_ROWS,
    schedule="constant",
    decay_of=TabMNetwork.decay_of,
    looks=_EPOCHS,
    patience=_PATIENCE,
)


def _network(
    members: int | None, hidden_units: Sequence[int] | None, dropout: float | None, combination: Combination
) -> TabMNetwork:
    if members is None or hidden_units is None:
        # Asking for an accelerator uses JAX, which must not happen before the processes of a training have met.
        join_ring()
        is_fast = has_accelerator()
        members = members if members is not None else (32 if is_fast else 8)
        hidden_units = hidden_units if hidden_units is not None else ((512, 512) if is_fast else (256, 256))
    return TabMNetwork(members, tuple(hidden_units), dropout or 0.0, combination)


def _network_params(network: TabMNetwork) -> dict[str, Any]:
    return {
        "members": network.members,
        "hidden_units": list(network.hidden_units),
        "dropout": network.dropout,
    }
