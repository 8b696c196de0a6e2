"""Categorical columns whose ids are hashes: no vocabulary to keep, at the price of words that share an id."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from penstock.data.schema import DataType
from penstock.features.column import CategoricalColumn, raw_column
from penstock.features.numeric import NUMERIC_TYPES
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics
from penstock.features.vocabulary import whole_number

__all__ = ["HashBucket", "HashBucketColumn"]


@dataclass(frozen=True, kw_only=True)
class HashBucketColumn(CategoricalColumn):
    """The id of a word is its hash, modulo `hash_bucket_size`. Whole numbers are hashed as their decimal text."""

    key: str
    hash_bucket_size: int

    @property
    def name(self) -> str:
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def fit_categorical(self, statistics: Statistics) -> "HashBucket":
        purpose = f"hash buckets of {self.key!r}"
        raw = raw_column(statistics, self.key, purpose=purpose, types=(DataType.STRING, *NUMERIC_TYPES))
        return HashBucket(
            key=self.key,
            hash_bucket_size=self.hash_bucket_size,
            is_text=raw.type is DataType.STRING,
            unseen=() if statistics[self.key].missing else (self.hash_bucket_size,),
        )


class HashBucket(msgspec.Struct, frozen=True, kw_only=True, tag="hash_bucket"):
    """Ids `0 .. hash_bucket_size-1` by MurmurHash3, then that of a missing value."""

    key: str
    hash_bucket_size: int
    is_text: bool
    unseen: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def num_buckets(self) -> int:
        return self.hash_bucket_size + 1

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = columns[self.key]
        if self.is_text:
            missing, text = operators.is_missing_text(values), values
        else:
            missing, text = operators.is_nan(values), operators.text_of(whole_number(operators, values))
        hashed = operators.hash_text(text) % self.hash_bucket_size
        return operators.where(missing, operators.constant([[self.hash_bucket_size]], "int64"), hashed)
