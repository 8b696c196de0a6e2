"""Small summaries of many values that add up: distinct values, quantiles, histograms and moments of parts.

Light on purpose: nothing here needs DuckDB.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DistinctSketch",
    "Histogram",
    "Moments",
    "merge_histograms",
    "merge_quantiles",
    "rebin",
    "share_up_to",
]

REGISTERS = 2_048
RANKS_OF_BITS = 64
_REGISTER_BITS = 11
_CUBED = 1e100
"""Larger numbers have no third power that is a float."""


class DistinctSketch(msgspec.Struct, frozen=True, kw_only=True):
    """HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007) of the different values of a column.

    registers: `[2048]` bytes, base64. hasher: which hash function fed them. The sketch of two parts is that of the
    whole, to the bit; the relative standard error of `estimate` is 1.04/√2048, 2.3 %.
    """

    registers: str
    hasher: str

    @staticmethod
    def of_bits(bits: str | None, *, hasher: str) -> "DistinctSketch":
        """From a text of 2048 x 64 zeros and ones: bit r of register i is set if a hash of that register has rank r."""
        registers = np.zeros(REGISTERS, dtype=np.uint8)
        if bits:
            table = (np.frombuffer(bits.encode(), dtype=np.uint8) == ord("1")).reshape(REGISTERS, RANKS_OF_BITS)
            registers = (table * np.arange(RANKS_OF_BITS, dtype=np.uint8)).max(axis=1)
        return DistinctSketch(registers=base64.b64encode(registers.tobytes()).decode(), hasher=hasher)

    @property
    def estimate(self) -> int:
        """About how many different values there are (Ertl 2017, "New cardinality estimation algorithms", alg. 6)."""
        most = RANKS_OF_BITS - _REGISTER_BITS
        counts = np.bincount(self._array(), minlength=most + 2)
        denominator = REGISTERS * _tau(1 - counts[most + 1] / REGISTERS)
        for rank in range(most, 0, -1):
            denominator = 0.5 * (denominator + counts[rank])
        denominator += REGISTERS * _sigma(counts[0] / REGISTERS)
        if not math.isfinite(denominator):
            return 0
        return round(REGISTERS**2 / (2 * math.log(2)) / denominator)

    def merged(self, other: "DistinctSketch") -> "DistinctSketch | None":
        """The sketch of both parts' values; None where different hash functions fed them."""
        if self.hasher != other.hasher:
            return None
        registers = np.maximum(self._array(), other._array())
        return DistinctSketch(registers=base64.b64encode(registers.tobytes()).decode(), hasher=self.hasher)

    def _array(self) -> NDArray[np.uint8]:
        return np.frombuffer(base64.b64decode(self.registers), dtype=np.uint8)


class Histogram(msgspec.Struct, frozen=True):
    """Counts of values between edges; a bin holds its lower edge, the last one also its upper. Timestamps are
    microseconds UTC.

    edges: `[bins + 1]`, rising; equal-width, or equal-width in log where `is_log`. counts: `[bins]`.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    is_log: bool = False


@dataclass(frozen=True)
class Moments:
    """Count, mean and central sums of numbers: of (x - mean)² and (x - mean)³. They add up (Pébay 2008)."""

    count: int
    mean: float
    squares: float
    cubes: float

    @staticmethod
    def of(count: int, *, mean: float, std: float, skew: float | None) -> "Moments":
        return Moments(count, mean, std**2 * count, (skew or 0.0) * std**3 * count)

    @staticmethod
    def of_sums(count: int, first: float, second: float, third: float) -> "Moments":
        """Of sums of values, of their squares and of their cubes."""
        mean = first / count
        squares = second - count * mean**2
        cubes = third - 3 * mean * second + 2 * count * mean**3
        return Moments(count, mean, max(squares, 0.0), cubes)

    @staticmethod
    def of_counts(values: NDArray[np.float64], counts: NDArray[np.int64]) -> "Moments":
        """Of values that occur so many times."""
        total = int(counts.sum())
        if not total:
            return Moments(0, 0.0, 0.0, 0.0)
        shift = float(values[0])
        mean = float(np.average(values - shift, weights=counts)) + shift
        away = values - mean
        return Moments(total, mean, float(np.dot(counts, away**2)), float(np.dot(counts, away**3)))

    @property
    def std(self) -> float:
        """Of the population."""
        return float(np.sqrt(max(self.squares, 0.0) / self.count)) if self.count else 0.0

    @property
    def skew(self) -> float | None:
        """Third standardized moment of the population; None where all values are alike."""
        spread = self.squares / self.count if self.count else 0.0
        scale = max(abs(self.mean), 1e-300)
        if not (scale < _CUBED and spread < _CUBED**2):
            return None
        if spread <= (scale * 1e-12) ** 2 or self.count < 3:
            return None
        return float(self.cubes / self.count / spread**1.5)

    def merged(self, other: "Moments") -> "Moments":
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart = other.mean - self.mean
        left, right = self.count / count, other.count / count
        squares = self.squares + other.squares + apart**2 * self.count * right
        cubes = (
            self.cubes
            + other.cubes
            + apart**3 * self.count * right * (left - right)
            + 3 * apart * (left * other.squares - right * self.squares)
        )
        return Moments(count, self.mean + apart * right, squares, cubes)


def merge_quantiles(
    left: Sequence[float], left_weight: float, right: Sequence[float], right_weight: float, *, points: int
) -> tuple[float, ...]:
    """Quantiles at `points` equal ranks of two parts together, from quantiles at equal ranks of each.

    Each part is taken as straight between its quantiles, so ranks err by at most one step of the coarser part.
    """
    if not left or not right:
        return tuple(left or right)
    grid = np.union1d(np.asarray(left, dtype=float), np.asarray(right, dtype=float))
    shares = [
        weight * (_rank(grid, values, side="left") + _rank(grid, values, side="right")) / 2
        for values, weight in ((left, left_weight), (right, right_weight))
    ]
    ranks = (shares[0] + shares[1]) / (left_weight + right_weight)
    ranks = np.maximum.accumulate(ranks)
    merged = np.interp(np.linspace(0.0, 1.0, points), ranks, grid)
    merged[0], merged[-1] = grid[0], grid[-1]
    return tuple(merged.tolist())


def merge_histograms(left: Histogram, right: Histogram) -> Histogram:
    """Counts of both parts over the range of both, in as many bins; a bin's values are taken as spread evenly in it."""
    if left.edges == right.edges:
        return Histogram(left.edges, tuple(a + b for a, b in zip(left.counts, right.counts, strict=True)), left.is_log)
    wider = left if len(left.counts) >= len(right.counts) else right
    low, high = min(left.edges[0], right.edges[0]), max(left.edges[-1], right.edges[-1])
    bins = max(len(wider.counts), 2)
    if left.is_log and right.is_log:
        first = min(left.edges[1], right.edges[1])
        edges = np.concatenate([[low], np.geomspace(first, high, bins)])
    else:
        edges = np.linspace(low, high, bins + 1)
    total = rebin(left, edges) + rebin(right, edges)
    return Histogram(tuple(edges.tolist()), tuple(_whole(total)), left.is_log and right.is_log)


def share_up_to(values: NDArray[np.float64], quantiles: Sequence[float]) -> NDArray[np.float64]:
    """Which share of a column, by its quantiles at equal ranks, is at most each of these values."""
    return _rank(values, quantiles, side="right")


def rebin(histogram: Histogram, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The counts between other edges, `[len(edges) - 1]`; what lies beyond them is in the first and last bin."""
    own = np.asarray(histogram.edges, dtype=float)
    if own[0] == own[-1]:
        counts = np.zeros(len(edges) - 1)
        counts[min(max(int(np.searchsorted(edges, own[0], side="right")) - 1, 0), len(counts) - 1)] = sum(
            histogram.counts
        )
        return counts
    below = np.concatenate([[0.0], np.cumsum(histogram.counts, dtype=float)])
    cumulative = np.interp(edges, own, below)
    cumulative[0], cumulative[-1] = 0.0, below[-1]
    result: NDArray[np.float64] = np.diff(cumulative)
    return result


def _sigma(share: float) -> float:
    if share == 1.0:
        return math.inf
    power, weight, total = share, 1.0, share
    while True:
        power *= power
        before, total = total, total + power * weight
        weight += weight
        if total == before:
            return total


def _tau(share: float) -> float:
    if share in (0.0, 1.0):
        return 0.0
    root, weight, total = share, 1.0, 1.0 - share
    while True:
        root = math.sqrt(root)
        before, weight = total, weight * 0.5
        total -= (1.0 - root) ** 2 * weight
        if total == before:
            return total / 3


def _rank(grid: NDArray[np.float64], values: Sequence[float], *, side: Any) -> NDArray[np.float64]:
    """Shares of a part below (side "left") or up to (side "right") each value of the grid."""
    known = np.asarray(values, dtype=float)
    ranks = np.linspace(0.0, 1.0, len(known)) if len(known) > 1 else np.array([1.0])
    distinct, first = np.unique(known, return_index=True)
    last = len(known) - 1 - np.unique(known[::-1], return_index=True)[1]
    at = ranks[first] if side == "left" else ranks[last]
    result: NDArray[np.float64] = np.interp(grid, distinct, at, left=0.0, right=1.0)
    return result


def _whole(counts: NDArray[np.float64]) -> list[int]:
    """Whole numbers of the same sum: the running total is rounded, not the parts."""
    return np.diff(np.round(np.concatenate([[0.0], np.cumsum(counts)]))).astype(int).tolist()  # type: ignore[no-any-return]
