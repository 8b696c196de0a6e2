"""Rows from disk in the order of training: blocks shuffled, and rows within a window of some blocks; read ahead.

An epoch is the blocks in an order drawn by seed and epoch, cut into windows of equally many blocks, the rows of each
drawn again. So where a step's rows lie follows from its number, and a training that was killed goes on in the middle of
an epoch with the rows that were next.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.feed import Feed, OpenFeed, Place, Portion
from penstock.estimators.loop import Rows

__all__ = ["StreamedFeed"]

_POLL_S = 0.2


@dataclass(frozen=True)
class _Window:
    """Rows of steps `first` to `first + len(order)`, filled up to a size that all windows have."""

    rows: Rows
    first: int
    order: NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class StreamedFeed:
    """counts: rows of each block. block: its rows. window_blocks: how many blocks' rows are mixed.

    shuffle: False keeps the order of the table. is_shuffled_at_first: whether the first epoch may ask for blocks in any
    order. offset: the step before the first batch.
    """

    counts: Sequence[int]
    block: Callable[[int], Rows]
    window_blocks: int
    batch_size: int
    seed: int
    shuffle: bool = True
    is_shuffled_at_first: bool = True
    offset: int = 0

    def open(self, place: Place) -> AbstractContextManager[OpenFeed]:
        return _OpenStream(self, place)

    def order_of_blocks(self, epoch: int) -> NDArray[np.int64]:
        order = np.arange(len(self.counts))
        if self.shuffle and (epoch > 0 or self.is_shuffled_at_first):
            _generator(self.seed, epoch, 0).shuffle(order)
        return order

    def windows(self, step: int) -> Iterator[_Window]:
        """Windows from the one on that holds step `step + 1`."""
        rows = sum(self.counts)
        epoch, skipped = divmod((step - self.offset) * self.batch_size, rows)
        size = self._window_rows + self.batch_size
        rest: Rows | None = None
        first = step
        while True:
            order = self.order_of_blocks(epoch)
            for number, start in enumerate(range(0, len(order), self.window_blocks), 1):
                chosen = [one for one in order[start : start + self.window_blocks].tolist() if self.counts[one]]
                count = sum(self.counts[block] for block in chosen)
                if skipped >= count:
                    skipped -= count
                    continue
                places = np.arange(count, dtype=np.int32)
                if self.shuffle:
                    _generator(self.seed, epoch, number).shuffle(places)
                places = places[skipped:]
                skipped = 0
                before = 0 if rest is None else rest.count
                window = _joined([*([] if rest is None else [rest]), *map(self.block, chosen)], size)
                places = np.concatenate([np.arange(before, dtype=np.int32), places + np.int32(before)])
                steps = len(places) // self.batch_size
                whole = steps * self.batch_size
                rest = window.take(places[whole:]) if whole < len(places) else None
                if steps:
                    yield _Window(window, first, places[:whole].reshape(steps, self.batch_size))
                    first += steps
            epoch += 1

    @property
    def _window_rows(self) -> int:
        """The most rows that a window can have."""
        return int(np.sort(self.counts)[-self.window_blocks :].sum())


class _OpenStream:
    """The next window is read while steps run on this one."""

    def __init__(self, feed: StreamedFeed, place: Place) -> None:
        self._feed = feed
        self._place = place
        self._windows: queue.Queue[_Window | BaseException] = queue.Queue(maxsize=1)
        self._is_closed = threading.Event()
        self._reader: threading.Thread | None = None
        self._window: _Window | None = None
        self._placed: Any = None

    def __enter__(self) -> "_OpenStream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed.set()
        if self._reader is not None:
            self._reader.join()

    def take(self, step: int, most: int) -> Portion:
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, args=(step,), name="row-reader", daemon=True)
            self._reader.start()
        while self._window is None or step >= self._window.first + len(self._window.order):
            self._window = self._placed = None
            found = self._windows.get()
            if isinstance(found, BaseException):
                raise found
            self._window = found
            self._placed = self._place(found.rows)
        first = step - self._window.first
        order = self._window.order[first : first + most]
        return Portion(self._placed, order, len(order))

    def _read(self, step: int) -> None:
        try:
            for window in self._feed.windows(step):
                if not self._put(window):
                    return
        except BaseException as error:
            self._put(error)

    def _put(self, item: _Window | BaseException) -> bool:
        while not self._is_closed.is_set():
            try:
                self._windows.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False


def _joined(parts: Sequence[Rows], size: int) -> Rows:
    """The rows of all parts one after the other, and zeros up to `size`: programs are compiled for one size."""

    def join(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        whole = np.zeros((size, *arrays[0].shape[1:]), arrays[0].dtype)
        start = 0
        for array in arrays:
            whole[start : start + len(array)] = array
            start += len(array)
        return whole

    labels = [part.labels for part in parts if part.labels is not None]
    weights = [part.weights for part in parts if part.weights is not None]
    inputs = tuple(join([part.inputs[i] for part in parts]) for i in range(len(parts[0].inputs)))
    return Rows(inputs, join(labels), join(weights) if weights else None)


def _generator(seed: int, epoch: int, number: int) -> np.random.Generator:
    # Philox is counter-based: the key names a stream of its own without drawing the ones before it.
    return np.random.Generator(np.random.Philox(key=[seed, (epoch << 32) | number]))


def _proves_protocol(feed: StreamedFeed) -> Feed:
    return feed
