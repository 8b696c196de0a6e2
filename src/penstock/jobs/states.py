"""The states of a job, in ML Engine's words, and the word that ends one."""

from enum import StrEnum

__all__ = ["TERMINAL", "Ended", "JobState"]


class JobState(StrEnum):
    """A job goes down this list and may skip; what is in TERMINAL never changes again."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    RUNNING = "RUNNING"
    CANCELLING = "CANCELLING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


TERMINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})


class Ended(Exception):  # noqa: N818 - how a job ends is not always an error
    """The job is to end now, in this state and for this reason."""

    def __init__(self, state: JobState, reason: str = "") -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason
