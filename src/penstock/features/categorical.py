"""Categorical blocks: an id handed to a model as an indicator, an embedding, or a linear model's weight."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from penstock.features.block import Block, Representation
from penstock.features.bucketized import Bucketized
from penstock.features.column import BlockColumn, CategoricalColumn
from penstock.features.crossed import Crossed
from penstock.features.hashed import HashBucket
from penstock.features.identity import Identity
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics
from penstock.features.timestamp import DatePart
from penstock.features.vocabulary import Vocabulary

__all__ = ["AnyCategorical", "EmbeddingColumn", "FittedIds", "IndicatorColumn", "fit_ids"]

AnyCategorical = Vocabulary | HashBucket | Identity | Bucketized | DatePart | Crossed


class FittedIds(msgspec.Struct, frozen=True, kw_only=True, tag="ids"):
    """An id a row, and how a model reads it."""

    name: str
    categorical: AnyCategorical
    representation: Representation
    dimension: int | None = None

    @property
    def block(self) -> Block:
        return Block(
            name=self.name,
            kind="ids",
            columns=self.categorical.keys,
            features=(self.name,),
            num_buckets=self.categorical.num_buckets,
            representation=self.representation,
            dimension=self.dimension,
            unseen=self.categorical.unseen,
        )

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        return self.categorical.ids(operators, columns)


@dataclass(frozen=True, kw_only=True)
class IndicatorColumn(BlockColumn):
    """The one-hot indicator of a categorical column."""

    categorical_column: CategoricalColumn

    @property
    def name(self) -> str:
        return f"{self.categorical_column.name}_indicator"

    @property
    def keys(self) -> tuple[str, ...]:
        return self.categorical_column.keys

    def allows_missing(self, key: str) -> bool:
        return self.categorical_column.allows_missing(key)

    def fit(self, statistics: Statistics) -> FittedIds:
        return fit_ids(self.categorical_column, statistics, name=self.name, representation="indicator")


@dataclass(frozen=True, kw_only=True)
class EmbeddingColumn(BlockColumn):
    """A trained vector of `dimension` numbers for each id of a categorical column."""

    categorical_column: CategoricalColumn
    dimension: int

    @property
    def name(self) -> str:
        return f"{self.categorical_column.name}_embedding"

    @property
    def keys(self) -> tuple[str, ...]:
        return self.categorical_column.keys

    def allows_missing(self, key: str) -> bool:
        return self.categorical_column.allows_missing(key)

    def fit(self, statistics: Statistics) -> FittedIds:
        return fit_ids(
            self.categorical_column,
            statistics,
            name=self.name,
            representation="embedding",
            dimension=self.dimension,
        )


def fit_ids(
    column: CategoricalColumn,
    statistics: Statistics,
    *,
    name: str | None = None,
    representation: Representation = "linear",
    dimension: int | None = None,
) -> FittedIds:
    """A categorical column fitted to the training data, for a model to read in this representation."""
    categorical = column.fit_categorical(statistics)
    assert isinstance(categorical, AnyCategorical)
    return FittedIds(
        name=name or column.name, categorical=categorical, representation=representation, dimension=dimension
    )
