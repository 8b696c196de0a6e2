"""Running summaries of one column over batches of rows, in bounded memory and independent of chance."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, concatenate, is_missing
from penstock.data.schema import MISSING_STRING, DataType, Schema
from penstock.features.array_operators import ARRAYS
from penstock.features.dates import PART_SIZES, DatePartName, date_part
from penstock.features.hashing import hash_words, nfc

__all__ = ["FREQUENT_NUMBERS", "FREQUENT_WORDS", "NumberAccumulator", "RowSample", "WordAccumulator"]

FREQUENT_WORDS = 100_000
FREQUENT_NUMBERS = 2_000
_SAMPLE = 100_000
_MOST_CHARACTERS = 32_000_000


class NumberAccumulator:
    """Count, moments, range, frequent values and a uniform sample of numbers or of timestamps' microseconds."""

    def __init__(self, data_type: DataType) -> None:
        self.rows = 0
        self.missing = 0
        self.finite = 0
        self.mean = 0.0
        self.minimum = np.inf
        self.maximum = -np.inf
        self._type = data_type
        self._squares = 0.0
        self._counts: Counter[float] | None = Counter()
        self._sample = np.empty(0, dtype=np.float64)
        self._random = np.random.default_rng(0)
        self._parts = {part: np.zeros(size, dtype=bool) for part, size in PART_SIZES.items()}

    def add(self, values: NDArray[Any]) -> None:
        """Takes in the values `[rows]` of one batch. An infinite value counts as present, and in nothing else."""
        missing = is_missing(values, self._type)
        self.rows += len(values)
        self.missing += int(missing.sum())
        present = values[~missing].astype(np.float64)
        finite = present[np.isfinite(present)]
        if not len(finite):
            return
        if self._counts is not None:
            distinct, counts = np.unique(finite, return_counts=True)
            self._counts.update(dict(zip(distinct.tolist(), counts.tolist(), strict=True)))
            if len(self._counts) > FREQUENT_NUMBERS:
                self._counts = None
        self._add_moments(finite)
        self._add_to_sample(finite)
        if self._type is DataType.TIMESTAMP:
            for part, seen in self._parts.items():
                seen[date_part(ARRAYS, values[~missing], part)] = True

    @property
    def std(self) -> float:
        """Of the population; at most the largest double, where squares leave the range of doubles."""
        variance = self._squares / self.finite if self.finite else 0.0
        return min(float(np.sqrt(variance)), float(np.finfo(np.float64).max))

    def sample(self) -> NDArray[np.float64]:
        """All finite values, or 100,000 of them drawn uniformly, each batch's in its order."""
        return self._sample

    def frequent(self) -> tuple[tuple[float, ...], tuple[int, ...], bool]:
        """Values and counts where there are few distinct ones, and whether that is so."""
        if self._counts is None:
            return (), (), False
        ordered = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(value for value, _ in ordered), tuple(count for _, count in ordered), True

    def distinct(self) -> int:
        """Exact up to 2,000; above, the number of distinct values in the sample."""
        return len(np.unique(self._sample)) if self._counts is None else len(self._counts)

    def date_parts(self) -> dict[DatePartName, tuple[int, ...]]:
        """Which ids of each part of a timestamp occur."""
        if self._type is not DataType.TIMESTAMP:
            return {}
        return {part: tuple(np.flatnonzero(seen).tolist()) for part, seen in self._parts.items()}

    def _add_moments(self, finite: NDArray[np.float64]) -> None:
        # Chan, Golub, LeVeque 1979: moments of two parts combined without cancellation. Scaled first, so that squares
        # of numbers near the largest double do not overflow.
        count = len(finite)
        scale = float(np.max(np.abs(finite))) or 1.0
        mean = float(np.mean(finite / scale) * scale)
        with np.errstate(over="ignore"):
            squares = float(np.sum(np.square(finite - mean)))
        shift = mean - self.mean
        total = self.finite + count
        self._squares += squares + (shift * shift * self.finite * count / total if self.finite else 0.0)
        self.mean += shift * count / total
        self.finite = total
        self.minimum = min(self.minimum, float(finite.min()))
        self.maximum = max(self.maximum, float(finite.max()))

    def _add_to_sample(self, finite: NDArray[np.float64]) -> None:
        # Vitter's algorithm R, a batch at a time: the i-th value replaces a random place with probability size / i.
        free = _SAMPLE - len(self._sample)
        if free > 0:
            self._sample = np.concatenate([self._sample, finite[:free]])
        rest = finite[max(free, 0) :]
        if len(rest):
            seen = self.finite - len(rest)
            places = self._random.integers(0, np.arange(seen + 1, seen + len(rest) + 1))
            chosen = places < _SAMPLE
            self._sample[places[chosen]] = rest[chosen]


class WordAccumulator:
    """Count, distinct count and the most frequent values of strings."""

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self._counts: Counter[str] = Counter()
        self._overflowed = False
        self._characters = 0
        self._smallest_hashes = np.empty(0, dtype=np.uint64)

    def add(self, values: NDArray[Any]) -> None:
        """Takes in the values `[rows]` of one batch."""
        counts = Counter(values.tolist())
        self.rows += len(values)
        self.missing += counts.pop(MISSING_STRING, 0)
        if not all(map(str.isascii, counts)):
            composed: Counter[str] = Counter()
            for word, count in counts.items():
                composed[nfc(word)] += count
            counts = composed
        new_words = list(counts.keys() - self._counts.keys())
        self._add_to_sketch(new_words)
        self._counts.update(counts)
        self._characters += sum(map(len, new_words))
        if len(self._counts) > 4 * FREQUENT_WORDS or self._characters > _MOST_CHARACTERS:
            self._forget_rare_words()

    def frequent(self) -> tuple[tuple[str, ...], tuple[int, ...], bool]:
        """The most frequent words with their counts, and whether these are all words there are."""
        ordered = self._ordered()[:FREQUENT_WORDS]
        complete = not self._overflowed and len(self._counts) <= FREQUENT_WORDS
        return tuple(word for word, _ in ordered), tuple(count for _, count in ordered), complete

    def distinct(self) -> int:
        """Exact up to 400,000 distinct words; above, estimated to within about 2%."""
        if not self._overflowed:
            return len(self._counts)
        return int((_SKETCH - 1) / (float(self._smallest_hashes[-1]) / 2.0**64))

    def _forget_rare_words(self) -> None:
        """Lossy counting (Manku, Motwani 2002): what is rare so far goes, what is frequent stays."""
        kept: Counter[str] = Counter()
        self._characters = 0
        for word, count in self._ordered()[: 2 * FREQUENT_WORDS]:
            self._characters += len(word)
            if self._characters > _MOST_CHARACTERS // 2:
                break
            kept[word] = count
        self._counts = kept
        self._overflowed = True

    def _ordered(self) -> list[tuple[str, int]]:
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))

    def _add_to_sketch(self, new_words: list[str]) -> None:
        # K minimum values (Bar-Yossef et al. 2002) over 64-bit hashes made of two 32-bit ones.
        low = hash_words(new_words).astype(np.uint64)
        high = hash_words([word + "\0" for word in new_words]).astype(np.uint64)
        hashes = np.union1d(self._smallest_hashes, (high << np.uint64(32)) | low)
        self._smallest_hashes = hashes[:_SKETCH]


_SKETCH = 4096


class RowSample:
    """Whole rows drawn uniformly, up to `size`: for what is derived from several columns."""

    def __init__(self, schema: Schema, *, size: int = 10_000) -> None:
        self._size = size
        self.seen = 0
        self._schema = schema
        self._batch: ColumnBatch | None = None
        self._random = np.random.default_rng(0)

    def add(self, batch: ColumnBatch) -> None:
        kept = 0 if self._batch is None else self._batch.rows
        free = min(self._size - kept, batch.rows)
        if free:
            # A copy: the sample is written into, the caller's batch is not.
            head = ColumnBatch(self._schema, dict(batch.take(np.arange(free)).arrays))
            self._batch = concatenate([self._batch, head]) if self._batch else head
        rest = np.arange(free, batch.rows)
        if len(rest) and self._batch is not None:
            places = self._random.integers(0, self.seen + rest + 1)
            chosen = places < self._size
            for name, array in self._batch.arrays.items():
                array[places[chosen]] = batch[name][rest[chosen]]
        self.seen += batch.rows

    def rows(self) -> ColumnBatch:
        assert self._batch is not None
        return self._batch
