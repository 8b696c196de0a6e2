"""What every feature column is: a definition, fitted to the training data, then a formula on raw columns."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from penstock.data.schema import Column, DataType
from penstock.errors import UsageError
from penstock.features.block import Block
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics

__all__ = [
    "BlockColumn",
    "Categorical",
    "CategoricalColumn",
    "FeatureColumn",
    "FittedColumn",
    "Number",
    "NumberColumn",
    "raw_column",
]


class FittedColumn(Protocol):
    """A feature column with everything it learned from the training data."""

    @property
    def block(self) -> Block: ...

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        """The block's values: float32 `[rows, width]`, or int64 `[rows, 1]` ids.

        columns: the raw columns, `[rows, 1]`, of the types of `penstock.data.columns`.
        """


class Number(Protocol):
    """A number derived from raw columns."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    def values(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        """float64 `[rows, 1]`, NaN where missing."""


class Categorical(Protocol):
    """One id a row, derived from raw columns."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    @property
    def num_buckets(self) -> int: ...

    @property
    def unseen(self) -> tuple[int, ...]: ...

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        """int64 `[rows, 1]`, each in `[0, num_buckets)`."""


class FeatureColumn(ABC):
    """A definition: what a user writes down before any data is read."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As `tf.feature_column` names the column."""

    @property
    @abstractmethod
    def keys(self) -> tuple[str, ...]:
        """The raw columns it reads."""

    def allows_missing(self, key: str) -> bool:
        """Whether the definition itself says what a missing value of `key` becomes."""
        return False


class BlockColumn(FeatureColumn):
    """A definition of a block that a network can take."""

    @abstractmethod
    def fit(self, statistics: Statistics) -> FittedColumn:
        """The column fitted to the training data. Raises UsageError where the data does not suit it."""


class CategoricalColumn(FeatureColumn):
    """A definition of an id a row. Linear models take it as it is, networks an indicator or embedding of it."""

    @abstractmethod
    def fit_categorical(self, statistics: Statistics) -> Categorical:
        """The ids fitted to the training data. Raises UsageError where the data does not suit them."""


class NumberColumn(FeatureColumn):
    """A definition that can be read as a plain number: what buckets and bins are made of."""

    @abstractmethod
    def fit_number(self, statistics: Statistics) -> Number: ...


def raw_column(statistics: Statistics, key: str, *, purpose: str, types: tuple[DataType, ...]) -> Column:
    """The raw column `key`, of one of these types. Raises DataError without it, UsageError for another type."""
    column = statistics.schema[key]
    if column.type not in types:
        expected = " or ".join(types)
        raise UsageError(f"{purpose}: column {key!r} holds {column.type} values; expected {expected}")
    return column
