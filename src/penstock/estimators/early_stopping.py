"""Early stopping: every so many steps the held-out rows are looked at, and the best weights are kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.loop import TrainState

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Stops when the measure has not improved for `patience` looks.

    measure: of a state, less is better. every: steps between looks.
    """

    def __init__(self, measure: Callable[[TrainState], float], *, every: int, patience: int) -> None:
        self.every = every
        self._measure = measure
        self._patience = patience
        self._best: TrainState | None = None
        self._best_value = np.inf
        self._waited = 0

    @property
    def is_over(self) -> bool:
        return self._waited >= self._patience

    @property
    def best_value(self) -> float:
        return self._best_value

    def is_due(self, step: int) -> bool:
        return step % self.every == 0

    def look(self, state: TrainState) -> None:
        value = self._measure(state)
        if value < self._best_value:
            self._best, self._best_value, self._waited = state, value, 0
        else:
            self._waited += 1

    def best(self, state: TrainState) -> TrainState:
        """The best state seen, under the step of `state`; `state` itself before the first look."""
        return state if self._best is None else self._best.at(state.step)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps of this, besides `facts`."""
        if self._best is None:
            return {}
        kept = {f"best/trainable/{i}": array for i, array in enumerate(self._best.trainable)}
        return kept | {f"best/non_trainable/{i}": array for i, array in enumerate(self._best.non_trainable)}

    def facts(self) -> dict[str, float | int]:
        best_step = -1 if self._best is None else self._best.step
        return {"best_value": float(min(self._best_value, 1e300)), "best_step": best_step, "waited": self._waited}

    def restore(self, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
        """Goes on from what a checkpoint kept."""
        if "best/trainable/0" not in arrays:
            return

        def series(prefix: str) -> tuple[NDArray[Any], ...]:
            size = sum(name.startswith(prefix) for name in arrays)
            return tuple(arrays[f"{prefix}{i}"] for i in range(size))

        self._best = TrainState(int(facts["best_step"]), series("best/trainable/"), series("best/non_trainable/"), ())
        self._best_value = float(facts["best_value"])
        self._waited = int(facts["waited"])
