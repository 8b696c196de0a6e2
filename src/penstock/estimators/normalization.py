"""Dense values brought to a scale on which outliers and skew do not rule a network.

Either to a bell curve by a piecewise-linear map a feature, or by the median and the quartiles with a smooth bound. The
first map runs through quantiles of the training data (as scikit-learn's QuantileTransformer does), is constant beyond
them, and is written into the graph as a sum of clipped slopes.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.export.graph import GraphBuilder

__all__ = ["Normalization", "Normalizer", "QuantileNormalizer", "RobustNormalizer", "fit_normalizer", "fit_quantiles"]

Normalization = Literal["quantile", "robust"]

KNOTS = 48
_SAMPLE_ROWS = 200_000
_TAIL = 1e-3
_BOUND = 3.0
_FAR = 1e6
_NEAR = 1e-6
"""Knots closer than this share of the width of the middle 90 % of the values, or than one float32 step, are one."""


class QuantileNormalizer(msgspec.Struct, frozen=True, tag="quantile"):
    """Knots of each feature's map: `xs[f]` ascending, `ys[f]` the values there. One knot: the feature is constant."""

    xs: tuple[tuple[float, ...], ...]
    ys: tuple[tuple[float, ...], ...]

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 `[rows, features]` to the same shape, every value within ±3."""
        result = np.empty_like(values, order="C")
        for feature, (xs, ys) in enumerate(zip(self.xs, self.ys, strict=True)):
            result[:, feature] = np.interp(values[:, feature], xs, ys)
        return result

    def emit(self, graph: GraphBuilder, tensor: str) -> str:
        """The same map of a float32 `[N, features]` tensor."""
        pieces = max(len(xs) for xs in self.xs) - 1
        count = len(self.xs)
        starts = np.zeros((count, pieces), np.float32)
        widths = np.zeros((count, pieces), np.float32)
        slopes = np.zeros((count, pieces), np.float32)
        for feature, (xs, ys) in enumerate(zip(self.xs, self.ys, strict=True)):
            x, y = np.asarray(xs), np.asarray(ys)
            size = len(x) - 1
            starts[feature, :size] = x[:-1]
            widths[feature, :size] = x[1:] - x[:-1]
            slopes[feature, :size] = (y[1:] - y[:-1]) / (x[1:] - x[:-1])
        first = graph.constant(np.array([ys[0] for ys in self.ys], np.float32), hint="normalize_first")
        if pieces == 0:
            zeros = graph.node("Mul", [tensor, graph.constant(0.0, np.float32)])
            return graph.node("Add", [zeros, first])
        axes = graph.constant([2], np.int64)
        wide = graph.node("Unsqueeze", [tensor, axes])
        beyond = graph.node("Sub", [wide, graph.constant(starts, hint="normalize_starts")])
        reached = graph.node("Max", [beyond, graph.constant(0.0, np.float32)])
        clipped = graph.node("Min", [reached, graph.constant(widths, hint="normalize_widths")])
        climbed = graph.node("Mul", [clipped, graph.constant(slopes, hint="normalize_slopes")])
        total = graph.node("ReduceSum", [climbed, axes], keepdims=0)
        return graph.node("Add", [total, first], hint="normalize")


class RobustNormalizer(msgspec.Struct, frozen=True, tag="robust"):
    """`c(factor * (x - center))` a feature, with `c(x) = x / sqrt(1 + x² / 9)`, which stays within ±3.

    Holzmüller et al., "Better by Default" (NeurIPS 2024): robust scaling and smooth clipping.
    """

    centers: tuple[float, ...]
    factors: tuple[float, ...]

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 `[rows, features]` to the same shape, every value within ±3."""
        scaled = (values - np.asarray(self.centers, np.float32)) * np.asarray(self.factors, np.float32)
        bounded = np.clip(scaled, -_FAR, _FAR)
        return np.asarray(bounded / np.sqrt(np.float32(1.0) + bounded * bounded / np.float32(9.0)), np.float32)

    def emit(self, graph: GraphBuilder, tensor: str) -> str:
        """The same map of a float32 `[N, features]` tensor."""
        shifted = graph.node("Sub", [tensor, graph.constant(self.centers, np.float32, hint="centers")])
        scaled = graph.node("Mul", [shifted, graph.constant(self.factors, np.float32, hint="factors")])
        bounded = graph.node("Clip", [scaled, graph.constant(-_FAR, np.float32), graph.constant(_FAR, np.float32)])
        ninth = graph.node("Div", [graph.node("Mul", [bounded, bounded]), graph.constant(9.0, np.float32)])
        root = graph.node("Sqrt", [graph.node("Add", [ninth, graph.constant(1.0, np.float32)])])
        return graph.node("Div", [bounded, root], hint="normalize")


Normalizer = QuantileNormalizer | RobustNormalizer


@dataclass(frozen=True)
class _Map:
    xs: tuple[float, ...]
    ys: tuple[float, ...]


def fit_normalizer(kind: Normalization, values: NDArray[np.float32], *, seed: int) -> Normalizer:
    """The normalizer of that kind, fitted to float32 `[rows, features]`."""
    return fit_quantiles(values, seed=seed) if kind == "quantile" else _fit_robust(values)


def _fit_robust(values: NDArray[np.float32]) -> RobustNormalizer:
    wide = values.astype(np.float64)
    low, middle, high = np.quantile(wide, (0.25, 0.5, 0.75), axis=0)
    spread = high - low
    # Where half of the rows are alike, the quartiles say nothing about the rest.
    spread = np.where(spread > 0.0, spread, 0.5 * (wide.max(axis=0) - wide.min(axis=0)))
    factors = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0.0)
    return RobustNormalizer(tuple(middle.tolist()), tuple(np.minimum(factors, 1e30).tolist()))


def fit_quantiles(values: NDArray[np.float32], *, seed: int = 0) -> QuantileNormalizer:
    """The maps of float32 `[rows, features]`; of more than 200,000 rows, those of a seeded sample."""
    if len(values) > _SAMPLE_ROWS:
        picked = np.random.default_rng(seed).choice(len(values), _SAMPLE_ROWS, replace=False)
        values = values[np.sort(picked)]
    maps = [_fit(values[:, feature].astype(np.float64)) for feature in range(values.shape[1])]
    return QuantileNormalizer(tuple(one.xs for one in maps), tuple(one.ys for one in maps))


def _fit(values: NDArray[np.float64]) -> _Map:
    ordered = np.sort(values)
    levels = np.linspace(0.0, 1.0, KNOTS + 1)
    xs = np.unique(np.quantile(ordered, levels).astype(np.float32)).astype(np.float64)
    firsts, lasts = _apart(xs, ordered)
    xs = firsts
    # Half of the ties lie below: a value that half of the rows share sits in the middle of its share.
    below = np.searchsorted(ordered, firsts, side="left")
    reached = np.searchsorted(ordered, lasts, side="right")
    shares = np.clip((below + reached) / (2.0 * len(ordered)), _TAIL, 1.0 - _TAIL)
    ys = [_bell(share) for share in shares]
    return _Map(tuple(xs.tolist()), tuple(ys) if len(xs) > 1 else (0.0,))


def _apart(xs: NDArray[np.float64], ordered: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first and the last knot of each group of near-equal ones: between them, rounding would decide the answer."""
    low, high = np.quantile(ordered, (0.05, 0.95))
    near = _NEAR * float(high - low if high > low else xs[-1] - xs[0])
    firsts, lasts = [float(xs[0])], [float(xs[0])]
    for x in xs[1:].tolist():
        if x - firsts[-1] > max(near, float(np.spacing(np.float32(abs(x))))):
            firsts.append(x)
            lasts.append(x)
        else:
            lasts[-1] = x
    return np.array(firsts), np.array(lasts)


def _bell(share: float) -> float:
    value: Any = NormalDist().inv_cdf(share)
    return float(min(_BOUND, max(-_BOUND, value)))
