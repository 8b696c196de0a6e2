"""A weighted ensemble by greedy selection with replacement, on predictions for rows that no member was trained on.

Caruana, Niculescu-Mizil, Crew and Ksikes, "Ensemble Selection from Libraries of Models", ICML 2004.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["select"]

_ROUNDS = 60
_PATIENCE = 15
_LEAST_WEIGHT = 0.02

Scores = NDArray[np.floating[Any]]


def select(
    library: Mapping[str, Scores], loss: Callable[[Scores], float], *, rounds: int = _ROUNDS
) -> tuple[dict[str, float], float]:
    """Weights by name, which add up to 1, and the ensemble's loss.

    In each round the member joins that makes the mean of all chosen so far best; the best round counts. Members of
    less weight than 2% are left out: they cost as much to serve as any other.
    """
    names = list(library)
    total = np.zeros_like(next(iter(library.values())), dtype=np.float64)
    chosen: list[str] = []
    best_loss, best_size = np.inf, 0
    for size in range(1, rounds + 1):
        losses = [loss((total + library[name]) / size) for name in names]
        place = int(np.argmin(losses))
        total += library[names[place]]
        chosen.append(names[place])
        if losses[place] < best_loss:
            best_loss, best_size = losses[place], size
        elif size - best_size >= _PATIENCE:
            break
    counts = {name: chosen[:best_size].count(name) for name in names}
    kept = {name: count for name, count in counts.items() if count >= _LEAST_WEIGHT * best_size}
    weights = {name: count / sum(kept.values()) for name, count in kept.items()}
    mean = np.zeros_like(total)
    for name, weight in weights.items():
        mean += weight * library[name]
    return weights, loss(mean)
