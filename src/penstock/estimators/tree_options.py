"""How trees are grown, as users say it and as LightGBM takes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.errors import ConfigError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.warm_start import describe_source

__all__ = ["TreeOptions"]


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """n_trees: None stops early on held-out rows. warm_start_from: an earlier ensemble that the trees correct."""

    n_trees: int | None
    max_depth: int
    num_leaves: int
    learning_rate: float
    l1: float
    l2: float
    tree_complexity: float
    min_node_weight: float
    min_rows_per_leaf: int | None
    feature_fraction: float
    early_stopping: bool | None
    class_weight: Mapping[str, float] | str | None
    adjustments: AdjustmentOptions
    warm_start_from: Any = None

    def __post_init__(self) -> None:
        for name, least in (("n_trees", 1), ("num_leaves", 2), ("min_rows_per_leaf", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}")
        for name in ("l1", "l2", "tree_complexity", "min_node_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a number of at least 0")
        if not 0.0 < self.learning_rate <= 1.0:
            raise ConfigError(f"learning_rate is {self.learning_rate}; expected a number above 0 and at most 1")
        if not 0.0 < self.feature_fraction <= 1.0:
            raise ConfigError(f"feature_fraction is {self.feature_fraction}; expected a share above 0")

    @property
    def params(self) -> dict[str, Any]:
        """As JSON values, by the names of the estimators' arguments."""
        warm = describe_source(self.warm_start_from)
        return {
            "n_trees": self.n_trees,
            "max_depth": self.max_depth,
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "l1_regularization": self.l1,
            "l2_regularization": self.l2,
            "tree_complexity": self.tree_complexity,
            "min_node_weight": self.min_node_weight,
            "min_rows_per_leaf": self.min_rows_per_leaf,
            "feature_fraction": self.feature_fraction,
            "early_stopping": self.early_stopping,
            "class_weight": self.class_weight,
            **({} if warm is None else {"warm_start_from": warm}),
            **self.adjustments.params,
        }

    def rows_per_leaf(self, rows: int) -> int:
        """Least rows of a leaf, of a table of that many: LightGBM's 20 would leave a small one without any split."""
        return max(1, min(20, rows // 20)) if self.min_rows_per_leaf is None else self.min_rows_per_leaf

    def of_lightgbm(self, *, rows: int, seed: int) -> dict[str, Any]:
        """The same as LightGBM's parameters, for a table of that many rows; deterministic by the seed."""
        return {
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "lambda_l1": self.l1,
            "lambda_l2": self.l2,
            "min_gain_to_split": self.tree_complexity,
            "min_sum_hessian_in_leaf": self.min_node_weight,
            "min_data_in_leaf": self.rows_per_leaf(rows),
            "feature_fraction": self.feature_fraction,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }
