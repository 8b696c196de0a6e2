"""Prediction intervals that hold what they promise: split conformal prediction, normalized by the size of errors.

On rows that no training saw: half of them tell how large errors are at small and at large predictions, the other half
how many times that size covers the wanted share, corrected for their number. So intervals are wide where errors are
large, and cover that share of all later rows which come from where these came from, whatever the model is. Source: Lei
et al., "Distribution-Free Predictive Inference for Regression" (JASA 2018), sections 2.2 and 5.2.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.errors import TrainingError
from penstock.estimators.heads import Answers
from penstock.estimators.normalization import QuantileNormalizer
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput

__all__ = ["Intervals", "bound_of", "fit_intervals", "least_rows"]

Floats = NDArray[np.float64]

_LEAST_BIN_ROWS = 50
_MOST_BINS = 10
_LEAST_SIZE = 0.1
"""Of an error's expected size, next to the mean error of all rows."""


class Intervals(msgspec.Struct, frozen=True, kw_only=True):
    """coverage: the share of rows that lie within. half_widths: of each output's interval, by the prediction."""

    coverage: float
    half_widths: QuantileNormalizer

    def apply(self, answers: Answers) -> Answers:
        """The answers with `lower` and `upper` beside `predictions`."""
        predictions = answers["predictions"]
        half = self.half_widths.apply(predictions)
        return {**answers, "lower": predictions - half, "upper": predictions + half}

    def emit(self, graph: GraphBuilder, emitted: Mapping[str, EmittedOutput]) -> dict[str, EmittedOutput]:
        """The same in a graph."""
        predictions = emitted["predictions"]
        half = self.half_widths.emit(graph, predictions.tensor)
        added = {
            name: EmittedOutput(graph.node(op, [predictions.tensor, half]), predictions.elem_type, predictions.shape)
            for name, op in (("lower", "Sub"), ("upper", "Add"))
        }
        return {**emitted, **added}

    def metrics(self, answers: Answers, labels: Floats, weights: NDArray[np.float32] | None) -> dict[str, float]:
        """How often labels lie within, and the mean width."""
        lower, upper = answers["lower"], answers["upper"]
        inside = ((labels >= lower) & (labels <= upper)).mean(axis=1)
        width = (upper.astype(np.float64) - lower).mean(axis=1)
        return {
            "interval/coverage": float(np.average(inside, weights=weights)),
            "interval/width": float(np.average(width, weights=weights)),
        }


def fit_intervals(
    coverage: float, predictions: NDArray[np.float32], labels: Floats, weights: NDArray[np.float32] | None = None
) -> Intervals:
    """The intervals of that coverage. predictions, labels: `[rows, outputs]` of rows that no training saw, shuffled.

    weights: how much a row counts, above 0. Raises TrainingError where the rows are too few to promise it.
    """
    counts = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    curves = [
        _fit_output(coverage, predictions[:, output].astype(np.float64), labels[:, output], counts)
        for output in range(labels.shape[1])
    ]
    xs, ys = (tuple(tuple(curve[side].tolist()) for curve in curves) for side in (0, 1))
    return Intervals(coverage=coverage, half_widths=QuantileNormalizer(xs, ys))


def least_rows(coverage: float) -> int:
    """Rows that no training saw, of which intervals of that coverage can be told."""
    return int(np.ceil(round(coverage / (1.0 - coverage), 6)))


def bound_of(scores: Floats, coverage: float, counts: Floats) -> float:
    """The least score that so many rows do not exceed, corrected for their number: of n alike, ceil((n + 1) coverage).

    counts: how much each row counts; the row that is to come counts as much as these do on average.
    """
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(counts[order])
    wanted = coverage * reached[-1] * (len(scores) + 1) / len(scores)
    place = int(np.searchsorted(reached, wanted * (1.0 - 1e-12)))
    return float(scores[order[min(place, len(scores) - 1)]])


def _fit_output(coverage: float, predictions: Floats, labels: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Predictions, ascending, and half the width of the interval there."""
    errors = np.abs(labels - predictions)
    least = least_rows(coverage)
    if len(errors) < least:
        raise TrainingError(
            f"intervals of {coverage:g} are measured on at least {least} rows that training does not see, and "
            f"{len(errors)} are held back; train on more rows, or ask for less coverage"
        )
    half = len(errors) // 2 if len(errors) >= 2 * max(_LEAST_BIN_ROWS, least) else 0
    xs, sizes = _sizes(predictions[:half], errors[:half], predictions)
    scores = errors[half:] / np.interp(predictions[half:], xs, sizes)
    return xs, sizes * bound_of(scores, coverage, counts[half:])


def _sizes(predictions: Floats, errors: Floats, everything: Floats) -> tuple[Floats, Floats]:
    """Predictions, ascending, and the mean error around each; the same everywhere where the rows are few."""
    low, high = float(everything.min()), float(everything.max())
    bins = min(_MOST_BINS, len(errors) // _LEAST_BIN_ROWS)
    typical = float(errors.mean()) if len(errors) else 1.0
    if bins < 2 or not low < high or typical == 0.0:
        return np.array([low, max(high, low + 1.0)]), np.ones(2)
    xs: list[float] = []
    sizes: list[float] = []
    for part in np.array_split(np.argsort(predictions, kind="stable"), bins):
        x = float(predictions[part].mean())
        if not xs or x - xs[-1] > 1e-3 * (high - low):
            xs.append(x)
            sizes.append(max(float(errors[part].mean()), _LEAST_SIZE * typical))
    return (np.array(xs), np.array(sizes)) if len(xs) > 1 else (np.array([low, high]), np.ones(2))
