"""How a network is trained, as users say it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import ConfigError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.optimizers import describe_optimizer
from penstock.estimators.schedules import Schedule
from penstock.estimators.warm_start import describe_source

__all__ = ["OF_STEPS", "NetworkOptions"]

OF_STEPS = {
    "hidden_units",
    "activation_fn",
    "dropout",
    "members",
    "label_smoothing",
    "batch_norm",
    "optimizer",
    "learning_rate",
    "learning_rate_schedule",
    "weight_decay",
    "l1_regularization_strength",
    "l2_regularization_strength",
    "early_stopping",
    "class_weight",
}
"""Arguments that change steps, not what is fitted before the first one."""


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """None leaves a choice to the network's regimen.

    wide_optimizer: of the wide part of a wide & deep network; it keeps its learning rate. row_loss: of outputs and
    targets, a loss a row, in place of the head's.
    """

    optimizer: Any = None
    learning_rate: float | None = None
    learning_rate_schedule: Schedule | None = None
    weight_decay: float | None = None
    l1: float = 0.0
    l2: float = 0.0
    early_stopping: bool | None = None
    class_weight: Mapping[str, float] | str | None = None
    warm_start_from: Any = None
    wide_optimizer: Any = None
    adjustments: AdjustmentOptions = field(default_factory=AdjustmentOptions)
    row_loss: Callable[[Any, Any], Any] | None = None

    def __post_init__(self) -> None:
        for name in ("l1", "l2", "weight_decay"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} is {value}; expected a number of at least 0")

    @property
    def params(self) -> dict[str, Any]:
        """As JSON values, by the names of the estimators' arguments."""
        return {
            "optimizer": describe_optimizer(self.optimizer),
            "learning_rate": self.learning_rate,
            "learning_rate_schedule": self.learning_rate_schedule,
            "weight_decay": self.weight_decay,
            "l1_regularization_strength": self.l1,
            "l2_regularization_strength": self.l2,
            "early_stopping": self.early_stopping,
            "class_weight": self.class_weight,
            "warm_start_from": describe_source(self.warm_start_from),
            **self.adjustments.params,
        }
