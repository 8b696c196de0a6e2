"""Which rows of a table are trained on and which are held out, by a seed and their positions alone."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penstock.errors import DataError
from penstock.features.scatter import scatter

__all__ = ["RowSplit", "scattered_rows", "split_rows"]


@dataclass(frozen=True)
class RowSplit:
    """One side of a seeded split of a table's rows. evaluation: the share held out."""

    evaluation: float
    seed: int
    side: Literal["training", "evaluation"]

    def rows(self, count: int) -> NDArray[np.int64]:
        """The positions of this side's rows, ascending."""
        training, evaluation = split_rows(count, self.evaluation, seed=self.seed)
        return training if self.side == "training" else evaluation

    def has(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these rows lie on this side, where a table is too long to draw its rows: a split of its own."""
        held_out = scattered_rows(positions, self.evaluation, seed=self.seed)
        return ~held_out if self.side == "training" else held_out


def split_rows(count: int, evaluation: float, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the training and of the evaluation rows, each ascending; at least one row on either side.

    Raises DataError for a table of fewer than two rows.
    """
    if count < 2:
        raise DataError(f"holding rows out needs a table of at least 2; this one has {count}")
    held_out = min(count - 1, max(1, round(count * evaluation)))
    order: NDArray[Any] = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def scattered_rows(positions: NDArray[np.int64], share: float, *, seed: int) -> NDArray[np.bool_]:
    """About that share of the rows at these positions, drawn by a seed: `[rows]`, whether each is drawn."""
    return scatter(positions, seed=seed) < np.uint64(min(share, 1.0 - 2**-53) * 2**64)
