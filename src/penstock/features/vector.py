"""Several numbers a row under one name: raw columns NAME_0, NAME_1, …, a number each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.features.column import FeatureColumn
from penstock.features.numeric import NumericColumn

__all__ = ["NumericVector", "flat_columns"]


@dataclass(frozen=True, kw_only=True)
class NumericVector(FeatureColumn):
    """What `numeric_column` with a shape makes. columns: of the values, those of the last dimension side by side."""

    key: str
    shape: tuple[int, ...]
    columns: tuple[NumericColumn, ...]

    def __post_init__(self) -> None:
        assert math.prod(self.shape) == len(self.columns)

    @property
    def name(self) -> str:
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(column.key for column in self.columns)

    def allows_missing(self, key: str) -> bool:
        return any(column.allows_missing(key) for column in self.columns if column.key == key)


def flat_columns(columns: Sequence[FeatureColumn]) -> list[FeatureColumn]:
    """The columns with those of a vector in its place."""
    flat: list[FeatureColumn] = []
    for column in columns:
        flat += column.columns if isinstance(column, NumericVector) else [column]
    return flat
