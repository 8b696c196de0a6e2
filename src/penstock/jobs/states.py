"""The states of a job, in ML Engine's words."""

from enum import StrEnum

__all__ = ["TERMINAL", "JobState"]


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
