"""Probability calibration: a classifier's outputs bent so that what it calls 80% happens in 80% of rows not seen.

Fitted on rows that the training never saw. Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks"
(ICML 2017); sigmoid: Platt 1999; isotonic: Zadrozny and Elkan 2002, on bins of equal size and interpolated between
them. Of more than two classes, each is calibrated against the rest, and the chances are brought to a sum of 1.
"""

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.normalization import QuantileNormalizer
from penstock.export.graph import GraphBuilder

__all__ = ["CALIBRATIONS", "Calibration", "Calibrator", "fit_calibrator", "log_softmax"]

Calibration = Literal["isotonic", "sigmoid", "temperature"]
CALIBRATIONS: tuple[Calibration, ...] = ("isotonic", "sigmoid", "temperature")

Floats = NDArray[np.float64]

_LEAST_BIN_ROWS = 20
_MOST_BINS = 40
_APART = 1e-3
"""Least distance of two knots: between nearer ones rounding would decide the answer."""


class Calibrator(msgspec.Struct, frozen=True, kw_only=True):
    """Outputs to outputs: of two classes one logit a row, of more a logit a class.

    temperature: what logits are divided by. slope, shift: of each class's line. knots: of each class's curve.
    """

    temperature: float | None = None
    slope: tuple[float, ...] = ()
    shift: tuple[float, ...] = ()
    knots: QuantileNormalizer | None = None

    def apply(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated outputs, of the same shape."""
        if self.temperature is not None:
            return np.asarray(outputs / np.float32(self.temperature), np.float32)
        is_binary = outputs.shape[1] == 1
        scores = outputs if is_binary else log_softmax(outputs)
        if self.knots is not None:
            bent = self.knots.apply(scores)
        else:
            bent = scores * np.asarray(self.slope, np.float32) + np.asarray(self.shift, np.float32)
        return np.asarray(bent if is_binary else -np.logaddexp(np.float32(0.0), -bent), np.float32)

    def emit(self, graph: GraphBuilder, outputs: str, *, width: int) -> str:
        """The same of a float32 `[N, width]` tensor."""
        if self.temperature is not None:
            return graph.node("Div", [outputs, graph.constant(self.temperature, np.float32)], hint="calibrated")
        scores = outputs if width == 1 else graph.node("LogSoftmax", [outputs], axis=1)
        if self.knots is not None:
            bent = self.knots.emit(graph, scores)
        else:
            scaled = graph.node("Mul", [scores, graph.constant(self.slope, np.float32, hint="calibration_slope")])
            bent = graph.node("Add", [scaled, graph.constant(self.shift, np.float32, hint="calibration_shift")])
        if width == 1:
            return bent
        return graph.node("Neg", [graph.node("Softplus", [graph.node("Neg", [bent])])], hint="calibrated")


def fit_calibrator(
    kind: Calibration,
    outputs: NDArray[np.float32],
    class_ids: NDArray[np.integer[Any]],
    weights: NDArray[np.float32] | None,
) -> Calibrator:
    """The calibrator that makes these outputs fit these classes best. outputs: of rows that no training saw."""
    counts = np.ones(len(outputs)) if weights is None else weights.astype(np.float64)
    if kind == "temperature":
        return Calibrator(temperature=_best_temperature(outputs.astype(np.float64), class_ids, counts))
    if outputs.shape[1] == 1:
        columns = [(outputs[:, 0].astype(np.float64), class_ids == 1)]
    else:
        scores = log_softmax(outputs).astype(np.float64)
        columns = [(scores[:, k], class_ids == k) for k in range(outputs.shape[1])]
    if kind == "sigmoid":
        lines = [_platt_line(scores, hits, counts) for scores, hits in columns]
        return Calibrator(slope=tuple(line[0] for line in lines), shift=tuple(line[1] for line in lines))
    curves = [_isotonic_knots(scores, hits, counts) for scores, hits in columns]
    return Calibrator(
        knots=QuantileNormalizer(
            tuple(tuple(xs.tolist()) for xs, _ in curves), tuple(tuple(ys.tolist()) for _, ys in curves)
        )
    )


def _best_temperature(outputs: Floats, class_ids: NDArray[np.integer[Any]], counts: Floats) -> float:
    """By golden sections of its logarithm."""

    def loss(log_temperature: float) -> float:
        scaled = outputs / np.exp(log_temperature)
        if outputs.shape[1] == 1:
            errors = np.logaddexp(0.0, scaled[:, 0]) - scaled[:, 0] * (class_ids == 1)
        else:
            errors = -log_softmax(scaled)[np.arange(len(scaled)), class_ids]
        return float(np.average(errors, weights=counts))

    low, high, share = np.log(0.05), np.log(20.0), 0.5 * (np.sqrt(5.0) - 1.0)
    for _ in range(60):
        left, right = high - share * (high - low), low + share * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return float(np.exp(0.5 * (low + high)))


def _platt_line(scores: Floats, hits: NDArray[np.bool_], counts: Floats) -> tuple[float, float]:
    """Slope and shift of the likeliest `sigmoid(slope * score + shift)`, by Newton's method on softened targets."""
    positive, negative = float(counts[hits].sum()), float(counts[~hits].sum())
    targets = np.where(hits, (positive + 1.0) / (positive + 2.0), 1.0 / (negative + 2.0))
    center, spread = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - center) / spread, np.ones_like(scores)], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(50):
        chances = 1.0 / (1.0 + np.exp(-np.clip(design @ line, -40.0, 40.0)))
        gradient = design.T @ (counts * (chances - targets)) + 1e-6 * line
        curvature = (design * (counts * chances * (1.0 - chances))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        line = line - step * min(1.0, 4.0 / max(1e-12, float(np.abs(step).max())))
        if float(np.abs(step).max()) < 1e-8:
            break
    return float(line[0] / spread), float(line[1] - line[0] * center / spread)


def _isotonic_knots(scores: Floats, hits: NDArray[np.bool_], counts: Floats) -> tuple[Floats, Floats]:
    """Scores, ascending, and the logits there that never fall: pooled adjacent violators over bins of equal size."""
    order = np.argsort(scores, kind="stable")
    bins = max(1, min(_MOST_BINS, len(scores) // _LEAST_BIN_ROWS))
    blocks: list[tuple[float, float, float]] = []
    """Of each: its weight, its hits, and its scores' sum, by weight."""
    for part in np.array_split(order, bins):
        weight = float(counts[part].sum())
        if weight == 0.0:
            continue
        block = (weight, float(counts[part][hits[part]].sum()), float((counts[part] * scores[part]).sum()))
        while blocks and _too_near(blocks[-1], block):
            block = tuple(a + b for a, b in zip(blocks.pop(), block, strict=True))  # type: ignore[assignment]
        blocks.append(block)
    xs = np.array([block[2] / block[0] for block in blocks])
    shares = np.array([(block[1] + 0.5) / (block[0] + 1.0) for block in blocks])
    logits = np.maximum.accumulate(np.log(shares / (1.0 - shares)))
    if len(xs) == 1:
        return np.array([xs[0] - _APART, xs[0] + _APART]), np.repeat(logits, 2)
    return xs, logits


def _too_near(before: tuple[float, float, float], block: tuple[float, float, float]) -> bool:
    falls = before[1] / before[0] > block[1] / block[0]
    return falls or block[2] / block[0] - before[2] / before[0] < _APART


def log_softmax(outputs: NDArray[Any]) -> NDArray[Any]:
    """The logarithm of each class's chance, by logits `[rows, classes]`."""
    moved = outputs - outputs.max(axis=1, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(axis=1, keepdims=True)))
