"""Where the training loop gets the rows of its next steps from."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.batches import BatchOrder
from penstock.estimators.loop import Rows

__all__ = ["Feed", "HeldFeed", "Portion"]

Place = Callable[[Rows], Any]
"""`TrainLoop.place`."""


@dataclass(frozen=True)
class Portion:
    """Rows for some steps. placed: what `TrainLoop.place` made of them. order: positions in them, as `run` takes it."""

    placed: Any
    order: NDArray[np.int32] | None
    steps: int


class Feed(Protocol):
    """The rows of steps, in order. What a step sees depends on its number alone."""

    def open(self, place: Place) -> AbstractContextManager["OpenFeed"]: ...


class OpenFeed(Protocol):
    def take(self, step: int, most: int) -> Portion:
        """Of step `step + 1` and those after it, at least one and at most `most`."""


@dataclass(frozen=True)
class HeldFeed:
    """Rows in memory, all of them placed once. offset: the step before the order's first batch."""

    rows: Rows
    order: BatchOrder
    offset: int = 0

    def open(self, place: Place) -> AbstractContextManager[OpenFeed]:
        return nullcontext(_OpenHeld(place(self.rows), self.order, self.offset))


@dataclass(frozen=True)
class _OpenHeld:
    placed: Any
    order: BatchOrder
    offset: int

    def take(self, step: int, most: int) -> Portion:
        return Portion(self.placed, self.order.take(step - self.offset, most), most)


def _proves_protocol(feed: HeldFeed) -> Feed:
    return feed
