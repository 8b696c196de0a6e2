"""Crossed columns: the combination of several categorical columns as one hashed id."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import msgspec

from penstock.features.bucketized import Bucketized
from penstock.features.column import CategoricalColumn
from penstock.features.hashed import HashBucket
from penstock.features.identity import Identity
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics
from penstock.features.timestamp import DatePart
from penstock.features.tokens import PAIR_LIMIT
from penstock.features.vocabulary import Vocabulary

__all__ = ["Crossed", "CrossedColumn"]

Crossable = Vocabulary | HashBucket | Identity | Bucketized | DatePart


@dataclass(frozen=True, kw_only=True)
class CrossedColumn(CategoricalColumn):
    """The id of a combination is its hash, modulo `hash_bucket_size`. Missing values are combined as any other."""

    columns: tuple[CategoricalColumn, ...]
    hash_bucket_size: int

    @property
    def name(self) -> str:
        return "_X_".join(column.name for column in self.columns)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for column in self.columns for key in column.keys))

    def allows_missing(self, key: str) -> bool:
        return any(column.allows_missing(key) for column in self.columns if key in column.keys)

    def fit_categorical(self, statistics: Statistics) -> "Crossed":
        parts = tuple(column.fit_categorical(statistics) for column in self.columns)
        return Crossed(parts=tuple(_crossable(part) for part in parts), hash_bucket_size=self.hash_bucket_size)


class Crossed(msgspec.Struct, frozen=True, kw_only=True, tag="crossed"):
    """Ids `0 .. hash_bucket_size-1` by MurmurHash3 of the parts' ids, two at a time from the left."""

    parts: tuple[Crossable, ...]
    hash_bucket_size: int

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for part in self.parts for key in part.keys))

    @property
    def num_buckets(self) -> int:
        return self.hash_bucket_size

    @property
    def unseen(self) -> tuple[int, ...]:
        return ()

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        parts = [part.ids(operators, columns) for part in self.parts]
        combined = reduce(lambda left, right: operators.hash_pair(left % PAIR_LIMIT, right), parts)
        return combined % self.hash_bucket_size


def _crossable(part: object) -> Crossable:
    assert isinstance(part, Crossable)
    return part
