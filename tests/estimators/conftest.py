"""Small tables with a known answer, for every estimator test."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Pair = tuple[dict[str, NDArray[Any]], NDArray[Any]]


def make_houses(rows: int = 400, seed: int = 0) -> Pair:
    """A price made of rooms, distance and town; the towns' names are not ASCII."""
    rng = np.random.default_rng(seed)
    rooms, distance = rng.uniform(3, 9, rows), rng.lognormal(1.0, 0.8, rows)
    town = rng.choice(["Ålesund", "Brno", "Ávila"], rows)
    premium = np.select([town == "Ålesund", town == "Brno"], [8_000.0, 0.0], -5_000.0)
    price = 20_000 + 4_000 * (rooms - 6) - 3_000 * np.log(distance) + premium + rng.normal(0, 300, rows)
    return {"rooms": rooms, "distance": distance, "town": town.astype(object)}, price


def make_species(rows: int = 500, seed: int = 0) -> Pair:
    """Three classes in a plane."""
    rng = np.random.default_rng(seed)
    length, width = rng.normal(0, 1, rows), rng.normal(0, 1, rows)
    kind = np.where(length + width > 0.7, "virginica", np.where(length - width > 0.3, "setosa", "versicolor"))
    return {"length": length, "width": width}, kind.astype(object)


@pytest.fixture
def houses() -> Pair:
    return make_houses()


@pytest.fixture
def species() -> Pair:
    return make_species()


@pytest.fixture
def input_of() -> Callable[[Pair], Callable[[], Pair]]:
    """An input function for a pair."""
    return lambda pair: lambda: pair
