"""Boosted trees as a candidate: LightGBM on all folds but one, at a learning rate that the time allows."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.auto.candidate import Candidate, FoldFit
from penstock.estimators.auto.clock import Clock, TimeIsUp
from penstock.estimators.auto.labels import LearnedTarget, balanced, learned_labels
from penstock.estimators.auto.link import Link
from penstock.estimators.auto.mixture import Member
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.setup import Setup
from penstock.estimators.trees_body import TreesBody, tree_features, tree_matrix
from penstock.settings import load_settings

__all__ = ["TreeCandidate", "TreeRows"]

_MOST_TREES = 5_000
_FIRST_LOOK, _LOOK_TREES = 8, 25
_PROBE_TREES = 6
_VALUES_FOR_THREADS = 50_000
_FEW_ROWS = 1_000
_TREES_TIMES_RATE = 40.0
"""Trees times learning rate at which early stopping tends to end a training (25 to 60 on tables of mixed kinds)."""

_LARGEST_RATE = 0.3
_LEAST_PATIENCE, _MOST_PATIENCE = 20, 100
_PATIENCE_TIMES_RATE = 3.0


class TreeRows:
    """The rows of a search as LightGBM bins them: once, for all tree candidates and folds."""

    def __init__(self, rows: SearchRows) -> None:
        self.features = tree_features(rows.setup)
        self._rows = rows

    @cached_property
    def matrix(self) -> NDArray[np.float32]:
        return tree_matrix(self.features.blocks, self.features.encode(self._rows.examples.features))

    @cached_property
    def binned(self) -> Any:
        categorical, place = [], 0
        for block in self.features.blocks:
            if block.kind == "ids":
                categorical.append(place)
            place += block.width
        few = {"min_data_in_bin": 1} if self._rows.count < _FEW_ROWS else {}
        data = lightgbm.Dataset(
            self.matrix,
            np.zeros(self._rows.count, np.float32),
            weight=self._rows.weights,
            categorical_feature=categorical,
            params={"verbosity": -1, "num_threads": load_settings().threads, "feature_pre_filter": False, **few},
            free_raw_data=True,
        )
        return data.construct()

    @cached_property
    def threads(self) -> int:
        """All threads, or one where that is faster: on a small table, and where other work shares the cores, threads
        spend their time waiting for each other.
        """
        most = load_settings().threads
        if most == 1 or self.matrix.size < _VALUES_FOR_THREADS:
            return 1
        data = self.binned.subset(self._rows.kept(0)).construct()
        # Targets that a tree can split, whatever the label is.
        data.set_label(np.random.default_rng(0).random(data.num_data(), np.float32))
        alone_s = self._probe(data, 1, np.inf)
        return most if self._probe(data, most, alone_s) < alone_s else 1

    def _probe(self, data: Any, threads: int, most_s: float) -> float:
        """Seconds of a few trees; ends where it has taken more than `most_s`."""
        began = time.monotonic()

        def look(env: Any) -> None:
            if time.monotonic() - began > most_s:
                raise lightgbm.callback.EarlyStopException(env.iteration, [])

        parameters = {"objective": "regression", "num_threads": threads, "verbosity": -1, "force_col_wise": True}
        lightgbm.train(parameters, data, num_boost_round=_PROBE_TREES, callbacks=[look])
        return time.monotonic() - began


@dataclass(frozen=True, kw_only=True)
class TreeCandidate:
    """settings: LightGBM's parameters. target: what the trees learn of a label: itself, its logarithm, a rate."""

    name: str
    settings: Mapping[str, Any]
    target: LearnedTarget = "plain"
    family: str = "BoostedTrees"
    shared: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.settings, **({} if self.target == "plain" else {"target": self.target})}

    @property
    def start_s(self) -> float:
        return 0.0

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        began = time.monotonic()
        data = self._tree_rows(rows)
        labels, link = learned_labels(rows, self.target)
        labels = labels.reshape(rows.count)
        kept, held_out = rows.kept(fold), rows.held_out(fold)
        binned = [data.binned.subset(index).construct().set_label(labels[index]) for index in (kept, held_out)]
        growth = _Growth(rate=float(self.settings["learning_rate"]), clock=clock, until=began + allowance_s)
        booster = lightgbm.train(
            {**self._objective(rows), **self.settings, "num_threads": data.threads, "seed": rows.seed},
            binned[0],
            num_boost_round=_MOST_TREES,
            valid_sets=[binned[1]],
            callbacks=[growth.after_tree],
        )
        if growth.best_size == 0:
            raise TimeIsUp
        outputs = booster.predict(
            data.matrix[held_out], raw_score=True, num_iteration=growth.best_size, num_threads=data.threads
        )
        scores = link.apply(np.asarray(outputs, np.float32).reshape(len(held_out), -1))
        if link.kind == "exp":
            link = balanced(link, scores, rows.targets[held_out], rows.setup.head)
            scores = link.apply(np.asarray(outputs, np.float32).reshape(len(held_out), -1))
        text = str(booster.model_to_string(num_iteration=growth.best_size))
        return FoldFit(
            fold=fold,
            scores=scores,
            seconds=time.monotonic() - began,
            size=growth.best_size,
            values=text.count(" ") // 8,
            arrays={"model": np.frombuffer(text.encode(), np.uint8)},
            facts={"link": msgspec.to_builtins(link)},
        )

    def member(self, setup: Setup, fit: FoldFit, *, weight: float) -> Member:
        features = tree_features(setup)
        body = TreesBody(features.blocks, bytes(fit.arrays["model"]).decode())
        return Member(features, body, msgspec.convert(fit.facts["link"], Link), weight)

    def _tree_rows(self, rows: SearchRows) -> TreeRows:
        # Tree candidates of one search share a dictionary, and in it the binned rows.
        if id(rows) not in self.shared:
            self.shared.clear()
            self.shared[id(rows)] = TreeRows(rows)
        found: TreeRows = self.shared[id(rows)]
        return found

    def _objective(self, rows: SearchRows) -> dict[str, Any]:
        classes = len(rows.setup.head.classes)
        if classes == 2:
            objective: dict[str, Any] = {"objective": "binary", "metric": "binary_logloss"}
        elif classes:
            objective = {"objective": "multiclass", "num_class": classes, "metric": "multi_logloss"}
        elif self.target == "poisson":
            objective = {"objective": "poisson", "metric": "poisson"}
        elif rows.metric.name == "mae":
            objective = {"objective": "regression_l1", "metric": "l1"}
        else:
            objective = {"objective": "regression", "metric": "l2"}
        return {
            **objective,
            "verbosity": -1,
            "deterministic": True,
            "force_col_wise": True,
        }


class _Growth:
    """Looks at the held-out fold after each tree; ends the training for want of progress or of time.

    Where the time would end it before early stopping is likely to, the trees that are left learn faster.
    """

    def __init__(self, *, rate: float, clock: Clock, until: float) -> None:
        self.best_size = 0
        self._rate = rate
        self._progress = 0.0
        self._best = np.inf
        self._clock = clock
        self._until = until
        self._began = self._looked = time.monotonic()

    def after_tree(self, env: Any) -> None:
        size, loss = env.iteration + 1, env.evaluation_result_list[0][2]
        self._progress += self._rate
        if loss < self._best:
            self._best, self.best_size = loss, size
        now = time.monotonic()
        late = now > self._until + 0.5 * (self._until - self._began)
        patience = min(_MOST_PATIENCE, max(_LEAST_PATIENCE, round(_PATIENCE_TIMES_RATE / self._rate)))
        if late or self._clock.is_over or size - self.best_size >= patience:
            raise lightgbm.callback.EarlyStopException(env.iteration, [])
        if size == _FIRST_LOOK or size % _LOOK_TREES == 0:
            self._hurry(env.model, now, size)

    def _hurry(self, booster: Any, now: float, size: int) -> None:
        tree_s = (now - self._began) / size
        trees_left = max((self._until - now) / tree_s, 1.0)
        wanted = (_TREES_TIMES_RATE - self._progress) / trees_left
        if wanted > 1.1 * self._rate and self._rate < _LARGEST_RATE:
            self._rate = min(_LARGEST_RATE, wanted)
            booster.reset_parameter({"learning_rate": self._rate})


def _proves_protocol(candidate: TreeCandidate) -> Candidate:
    return candidate
