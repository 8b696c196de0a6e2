"""A network trained on all folds but one, for as many steps as the time allows. Loads Keras."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.auto.candidate import COMPILED, FoldFit
from penstock.estimators.auto.clock import Clock, TimeIsUp
from penstock.estimators.auto.labels import LearnedTarget, balanced, learned_labels
from penstock.estimators.auto.link import Link
from penstock.estimators.auto.mixture import Member
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.batches import BatchOrder
from penstock.estimators.defaults import Recipe
from penstock.estimators.early_stopping import EarlyStopping
from penstock.estimators.examples import Batching
from penstock.estimators.feed import HeldFeed
from penstock.estimators.fitting import Plan, Watchers, fit
from penstock.estimators.front import fit_front
from penstock.estimators.loop import Hyperparameters, Rows, TrainState
from penstock.estimators.network_body import NetworkBody
from penstock.estimators.network_design import NetworkDesign, checkpoint_of
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.normalization import Normalization, Normalizer
from penstock.estimators.programs import CompiledProgram
from penstock.estimators.setup import Setup

__all__ = ["NetworkTraining"]

_MOST_LOOKS = 64
_PROBE_STEPS = 16
_PROBE_CALLS = 3
_LEAST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class NetworkTraining:
    """make: the estimator, of a seed, whose design is trained. target, share: as of the candidate.

    shared: of all networks of a search. measured: seconds of a step by the size of a batch.
    """

    make: Callable[[int], NetworkEstimator]
    target: LearnedTarget
    share: float
    shared: dict[Any, Any]
    measured: dict[int, float]

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        began = time.monotonic()
        is_first = not self.measured
        allowance_s *= self.share
        made = self.make(rows.seed + fold)
        design, regimen = made.design, made.design.regimen
        setup, inputs = self._prepared(rows, made.normalization)
        labels, link = learned_labels(rows, self.target)
        kept, held_out = rows.kept(fold), rows.held_out(fold)
        weights = None if rows.weights is None else rows.weights[kept]
        training = Rows(tuple(array[kept] for array in inputs), labels[kept], weights)
        looked_at = Rows(tuple(array[held_out] for array in inputs))
        batching = Batching(size=regimen.batch_rows or "auto")
        order = batching.order(len(kept), seed=rows.seed + fold)
        recipe = regimen.recipe(len(kept), order.batch_size)
        compiled = design.compiled(setup, recipe.rate)
        state = design.initial_state(setup, compiled, None, training)
        step_s = self._step_s(compiled, state, training, order, design.hyperparameters(recipe), clock)
        once_s = 0.0
        if is_first:
            once_s = time.monotonic() - began
            self.shared[COMPILED] = max(once_s, self.shared.get(COMPILED, 0.0))
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
        every = max(1, total // min(regimen.looks, _MOST_LOOKS))
        stopping = _Stopping(measure, every=every, patience=regimen.patience, clock=clock, until=until)
        fitted = fit(
            compiled.loop,
            state,
            HeldFeed(training, order),
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
            # Written as they are, which costs a tenth of what a tree's nodes do.
            values=sum(array.size for array in kept_state.trainable) // 10,
            arrays=checkpoint_of(kept_state, None).arrays,
            facts={
                "link": msgspec.to_builtins(link),
                "normalizer": msgspec.to_builtins(setup.normalizer),
                "steps": total,
            },
        )

    def member(self, setup: Setup, fit: FoldFit, *, weight: float) -> Member:
        design = self.make(0).design
        normalizer = msgspec.convert(fit.facts["normalizer"], Normalizer | None)
        own = msgspec.structs.replace(setup, normalizer=normalizer)
        compiled = design.compiled(own, 1e-3)
        state = TrainState(fit.size, _series(fit.arrays, "trainable"), _series(fit.arrays, "non_trainable"), ())
        body = self._body(design, own, compiled, state)
        return Member(setup.features, body, msgspec.convert(fit.facts["link"], Link), weight)

    def _prepared(
        self, rows: SearchRows, normalization: Normalization | None
    ) -> tuple[Setup, tuple[NDArray[Any], ...]]:
        """The setup with its normalizer, and all rows as the network reads them.

        Networks of one search share a dictionary, and in it these.
        """
        key = (id(rows), normalization)
        if key not in self.shared:
            encoded = rows.setup.features.encode(rows.examples.features)
            front = fit_front(rows.setup.features.blocks, encoded, normalization=normalization, seed=rows.seed)
            setup = msgspec.structs.replace(rows.setup, normalizer=front.normalizer)
            self.shared[key] = (setup, front.pack(encoded))
        found: tuple[Setup, tuple[NDArray[Any], ...]] = self.shared[key]
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
                regularization=np.ones(_PROBE_STEPS, np.float32),
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
        regularization=design.regimen.regularization,
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
