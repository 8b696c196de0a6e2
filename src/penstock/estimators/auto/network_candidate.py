"""A network as a candidate. Keras and JAX, which take seconds to import, are loaded when its first fold is trained."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.estimators.auto.candidate import COMPILED, Candidate, FoldFit
from penstock.estimators.auto.clock import Clock
from penstock.estimators.auto.labels import LearnedTarget
from penstock.estimators.auto.mixture import Member
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.setup import Setup

if TYPE_CHECKING:
    from penstock.estimators.auto.network_fold import NetworkTraining
    from penstock.estimators.network_estimator import NetworkEstimator

__all__ = ["NetworkCandidate"]

_COMPILES_S = 6.0


@dataclass(frozen=True, kw_only=True)
class NetworkCandidate:
    """make: the estimator, of a seed, whose design is trained. parameters: what it was made of. share: of a candidate's
    time that it takes.

    measured: seconds of a step by the size of a batch; candidates keep what they measured.
    """

    name: str
    family: str
    make: "Callable[[int], NetworkEstimator]"
    parameters: dict[str, Any]
    target: LearnedTarget = "plain"
    share: float = 1.0
    shared: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
    measured: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def start_s(self) -> float:
        """As long as the slowest network so far took to compile, and half of that; a guess before there is one."""
        if self.measured:
            return 0.0
        compiled = self.shared.get(COMPILED)
        return _COMPILES_S if compiled is None else 1.5 * float(compiled)

    def fit(self, rows: SearchRows, fold: int, *, clock: Clock, allowance_s: float) -> FoldFit:
        return self._training.fit(rows, fold, clock=clock, allowance_s=allowance_s)

    def member(self, setup: Setup, fit: FoldFit, *, weight: float) -> Member:
        return self._training.member(setup, fit, weight=weight)

    @property
    def _training(self) -> "NetworkTraining":
        from penstock.estimators.auto.network_fold import NetworkTraining

        return NetworkTraining(
            make=self.make, target=self.target, share=self.share, shared=self.shared, measured=self.measured
        )


def _proves_protocol(candidate: NetworkCandidate) -> Candidate:
    return candidate
