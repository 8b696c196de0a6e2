"""First weights, drawn by NumPy: the same on every backend, and without a program compiled for each shape."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from penstock.estimators.backend import keras

__all__ = ["Normal", "VarianceScaling", "glorot_uniform", "he_normal", "lecun_normal"]

_TRUNCATED_STD = 0.87962566103423978
"""Of a standard normal cut at two deviations."""


@keras.saving.register_keras_serializable(package="penstock")
class Normal(keras.initializers.Initializer):  # type: ignore[misc]
    """Normally distributed around 0."""

    def __init__(self, stddev: float, seed: int) -> None:
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        draws = np.random.default_rng(self.seed).standard_normal(tuple(shape)) * self.stddev
        return keras.ops.convert_to_tensor(draws.astype(np.float32), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"stddev": self.stddev, "seed": self.seed}


@keras.saving.register_keras_serializable(package="penstock")
class VarianceScaling(keras.initializers.Initializer):  # type: ignore[misc]
    """Variance `scale / fan`, as Keras' initializer of that name: Glorot & Bengio 2010, He et al. 2015.

    fan: number of inputs ("in"), or the mean of inputs and outputs ("avg"). Normal draws are cut at two deviations.
    """

    def __init__(
        self, scale: float, seed: int, *, fan: Literal["in", "avg"] = "in", distribution: Literal["normal", "uniform"]
    ) -> None:
        self.scale = scale
        self.seed = seed
        self.fan = fan
        self.distribution = distribution

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        inputs, outputs = math.prod(shape[:-1]), shape[-1]
        variance = self.scale / max(1.0, inputs if self.fan == "in" else (inputs + outputs) / 2)
        random = np.random.default_rng(self.seed)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            draws = random.uniform(-limit, limit, tuple(shape))
        else:
            draws = random.standard_normal(tuple(shape))
            while (outside := np.abs(draws) > 2.0).any():
                draws[outside] = random.standard_normal(int(outside.sum()))
            draws *= math.sqrt(variance) / _TRUNCATED_STD
        return keras.ops.convert_to_tensor(draws.astype(np.float32), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale, "seed": self.seed, "fan": self.fan, "distribution": self.distribution}


def glorot_uniform(seed: int) -> VarianceScaling:
    return VarianceScaling(1.0, seed, fan="avg", distribution="uniform")


def he_normal(seed: int) -> VarianceScaling:
    return VarianceScaling(2.0, seed, distribution="normal")


def lecun_normal(seed: int) -> VarianceScaling:
    return VarianceScaling(1.0, seed, distribution="normal")
