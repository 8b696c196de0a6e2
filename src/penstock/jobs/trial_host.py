"""Where the trials of a tuning run: as processes of this machine, or as jobs of a cluster."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Sighting", "TrialHost", "TrialLaunch"]


@dataclass(frozen=True, kw_only=True)
class TrialLaunch:
    """A trial to run. arguments: the whole command line of the trainer's module. job_dir: the trial's own, or "".

    folders: where its summaries may be.
    """

    number: int
    arguments: Sequence[str]
    job_dir: str = ""
    folders: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A trial as it was when it was looked at.

    reports: (step, value) since the last look. waits: it has no machine yet. ending: None while it goes on, "" where
    it came to its end, else why it did not. is_lost: it was killed, and may be begun again.
    """

    reports: Sequence[tuple[int, float]] = ()
    waits: bool = False
    ending: str | None = None
    is_lost: bool = False


class TrialHost(Protocol):
    """Not for threads. A trial that has ended or was lost is forgotten once its end has been seen."""

    def start(self, launch: TrialLaunch) -> None:
        """Begins a trial, or goes on with what an earlier process began of it."""

    def wait(self) -> None:
        """Returns in a moment, or once there may be something new."""

    def look(self, number: int) -> Sighting: ...

    def stop(self, number: int) -> None:
        """Asks for a trial's end, which comes now or at a later look."""

    def close(self) -> None:
        """Ends all that run."""
