"""Piecewise-linear encoding of numbers: how far a value is through each quantile bin of the training data.

Source: Gorishniy, Rubachev, Babenko, "On Embeddings for Numerical Features in Tabular Deep Learning" (NeurIPS 2022),
equation 1: below a bin 0, above it 1, within it the share passed. There the outer bins go on for ever; here they end
one bin's width beyond the data, so that an outlier stays small.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from penstock.errors import UsageError
from penstock.features.block import Block
from penstock.features.column import BlockColumn, NumberColumn
from penstock.features.numeric import RawNumber, number_quantiles
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics

__all__ = ["FittedPiecewise", "PiecewiseLinearColumn"]


@dataclass(frozen=True, kw_only=True)
class PiecewiseLinearColumn(BlockColumn):
    """A number as its progress through up to `num_bins` quantile bins, and 1.0 where it is missing.

    dimension: of a trained embedding of these values; None hands them to the model as they are.
    """

    source: NumberColumn
    num_bins: int = 16
    dimension: int | None = None

    @property
    def name(self) -> str:
        return f"{self.source.name}_piecewise"

    @property
    def keys(self) -> tuple[str, ...]:
        return self.source.keys

    def allows_missing(self, key: str) -> bool:
        return self.source.allows_missing(key)

    def fit(self, statistics: Statistics) -> "FittedPiecewise":
        number = self.source.fit_number(statistics)
        assert isinstance(number, RawNumber)
        quantiles = number_quantiles(number, statistics)
        levels = np.linspace(0, len(quantiles) - 1, self.num_bins + 1).round().astype(int)
        edges = np.unique(quantiles[levels]) if len(quantiles) else quantiles
        if len(edges) < 2:
            raise UsageError(f"piecewise_linear_column: {self.source.name!r} has fewer than two values; leave it out")
        return FittedPiecewise(
            name=self.name,
            number=number,
            edges=tuple(edges.tolist()),
            indicator=bool(statistics[number.key].missing) and number.fill is None,
            dimension=self.dimension,
        )


class FittedPiecewise(msgspec.Struct, frozen=True, kw_only=True, tag="piecewise"):
    """Bins between ascending edges; a missing number is 0 in each of them, and 1.0 in the indicator behind them."""

    name: str
    number: RawNumber
    edges: tuple[float, ...]
    indicator: bool
    dimension: int | None

    @property
    def block(self) -> Block:
        bins = [f"{self.name}_{low:g}_{high:g}" for low, high in zip(self.edges[:-1], self.edges[1:], strict=True)]
        features = [*bins, *([f"{self.name}_is_missing"] if self.indicator else [])]
        return Block(
            name=self.name,
            kind="dense",
            columns=self.number.keys,
            width=len(features),
            features=tuple(features),
            representation=None if self.dimension is None else "embedding",
            dimension=self.dimension,
        )

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = self.number.values(operators, columns)
        missing = operators.is_nan(values)
        edges = np.asarray(self.edges)
        starts, widths = edges[:-1], np.diff(edges)
        lowest, highest = np.zeros_like(starts), np.ones_like(starts)
        lowest[0], highest[-1] = -1.0, 2.0
        present = operators.where(missing, self.edges[0], values)
        passed = (present - operators.constant([starts], "float64")) / operators.constant([widths], "float64")
        bounded = operators.clip(
            passed, operators.constant([lowest], "float64"), operators.constant([highest], "float64")
        )
        # A missing value stands at the first edge, where every share is 0 already.
        result = operators.cast(bounded, "float32")
        return operators.concat([result, operators.cast(missing, "float32")]) if self.indicator else result
