"""What happens while trees are grown: looks at held-out rows, checkpoints, visits, and the end."""

import time
from typing import Any, Protocol

import lightgbm
import numpy as np

from penstock.estimators.checkpoints import Checkpoint
from penstock.estimators.estimator import Visit
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.preparation import notice
from penstock.estimators.run_config import RunConfig
from penstock.estimators.setup import Setup

__all__ = ["Growing", "Looks", "tree_text"]

_PATIENCE = 100


class Grower(Protocol):
    """The estimator whose trees are grown."""

    @property
    def config(self) -> RunConfig: ...

    def keep(self, setup: Setup, booster: Any, step: int, looks: "Looks") -> FittedModel:
        """Saves a checkpoint and returns its model."""


class Growing:
    """What happens after each tree: saving, visits, the end."""

    def __init__(
        self, estimator: Grower, setup: Setup, *, total: int, every: int, visit: Visit, looks: "Looks"
    ) -> None:
        self._estimator = estimator
        self._setup = setup
        self._total = total
        self._every = every
        self._visit = visit
        self._looks = looks
        self._saved_at = time.monotonic()

    def after_tree(self, booster: Any, step: int, loss: float) -> None:
        """Raises what ends `lightgbm.train` where held-out rows have got no better for a hundred trees."""
        try:
            if np.isfinite(loss):
                self._looks.look(loss, step)
            if self._looks.waited(step) >= _PATIENCE:
                raise lightgbm.callback.EarlyStopException(step - 1, [])
            config = self._estimator.config
            due = time.monotonic() - self._saved_at >= config.save_checkpoints_secs
            if config.save_checkpoints_steps:
                due = step % config.save_checkpoints_steps == 0
            is_visit = bool(self._every) and step % self._every == 0 and step < self._total
            if is_visit or due:
                model = self._estimator.keep(self._setup, booster, step, self._looks)
                self._saved_at = time.monotonic()
                if is_visit:
                    self._visit(model, False)
        except KeyboardInterrupt:
            self._estimator.keep(self._setup, booster, step, self._looks)
            notice(f"stopped at tree {step}; the same call goes on from there")
            raise


class Looks:
    """The loss on held-out rows: its best value, and after how many trees. warm_trees: those of a warm start, which are
    not counted.
    """

    def __init__(self, checkpoint: Checkpoint | None) -> None:
        facts = {} if checkpoint is None else checkpoint.facts
        self.warm_trees = int(facts.get("warm_trees", 0))
        self.best_step = int(facts.get("best_step", 0))
        self._best = float(facts.get("best_value", np.inf))

    def look(self, value: float, step: int) -> None:
        if value < self._best:
            self._best, self.best_step = float(value), step

    def waited(self, step: int) -> int:
        return step - self.best_step if self.best_step else 0

    def facts(self) -> dict[str, float | int]:
        facts: dict[str, float | int] = {"warm_trees": self.warm_trees} if self.warm_trees else {}
        return {**facts, "best_step": self.best_step, "best_value": self._best} if self.best_step else facts


def tree_text(booster: Any, trees: int) -> str:
    """LightGBM's own text of the first trees."""
    return str(booster.model_to_string(num_iteration=trees))
