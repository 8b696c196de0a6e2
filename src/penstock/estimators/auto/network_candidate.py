"""A network as a candidate: trained on all folds but one, for as many steps as the time allows."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.estimators.auto.candidate import Candidate, FoldFit
from penstock.estimators.auto.clock import Clock, TimeIsUp
from penstock.estimators.auto.labels import LearnedTarget, balanced, learned_labels
from penstock.estimators.auto.link import Link
from penstock.estimators.auto.mixture import Member
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.batches import BatchOrder
from penstock.estimators.defaults import Recipe, recipe_for
from penstock.estimators.early_stopping import EarlyStopping
from penstock.estimators.fitting import Plan, Watchers, fit
from penstock.estimators.loop import Hyperparameters, Rows, TrainState
from penstock.estimators.network_body import NetworkBody
from penstock.estimators.network_design import NetworkDesign, checkpoint_of, front_of
from penstock.estimators.programs import CompiledProgram
from penstock.estimators.setup import Setup

__all__ = ["NetworkCandidate"]

_LOOKS = 40
_PATIENCE = 12
_PROBE_STEPS = 16
_PROBE_CALLS = 3
_LEAST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class NetworkCandidate:
    """make_design: of a seed. parameters: what the design was made of. normalizes: whether numbers go through the
    setup's quantile maps.

    measured: seconds of a step by the size of a batch; candidates keep what they measured.
    """

    name: str
    family: str
    make_design: Callable[[int], NetworkDesign]
    parameters: dict[str, Any]
    target: LearnedTarget = "plain"
    normalizes: bool = True
    shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    measured: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        began = time.monotonic()
        is_first = not self.measured
        design, setup = self.make_design(rows.seed + fold), self._setup(rows.setup)
        inputs = self._inputs(rows, setup)
        labels, link = learned_labels(rows, self.target)
        kept, held_out = rows.kept(fold), rows.held_out(fold)
        weights = None if rows.weights is None else rows.weights[kept]
        training = Rows(tuple(array[kept] for array in inputs), labels[kept], weights)
        looked_at = Rows(tuple(array[held_out] for array in inputs))
        order = rows.examples.batching.order(len(kept), seed=rows.seed + fold)
        recipe = recipe_for(len(kept), order.batch_size)
        compiled = design.compiled(setup, recipe.rate)
        state = design.initial_state(setup, compiled, None, training)
        step_s = self._step_s(compiled, state, training, order, design.hyperparameters(recipe), clock)
        once_s = time.monotonic() - began if is_first else 0.0
        # Compiled once for all folds: the first is not made shorter for it.
        left_s = began + once_s + allowance_s - time.monotonic()
        # The looks at the held-out fold take time as well.
        affordable = int(max(left_s, 0.05) / (step_s * 1.15))
        if affordable < _LEAST_STEPS and recipe.steps > affordable:
            raise TimeIsUp
        total = min(recipe.steps, affordable)

        def measure(current: TrainState) -> float:
            scores = link.apply(self._body(design, setup, compiled, current).answer(looked_at))
            return rows.early_loss(scores, held_out)

        until = began + once_s + 1.5 * allowance_s
        stopping = _Stopping(measure, every=max(1, total // _LOOKS), patience=_PATIENCE, clock=clock, until=until)
        fitted = fit(
            compiled.loop,
            state,
            training,
            order=order,
            plan=_plan(design, recipe, total=total, stopping=stopping),
            watchers=Watchers(),
        )
        if fitted.reason == "interrupted":
            clock.interrupt()
        if not math.isfinite(stopping.best_value):
            raise TimeIsUp
        body = self._body(design, setup, compiled, fitted.state)
        outputs = body.answer(looked_at)
        scores = link.apply(outputs)
        if link.kind == "exp":
            link = balanced(link, scores, rows.targets[held_out], setup.head)
            scores = link.apply(outputs)
        kept_state = TrainState(fitted.state.step, fitted.state.trainable, fitted.state.non_trainable, ())
        return FoldFit(
            fold=fold,
            scores=scores,
            seconds=time.monotonic() - began,
            once_s=once_s,
            size=fitted.state.step,
            values=sum(array.size for array in kept_state.trainable),
            arrays=checkpoint_of(kept_state, None).arrays,
            facts={"link": msgspec.to_builtins(link), "steps": total},
        )

    def member(self, setup: Setup, fit: FoldFit, *, weight: float) -> Member:
        design, own = self.make_design(0), self._setup(setup)
        compiled = design.compiled(own, 1e-3)
        state = TrainState(fit.size, _series(fit.arrays, "trainable"), _series(fit.arrays, "non_trainable"), ())
        body = self._body(design, own, compiled, state)
        return Member(setup.features, body, msgspec.convert(fit.facts["link"], Link), weight)

    def _setup(self, setup: Setup) -> Setup:
        return setup if self.normalizes else msgspec.structs.replace(setup, normalizer=None)

    def _inputs(self, rows: SearchRows, setup: Setup) -> tuple[Any, ...]:
        """All rows as the network reads them; networks of one search share a dictionary, and in it these."""
        key = (id(rows), self.normalizes)
        if key not in self.shared:
            self.shared[key] = front_of(setup).pack(setup.features.encode(rows.examples.features))
        found: tuple[Any, ...] = self.shared[key]
        return found

    def _step_s(
        self,
        compiled: CompiledProgram,
        state: TrainState,
        training: Rows,
        order: BatchOrder,
        hyperparameters: Hyperparameters,
        clock: Clock,
    ) -> float:
        """Seconds of a step, measured on a few; the first call compiles and does not count."""
        if order.batch_size in self.measured:
            return self.measured[order.batch_size]
        loop = compiled.loop
        placed, running = loop.place(training), loop.start(state)
        seconds = []
        for call in range(_PROBE_CALLS):
            if clock.is_over:
                raise TimeIsUp
            began = time.monotonic()
            running, losses = loop.run(
                running,
                placed,
                order=order.take(call * _PROBE_STEPS, _PROBE_STEPS),
                learning_rates=np.zeros(_PROBE_STEPS, np.float32),
                hyperparameters=hyperparameters,
            )
            np.asarray(losses)
            seconds.append((time.monotonic() - began) / _PROBE_STEPS)
        self.measured[order.batch_size] = min(seconds[1:])
        return self.measured[order.batch_size]

    def _body(self, design: NetworkDesign, setup: Setup, compiled: CompiledProgram, state: TrainState) -> NetworkBody:
        body = design.model_of(setup, compiled, state, Path()).body
        assert isinstance(body, NetworkBody)
        return body


def _plan(design: NetworkDesign, recipe: Recipe, *, total: int, stopping: EarlyStopping) -> Plan:
    optimizer = design.optimizer(recipe.rate)
    return Plan(
        total=total,
        rate=optimizer.rate or 1.0,
        schedule=optimizer.schedule,
        hyperparameters=design.hyperparameters(recipe),
        stopping=stopping,
    )


def _series(arrays: Mapping[str, Any], part: str) -> tuple[Any, ...]:
    size = sum(name.startswith(f"{part}/") for name in arrays)
    return tuple(arrays[f"{part}/{i}"] for i in range(size))


class _Stopping(EarlyStopping):
    """Early stopping that the clock ends as well."""

    def __init__(
        self, measure: Callable[[TrainState], float], *, every: int, patience: int, clock: Clock, until: float
    ) -> None:
        super().__init__(measure, every=every, patience=patience)
        self._clock = clock
        self._until = until

    @property
    def is_over(self) -> bool:
        return super().is_over or self._clock.is_over or time.monotonic() > self._until


def _proves_protocol(candidate: NetworkCandidate) -> Candidate:
    return candidate
