"""What heads are fitted to where the labels of all rows are too many to hold: counts and moments, batch by batch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import MISSING_STRING
from penstock.errors import DataError

__all__ = ["LabelSummary", "Labels"]

_MOST_VALUES = 10_000


class LabelSummary:
    """Of one label a row. rows: how many were added."""

    def __init__(self) -> None:
        self.rows = 0
        self.mean = 0.0
        self.minimum = np.inf
        self._squares = 0.0
        self._counts: dict[Any, int] = {}
        self._dtype: np.dtype[Any] = np.dtype(np.float64)
        self._wrong = 0
        self._first_wrong = 0

    def add(self, labels: NDArray[Any]) -> None:
        """Takes in the labels `[rows]` of one batch."""
        self._dtype = labels.dtype
        wrong = labels == MISSING_STRING if labels.dtype == object else ~np.isfinite(labels.astype(np.float64))
        if wrong.any() and not self._wrong:
            self._first_wrong = self.rows + int(np.flatnonzero(wrong)[0])
        self._wrong += int(wrong.sum())
        present = labels[~wrong]
        if len(self._counts) <= _MOST_VALUES:
            values, counts = np.unique(present.astype("U") if labels.dtype == object else present, return_counts=True)
            for value, count in zip(values.tolist(), counts.tolist(), strict=True):
                self._counts[value] = self._counts.get(value, 0) + count
        if labels.dtype != object and len(present):
            self._add_moments(present.astype(np.float64), self.rows - self._wrong + int(wrong.sum()))
        self.rows += len(labels)

    def values(self, label: str) -> NDArray[Any]:
        """The distinct labels, all of them where there are up to 10,000. Raises DataError where labels are missing."""
        self._refuse_missing(label)
        return np.array(list(self._counts), dtype=self._dtype)

    def counts(self, label: str) -> NDArray[np.int64]:
        """How many rows have each of `values`."""
        self._refuse_missing(label)
        return np.array(list(self._counts.values()), dtype=np.int64)

    def moments(self, label: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Mean `[1]`, deviation `[1]` and minimum. Raises DataError for labels that are no finite numbers."""
        if self._dtype.kind == "O":
            first = next(iter(self._counts), "")
            raise DataError(
                f"label {label!r} holds {first!r}, which is no number; use a classifier, or name another label"
            )
        self._refuse_missing(label)
        deviation = np.sqrt(self._squares / max(self.rows, 1))
        return np.array([self.mean]), np.array([deviation]), float(self.minimum)

    def _add_moments(self, values: NDArray[np.float64], before: int) -> None:
        # Chan, Golub, LeVeque 1979: moments of two parts combined without cancellation.
        total = before + len(values)
        mean = float(values.mean())
        shift = mean - self.mean
        self._squares += float(np.square(values - mean).sum()) + shift * shift * before * len(values) / total
        self.mean += shift * len(values) / total
        self.minimum = min(self.minimum, float(values.min()))

    def _refuse_missing(self, label: str) -> None:
        if self._wrong:
            raise DataError(
                f"label {label!r} is missing or infinite in {self._wrong} of {self.rows} rows "
                f"(first: row {self._first_wrong}); leave these rows out"
            )


Labels = NDArray[Any] | LabelSummary
"""The labels of all rows, or what was gathered of them."""
