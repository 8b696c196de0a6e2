"""Tables from words or numbers to ids, with separate ids for the unknown and the missing."""

from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import MISSING_STRING
from penstock.features.hashing import nfc

__all__ = ["Lookup", "NumberLookup", "WordLookup"]


class WordLookup(msgspec.Struct, frozen=True, tag="words", dict=True):
    """`words[i]` has id `i`; words are in NFC and distinct."""

    words: tuple[str, ...]
    unknown: int
    missing: int

    def ids(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """The id of each text, int64 `[rows]`. A text counts in its composed form (NFC)."""
        return np.fromiter(map(self._table.__getitem__, values.tolist()), dtype=np.int64, count=len(values))

    @cached_property
    def _table(self) -> "_Table":
        table = _Table({word: i for i, word in enumerate(self.words)})
        table[MISSING_STRING] = self.missing
        table.unknown = self.unknown
        return table


class NumberLookup(msgspec.Struct, frozen=True, tag="numbers", dict=True):
    """`numbers[i]` has id `i`; numbers are finite and distinct."""

    numbers: tuple[float, ...]
    unknown: int
    missing: int

    def ids(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The id of each number, int64 `[rows]`; NaN is missing."""
        result = np.full(len(values), self.unknown, dtype=np.int64)
        if self.numbers:
            ordered, order = self._ordered
            place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
            found = ordered[place] == values
            result[found] = order[place[found]]
        result[np.isnan(values)] = self.missing
        return result

    @cached_property
    def _ordered(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        numbers = np.asarray(self.numbers, dtype=np.float64)
        order = np.argsort(numbers, kind="stable")
        return numbers[order], order


Lookup = WordLookup | NumberLookup


class _Table(dict[str, int]):
    """Ids by word. A word that is not there is tried once more in its composed form."""

    unknown = 0

    def __missing__(self, word: str) -> int:
        return self.get(nfc(word), self.unknown)
