"""`DNNLinearCombinedRegressor` and `DNNLinearCombinedClassifier`: wide & deep models, with the arguments of
tf.estimator's.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.errors import UsageError
from penstock.estimators.activations import activation_name
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.networks import DNNNetwork
from penstock.estimators.optimizers import describe_optimizer
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.estimators.wide_network import WideDeepNetwork
from penstock.features.bucketized import BucketizedColumn
from penstock.features.column import CategoricalColumn, FeatureColumn
from penstock.features.fitted import FittedFeatures

__all__ = ["DNNLinearCombinedClassifier", "DNNLinearCombinedRegressor"]

_HIDDEN_UNITS = (128, 64)


class DNNLinearCombinedRegressor(NetworkEstimator):
    """Predicts numbers with a linear part, which remembers, and a deep part, which generalizes, trained together.

    linear_feature_columns: typically crossed and other categorical columns. linear_optimizer: by default FTRL, which
    keeps weights of rare ids small. dnn_feature_columns, dnn_hidden_units, dnn_optimizer, dnn_activation_fn,
    dnn_dropout: as in `DNNRegressor`; so are rates, penalties and weight decay, which are the deep part's. Without any
    columns, both parts read automatic ones.
    """

    def __init__(
        self,
        model_dir: str | Path | None = None,
        linear_feature_columns: Sequence[FeatureColumn] | None = None,
        linear_optimizer: Any = "Ftrl",
        dnn_feature_columns: Sequence[FeatureColumn] | None = None,
        dnn_optimizer: Any = None,
        dnn_hidden_units: Sequence[int] | None = None,
        dnn_activation_fn: str | Callable[..., Any] = "relu",
        dnn_dropout: float | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        config: RunConfig | None = None,
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
        deep = DNNNetwork(
            tuple(dnn_hidden_units or _HIDDEN_UNITS), activation_name(dnn_activation_fn), dnn_dropout or 0.0, batch_norm
        )
        parts = _Parts(linear_feature_columns, dnn_feature_columns, deep)
        super().__init__(
            feature_columns=parts.columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=parts.network,
            fit_head=lambda labels, label: fit_regression_head(
                labels, label=label, label_dimension=label_dimension, loss=loss, delta=huber_delta, quantile=quantile
            ),
            options=NetworkOptions(
                optimizer=dnn_optimizer,
                wide_optimizer=linear_optimizer,
                learning_rate=learning_rate,
                learning_rate_schedule=learning_rate_schedule,
                weight_decay=weight_decay,
                l1=l1_regularization_strength,
                l2=l2_regularization_strength,
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(intervals=intervals),
            ),
            params={
                **parts.params,
                "linear_optimizer": describe_optimizer(linear_optimizer),
                "label_dimension": label_dimension,
                "loss": loss,
                "huber_delta": huber_delta,
                "quantile": quantile,
            },
        )


class DNNLinearCombinedClassifier(NetworkEstimator):
    """Predicts classes with a linear and a deep part; arguments as in `DNNLinearCombinedRegressor` and
    `DNNClassifier`.
    """

    def __init__(
        self,
        model_dir: str | Path | None = None,
        linear_feature_columns: Sequence[FeatureColumn] | None = None,
        linear_optimizer: Any = "Ftrl",
        dnn_feature_columns: Sequence[FeatureColumn] | None = None,
        dnn_optimizer: Any = None,
        dnn_hidden_units: Sequence[int] | None = None,
        dnn_activation_fn: str | Callable[..., Any] = "relu",
        dnn_dropout: float | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        config: RunConfig | None = None,
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
        deep = DNNNetwork(
            tuple(dnn_hidden_units or _HIDDEN_UNITS), activation_name(dnn_activation_fn), dnn_dropout or 0.0, batch_norm
        )
        parts = _Parts(linear_feature_columns, dnn_feature_columns, deep)
        super().__init__(
            feature_columns=parts.columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=parts.network,
            fit_head=lambda labels, label: fit_classification_head(
                labels, label=label, n_classes=n_classes, label_vocabulary=label_vocabulary
            ),
            options=NetworkOptions(
                optimizer=dnn_optimizer,
                wide_optimizer=linear_optimizer,
                learning_rate=learning_rate,
                learning_rate_schedule=learning_rate_schedule,
                weight_decay=weight_decay,
                l1=l1_regularization_strength,
                l2=l2_regularization_strength,
                class_weight=class_weight,
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(calibrate=calibrate, prediction_sets=prediction_sets),
            ),
            params={
                **parts.params,
                "linear_optimizer": describe_optimizer(linear_optimizer),
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
        )


class _Parts:
    """Which columns each part reads. A column that both read is fitted once."""

    def __init__(
        self, linear: Sequence[FeatureColumn] | None, deep: Sequence[FeatureColumn] | None, network: DNNNetwork
    ) -> None:
        self._linear, self._deep, self._network = linear, deep, network
        if linear is not None and deep is not None and not (linear or deep):
            raise UsageError("both linear_feature_columns and dnn_feature_columns are empty; a model needs a column")
        for column in deep or ():
            if isinstance(column, CategoricalColumn) and not isinstance(column, BucketizedColumn):
                raise UsageError(
                    f"dnn_feature_columns holds the categorical column {column.name!r}; a network takes an "
                    "indicator_column or embedding_column of it"
                )

    @property
    def columns(self) -> tuple[FeatureColumn, ...] | None:
        if self._linear is None and self._deep is None:
            return None
        linear = tuple(self._linear or ())
        return (*linear, *[column for column in self._deep or () if column not in linear])

    @property
    def params(self) -> dict[str, Any]:
        return {
            "linear_feature_columns": None if self._linear is None else [column.name for column in self._linear],
            "dnn_feature_columns": None if self._deep is None else [column.name for column in self._deep],
            "dnn_hidden_units": list(self._network.hidden_units),
            "dnn_activation_fn": self._network.activation,
            "dnn_dropout": self._network.dropout,
            "batch_norm": self._network.batch_norm,
        }

    def network(self, features: FittedFeatures) -> WideDeepNetwork:
        names = [block.name for block in features.blocks]
        columns = self.columns
        if columns is None:
            return WideDeepNetwork(tuple(names), tuple(names), self._network)
        # Blocks stand in the order of the columns that they were fitted from.
        wide = [name for name, column in zip(names, columns, strict=True) if column in (self._linear or ())]
        deep = [name for name, column in zip(names, columns, strict=True) if column in (self._deep or ())]
        return WideDeepNetwork(tuple(wide), tuple(deep), self._network)
