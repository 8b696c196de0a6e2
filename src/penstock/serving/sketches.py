"""Counts of the values a version is asked about, in the bins of its training data's profile."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from penstock.bundle.manifest import Manifest
from penstock.data.columns import Array, ColumnBatch
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, Column, DataType
from penstock.serving.reports import ColumnSketch

if TYPE_CHECKING:
    from penstock.data.profile import ColumnProfile, TableProfile

__all__ = ["Reference", "Sketch", "references_of"]

_MOST_VALUES = 30
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Reference:
    """The bins of one column, and the share of the training rows in each; the last bin is of missing values.

    edges: of numbers and timestamps; a bin holds what is above the edge before it and at most its own, and the one
        after the last edge what is above all.
    words: of strings; each has a bin, and the one after them is of all others.
    """

    column: Column
    shares: tuple[float, ...]
    edges: tuple[float, ...] = ()
    words: tuple[str, ...] = ()


def references_of(manifest: Manifest, profile: "TableProfile") -> tuple[Reference, ...]:
    """Bins for the input columns that the profile knows. A column without values has nothing to drift from."""
    return tuple(
        reference
        for column in manifest.signature.inputs
        if column.name in profile
        and profile[column.name].type is column.type
        and (reference := _reference(column, profile[column.name])) is not None
    )


class Sketch:
    """Counts since the last `collect`. Any thread may call."""

    def __init__(self, references: Sequence[Reference], row_names: Sequence[str]) -> None:
        """row_names: the columns of the matrices that `see_rows` gets."""
        self._references = references
        self._places = [row_names.index(reference.column.name) for reference in references]
        self._counts = [np.zeros(len(reference.shares), dtype=np.int64) for reference in references]
        self._words = [{word: index for index, word in enumerate(reference.words)} for reference in references]
        self._edges = [
            # Whole microseconds lie above an edge where they lie above its floor.
            np.floor(reference.edges).astype(np.int64)
            if reference.column.type is DataType.TIMESTAMP
            else np.array(reference.edges, np.float64)
            for reference in references
        ]
        self._waiting: list[NDArray[np.float64]] = []
        self._waiting_rows = 0
        self._lock = threading.Lock()

    def see_rows(self, matrix: NDArray[np.float64]) -> None:
        """Rows of numbers, `[rows, columns]`; looked at once there are many, since a call costs more than a row."""
        with self._lock:
            self._waiting.append(matrix)
            self._waiting_rows += len(matrix)
            if self._waiting_rows >= _ROWS_AT_ONCE:
                self._look()

    def see_batch(self, batch: ColumnBatch) -> None:
        """Rows by column."""
        with self._lock:
            for index, reference in enumerate(self._references):
                self._count(index, batch.arrays[reference.column.name])

    def collect(self) -> list[ColumnSketch]:
        """What was counted, and clean counts. Empty when nothing was seen."""
        with self._lock:
            self._look()
            counts, self._counts = self._counts, [np.zeros_like(one) for one in self._counts]
        if not any(one.any() for one in counts):
            return []
        return [
            ColumnSketch(reference.column.name, list(reference.shares), one.tolist())
            for reference, one in zip(self._references, counts, strict=True)
        ]

    def _look(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        rows = np.concatenate(waiting)
        for index, place in enumerate(self._places):
            self._count(index, rows[:, place])

    def _count(self, index: int, values: Array) -> None:
        reference, counts = self._references[index], self._counts[index]
        last = len(counts) - 1
        if reference.column.type is DataType.STRING:
            known = self._words[index]
            for value in values.tolist():
                counts[last if value == MISSING_STRING else known.get(value, last - 1)] += 1
            return
        # Missing values are counted with the others first, a third of the time of leaving them out: the least moment
        # falls below every edge, and NaN above.
        is_timestamp = reference.column.type is DataType.TIMESTAMP
        counts[:last] += np.bincount(self._edges[index].searchsorted(values), minlength=last)
        missing = np.count_nonzero(values == MISSING_TIMESTAMP if is_timestamp else np.isnan(values))
        counts[0 if is_timestamp else last - 1] -= missing
        counts[last] += missing


def _reference(column: Column, profile: "ColumnProfile") -> Reference | None:
    if profile.present == 0:
        return None
    missing = profile.missing / profile.rows
    if column.type is DataType.STRING:
        top = profile.values[:_MOST_VALUES]
        shares = [value.count / profile.rows for value in top]
        others = max(1.0 - missing - sum(shares), 0.0)
        return Reference(column, (*shares, others, missing), words=tuple(str(value.value) for value in top))
    if profile.are_values_complete and len(profile.values) <= _MOST_VALUES:
        ordered = sorted((float(value.value), value.count) for value in profile.values)
        edges = tuple(value for value, _ in ordered)
        shares = [count / profile.rows for _, count in ordered]
        return Reference(column, (*shares, 0.0, missing), edges=edges)
    if not profile.quantiles:
        return None
    edges = tuple(sorted(set(profile.deciles)))
    ranks = np.array(profile.quantiles)
    below = np.searchsorted(ranks, edges, side="right") / len(ranks)
    parts = np.diff(np.concatenate([[0.0], below, [1.0]])) * (1.0 - missing)
    return Reference(column, (*parts.tolist(), missing), edges=edges)
