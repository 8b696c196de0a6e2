"""The seam of the search: a candidate trains on all folds but one and answers for that one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.auto.clock import Clock
from penstock.estimators.auto.mixture import Member
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.setup import Setup

__all__ = ["COMPILED", "Candidate", "FoldFit"]

COMPILED = "seconds of the slowest compilation"
"""Key of that number among what candidates share."""


@dataclass(frozen=True, kw_only=True)
class FoldFit:
    """One trained model. scores: of the rows of its fold, as the ensemble averages them.

    seconds: that it took. once_s: of these, what another fold would not cost again (compilation). size: trees or
    steps. values: numbers in the graph that it becomes.
    arrays, facts: what `Candidate.member` makes it of again, as a checkpoint keeps it.
    """

    fold: int
    scores: NDArray[np.float32]
    seconds: float
    once_s: float = 0.0
    size: int
    values: int
    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Candidate(Protocol):
    """A kind of model with its settings."""

    @property
    def name(self) -> str:
        """Unique among the candidates, and a file name."""

    @property
    def family(self) -> str:
        """The estimator it is (`BoostedTrees`)."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Its settings, as JSON values."""

    @property
    def start_s(self) -> float:
        """Seconds that go by before its first step, which nothing can interrupt: compilation."""

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        """Trains within about that time, looking at the clock on the way.

        Raises TimeIsUp where the clock is over before anything is worth keeping.
        """

    def member(self, setup: Setup, fit: FoldFit, *, weight: float) -> Member:
        """The trained model as a member of an ensemble."""
