"""The search: every candidate on one fold, the promising ones on the rest, losers dropped after each round.

Successive halving (Jamieson and Talwalkar, 2016) with folds as the resource: what a model of one fold costs is
measured, and one that is not expected to end in time is not begun. The models of the folds are the result: nothing is
trained again on all rows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import PenstockError
from penstock.estimators.auto.book import Book
from penstock.estimators.auto.candidate import Candidate, FoldFit
from penstock.estimators.auto.clock import Clock, TimeIsUp
from penstock.estimators.auto.leaderboard import LeaderboardEntry
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.auto.selection import select

__all__ = ["Chosen", "Search", "SearchView"]

_FULL_TRAININGS = 3.5
"""Candidates that a budget is planned to train on all folds, the opening included."""

_HOPELESS = 0.15
_SELECTION_ROWS = 40_000
_LEAST_GAIN = 1e-4
_FRUITLESS = 4
"""Later candidates in a row that do not better the ensemble by a ten-thousandth, after which the search ends."""

_PUTTING_TOGETHER_S = 1.0
_MARGIN = 1.3
_START_SHARE = 1 / 6
"""Of the time left, what a candidate may spend before its first step: compilation is uncertain, and trees need none."""


class SearchView:
    """Who is told how a search goes. This one says nothing."""

    def training(self, candidate: str, fold: int, folds: int) -> None:
        """A candidate begins on a fold."""

    def best(self, metric: str, value: float, left_s: float) -> None:
        """The best ensemble so far."""


@dataclass(frozen=True)
class Chosen:
    """The ensemble: weights by candidate, its loss on the first `folds` folds."""

    weights: Mapping[str, float]
    loss: float
    folds: int


class Search:
    """opening: of the candidates, that many begin together; the others challenge what has come of these.

    rehearse: makes a graph of one trained model, and returns the seconds that it took; done once, to plan the end.
    changed: called with the ensemble after each round. most_fits: trainings after which the search ends.
    """

    def __init__(
        self,
        rows: SearchRows,
        candidates: Sequence[Candidate],
        *,
        book: Book,
        clock: Clock,
        view: SearchView,
        changed: Callable[[Chosen], None],
        opening: int,
        rehearse: Callable[[Candidate, FoldFit], float] = lambda _candidate, _fit: 0.0,
        most_fits: int | None = None,
    ) -> None:
        self._rows = rows
        self._candidates = {candidate.name: candidate for candidate in candidates}
        self._book = book
        self._clock = clock
        self._view = view
        self._changed = changed
        self._opening = opening
        self._rehearse = rehearse
        self._s_a_value: float | None = None
        self._most_fits = most_fits
        self._kept: dict[str, dict[int, FoldFit]] = {name: book.kept(name) for name in self._candidates}
        self._used: dict[str, dict[int, FoldFit]] = {name: {} for name in self._candidates}
        self._notes: dict[str, str] = {}
        self._alive: list[str] = []
        self._allowance_s = max(clock.left_s, 0.0) * 0.85 / (rows.fold_count * _FULL_TRAININGS)
        self.chosen: Chosen | None = None

    @property
    def fit_count(self) -> int:
        return sum(len(fits) for fits in self._used.values())

    def run(self) -> None:
        """Trains until the time is over, nothing is left to try, or nothing helps any more."""
        names = list(self._candidates)
        self._alive = [name for name in names[: self._opening] if self._train(name, 0)]
        self._choose()
        for fold in range(1, self._rows.fold_count):
            self._drop_losers(fold)
            self._alive = [name for name in self._alive if self._train(name, fold) or self._used[name]]
            self._choose()
            if self._is_over:
                break
        fruitless = 0
        for name in names[self._opening :]:
            if self._is_over or fruitless >= _FRUITLESS:
                break
            before = math.inf if self.chosen is None else self.chosen.loss
            self._challenge(name)
            self._choose()
            gained = self.chosen is not None and self.chosen.loss < before * (1.0 - _LEAST_GAIN)
            if self._used[name]:
                fruitless = 0 if gained else fruitless + 1
        for name in names:
            if not self._used[name]:
                self._notes.setdefault(name, "not tried: no time" if self._is_over else "not tried: nothing gained")

    @property
    def _is_over(self) -> bool:
        return self._clock.is_over or (self._most_fits is not None and self.fit_count >= self._most_fits)

    def leaderboard(self) -> list[LeaderboardEntry]:
        """Best first; what was not tried, last."""
        weights = {} if self.chosen is None else self.chosen.weights
        entries = []
        for name, candidate in self._candidates.items():
            fits = self._used[name]
            loss = self._loss_of(name)
            note = self._notes.get(name, "" if name in weights else "adds nothing to the others")
            entries.append(
                (
                    loss,
                    LeaderboardEntry(
                        candidate=name,
                        family=candidate.family,
                        metric=self._rows.metric.name,
                        score=self._rows.metric.value(loss) if math.isfinite(loss) else None,
                        weight=float(weights.get(name, 0.0)),
                        folds=len(fits),
                        seconds=round(sum(fit.seconds for fit in fits.values()), 2),
                        note=note,
                        parameters=candidate.parameters,
                    ),
                )
            )
        return [entry for _, entry in sorted(entries, key=lambda item: item[0])]

    def fits_of(self, name: str) -> Mapping[int, FoldFit]:
        return self._used[name]

    def _train(self, name: str, fold: int) -> bool:
        """Trains a candidate on one fold, or takes what is kept of it; whether it has that fold now."""
        if fold in self._used[name]:
            return True
        if self._most_fits is not None and self.fit_count >= self._most_fits:
            return False
        fit = self._kept[name].get(fold)
        if fit is None:
            start_s = self._candidates[name].start_s
            too_late = start_s > _START_SHARE * self._clock.left_s
            if self._is_over or too_late or start_s + self._cost_s(name) > self._clock.left_s:
                self._notes.setdefault(name, "not tried: no time" if not self._used[name] else "its time ran out")
                return False
            self._view.training(name, fold, self._rows.fold_count)
            try:
                fit = self._candidates[name].fit(
                    self._rows, fold, clock=self._clock, allowance_s=min(self._allowance_s, self._clock.left_s)
                )
            except TimeIsUp:
                return False
            except PenstockError as error:
                self._notes[name] = f"failed: {error}"
                return False
            if not np.isfinite(fit.scores).all():
                self._notes[name] = "failed: its answers are not numbers"
                return False
            self._book.keep(name, fit)
        self._used[name][fold] = fit
        return True

    def _cost_s(self, name: str) -> float:
        """What a fold of it is expected to cost: as the folds before, or nothing where none is."""
        fits = self._used[name]
        return float(np.mean([fit.seconds - fit.once_s for fit in fits.values()])) if fits else 0.0

    def _drop_losers(self, fold: int) -> None:
        """Keeps, in the order of their use to the ensemble, those whose remaining folds fit into the time left."""
        assert self._alive or self.chosen is None
        if not self._alive:
            return
        weights = {} if self.chosen is None else self.chosen.weights
        order = sorted(self._alive, key=lambda name: (-weights.get(name, 0.0), self._loss_of(name)))
        best = min(self._loss_of(name) for name in self._alive)
        noise = 2.0 / math.sqrt(sum(len(self._rows.held_out(known)) for known in range(fold)))
        left_s, remaining = self._clock.left_s, self._rows.fold_count - fold
        survivors: list[str] = []
        late: list[str] = []
        for name in order:
            needed_s = self._cost_s(name) * remaining
            if name not in weights and self._loss_of(name) > best * (1.0 + _HOPELESS / fold + noise):
                self._notes[name] = f"dropped after fold {fold}: far behind the best"
            elif needed_s > left_s:
                late.append(name)
                self._notes[name] = f"dropped after fold {fold}: no time for its other folds"
            else:
                survivors.append(name)
                left_s -= needed_s
        if not survivors:
            # Some of the folds of the cheapest are better than none.
            survivors = [min(late, key=self._cost_s)]
            del self._notes[survivors[0]]
        self._alive = survivors

    def _challenge(self, name: str) -> None:
        """Trains a later candidate on the first fold, and on the others where it betters the ensemble there."""
        folds = self._rows.fold_count if self.chosen is None else self.chosen.folds
        if not self._train(name, 0):
            return
        if self._cost_s(name) * (folds - 1) > self._clock.left_s:
            self._notes[name] = "dropped after fold 1: no time for its other folds"
            return
        if self._alive:
            weights, _ = self._select([*self._alive, name], 1)
            if name not in weights:
                self._notes[name] = "dropped after fold 1: adds nothing to the others"
                return
        if all(self._train(name, fold) for fold in range(1, folds)):
            self._alive.append(name)
        else:
            self._notes.setdefault(name, "dropped: its time ran out")

    def _choose(self) -> None:
        """The ensemble of the candidates that are alive, on the folds that all of them have."""
        trained = [name for name in self._alive if self._used[name]]
        if not trained:
            return
        folds = min(len(self._used[name]) for name in trained)
        weights, loss = self._select(trained, folds)
        if self.chosen is None or folds > self.chosen.folds or loss <= self.chosen.loss:
            self.chosen = Chosen(weights, loss, folds)
        self._clock.keep_back(self._putting_together_s())
        self._view.best(self._rows.metric.name, self._rows.metric.value(self.chosen.loss), self._clock.left_s)
        self._changed(self.chosen)

    def _putting_together_s(self) -> float:
        """What making the ensemble's graph of all folds, and checking it, is expected to take."""
        assert self.chosen is not None
        members = {name: list(self._used[name].values()) for name in self.chosen.weights}
        if self._s_a_value is None:
            name = max(members, key=lambda name: members[name][0].values)
            fit = members[name][0]
            self._s_a_value = self._rehearse(self._candidates[name], fit) / max(fit.values, 1)
        values = sum(np.mean([fit.values for fit in fits]) for fits in members.values()) * self._rows.fold_count
        return _PUTTING_TOGETHER_S + _MARGIN * self._s_a_value * float(values)

    def _select(self, names: Sequence[str], folds: int) -> tuple[dict[str, float], float]:
        index = np.concatenate([self._rows.held_out(fold) for fold in range(folds)])
        picked: Any = slice(None)
        if len(index) > _SELECTION_ROWS:
            picked = np.random.default_rng(self._rows.seed).choice(len(index), _SELECTION_ROWS, replace=False)
        library = {name: self.scores_of(name, folds)[picked] for name in names}
        return select(library, lambda scores: self._rows.loss(scores, index[picked]))

    def scores_of(self, name: str, folds: int) -> NDArray[np.float32]:
        """Of the rows of the first `folds` folds, each by the model that did not see it."""
        return np.concatenate([self._used[name][fold].scores for fold in range(folds)])

    def _loss_of(self, name: str) -> float:
        """On the folds that it has, from the first on."""
        folds = len(self._used[name])
        if not folds:
            return math.inf
        index = np.concatenate([self._rows.held_out(fold) for fold in range(folds)])
        return self._rows.loss(self.scores_of(name, folds), index)
