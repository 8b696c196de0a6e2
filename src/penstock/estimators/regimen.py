"""How one kind of network is trained where the user leaves it open: the defaults that its authors found."""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.estimators.defaults import Recipe, recipe_for
from penstock.estimators.schedules import Schedule

__all__ = ["Regimen"]


def _alike(_path: str) -> float:
    return 1.0


def _kernels(path: str) -> float:
    return 1.0 if path.endswith("/kernel") else 0.0


@dataclass(frozen=True, kw_only=True)
class Regimen:
    """Of a kind of network.

    recipe: rate, weight decay and steps for so many rows, so many of them a step. batch_rows: rows a step where the
    input leaves it open; None takes the input's choice. betas: of Adam. schedule: of its rate. regularization: the
    schedule of weight decay and dropout. rate_of, decay_of: by a variable's path, its factors of rate and weight decay.
    looks: at held-out rows in a whole training. patience: looks without a better one after which it ends.
    label_smoothing: of classifiers. key: names what of this is compiled into steps.
    """

    key: str = ""
    recipe: Callable[[int, int], Recipe] = recipe_for
    batch_rows: int | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Schedule = "cosine"
    regularization: Schedule = "constant"
    rate_of: Callable[[str], float] = _alike
    decay_of: Callable[[str], float] = _kernels
    looks: int = 40
    patience: int = 12
    label_smoothing: float = 0.0
