"""Keras layers of the networks made for tables: embeddings of numbers, scaled layers, ensembles of members."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.backend import keras

__all__ = [
    "Combine",
    "EnsembleDense",
    "MemberDense",
    "NTKDense",
    "ParametricActivation",
    "PeriodicEmbedding",
    "PiecewiseEmbedding",
    "Scale",
    "bin_edges",
]

ops: Any = keras.ops

Combination = Literal["mean", "exponential", "chance"]


@keras.saving.register_keras_serializable(package="penstock")
class PeriodicEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """Each number as `dimension` values: itself, and a linear map of cosines with trained frequencies and phases.

    `[rows, numbers]` to `[rows, numbers * (dimension - 1) + numbers]`. The PBLD embedding of Holzmüller et al.,
    "Better by Default" (NeurIPS 2024): periodic, bias, linear, dense.
    """

    def __init__(
        self, *, frequencies: int = 16, dimension: int = 4, sigma: float = 0.1, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.frequencies, self.dimension, self.sigma, self.seed = frequencies, dimension, sigma, seed

    def build(self, shape: Any) -> None:
        count, width = shape[-1], self.dimension - 1
        draw = np.random.default_rng([self.seed, 1])
        limit = self.frequencies**-0.5
        starts = {
            "frequency": self.sigma * draw.standard_normal((count, self.frequencies)),
            "phase": draw.uniform(-math.pi, math.pi, (count, self.frequencies)),
            "mix": draw.uniform(-limit, limit, (count, self.frequencies, width)),
            "shift": draw.uniform(-limit, limit, (count, width)),
        }
        for name, values in starts.items():
            setattr(self, name, _weight(self, name, values))

    def call(self, inputs: Any) -> Any:
        waves = ops.cos(2.0 * math.pi * inputs[:, :, None] * self.frequency + self.phase)
        # A sum of products rather than a batched product of matrices: XLA fuses it into one pass.
        mixed = ops.sum(waves[:, :, :, None] * self.mix, axis=2) + self.shift
        return ops.concatenate([ops.reshape(mixed, (-1, mixed.shape[1] * mixed.shape[2])), inputs], axis=1)

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], shape[-1] * self.dimension)

    def get_config(self) -> dict[str, Any]:
        own = {"frequencies": self.frequencies, "dimension": self.dimension, "sigma": self.sigma, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="penstock")
class PiecewiseEmbedding(keras.layers.Layer):  # type: ignore[misc]
    """Each number as `dimension` values: a line, and a piecewise-linear function with a knot at each bin's edge.

    `[rows, numbers]` on a bell curve to `[rows, numbers * dimension]`. Gorishniy et al., "On Embeddings for Numerical
    Features in Tabular Deep Learning" (NeurIPS 2022), in the variant of TabM's code: the knots begin without effect.
    """

    def __init__(self, *, bins: int = 48, dimension: int = 16, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bins, self.dimension, self.seed = bins, dimension, seed

    def build(self, shape: Any) -> None:
        count = shape[-1]
        draw = np.random.default_rng([self.seed, 2])
        self.slope = _weight(self, "slope", draw.uniform(-1.0, 1.0, (count, self.dimension)))
        self.shift = _weight(self, "shift", draw.uniform(-1.0, 1.0, (count, self.dimension)))
        self.knots = _weight(self, "knots", np.zeros((count, self.bins, self.dimension)))

    def call(self, inputs: Any) -> Any:
        edges = bin_edges(self.bins)
        passed = (inputs[:, :, None] - edges[:-1]) / np.diff(edges)
        bent = ops.einsum("nfb,fbd->nfd", ops.clip(passed, 0.0, 1.0), self.knots)
        values = inputs[:, :, None] * self.slope + self.shift + bent
        return ops.reshape(values, (-1, values.shape[1] * values.shape[2]))

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], shape[-1] * self.dimension)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins, "dimension": self.dimension, "seed": self.seed}


@keras.saving.register_keras_serializable(package="penstock")
class Scale(keras.layers.Layer):  # type: ignore[misc]
    """Multiplies each column with a trained number."""

    def build(self, shape: Any) -> None:
        self.scale = _weight(self, "scale", np.ones(shape[-1]))

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


@keras.saving.register_keras_serializable(package="penstock")
class NTKDense(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer in the neural tangent parametrization: the kernel is of order one, and divided by √inputs."""

    def __init__(self, units: int, *, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.seed = units, seed

    def build(self, shape: Any) -> None:
        draw = np.random.default_rng([self.seed, 3])
        self.kernel = _weight(self, "kernel", draw.standard_normal((shape[-1], self.units)))
        self.bias = _weight(self, "bias", np.zeros(self.units))

    def call(self, inputs: Any) -> Any:
        return ops.matmul(inputs, self.kernel) * float(inputs.shape[-1] ** -0.5) + self.bias

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "seed": self.seed}


@keras.saving.register_keras_serializable(package="penstock")
class ParametricActivation(keras.layers.Layer):  # type: ignore[misc]
    """`x + (f(x) - x) * a` with a trained `a` for each column, at first 1."""

    def __init__(self, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activation

    def build(self, shape: Any) -> None:
        self.amount = _weight(self, "amount", np.ones(shape[-1]))

    def call(self, inputs: Any) -> Any:
        return inputs + (keras.activations.get(self.activation)(inputs) - inputs) * self.amount

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "activation": self.activation}


@keras.saving.register_keras_serializable(package="penstock")
class EnsembleDense(keras.layers.Layer):  # type: ignore[misc]
    """One kernel for all members of an ensemble, which scale its inputs and outputs and shift them each in their way.

    `[rows, inputs]` or `[rows, members, inputs]` to `[rows, members, units]`. BatchEnsemble: Wen et al. 2020.

    sections: of the first layer, widths of the columns' values: a member begins with one random factor for all values
    of a column; None begins with ones.
    """

    def __init__(
        self, units: int, *, members: int, sections: Sequence[int] | None = None, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units, self.members, self.seed = units, members, seed
        self.sections = None if sections is None else list(sections)

    def build(self, shape: Any) -> None:
        inputs = shape[-1]
        draw = np.random.default_rng([self.seed, 4])
        limit = inputs**-0.5
        self.kernel = _weight(self, "kernel", draw.uniform(-limit, limit, (inputs, self.units)))
        shift = draw.uniform(-limit, limit, self.units)
        self.bias = _weight(self, "bias", np.tile(shift, (self.members, 1)))
        factors = np.ones((self.members, inputs))
        if self.sections is not None:
            factors = np.repeat(draw.standard_normal((self.members, len(self.sections))), self.sections, axis=1)
        self.input_scale = _weight(self, "input_scale", factors)
        self.output_scale = _weight(self, "output_scale", np.ones((self.members, self.units)))

    def call(self, inputs: Any) -> Any:
        values = inputs if len(inputs.shape) == 3 else inputs[:, None, :]
        return ops.matmul(values * self.input_scale, self.kernel) * self.output_scale + self.bias

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], self.members, self.units)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "members": self.members, "sections": self.sections, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="penstock")
class MemberDense(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer a member: `[rows, members, inputs]` to `[rows, members, units]`."""

    def __init__(self, units: int, *, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.seed = units, seed

    def build(self, shape: Any) -> None:
        members, inputs = shape[1], shape[2]
        draw = np.random.default_rng([self.seed, 5])
        limit = inputs**-0.5
        self.kernel = _weight(self, "kernel", draw.uniform(-limit, limit, (members, inputs, self.units)))
        self.bias = _weight(self, "bias", draw.uniform(-limit, limit, (members, self.units)))

    def call(self, inputs: Any) -> Any:
        return ops.einsum("nkw,kwo->nko", inputs, self.kernel) + self.bias

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], shape[1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "seed": self.seed}


@keras.saving.register_keras_serializable(package="penstock")
class Combine(keras.layers.Layer):  # type: ignore[misc]
    """The members' answers `[rows, members, outputs]` as one, `[rows, outputs]`; in training they stay apart.

    kind: "mean"; "exponential", the logarithm of the mean exponential; "chance", the logits of the mean probabilities.
    """

    LARGEST_LOGIT = 60.0
    LEAST_CHANCE = 1e-30

    def __init__(self, kind: Combination, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            return inputs
        match self.kind:
            case "mean":
                return ops.mean(inputs, axis=1)
            case "exponential":
                return ops.log(ops.mean(ops.exp(ops.clip(inputs, -self.LARGEST_LOGIT, self.LARGEST_LOGIT)), axis=1))
            case _:
                return self._logits(inputs)

    def _logits(self, inputs: Any) -> Any:
        if inputs.shape[-1] == 1:
            # Of either class's mean chance for itself: 1 - p would lose what p near 1 has to say.
            bounded = ops.clip(inputs, -self.LARGEST_LOGIT, self.LARGEST_LOGIT)
            chances = [ops.mean(1.0 / (1.0 + ops.exp(sign * bounded)), axis=1) for sign in (-1.0, 1.0)]
            return ops.log(chances[0]) - ops.log(chances[1])
        return ops.log(ops.maximum(ops.mean(ops.softmax(inputs, axis=-1), axis=1), self.LEAST_CHANCE))

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


def bin_edges(bins: int) -> NDArray[np.float32]:
    """Edges of as many bins, each with the same share of a bell curve cut at ±3."""
    shares = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.array([-3.0, *(NormalDist().inv_cdf(share) for share in shares), 3.0], dtype=np.float32)


def _weight(layer: Any, name: str, values: NDArray[Any]) -> Any:
    def begin(shape: Any, dtype: Any = None) -> Any:  # noqa: ARG001
        return ops.convert_to_tensor(np.asarray(values, np.float32), dtype=dtype)

    return layer.add_weight(shape=values.shape, initializer=begin, name=name)
