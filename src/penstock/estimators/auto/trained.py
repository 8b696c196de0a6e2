"""The models that a search has trained: what each is worth, alone and in an ensemble."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.auto.candidate import FoldFit
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.auto.selection import select

__all__ = ["Trained"]

_SELECTION_ROWS = 40_000


class Trained:
    """By candidate, a model for each fold from the first on."""

    def __init__(self, rows: SearchRows) -> None:
        self._rows = rows
        self._fits: dict[str, dict[int, FoldFit]] = {}

    @property
    def count(self) -> int:
        return sum(len(fits) for fits in self._fits.values())

    def add(self, name: str, fit: FoldFit) -> None:
        self._fits.setdefault(name, {})[fit.fold] = fit

    def fits_of(self, name: str) -> Mapping[int, FoldFit]:
        return self._fits.get(name, {})

    def cost_s(self, name: str) -> float:
        """What a fold of it is expected to cost: as the folds before, or nothing where none is."""
        fits = self.fits_of(name)
        return float(np.mean([fit.seconds - fit.once_s for fit in fits.values()])) if fits else 0.0

    def loss_of(self, name: str) -> float:
        """On the folds that it has."""
        folds = len(self.fits_of(name))
        if not folds:
            return math.inf
        return self._rows.loss(self.scores_of(name, folds), self._index(folds))

    def scores_of(self, name: str, folds: int) -> NDArray[np.float32]:
        """Of the rows of the first `folds` folds, each by the model that did not see it."""
        return np.concatenate([self._fits[name][fold].scores for fold in range(folds)])

    def select(self, names: Sequence[str], folds: int) -> tuple[dict[str, float], float]:
        """The weights of the best ensemble of these, and its loss, on the first `folds` folds."""
        index = self._index(folds)
        picked: Any = slice(None)
        if len(index) > _SELECTION_ROWS:
            picked = np.random.default_rng(self._rows.seed).choice(len(index), _SELECTION_ROWS, replace=False)
        library = {name: self.scores_of(name, folds)[picked] for name in names}
        return select(library, lambda scores: self._rows.loss(scores, index[picked]))

    def _index(self, folds: int) -> NDArray[np.int64]:
        return np.concatenate([self._rows.held_out(fold) for fold in range(folds)])
