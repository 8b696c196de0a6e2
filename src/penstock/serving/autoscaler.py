"""How many workers there should be, from how hard those there are work. Decides; starts and stops nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.errors import UsageError
from penstock.serving.reports import Load

__all__ = ["Autoscaler", "Scale", "parse_scale"]

_BUSY = 0.8
_CALM = 0.5
_SLOW_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Bounds of the number of workers, and when to change it.

    latency_target_s: another worker is started while requests wait and more than one in twenty takes longer.
    calm_s: how long fewer workers must have sufficed before one is stopped.
    idle_s: how long no request must have come before the last one is stopped, where `minimum` is 0.
    """

    minimum: int = 1
    maximum: int = 1
    latency_target_s: float = 0.05
    calm_s: float = 30.0
    idle_s: float = 60.0


def parse_scale(text: str, *, flag: str = "--workers") -> tuple[int, int]:
    """The bounds in `2` or `0:4`. Raises UsageError.

    >>> parse_scale("0:4"), parse_scale("2")
    ((0, 4), (2, 2))
    """
    low, _, high = text.partition(":")
    bounds = (low, high or low)
    if all(bound.isdecimal() for bound in bounds) and int(bounds[0]) <= int(bounds[1]) and int(bounds[1]) > 0:
        return int(bounds[0]), int(bounds[1])
    raise UsageError(f"{flag} {text} is no number of processes; expected a number such as 2, or a range such as 0:4")


class Autoscaler:
    """Fed with the loads of the ready workers about twice a second."""

    def __init__(self, scale: Scale, *, now: float) -> None:
        self.wanted = max(scale.minimum, 1)  # the first one starts at once, so that a bad bundle shows at once
        self._scale = scale
        self._calm_since = now
        self._last_request = now

    def demand(self, now: float) -> None:
        """Requests wait and there is no worker."""
        self._last_request = now
        self.wanted = max(self.wanted, 1)

    def look(self, loads: Sequence[Load], *, now: float) -> int:
        """The number wanted. loads: of all workers that are ready; None of them starting or stopping."""
        scale = self._scale
        if any(load.requests or load.in_flight for load in loads):
            self._last_request = now
        if not loads or len(loads) != self.wanted:
            self._calm_since = now
            return self.wanted
        busy = sum(load.busy for load in loads)
        requests = sum(load.requests for load in loads)
        slow = sum(load.slow * load.requests for load in loads) / requests if requests else 0.0
        waiting = sum(load.in_flight for load in loads) > len(loads)
        if busy / len(loads) > _BUSY or (waiting and (slow > _SLOW_SHARE or not requests)):
            self._calm_since = now
            self.wanted = min(self.wanted + 1, max(scale.maximum, 1))
        elif len(loads) > 1 and busy / (len(loads) - 1) > _CALM:
            self._calm_since = now
        elif len(loads) > max(scale.minimum, 1) and now - self._calm_since >= scale.calm_s:
            self._calm_since = now
            self.wanted -= 1
        elif len(loads) == 1 and scale.minimum == 0 and now - self._last_request >= scale.idle_s:
            self.wanted = 0
        return self.wanted
