"""The search: every candidate on one fold, the promising ones on the rest, losers dropped after each round.

Successive halving (Jamieson and Talwalkar, 2016) with folds as the resource: what a model of one fold costs is
measured, and one that is not expected to end in time is not begun. Then others challenge what has come of these: kinds
of their own, and trees next to the best. The models of the folds are the result: nothing is trained again on all rows.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock.errors import PenstockError
from penstock.estimators.auto.book import Book
from penstock.estimators.auto.candidate import Candidate, FoldFit
from penstock.estimators.auto.clock import Clock, TimeIsUp
from penstock.estimators.auto.leaderboard import LeaderboardEntry
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.auto.trained import Trained

__all__ = ["Chosen", "Search", "SearchView"]

_FULL_TRAININGS = 3.5
"""Candidates that a budget is planned to train on all folds, the opening included."""

_HOPELESS = 0.15
_LEAST_GAIN = 1e-4
_FRUITLESS = 4
"""Later candidates of a kind in a row that do not better the ensemble by a ten-thousandth, after which that kind ends:
the given ones, or those next to the best.
"""

_DEAR_SHARE = 0.2
"""Of the time left, what makes the other folds of a candidate dear."""

_DEAR_GAIN = 0.01
"""What a dear candidate has to better the ensemble by on its first fold, or it waits until cheaper ones had a turn."""

_CHEAP_SHARE = 0.02
"""Of the time left, what is not worth sparing: a fold or two of few rows are too little to judge by."""

_MOST_ALIVE = 12
_NO_TIME = "not tried: no time"
_DEAR = "dropped after fold 1: costs more time than it is worth"
_MOST_DRAWS = 20
_PUTTING_TOGETHER_S = 1.0
_MARGIN = 1.3
_START_SHARE = 1 / 4
"""Of the time left, what a candidate may spend before its first step while others need that time as well: compilation
is uncertain, and trees need none.
"""

_LAST_START_SHARE = 1 / 2


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

    before: what a search before this one, of the same rows, was proposed.
    propose: makes a candidate next to the best of some, by their losses; None for none.
    rehearse: makes a graph of one trained model, and returns the seconds that it took; done twice for each estimator,
    to plan the end.
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
        before: Sequence[Candidate] = (),
        propose: Callable[[Mapping[str, float]], Candidate | None] = lambda _losses: None,
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
        self._before = before
        self._propose = propose
        self._rehearse = rehearse
        self._rehearsed: dict[str, float] = {}
        """By estimator, seconds that a number of the graph takes."""
        self._most_fits = most_fits
        self._kept: dict[str, dict[int, FoldFit]] = {name: book.kept(name) for name in self._candidates}
        self._trained = Trained(rows)
        self._notes: dict[str, str] = {}
        self._alive: list[str] = []
        self._waiting: list[str] = []
        self._is_last_turn = False
        self._allowance_s = max(clock.left_s, 0.0) * 0.85 / (rows.fold_count * _FULL_TRAININGS)
        self.chosen: Chosen | None = None

    @property
    def fit_count(self) -> int:
        return self._trained.count

    def run(self) -> None:
        """Trains until the time is over, nothing is left to try, or nothing helps any more."""
        names = list(self._candidates)
        self._alive = [name for name in names[: self._opening] if self._train(name, 0)]
        self._choose()
        for fold in range(1, self._rows.fold_count):
            if self._has_enough or (self._clock.is_over and not any(fold in self._kept[name] for name in self._alive)):
                break
            self._drop_losers(fold)
            # What fails is out, unless all do: then the folds before are what the others have to better.
            going_on = [name for name in self._alive if self._train(name, fold) or self._is_over]
            if not going_on:
                break
            self._alive = going_on
            self._choose()
        self._take_turns(iter(names[self._opening :]), self._proposals())
        # The time that was kept for the others is theirs now.
        self._is_last_turn = True
        late = [name for name in names if self._notes.get(name) == _NO_TIME and not self.fits_of(name)]
        self._take_turns(iter([*self._waiting, *late]))
        self._take_what_is_kept()
        for name in names:
            if not self.fits_of(name):
                self._notes.setdefault(name, self._why_not)

    @property
    def _is_over(self) -> bool:
        return self._clock.is_over or self._has_enough

    @property
    def _has_enough(self) -> bool:
        return self._most_fits is not None and self.fit_count >= self._most_fits

    @property
    def _why_not(self) -> str:
        if self._has_enough:
            return "not tried: the trainings asked for are done"
        return _NO_TIME if self._clock.is_over else "not tried: nothing gained"

    def leaderboard(self) -> list[LeaderboardEntry]:
        """Best first; what was not tried, last."""
        weights = {} if self.chosen is None else self.chosen.weights
        entries = []
        for name, candidate in self._candidates.items():
            fits = self.fits_of(name)
            loss = self._trained.loss_of(name)
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
        return self._trained.fits_of(name)

    def scores_of(self, name: str, folds: int) -> NDArray[np.float32]:
        """Of the rows of the first `folds` folds, each by the model that did not see it."""
        return self._trained.scores_of(name, folds)

    def _train(self, name: str, fold: int) -> bool:
        """Trains a candidate on one fold, or takes what is kept of it; whether it has that fold now."""
        if fold in self.fits_of(name):
            return True
        if self._has_enough:
            return False
        fit = self._kept[name].get(fold)
        if fit is None:
            start_s, left_s = self._candidates[name].start_s, self._clock.left_s
            too_late = start_s > (_LAST_START_SHARE if self._is_last_turn else _START_SHARE) * left_s
            if self._is_over or too_late or start_s + self._trained.cost_s(name) > left_s:
                self._notes.setdefault(name, "its time ran out" if self.fits_of(name) else _NO_TIME)
                return False
            self._view.training(name, fold, self._rows.fold_count)
            try:
                fit = self._candidates[name].fit(
                    self._rows, fold, clock=self._clock, allowance_s=min(self._allowance_s, self._clock.left_s)
                )
            except TimeIsUp:
                self._notes.setdefault(name, "its time ran out")
                return False
            except PenstockError as error:
                self._notes[name] = f"failed: {error}"
                return False
            if not np.isfinite(fit.scores).all():
                self._notes[name] = "failed: its answers are not numbers"
                return False
            self._book.keep(name, fit)
        self._notes.pop(name, None)
        self._trained.add(name, fit)
        return True

    def _drop_losers(self, fold: int) -> None:
        """Keeps, in the order of their use to the ensemble, those whose remaining folds fit into the time left."""
        if not self._alive:
            return
        weights = {} if self.chosen is None else self.chosen.weights
        loss_of, cost_s = self._trained.loss_of, self._trained.cost_s
        order = sorted(self._alive, key=lambda name: (-weights.get(name, 0.0), loss_of(name)))
        best = min(loss_of(name) for name in self._alive)
        noise = 2.0 / math.sqrt(sum(len(self._rows.held_out(known)) for known in range(fold)))
        left_s = max(self._clock.left_s, 0.0)
        survivors: list[str] = []
        late: list[str] = []
        waiting: list[str] = []
        for place, name in enumerate(order):
            needed_s = self._needed_s(name, fold, self._rows.fold_count)
            others = [*survivors, *order[place + 1 :]]
            is_behind = name not in weights and loss_of(name) > best * (1.0 + _HOPELESS / fold + noise)
            if is_behind and needed_s > _CHEAP_SHARE * left_s:
                self._notes[name] = f"dropped after fold {fold}: far behind the best"
            elif needed_s > left_s:
                late.append(name)
                self._notes[name] = f"dropped after fold {fold}: no time for its other folds"
            elif fold == 1 and self._is_dear(needed_s) and self._gain(name, others) < _DEAR_GAIN:
                waiting.append(name)
                self._notes[name] = _DEAR
            else:
                survivors.append(name)
                left_s -= needed_s
        if not survivors:
            # Some of the folds of the cheapest are better than none.
            survivors = [min([*late, *waiting], key=cost_s)]
            del self._notes[survivors[0]]
        self._alive = survivors
        self._waiting += [name for name in waiting if name not in survivors]

    def _needed_s(self, name: str, first: int, end: int) -> float:
        """What the folds from `first` up to `end` are expected to cost; those that are kept cost nothing."""
        return self._trained.cost_s(name) * sum(fold not in self._kept[name] for fold in range(first, end))

    def _is_dear(self, needed_s: float) -> bool:
        return not self._is_last_turn and needed_s > _DEAR_SHARE * self._clock.left_s

    def _gain(self, name: str, others: Sequence[str]) -> float:
        """What it betters the ensemble of the others by, as a share of their error on the first fold."""
        if not others:
            return math.inf
        _, without = self._trained.select(others, 1)
        _, together = self._trained.select([*others, name], 1)
        return 1.0 - together / without if without > 0.0 else 0.0

    def _take_turns(self, *sources: Iterator[str | None]) -> None:
        """Lets a challenger of each source in turn try; a source ends with several in a row that gain nothing."""
        fruitless = dict.fromkeys(sources, 0)
        while fruitless:
            for source in list(fruitless):
                name = "" if self._is_over else next(source, "")
                if name == "":
                    del fruitless[source]
                    continue
                before = math.inf if self.chosen is None else self.chosen.loss
                if name is not None and self._challenge(name):
                    self._choose()
                gained = self.chosen is not None and self.chosen.loss < before * (1.0 - _LEAST_GAIN)
                if name is None or self.fits_of(name):
                    fruitless[source] = 0 if gained else fruitless[source] + 1
                if fruitless[source] >= _FRUITLESS:
                    del fruitless[source]

    def _proposals(self) -> Iterator[str | None]:
        """Candidates next to those that are alive, none of them twice; None where there is none to start from."""
        draws = 0
        while draws < _MOST_DRAWS:
            draws += 1
            made = self._propose({name: self._trained.loss_of(name) for name in self._alive})
            if made is None:
                yield None
            elif made.name not in self._candidates:
                self._candidates[made.name] = made
                self._kept[made.name] = self._book.kept(made.name)
                draws = 0
                yield made.name

    def _challenge(self, name: str) -> bool:
        """Trains a later candidate on the first fold, and on the others where it betters the ensemble there."""
        folds = self._rows.fold_count if self.chosen is None else self.chosen.folds
        if not self._train(name, 0):
            return False
        needed_s = self._needed_s(name, 1, folds)
        gain = self._gain(name, self._alive)
        if needed_s > max(self._clock.left_s, 0.0):
            self._notes[name] = "dropped after fold 1: no time for its other folds"
        elif gain < _LEAST_GAIN:
            self._notes[name] = "dropped after fold 1: adds nothing to the others"
        elif self._is_dear(needed_s) and gain < _DEAR_GAIN:
            self._waiting.append(name)
            self._notes[name] = _DEAR
        elif all(self._train(name, fold) for fold in range(1, folds)):
            self._alive.append(name)
            return True
        else:
            self._notes.setdefault(name, self._why_not if self._has_enough else "its time ran out")
        return False

    def _take_what_is_kept(self) -> None:
        """Models of all folds that a search before this one had trained, and this one had no time to come to again."""
        if self._has_enough or self.chosen is None:
            return
        folds = range(self.chosen.folds)
        for candidate in self._before:
            if candidate.name not in self._candidates:
                self._candidates[candidate.name] = candidate
                self._kept[candidate.name] = self._book.kept(candidate.name)
        left = [name for name in self._candidates if name not in self._alive]
        found = [name for name in left if all(fold in self._kept[name] for fold in folds)]
        for name in found:
            for fold in folds:
                self._train(name, fold)
        if found:
            self._alive += found
            self._choose()

    def _choose(self) -> None:
        """The ensemble of the candidates that are alive, on the folds that all of them have."""
        trained = [name for name in self._alive if self.fits_of(name)]
        if not trained:
            return
        folds = min(len(self.fits_of(name)) for name in trained)
        weights, loss = self._trained.select(trained, folds)
        if self.chosen is None or folds > self.chosen.folds or loss <= self.chosen.loss:
            self.chosen = Chosen(weights, loss, folds)
        if len(trained) > _MOST_ALIVE:
            used = self.chosen.weights
            self._alive = sorted(trained, key=lambda one: (one not in used, self._trained.loss_of(one)))[:_MOST_ALIVE]
        self._changed(self.chosen)
        self._clock.keep_back(self._putting_together_s())
        self._view.best(self._rows.metric.name, self._rows.metric.value(self.chosen.loss), self._clock.left_s)

    def _putting_together_s(self) -> float:
        """What making the ensemble's graph of all folds, and checking it, is expected to take."""
        assert self.chosen is not None
        total_s = _PUTTING_TOGETHER_S
        for name in self.chosen.weights:
            fits = list(self.fits_of(name).values())
            family = self._candidates[name].family
            if family not in self._rehearsed and not self._clock.is_over:
                # The first time loads and compiles what the others use as well.
                _, again_s = (self._rehearse(self._candidates[name], fits[0]) for _ in range(2))
                self._rehearsed[family] = again_s / max(fits[0].values, 1)
            values = float(np.mean([fit.values for fit in fits])) * self._rows.fold_count
            total_s += _MARGIN * self._rehearsed.get(family, 0.0) * values
        return total_s
