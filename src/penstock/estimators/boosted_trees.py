"""`BoostedTreesRegressor` and `BoostedTreesClassifier`: gradient-boosted decision trees on LightGBM."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from penstock.errors import ConfigError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.tree_options import TreeOptions
from penstock.estimators.trees_estimator import TreesEstimator
from penstock.features.column import FeatureColumn

__all__ = ["BoostedTreesClassifier", "BoostedTreesRegressor"]

_OBJECTIVES: dict[str, str] = {
    "mean_squared_error": "regression",
    "mean_absolute_error": "regression_l1",
    "huber": "huber",
    "quantile": "quantile",
    "poisson": "poisson",
}


class BoostedTreesRegressor(TreesEstimator):
    """Predicts numbers with boosted trees.

    feature_columns: None for automatic ones; categorical columns are split as such, numbers need no scaling, missing
    values need no filling. n_trees: None grows trees until rows held out get no better (at most 3,000), and then as
    many as did best, anew on all rows. num_leaves, max_depth (-1 for none), min_rows_per_leaf: bounds of a tree;
    of a leaf's rows None takes 20, or a twentieth of a table of fewer than 400. tree_complexity: least gain of a split.
    loss: as in `DNNRegressor`. warm_start_from: a `model_dir`, or an estimator, whose trees are kept, with its
    features; the new ones, which alone count as steps, correct them.
    """

    def __init__(
        self,
        feature_columns: Sequence[FeatureColumn] | None = None,
        n_batches_per_layer: int | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        n_trees: int | None = None,
        max_depth: int = -1,
        learning_rate: float = 0.05,
        l1_regularization: float = 0.0,
        l2_regularization: float = 0.0,
        tree_complexity: float = 0.0,
        min_node_weight: float = 1e-3,
        config: RunConfig | None = None,
        *,
        num_leaves: int = 31,
        min_rows_per_leaf: int | None = None,
        feature_fraction: float = 1.0,
        loss: RegressionLoss = "mean_squared_error",
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        early_stopping: bool | None = None,
        warm_start_from: Any = None,
        intervals: float | None = None,
    ) -> None:
        if label_dimension != 1:
            raise ConfigError(f"label_dimension is {label_dimension}; boosted trees predict one number a row")
        if loss not in _OBJECTIVES:
            raise ConfigError(f"loss is {loss!r}; expected one of {', '.join(_OBJECTIVES)}")
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            fit_head=lambda labels, label: fit_regression_head(
                labels, label=label, loss=loss, delta=huber_delta, quantile=quantile
            ),
            objective={
                "objective": _OBJECTIVES[loss],
                **({"alpha": quantile} if loss == "quantile" else {}),
                **({"alpha": huber_delta} if loss == "huber" else {}),
            },
            options=TreeOptions(
                n_trees=n_trees,
                max_depth=max_depth,
                num_leaves=num_leaves,
                learning_rate=learning_rate,
                l1=l1_regularization,
                l2=l2_regularization,
                tree_complexity=tree_complexity,
                min_node_weight=min_node_weight,
                min_rows_per_leaf=min_rows_per_leaf,
                feature_fraction=feature_fraction,
                early_stopping=early_stopping,
                warm_start_from=warm_start_from,
                adjustments=AdjustmentOptions(intervals=intervals),
                class_weight=None,
            ),
            params={"loss": loss, "huber_delta": huber_delta, "quantile": quantile},
        )


class BoostedTreesClassifier(TreesEstimator):
    """Predicts classes with boosted trees; arguments as in `BoostedTreesRegressor` and `DNNClassifier`."""

    def __init__(
        self,
        feature_columns: Sequence[FeatureColumn] | None = None,
        n_batches_per_layer: int | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        n_trees: int | None = None,
        max_depth: int = -1,
        learning_rate: float = 0.05,
        l1_regularization: float = 0.0,
        l2_regularization: float = 0.0,
        tree_complexity: float = 0.0,
        min_node_weight: float = 1e-3,
        config: RunConfig | None = None,
        *,
        num_leaves: int = 31,
        min_rows_per_leaf: int | None = None,
        feature_fraction: float = 1.0,
        class_weight: Mapping[str, float] | str | None = None,
        early_stopping: bool | None = None,
        warm_start_from: Any = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            fit_head=lambda labels, label: fit_classification_head(
                labels, label=label, n_classes=n_classes, label_vocabulary=label_vocabulary
            ),
            objective={},
            options=TreeOptions(
                n_trees=n_trees,
                max_depth=max_depth,
                num_leaves=num_leaves,
                learning_rate=learning_rate,
                l1=l1_regularization,
                l2=l2_regularization,
                tree_complexity=tree_complexity,
                min_node_weight=min_node_weight,
                min_rows_per_leaf=min_rows_per_leaf,
                feature_fraction=feature_fraction,
                early_stopping=early_stopping,
                warm_start_from=warm_start_from,
                adjustments=AdjustmentOptions(calibrate=calibrate, prediction_sets=prediction_sets),
                class_weight=class_weight,
            ),
            params={
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
        )
