"""One trial as the store knows it: what it was given, what it reported, how it ended."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from penstock.tuning.parameter import Value

__all__ = ["Trial", "TrialState"]


class TrialState(StrEnum):
    """STOPPED: early, by a pruner or because the time was over; its value is the last that it reported."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """number: from 1. attempts: how often it was begun; more than once where the process that ran it was lost.

    reports: (step, value) in order. notes: of the pruner. started, ended: microseconds since 1970-01-01 UTC.
    """

    number: int
    state: TrialState = TrialState.RUNNING
    attempts: int = 1
    parameters: dict[str, Value] = field(default_factory=dict)
    reports: tuple[tuple[int, float], ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)
    value: float | None = None
    failure: str = ""
    started: int = 0
    ended: int | None = None

    @property
    def is_over(self) -> bool:
        return self.state is not TrialState.RUNNING

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it runs."""
        return 0.0 if self.ended is None else (self.ended - self.started) / 1e6
