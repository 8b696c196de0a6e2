"""`LinearRegressor` and `LinearClassifier`: weighted sums of the features, with the arguments of `tf.estimator`'s."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.estimators.wide_network import LinearNetwork
from penstock.features.column import FeatureColumn

__all__ = ["LinearClassifier", "LinearRegressor"]


class LinearRegressor(NetworkEstimator):
    """Predicts numbers as a weighted sum of the features; a categorical column has a weight for each of its values.

    Arguments as in `DNNRegressor`.
    """

    def __init__(
        self,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = None,
        config: RunConfig | None = None,
        warm_start_from: Any = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = 0.0,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        loss: RegressionLoss = "mean_squared_error",
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        early_stopping: bool | None = None,
        intervals: float | None = None,
    ) -> None:
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=LinearNetwork(),
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
                "label_dimension": label_dimension,
                "loss": loss,
                "huber_delta": huber_delta,
                "quantile": quantile,
            },
            normalization=None,
        )


class LinearClassifier(NetworkEstimator):
    """Predicts classes from a weighted sum of the features (logistic regression). Arguments as in `DNNClassifier`."""

    def __init__(
        self,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = None,
        config: RunConfig | None = None,
        warm_start_from: Any = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        weight_decay: float | None = 0.0,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        class_weight: Mapping[str, float] | str | None = None,
        early_stopping: bool | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=LinearNetwork(),
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
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
            normalization=None,
        )
