"""A worker's books: every answered request and every call of a graph, summed up until the next report."""

from collections import deque
from collections.abc import Iterable

import numpy as np

from penstock.serving.catalog import ServedVersion
from penstock.serving.exchange import Exchange
from penstock.serving.health import PROBES
from penstock.serving.reports import (
    BATCH_BOUNDS,
    LATENCY_BOUNDS_S,
    BatchCell,
    Load,
    Report,
    RequestCell,
    ShadowCell,
    SketchCell,
)

__all__ = ["Books"]


class Books:
    """For the main loop's thread, but for `batch` and `compared`, which runners call as well."""

    def __init__(self, *, latency_target_s: float) -> None:
        self._latency_target_s = latency_target_s
        self._seconds: dict[tuple[str, str, int, int], list[float]] = {}
        self._instances: dict[tuple[str, str, int, int], int] = {}
        self._batches: dict[tuple[str, int], list[int]] = {}
        self._shadows: deque[tuple[str, int, str, float]] = deque()
        self._probes = 0

    def record(self, exchanges: Iterable[Exchange]) -> None:
        """Answered exchanges."""
        for exchange in exchanges:
            version = exchange.version
            key = (exchange.protocol, exchange.model_name, version.number if version else 0, exchange.status)
            seconds = self._seconds.get(key)
            if seconds is None:
                seconds = self._seconds[key] = []
                self._instances[key] = 0
            seconds.append(exchange.seconds)
            self._instances[key] += exchange.rows
            if not version and exchange.path in PROBES:
                self._probes += 1

    def batch(self, model_name: str, version: int, rows: int) -> None:
        """One call of a graph. Appending is safe between threads."""
        sizes = self._batches.get((model_name, version))
        if sizes is None:
            sizes = self._batches.setdefault((model_name, version), [])
        sizes.append(rows)

    def compared(self, model_name: str, shadow: ServedVersion, outcome: str, difference: float) -> None:
        """How a shadow's answer compares. Appending is safe between threads."""
        self._shadows.append((model_name, shadow.number, outcome, difference))

    def close(self, *, busy: float, in_flight: int, loaded_versions: int, sketches: list[SketchCell]) -> Report:
        """The report of what was recorded since the last call, and clean books."""
        seconds, self._seconds = self._seconds, {}
        instances, self._instances = self._instances, {}
        batches, self._batches = self._batches, {}
        probes, self._probes = self._probes, 0
        requests = sum(map(len, seconds.values()))
        slow = sum(sum(one > self._latency_target_s for one in some) for some in seconds.values())
        return Report(
            Load(busy, requests - probes, in_flight, slow / requests if requests else 0.0, loaded_versions),
            [
                RequestCell(*key, len(some), instances[key], sum(some), _counts(some, LATENCY_BOUNDS_S))
                for key, some in seconds.items()
            ],
            [
                BatchCell(*version, len(sizes), sum(sizes), _counts(sizes, BATCH_BOUNDS))
                for version, sizes in batches.items()
            ],
            self._shadow_cells(),
            sketches,
        )

    def _shadow_cells(self) -> list[ShadowCell]:
        cells: dict[tuple[str, int, str], ShadowCell] = {}
        for _ in range(len(self._shadows)):
            model_name, number, outcome, difference = self._shadows.popleft()
            cell = cells.setdefault((model_name, number, outcome), ShadowCell(model_name, number, outcome, 0, 0.0))
            cell.requests += 1
            cell.difference += difference
        return list(cells.values())


def _counts(values: list[float] | list[int], bounds: tuple[float, ...] | tuple[int, ...]) -> list[int]:
    """How many values are at most each bound and above the one before; last, those above all."""
    places = np.searchsorted(np.array(bounds), np.array(values))
    return list(np.bincount(places, minlength=len(bounds) + 1).tolist())
