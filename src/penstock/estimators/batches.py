"""Which rows each optimizer step sees: a function of seed and step alone, so that a resumed training goes on
exactly.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["BatchOrder", "FixedBatches", "FullBatch", "ShuffledBatches"]


class BatchOrder(Protocol):
    """The rows of each step."""

    @property
    def batch_size(self) -> int: ...

    @property
    def last_step(self) -> int | None:
        """Steps there are rows for; None for as many as one likes."""

    def take(self, first: int, count: int) -> NDArray[np.int32] | None:
        """Row positions `[count, batch_size]` of steps `first` to `first + count`; None: every step sees all rows."""


@dataclass(frozen=True)
class FullBatch:
    """Every step sees the whole table."""

    rows: int
    last_step: int | None = None

    @property
    def batch_size(self) -> int:
        return self.rows

    def take(self, first: int, count: int) -> None:
        return None


@dataclass(frozen=True)
class ShuffledBatches:
    """Permutations of the rows, one an epoch, laid end to end and cut into batches of one size.

    A batch may span two epochs: so each epoch sees every row once and no step a short batch.
    shuffle: False keeps the rows in their order. epochs: how many there are; None for no end.
    """

    rows: int
    batch_size: int
    seed: int
    shuffle: bool = True
    epochs: int | None = None

    @property
    def last_step(self) -> int | None:
        return None if self.epochs is None else max(1, self.rows * self.epochs // self.batch_size)

    def take(self, first: int, count: int) -> NDArray[np.int32]:
        start, stop = first * self.batch_size, (first + count) * self.batch_size
        pieces = []
        while start < stop:
            epoch, offset = divmod(start, self.rows)
            size = min(self.rows - offset, stop - start)
            pieces.append(self._epoch(epoch)[offset : offset + size])
            start += size
        return np.concatenate(pieces).reshape(count, self.batch_size)

    def _epoch(self, epoch: int) -> NDArray[np.int32]:
        if not self.shuffle:
            return np.arange(self.rows, dtype=np.int32)
        return _permutation(self.rows, self.seed, epoch)


@dataclass(frozen=True)
class FixedBatches:
    """Batches as an input function gave them: consecutive rows, all of one size."""

    batch_size: int
    last_step: int | None

    def take(self, first: int, count: int) -> NDArray[np.int32]:
        start = first * self.batch_size
        return np.arange(start, start + count * self.batch_size, dtype=np.int32).reshape(count, self.batch_size)


@lru_cache(maxsize=2)
def _permutation(rows: int, seed: int, epoch: int) -> NDArray[np.int32]:
    # Philox is counter-based: (seed, epoch) names a stream of its own without drawing the ones before it.
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = np.arange(rows, dtype=np.int32)
    generator.shuffle(order)
    order.setflags(write=False)
    return order
