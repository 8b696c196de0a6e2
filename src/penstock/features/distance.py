"""The distance between two places on Earth, in kilometres, from their latitudes and longitudes in degrees."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from penstock.features.array_operators import ARRAYS
from penstock.features.block import Block
from penstock.features.column import BlockColumn, raw_column
from penstock.features.numeric import NUMERIC_TYPES, FittedNumeric, RawNumber, robust_scale, standardize
from penstock.features.operators import Operators, Values
from penstock.features.statistics import NumberSummary, Statistics

__all__ = ["DistanceColumn", "FittedDistance"]

_EARTH_RADIUS_KM = 6_371.0088
_RADIANS = math.pi / 180.0


@dataclass(frozen=True, kw_only=True)
class DistanceColumn(BlockColumn):
    """The great-circle distance between a start and an end, robustly scaled.

    start, end: names of the latitude and the longitude column, in this order.
    """

    start: tuple[str, str]
    end: tuple[str, str]

    @property
    def name(self) -> str:
        return f"distance_{self.start[0]}_{self.end[0]}"

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.start, *self.end)

    def fit(self, statistics: Statistics) -> "FittedDistance":
        for key in self.keys:
            raw_column(statistics, key, purpose=f"the distance {self.name!r}", types=NUMERIC_TYPES)
        distance = Distance(start=self.start, end=self.end)
        columns = {key: statistics.sample[key].reshape(-1, 1) for key in self.keys}
        with np.errstate(invalid="ignore"):
            found = distance.values(ARRAYS, columns)[:, 0]
        present = found[np.isfinite(found)]
        missing = any(statistics[key].missing for key in self.keys)
        scale = FittedNumeric(name=self.name, number=RawNumber(key=self.name), fill=0.0, indicator=missing)
        if len(present):
            numbers = NumberSummary.of(present)
            scale = robust_scale(msgspec.structs.replace(scale, fill=numbers.median), numbers)
        return FittedDistance(name=self.name, distance=distance, scale=scale)


class Distance(msgspec.Struct, frozen=True, kw_only=True):
    """Haversine formula. Its arc sine is taken in float32: ONNX Runtime has none of float64."""

    start: tuple[str, str]
    end: tuple[str, str]

    def values(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        """Kilometres, float64 `[rows, 1]`, NaN where a coordinate is missing or infinite."""
        first, second = (columns[key] * _RADIANS for key in (self.start[0], self.end[0]))
        across = (columns[self.end[1]] - columns[self.start[1]]) * _RADIANS
        up = operators.sin((second - first) * 0.5)
        along = operators.sin(across * 0.5)
        square = up * up + operators.cos(first) * operators.cos(second) * along * along
        half_chord = operators.sqrt(operators.clip(square, 0.0, 1.0))
        angle = operators.arcsin(operators.cast(half_chord, "float32"))
        return operators.cast(angle, "float64") * (2.0 * _EARTH_RADIUS_KM)


class FittedDistance(msgspec.Struct, frozen=True, kw_only=True, tag="distance"):
    """The distance, scaled as a number of its own."""

    name: str
    distance: Distance
    scale: FittedNumeric

    @property
    def block(self) -> Block:
        columns = (*self.distance.start, *self.distance.end)
        return msgspec.structs.replace(self.scale.block, name=self.name, columns=columns)

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        return standardize(operators, self.distance.values(operators, columns), [self.scale])
