"""How far the values that callers send lie from those a model was trained on, over the last while.

Population stability index and Jensen–Shannon divergence (base 2) of each column's shares by bin. By custom an index
below 0.1 is no change, up to 0.2 a small one, and above a reason to look.
"""

import math
from collections import deque
from collections.abc import Sequence

import msgspec

from penstock.serving.reports import ColumnSketch, SketchCell

__all__ = ["ColumnDrift", "DriftBook", "VersionDrift", "jensen_shannon", "stability_index"]

_PANES = 60
_FLOOR = 1e-4


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column. missing_then, missing: share of missing values in training and now."""

    column: str
    psi: float
    js: float
    missing_then: float
    missing: float
    is_drifting: bool


class VersionDrift(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one version, most drifted first. rows: seen in the window."""

    model: str
    version: int
    rows: int
    window_s: float
    columns: list[ColumnDrift]


class DriftBook:
    """Sums sketches of all workers over a sliding window."""

    def __init__(self, *, window_s: float = 3600.0, threshold: float = 0.2, least_rows: int = 200) -> None:
        """threshold: index above which a column counts as drifting. least_rows: below, nothing does."""
        self._window_s = window_s
        self._threshold = threshold
        self._least_rows = least_rows
        self._panes: dict[tuple[str, int], deque[tuple[float, dict[str, ColumnSketch]]]] = {}

    def add(self, cell: SketchCell, *, now: float) -> None:
        """Adds what a worker has seen."""
        panes = self._panes.setdefault((cell.model, cell.version), deque())
        if not panes or now - panes[-1][0] >= self._window_s / _PANES:
            panes.append((now, {}))
        _, sums = panes[-1]
        for column in cell.columns:
            known = sums.get(column.name)
            sums[column.name] = column if known is None else _sum(known, column)

    def look(self, *, now: float) -> list[VersionDrift]:
        """Every version that was asked in the window, by model and version."""
        found = []
        for (model, version), panes in sorted(self._panes.items()):
            while panes and panes[0][0] < now - self._window_s:
                panes.popleft()
            if panes:
                found.append(self._drift(model, version, [sums for _, sums in panes]))
        return found

    def _drift(self, model: str, version: int, panes: Sequence[dict[str, ColumnSketch]]) -> VersionDrift:
        totals: dict[str, ColumnSketch] = {}
        for sums in panes:
            for name, sketch in sums.items():
                known = totals.get(name)
                totals[name] = sketch if known is None else _sum(known, sketch)
        rows = max((sum(sketch.counts) for sketch in totals.values()), default=0)
        columns = [self._column(sketch, rows) for sketch in totals.values()]
        columns.sort(key=lambda column: -column.psi)
        return VersionDrift(model=model, version=version, rows=rows, window_s=self._window_s, columns=columns)

    def _column(self, sketch: ColumnSketch, rows: int) -> ColumnDrift:
        total = sum(sketch.counts)
        shares = [count / total for count in sketch.counts]
        psi = stability_index(sketch.shares, shares)
        return ColumnDrift(
            column=sketch.name,
            psi=psi,
            js=jensen_shannon(sketch.shares, shares),
            missing_then=sketch.shares[-1],
            missing=shares[-1],
            is_drifting=rows >= self._least_rows and psi > self._threshold,
        )


def stability_index(then: Sequence[float], now: Sequence[float]) -> float:
    """The population stability index of two distributions over the same bins; empty bins count as 1 in 10,000.

    >>> stability_index([0.5, 0.5], [0.5, 0.5])
    0.0
    >>> round(stability_index([0.5, 0.5], [0.25, 0.75]), 4)
    0.2747
    """
    pairs = [(max(before, _FLOOR), max(after, _FLOOR)) for before, after in zip(then, now, strict=True)]
    return sum((after - before) * math.log(after / before) for before, after in pairs)


def jensen_shannon(then: Sequence[float], now: Sequence[float]) -> float:
    """The Jensen–Shannon divergence in bits: 0 for equal distributions, 1 for distributions without overlap.

    >>> jensen_shannon([1.0, 0.0], [0.0, 1.0])
    1.0
    """
    divergence = 0.0
    for before, after in zip(then, now, strict=True):
        middle = (before + after) / 2
        divergence += sum(share * math.log2(share / middle) / 2 for share in (before, after) if share > 0)
    return divergence


def _sum(one: ColumnSketch, other: ColumnSketch) -> ColumnSketch:
    counts = [mine + theirs for mine, theirs in zip(one.counts, other.counts, strict=True)]
    return ColumnSketch(one.name, one.shares, counts)
