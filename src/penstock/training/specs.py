"""What `train_and_evaluate` is given: `TrainSpec` and `EvalSpec`, with the arguments of `tf.estimator`'s."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.errors import UsageError
from penstock.estimators.estimator import InputFn, refuse_hooks
from penstock.training.exporters import Exporter

__all__ = ["EvalSpec", "TrainSpec"]


@dataclass(frozen=True)
class TrainSpec:
    """input_fn: rows to train on. max_steps: the step to train to; None leaves it to the estimator."""

    input_fn: InputFn
    max_steps: int | None = None
    hooks: Sequence[Any] | None = None
    saving_listeners: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        refuse_hooks(self.hooks, self.saving_listeners)
        if self.max_steps is not None and self.max_steps < 1:
            raise UsageError(f"TrainSpec: max_steps is {self.max_steps}; expected at least 1")


@dataclass(frozen=True)
class EvalSpec:
    """Rows to evaluate on, and what is exported then.

    steps: batches of the input to look at; None for all. name: of this evaluation among several.
    exporters: run after the last evaluation, and after others at least `throttle_secs` apart.
    start_delay_secs: accepted for older trainers; evaluation happens at fixed steps here, in the same process.
    """

    input_fn: InputFn
    steps: int | None = 100
    name: str | None = None
    hooks: Sequence[Any] | None = None
    exporters: Exporter | Sequence[Exporter] | None = None
    start_delay_secs: float = 120
    throttle_secs: float = 600

    def __post_init__(self) -> None:
        refuse_hooks(self.hooks)
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"EvalSpec: steps is {self.steps}; expected at least 1, or None for all rows")
        names = [exporter.name for exporter in self.all_exporters]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"EvalSpec: two exporters are named {twice!r}; each writes to a folder of its name")

    @property
    def all_exporters(self) -> tuple[Exporter, ...]:
        if self.exporters is None:
            return ()
        return tuple(self.exporters) if isinstance(self.exporters, Sequence) else (self.exporters,)
