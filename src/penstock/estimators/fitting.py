"""Drives a training loop from a step to the last one: learning rates, checkpoints, summaries, progress, early stopping.

Everything that happens between steps happens at step numbers that depend on the configuration alone, and a step on
nothing but the state before it, so a training that was killed and resumed ends as one that was not.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import TrainingError
from penstock.estimators.early_stopping import EarlyStopping
from penstock.estimators.feed import Feed
from penstock.estimators.interruption import interruption
from penstock.estimators.loop import Hyperparameters, TrainLoop, TrainState
from penstock.estimators.progress import NoProgress, Progress
from penstock.estimators.schedules import Schedule, learning_rates, regularization

__all__ = ["Fitted", "Plan", "Watchers", "fit"]

_CALL_S = 0.2
"""How long one call of the loop should last: long enough to cost nothing, short enough to answer Ctrl-C."""

_FIRST_CALL_STEPS = 32
_MOST_CALL_STEPS = 1024


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a training does, step by step.

    total: last step; schedules reach their end there. rate: base learning rate.
    regularization: schedule of weight decay and dropout.
    saves_every_steps, saves_every_s: when to save; the last step is always saved.
    visits: step interval of `visit`, which sees the saved state (evaluation); 0 for never.
    """

    total: int
    rate: float
    schedule: Schedule
    regularization: Schedule = "constant"
    hyperparameters: Hyperparameters = field(default_factory=Hyperparameters)
    saves_every_steps: int | None = None
    saves_every_s: float | None = None
    visits: int = 0
    stopping: EarlyStopping | None = None


@dataclass(frozen=True, kw_only=True)
class Watchers:
    """Who is told of what. losses: of steps `first + 1` onwards."""

    save: Callable[[TrainState], None] = lambda _state: None
    visit: Callable[[TrainState, bool], None] = lambda _state, _is_last: None
    losses: Callable[[int, NDArray[np.float32]], None] = lambda _first, _losses: None
    progress: Progress = field(default_factory=NoProgress)


@dataclass(frozen=True)
class Fitted:
    """The state at the last step, and why it was the last: "done", "stopped early" or "interrupted"."""

    state: TrainState
    reason: str


def fit(loop: TrainLoop, state: TrainState, feed: Feed, *, plan: Plan, watchers: Watchers) -> Fitted:
    """Runs steps `state.step` to `plan.total`.

    On Ctrl-C the state is saved, and the result says "interrupted". Raises TrainingError when the loss is not a number.
    """
    running = loop.start(state)
    step = state.step
    pending: tuple[int, Any] | None = None
    saved_at, size = time.monotonic(), _FIRST_CALL_STEPS
    with feed.open(loop.place) as rows, interruption() as interrupted:
        while step < plan.total:
            stop = min(step + size, _next_boundary(step, plan))
            began = time.monotonic()
            portion = rows.take(step, stop - step)
            stop = step + portion.steps
            running, losses = loop.run(
                running,
                portion.placed,
                order=portion.order,
                learning_rates=learning_rates(
                    plan.schedule, plan.rate, first=step, count=stop - step, total=plan.total
                ),
                hyperparameters=plan.hyperparameters,
                regularization=regularization(plan.regularization, first=step, count=stop - step, total=plan.total),
            )
            if pending is not None:
                _account(pending, plan, watchers)
            pending = (step, losses)
            taken, step = stop - step, stop
            is_boundary = step == _next_boundary(step - 1, plan)
            due = plan.saves_every_s is not None and time.monotonic() - saved_at >= plan.saves_every_s
            if not (is_boundary or due or interrupted()):
                size = _next_size(size, taken, time.monotonic() - began)
                continue
            _account(pending, plan, watchers)
            pending = None
            current = loop.fetch(running, step)
            if plan.stopping is not None and plan.stopping.is_due(step):
                plan.stopping.look(current)
            is_last = step >= plan.total or (plan.stopping is not None and plan.stopping.is_over)
            is_visit = bool(plan.visits) and (is_last or _is_multiple(step, plan.visits))
            is_save = due or is_last or is_visit or interrupted() or _is_multiple(step, plan.saves_every_steps)
            if is_save:
                watchers.save(current)
                saved_at = time.monotonic()
            if is_visit:
                watchers.visit(_best(current, plan) if is_last else current, is_last)
            if interrupted():
                return Fitted(_best(current, plan), "interrupted")
            if is_last:
                return Fitted(_best(current, plan), "done" if step >= plan.total else "stopped early")
            size = _next_size(size, taken, time.monotonic() - began)
    return Fitted(_best(loop.fetch(running, step), plan), "done")


def _best(state: TrainState, plan: Plan) -> TrainState:
    return state if plan.stopping is None else plan.stopping.best(state)


def _next_boundary(step: int, plan: Plan) -> int:
    """The first step after `step` at which the state has to be looked at."""
    every = [plan.saves_every_steps, plan.visits, plan.stopping.every if plan.stopping else None]
    return min([plan.total, *((step // n + 1) * n for n in every if n)])


def _is_multiple(step: int, every: int | None) -> bool:
    return bool(every) and step % (every or 1) == 0


def _next_size(size: int, taken: int, seconds: float) -> int:
    """Steps of the next call, from how long this one took; at most doubled, since the first call also compiles."""
    fitting = int(taken * _CALL_S / max(seconds, 1e-6))
    return int(min(_MOST_CALL_STEPS, max(1, min(max(fitting, size // 2), size * 2))))


def _account(pending: tuple[int, Any], plan: Plan, watchers: Watchers) -> None:
    first, losses = pending
    values = np.asarray(losses)
    if not np.isfinite(values).all():
        step = first + int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise TrainingError(
            f"the loss is not a number any more at step {step}; lower learning_rate (it is {plan.rate:g}), "
            "or look for extreme values in the numeric columns with: penstock data profile"
        )
    watchers.losses(first, values)
    watchers.progress.update(first + len(values), float(values[-1]))
