"""Columns whose cells hold several words (`red|green`), weighted or not, and words weighted by another column."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from penstock.data.schema import DataType
from penstock.features.block import Block, Combiner, Representation
from penstock.features.categorical import AnyCategorical
from penstock.features.column import BlockColumn, CategoricalColumn, raw_column
from penstock.features.lookup import WordLookup
from penstock.features.numeric import NUMERIC_TYPES
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics
from penstock.features.tokens import Tokens

__all__ = ["FittedList", "FittedWeighted", "ListColumn", "WeightedColumn", "combine"]


@dataclass(frozen=True, kw_only=True)
class ListColumn(BlockColumn):
    """Words between separators. A model reads which are there (or their weights), or the combination of their vectors.

    vocabulary: the words; None where they are hashed to `hash_bucket_size` ids.
    dimension: of the words' vectors; None for the indicator.
    """

    key: str
    separator: str
    vocabulary: tuple[str, ...] | None = None
    hash_bucket_size: int = 0
    weight_separator: str | None = None
    representation: Representation = "indicator"
    dimension: int | None = None
    combiner: Combiner = "mean"

    @property
    def name(self) -> str:
        return f"{self.key}_{self.representation}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def embedded(self, dimension: int, combiner: Combiner) -> "ListColumn":
        return replace(self, representation="embedding", dimension=dimension, combiner=combiner)

    def fit(self, statistics: Statistics) -> "FittedList":
        raw_column(statistics, self.key, purpose=f"the list {self.key!r}", types=(DataType.STRING,))
        size = self.hash_bucket_size
        lookup = None
        if self.vocabulary is not None:
            size = len(self.vocabulary) + 2
            lookup = WordLookup(self.vocabulary, size - 2, size - 1)
        tokens = Tokens(separators=self.separator, width=size, lookup=lookup, weight_separator=self.weight_separator)
        return FittedList(
            name=self.name,
            key=self.key,
            tokens=tokens,
            representation=self.representation,
            dimension=self.dimension,
            combiner=self.combiner,
        )


class FittedList(msgspec.Struct, frozen=True, kw_only=True, tag="list"):
    """Of a vocabulary: a value each word, then unknown ones, then a missing cell; else a value each hashed id."""

    name: str
    key: str
    tokens: Tokens
    representation: Representation
    dimension: int | None
    combiner: Combiner

    @property
    def block(self) -> Block:
        words = self.tokens.lookup.words if self.tokens.lookup is not None else ()
        names = (*words, "unknown", "missing") if words else tuple(map(str, range(self.tokens.width)))
        return Block(
            name=self.name,
            kind="dense",
            columns=(self.key,),
            width=self.tokens.width,
            features=tuple(f"{self.name}_{word}" for word in names),
            representation=self.representation,
            dimension=self.dimension,
        )

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        counts = operators.count_tokens(columns[self.key], self.tokens)
        if self.tokens.weight_separator is None:
            counts = operators.cast(counts > 0.0, "float32")
        return combine(operators, counts, self.combiner) if self.dimension is not None else counts


@dataclass(frozen=True, kw_only=True)
class WeightedColumn(BlockColumn):
    """One word a row, weighted by the number in another column; a missing weight is 0."""

    categorical_column: CategoricalColumn
    weight_feature_key: str
    representation: Representation = "indicator"
    dimension: int | None = None
    combiner: Combiner = "mean"

    @property
    def name(self) -> str:
        return f"{self.categorical_column.name}_weighted_by_{self.weight_feature_key}_{self.representation}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.categorical_column.keys, self.weight_feature_key)

    def allows_missing(self, key: str) -> bool:
        return self.categorical_column.allows_missing(key)

    def embedded(self, dimension: int, combiner: Combiner) -> "WeightedColumn":
        return replace(self, representation="embedding", dimension=dimension, combiner=combiner)

    def fit(self, statistics: Statistics) -> "FittedWeighted":
        raw_column(statistics, self.weight_feature_key, purpose="a weight", types=NUMERIC_TYPES)
        categorical = self.categorical_column.fit_categorical(statistics)
        assert isinstance(categorical, AnyCategorical)
        return FittedWeighted(
            name=self.name,
            categorical=categorical,
            weight=self.weight_feature_key,
            representation=self.representation,
            dimension=self.dimension,
            combiner=self.combiner,
        )


class FittedWeighted(msgspec.Struct, frozen=True, kw_only=True, tag="weighted"):
    """The weight at the place of the row's id, 0 elsewhere."""

    name: str
    categorical: AnyCategorical
    weight: str
    representation: Representation
    dimension: int | None
    combiner: Combiner

    @property
    def block(self) -> Block:
        size = self.categorical.num_buckets
        return Block(
            name=self.name,
            kind="dense",
            columns=(*self.categorical.keys, self.weight),
            width=size,
            features=tuple(f"{self.name}_{i}" for i in range(size)),
            representation=self.representation,
            dimension=self.dimension,
            unseen=self.categorical.unseen,
        )

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        weight = columns[self.weight]
        present = operators.where(operators.is_nan(weight), 0.0, weight)
        bounded = operators.cast(operators.clip(present, -_LARGEST_WEIGHT, _LARGEST_WEIGHT), "float32")
        ids = self.categorical.ids(operators, columns)
        weights = operators.one_hot(ids, self.categorical.num_buckets) * bounded
        return combine(operators, weights, self.combiner) if self.dimension is not None else weights


_LARGEST_WEIGHT = 1e6


def combine(operators: Operators, weights: Values, combiner: Combiner) -> Values:
    """Weights such that their sum of vectors is the mean, or the sum over the root of the squares; rows of 0 stay 0."""
    match combiner:
        case "sum":
            return weights
        case "mean":
            total = operators.sum(operators.abs(weights))
        case "sqrtn":
            total = operators.sqrt(operators.sum(weights * weights))
    return weights / operators.where(total > 0.0, total, operators.constant([[1.0]], "float32"))
