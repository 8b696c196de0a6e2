"""The time that a search may take: what is left of it, and whether it is over or the user has ended it."""

import time
from collections.abc import Callable

__all__ = ["Clock", "TimeIsUp"]


class TimeIsUp(Exception):  # noqa: N818
    """Raised inside a training whose time is over; what it has so far is kept."""


class Clock:
    """spent_s: what earlier calls of the same search have used. interrupted: whether the user asked for the end."""

    def __init__(
        self, budget_s: float, *, spent_s: float = 0.0, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self.budget_s = budget_s
        self._began = time.monotonic() - spent_s
        self._end = self._began + budget_s
        self._interrupted = interrupted
        self._kept_s = 0.0
        self._is_interrupted = False

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left for training, after those kept back."""
        return self._end - self._kept_s - time.monotonic()

    @property
    def is_interrupted(self) -> bool:
        return self._is_interrupted or self._interrupted()

    @property
    def is_over(self) -> bool:
        return self.is_interrupted or self.left_s <= 0.0

    def interrupt(self) -> None:
        """The user asked for the end elsewhere."""
        self._is_interrupted = True

    def keep_back(self, seconds: float) -> None:
        """Leaves that much of the budget for what comes after the training: putting together, and an export."""
        self._kept_s = seconds
