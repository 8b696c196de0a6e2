"""The one thread of a worker that decides everything: takes what arrived since the last turn, all at once.

While a turn lasts, requests pile up, and the next turn finds them together: that is where batches come from. An idle
loop takes a single request at once.
"""

import logging
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

from penstock.serving.exchange import Exchange

__all__ = ["MainLoop"]

_TURN_LIMIT = 1024
_log = logging.getLogger(__name__)


class MainLoop:
    """`arrive` and `post` may be called from any thread; `run` is the thread."""

    def __init__(self, *, heartbeat_s: float = 0.5) -> None:
        self._arrivals: deque[Exchange] = deque()
        self._calls: deque[Callable[[], None]] = deque()
        self._heartbeat_s = heartbeat_s
        self._asleep = False
        self._gate = allocate_lock()
        self._gate.acquire()
        self._running = True
        self._slept_s = 0.0
        self._looked = monotonic()

    def arrive(self, exchange: Exchange) -> None:
        """Hands over a request."""
        self._arrivals.append(exchange)
        if self._asleep:
            self._wake()

    def post(self, call: Callable[[], None]) -> None:
        """Has `call` run in the loop's thread."""
        self._calls.append(call)
        if self._asleep:
            self._wake()

    def stop(self) -> None:
        """Ends `run` after the turn it is in."""
        self._running = False
        self._wake()

    def busy(self) -> float:
        """The share of the time since the last call in which the loop was not waiting."""
        now = monotonic()
        elapsed, slept = now - self._looked, self._slept_s
        self._looked, self._slept_s = now, 0.0
        return min(max(1.0 - slept / elapsed, 0.0), 1.0) if elapsed > 0 else 0.0

    def run(self, *, turn: Callable[[list[Exchange]], None], heartbeat: Callable[[], None]) -> None:
        """Until `stop`. turn: given the requests of this turn, or none. heartbeat: called about every `heartbeat_s`."""
        arrivals, calls = self._arrivals, self._calls
        next_beat = monotonic() + self._heartbeat_s
        while self._running:
            self._asleep = True
            if not arrivals and not calls:
                lay_down = monotonic()
                self._gate.acquire(timeout=max(next_beat - lay_down, 0.0))
                self._slept_s += monotonic() - lay_down
            self._asleep = False
            while calls:
                _guarded(calls.popleft())
            exchanges: list[Exchange] = []
            while arrivals and len(exchanges) < _TURN_LIMIT:
                exchanges.append(arrivals.popleft())
            turn(exchanges)
            if monotonic() >= next_beat:
                _guarded(heartbeat)
                next_beat = monotonic() + self._heartbeat_s

    def _wake(self) -> None:
        self._asleep = False
        with suppress(RuntimeError):  # another thread has just done so
            self._gate.release()


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        _log.exception("a call of the main loop failed")
