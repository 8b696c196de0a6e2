"""What the reports of all workers add up to: the text of `/metrics`, and how far callers' values have drifted."""

from collections.abc import Sequence
from time import monotonic

from penstock.serving.drift import DriftBook, VersionDrift
from penstock.serving.drift_alarm import DriftOptions
from penstock.serving.metrics import Ledger
from penstock.serving.reports import Load, Report

__all__ = ["Statement"]


class Statement:
    """Sums since the server started, and drift over a sliding window."""

    def __init__(self, drift: DriftOptions) -> None:
        self._ledger = Ledger()
        self._drift = DriftBook(window_s=drift.window_s, threshold=drift.threshold)

    def add(self, report: Report) -> None:
        """Adds what a worker has reported."""
        self._ledger.add(report)
        for cell in report.sketches:
            self._drift.add(cell, now=monotonic())

    def drift(self) -> list[VersionDrift]:
        """Every version that was asked in the window."""
        return self._drift.look(now=monotonic())

    def metrics(self, *, loads: Sequence[Load], models: int, workers_started: int = 1, workers_lost: int = 0) -> str:
        """Prometheus' text format. loads: of the workers that serve now. models: in the catalog."""
        self._ledger.workers_started = workers_started
        self._ledger.workers_lost = workers_lost
        return self._ledger.text(
            {
                "penstock_workers": ("Worker processes that serve.", len(loads)),
                "penstock_in_flight_requests": ("Requests being answered.", sum(load.in_flight for load in loads)),
                "penstock_worker_busy_ratio": (
                    "Share of the time in which main loops worked, mean over the workers.",
                    sum(load.busy for load in loads) / max(len(loads), 1),
                ),
                "penstock_loaded_versions": (
                    "Versions in memory, of the worker with most of them.",
                    max((load.loaded_versions for load in loads), default=0),
                ),
                "penstock_models": ("Models in the catalog.", models),
            },
            self.drift(),
        )
