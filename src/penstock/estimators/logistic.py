"""Logistic regression on embeddings: few rows, many columns, the weight decay chosen by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LogisticModel", "fit_logistic"]

Floats = NDArray[np.float64]

_DECAYS = tuple(10.0**power for power in range(-4, 3))
_FOLDS = 5
_ITERATIONS = 200


@dataclass(frozen=True)
class LogisticModel:
    """kernel: `[columns, outputs]`, of one output for two classes. bias: `[outputs]`.

    decay: the weight decay that did best. losses: the mean loss on rows left out, by weight decay.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    decay: float
    losses: dict[float, float]
    iterations: int

    def outputs(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(rows @ self.kernel + self.bias, dtype=np.float32)


def fit_logistic(
    rows: NDArray[np.float32],
    labels: NDArray[np.integer[Any]],
    groups: NDArray[np.integer[Any]],
    *,
    classes: int,
    weights: NDArray[np.floating[Any]],
    decays: Sequence[float] = (),
    seed: int = 0,
) -> LogisticModel:
    """Fits on standardized rows, and returns the model for rows as they are.

    groups: of rows that stay together when some are left out (the views of one photo); the first row of a group stands
        for it. weights: of rows. decays: to choose from by 5-fold cross-validation over groups.

    A penalty on the weights' squares leaves them in the span of the rows, so with fewer rows than columns the search
    runs in as many dimensions as there are rows, with the same result.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    deviation = rows.std(axis=0, dtype=np.float64)
    scale = 1.0 / np.where(deviation > 1e-6, deviation, np.inf)
    standard = (rows - mean) * scale
    basis, reduced = _span(standard)
    tried = list(decays) or list(_DECAYS)
    losses: dict[float, float] = {}
    if len(tried) > 1:
        losses = _validate(reduced, labels, groups, classes, weights, tried, seed)
        best = min(losses, key=lambda decay: losses[decay])
    else:
        best = tried[0]
    solution, iterations = _minimize(reduced, labels, classes, weights, best, None)
    kernel = (basis @ solution[:-1]) * scale[:, None]
    bias = solution[-1] - mean @ kernel
    return LogisticModel(kernel.astype(np.float32), bias.astype(np.float32), best, losses, iterations)


def _span(rows: Floats) -> tuple[Floats, Floats]:
    """A basis of the rows' span `[columns, d]`, and the rows in it `[rows, d]`."""
    if len(rows) >= rows.shape[1]:
        return np.eye(rows.shape[1]), rows
    basis, triangle = np.linalg.qr(rows.T)
    return basis, triangle.T


def _validate(
    rows: Floats,
    labels: NDArray[Any],
    groups: NDArray[Any],
    classes: int,
    weights: NDArray[Any],
    decays: list[float],
    seed: int,
) -> dict[float, float]:
    """Mean loss by weight decay, on the first row of each group left out. Each class is dealt out evenly."""
    random = np.random.default_rng(seed)
    names, firsts = np.unique(groups, return_index=True)
    fold_of = np.zeros(len(names), dtype=np.int64)
    dealt = 0
    for number in range(classes):
        places = random.permutation(np.flatnonzero(labels[firsts] == number))
        fold_of[places] = (dealt + np.arange(len(places))) % _FOLDS
        dealt += len(places)
    fold_of_row = fold_of[np.searchsorted(names, groups)]
    totals = dict.fromkeys(decays, 0.0)
    for fold in range(min(_FOLDS, len(names))):
        kept = fold_of_row != fold
        shown = firsts[fold_of == fold]
        if not len(shown) or not kept.any():
            continue
        start = None
        for decay in sorted(decays, reverse=True):
            start, _ = _minimize(rows[kept], labels[kept], classes, weights[kept], decay, start)
            logits = rows[shown] @ start[:-1] + start[-1]
            totals[decay] += float(_losses(logits, labels[shown])[0].sum())
    return {decay: total / len(names) for decay, total in totals.items()}


def _minimize(
    rows: Floats, labels: NDArray[Any], classes: int, weights: NDArray[Any], decay: float, start: Floats | None
) -> tuple[Floats, int]:
    """Weights and, last, the bias: `[d + 1, outputs]`."""
    from scipy.optimize import minimize

    outputs = 1 if classes == 2 else classes
    count = rows.shape[1]
    share = weights / weights.sum()

    def objective(flat: Floats) -> tuple[float, Floats]:
        solution = flat.reshape(count + 1, outputs)
        losses, slopes = _losses(rows @ solution[:-1] + solution[-1], labels)
        slopes = slopes * share[:, None]
        gradient = np.empty_like(solution)
        gradient[:-1] = rows.T @ slopes + decay * solution[:-1] / count
        gradient[-1] = slopes.sum(axis=0)
        penalty = 0.5 * decay * float(np.square(solution[:-1]).sum()) / count
        return float(losses @ share) + penalty, gradient.ravel()

    first = np.zeros((count + 1, outputs)) if start is None else start
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS})
    return found.x.reshape(count + 1, outputs), int(found.nit)


def _losses(logits: Floats, labels: NDArray[Any]) -> tuple[Floats, Floats]:
    """Cross-entropy of each row, and its slope by the logits. One logit is of the second class against the first."""
    if logits.shape[1] == 1:
        signed = np.where(labels == 1, logits[:, 0], -logits[:, 0])
        losses = np.logaddexp(0.0, -signed)
        chance = np.exp(-np.logaddexp(0.0, -logits[:, 0]))
        return losses, (chance - labels)[:, None]
    shifted = logits - logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=1))
    losses = total - shifted[np.arange(len(labels)), labels]
    slopes = np.exp(shifted - total[:, None])
    slopes[np.arange(len(labels)), labels] -= 1.0
    return losses, slopes
