"""The network of RealMLP: embedded numbers, a trained scale in front, layers of order-one weights that begin with the
data.

Source: Holzmüller, Grinsztajn, Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on Tabular Data"
(NeurIPS 2024), section 3 and appendix A.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError
from penstock.estimators.activations import emit_activation
from penstock.estimators.backend import keras
from penstock.estimators.front import Front, emit_lookup
from penstock.estimators.layers import AdjustableDropout
from penstock.estimators.networks import Network, StartsFromData, Weights, neutralize
from penstock.estimators.tabular_layers import NTKDense, ParametricActivation, PeriodicEmbedding, Scale
from penstock.export.graph import GraphBuilder

__all__ = ["RealMLPNetwork"]

_FREQUENCIES, _DIMENSION = 16, 4
_SIMPLEX = 5
_START_ROWS = 4096
_RARE_FACTOR, _COMMON_FACTOR = 1.664, 0.949
"""What robust scaling and clipping make of the 1 of an indicator that less than a quarter of the rows have, and of one
that more have."""


@dataclass(frozen=True)
class RealMLPNetwork:
    """hidden_units: sizes of the hidden layers. dropout: its rate at the beginning of a training."""

    hidden_units: tuple[int, ...]
    activation: str
    dropout: float

    def __post_init__(self) -> None:
        if not self.hidden_units or any(units < 1 for units in self.hidden_units):
            raise ConfigError(
                f"hidden_units is {list(self.hidden_units)}; expected sizes of at least 1, such as [256, 256]"
            )
        if self.activation not in ("selu", "mish", "relu", "silu", "gelu", "elu", "tanh"):
            raise ConfigError(
                f"activation_fn is {self.activation!r}; expected selu, mish, relu, silu, gelu, elu or tanh"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; expected a share of at least 0 and below 1")

    @property
    def writes_own_graph(self) -> bool:
        return True

    @property
    def key(self) -> str:
        return f"real_mlp {self.hidden_units} {self.activation} {'dropout' if self.dropout else 'no dropout'}"

    @staticmethod
    def rate_of(path: str) -> float:
        """A variable's factor of the learning rate."""
        if path.startswith("front_scale"):
            return 6.0
        return 0.1 if path.startswith(("numbers", "act_")) or path.endswith("/bias") else 1.0

    @classmethod
    def decay_of(cls, path: str) -> float:
        """Its factor of the weight decay: biases have none, and all else that of its rate, squared by the authors."""
        return 0.0 if path.endswith("/bias") else cls.rate_of(path) ** 2

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        read = []
        numbers, rest = front.split
        if numbers is not None:
            embedding = PeriodicEmbedding(frequencies=_FREQUENCIES, dimension=_DIMENSION, seed=seed, name="numbers")
            read.append(embedding(front.read(inputs, [numbers], seed=seed)))
        if rest:
            read.append(front.read(inputs, rest, seed=seed))
        joined = read[0] if len(read) == 1 else keras.layers.Concatenate(name="embedded")(read)
        hidden = Scale(name="front_scale")(joined)
        for number, units in enumerate(self.hidden_units, 1):
            hidden = NTKDense(units, seed=seed + number, name=f"hidden_{number}")(hidden)
            hidden = ParametricActivation(self.activation, name=f"act_{number}")(hidden)
            if self.dropout:
                drop = AdjustableDropout(self.dropout, seed=seed + number, is_scheduled=True, name=f"drop_{number}")
                hidden = drop(hidden)
        return keras.Model(inputs, NTKDense(outputs, seed=seed, name="logits")(hidden), name="real_mlp")

    def first_weights(
        self, front: Front, weights: Weights, inputs: Sequence[NDArray[Any]], *, seed: int
    ) -> dict[str, NDArray[Any]]:
        """Kernels with a deviation of 1 behind each unit, and biases that put its kink among the rows; of some rows."""
        result = {key: np.array(value) for key, value in weights.items()}
        draw = np.random.default_rng([seed, 6])
        count = len(inputs[0])
        picked = np.arange(count) if count <= _START_ROWS else np.sort(draw.choice(count, _START_ROWS, replace=False))
        values, factors = self._embedded(front, weights, [array[picked] for array in inputs])
        result["front_scale/scale"] = factors
        values = values * factors
        layers = [*(f"hidden_{number}" for number in range(1, len(self.hidden_units) + 1)), "logits"]
        for number, layer in enumerate(layers, 1):
            reached = values @ (result[f"{layer}/kernel"] * values.shape[1] ** -0.5)
            spread = np.maximum(reached.std(axis=0), 1e-6)
            result[f"{layer}/kernel"] = (result[f"{layer}/kernel"] / spread).astype(np.float32)
            reached /= spread
            rows = draw.integers(0, len(reached), (reached.shape[1], _SIMPLEX))
            share = draw.exponential(size=rows.shape)
            share /= share.sum(axis=1, keepdims=True)
            middle = (reached[rows, np.arange(reached.shape[1])[:, None]] * share).sum(axis=1)
            result[f"{layer}/bias"] = -middle.astype(np.float32)
            if number < len(layers):
                values = keras.ops.convert_to_numpy(keras.activations.get(self.activation)(reached - middle))
        return result

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        hidden = self._emit_first(graph, front, tensors, weights)
        for number in range(1, len(self.hidden_units) + 1):
            layer = f"hidden_{number}"
            if number > 1:
                hidden = _emit_dense(graph, hidden, weights, layer)
            hidden = _emit_parametric(graph, hidden, self.activation, weights[f"act_{number}/amount"], hint=layer)
        return _emit_dense(graph, hidden, weights, "logits")

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        scale = weights["front_scale/scale"]
        folded = {
            **weights,
            "front_scale/scale": np.ones_like(scale),
            "hidden_1/kernel": weights["hidden_1/kernel"] * scale[:, None],
        }
        numbers, rest = front.split
        return neutralize(front, rest, folded, "hidden_1", start=0 if numbers is None else numbers.width * _DIMENSION)

    def _embedded(
        self, front: Front, weights: Weights, inputs: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """What the first layer reads of these rows, unscaled, and the factors that it is scaled with at first."""
        numbers, rest = front.split
        columns, factors = [], []
        if numbers is not None:
            values = inputs[0][:, : numbers.width].astype(np.float64)
            waves = np.cos(2.0 * np.pi * values[:, :, None] * weights["numbers/frequency"] + weights["numbers/phase"])
            mixed = np.einsum("nfi,fij->nfj", waves, weights["numbers/mix"]) + weights["numbers/shift"]
            columns.append(np.concatenate([mixed.reshape(len(values), -1), values], axis=1))
            factors.append(np.ones(columns[0].shape[1]))
        for part in rest:
            block = part.block
            if part.kind == "dense":
                columns.append(inputs[0][:, part.start : part.start + part.width].astype(np.float64))
                factors.append(np.ones(part.width))
                continue
            assert block is not None
            name = front.layer_name(block)
            if part.kind == "projected":
                columns.append(inputs[0][:, part.start : part.start + block.width] @ weights[f"{name}_table/kernel"])
                factors.append(np.ones(part.width))
                continue
            ids = inputs[-1][:, part.start]
            if part.kind == "embedded":
                columns.append(weights[f"{name}_table/embeddings"][ids].astype(np.float64))
                factors.append(np.ones(part.width))
            else:
                columns.append(np.eye(part.width)[ids])
                share = columns[-1].mean(axis=0)
                factors.append(np.where((share < 0.25) | (share > 0.75), _RARE_FACTOR, _COMMON_FACTOR))
        return np.concatenate(columns, axis=1), np.concatenate(factors).astype(np.float32)

    def _emit_first(self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights) -> str:
        """The first layer; behind a one-hot its kernel is a table to look up, not to multiply."""
        numbers, rest = front.split
        reads_dense = numbers is not None or any(part.kind in ("dense", "projected") for part in rest)
        dense = front.emit_dense(graph, tensors) if reads_dense else None
        kernel = weights["hidden_1/kernel"] * weights["front_scale/scale"][:, None]
        kernel = kernel * len(kernel) ** -0.5
        terms, joined, rows, offset = [], [], [], 0
        if numbers is not None:
            offset = numbers.width * _DIMENSION
            joined.append(_emit_periodic(graph, front.emit_part(graph, numbers, dense, tensors, weights), weights))
            rows.append(kernel[:offset])
        for part in rest:
            own = kernel[offset : offset + part.width]
            offset += part.width
            if part.kind == "onehot":
                assert part.block is not None
                terms.append(emit_lookup(graph, tensors[part.block.name], own, hint=f"hidden_1_{part.block.name}"))
            else:
                joined.append(front.emit_part(graph, part, dense, tensors, weights))
                rows.append(own)
        if joined:
            values = joined[0] if len(joined) == 1 else graph.node("Concat", joined, axis=1, hint="hidden_1_input")
            matrix = graph.constant(np.concatenate(rows).astype(np.float32), hint="hidden_1_kernel")
            terms.insert(0, graph.node("MatMul", [values, matrix], hint="hidden_1_matmul"))
        total = terms[0]
        for term in terms[1:]:
            total = graph.node("Add", [total, term])
        bias = graph.constant(np.asarray(weights["hidden_1/bias"], np.float32), hint="hidden_1_bias")
        return graph.node("Add", [total, bias], hint="hidden_1")


def _emit_periodic(graph: GraphBuilder, numbers: str, weights: Weights) -> str:
    count, frequencies = weights["numbers/frequency"].shape
    width = weights["numbers/mix"].shape[2]
    # One product with a matrix of blocks on the diagonal in place of one a number.
    mix = np.zeros((count * frequencies, count * width), np.float32)
    for i in range(count):
        mix[i * frequencies : (i + 1) * frequencies, i * width : (i + 1) * width] = weights["numbers/mix"][i]
    wide = graph.node("Unsqueeze", [numbers, graph.constant([2], np.int64)])
    turns = 2.0 * np.pi * weights["numbers/frequency"].astype(np.float64)
    angles = graph.node("Mul", [wide, graph.constant(turns, np.float32, hint="frequency")])
    angles = graph.node("Add", [angles, graph.constant(weights["numbers/phase"], np.float32, hint="phase")])
    flat = graph.constant([-1, count * frequencies], np.int64)
    waves = graph.node("Reshape", [graph.node("Cos", [angles], hint="waves"), flat])
    mixed = graph.node("MatMul", [waves, graph.constant(mix, hint="mix")])
    shift = graph.constant(weights["numbers/shift"].reshape(-1), np.float32, hint="shift")
    return graph.node("Concat", [graph.node("Add", [mixed, shift]), numbers], axis=1, hint="embedded_numbers")


def _emit_parametric(graph: GraphBuilder, tensor: str, activation: str, amount: NDArray[Any], *, hint: str) -> str:
    active = emit_activation(graph, tensor, activation, hint=f"{hint}_{activation}")
    change = graph.node("Sub", [active, tensor])
    scaled = graph.node("Mul", [change, graph.constant(amount, np.float32, hint=f"{hint}_amount")])
    return graph.node("Add", [tensor, scaled])


def _emit_dense(graph: GraphBuilder, tensor: str, weights: Weights, layer: str) -> str:
    kernel = weights[f"{layer}/kernel"] * len(weights[f"{layer}/kernel"]) ** -0.5
    matrix = graph.constant(np.asarray(kernel, np.float32), hint=f"{layer}_kernel")
    bias = graph.constant(np.asarray(weights[f"{layer}/bias"], np.float32), hint=f"{layer}_bias")
    return graph.node("Add", [graph.node("MatMul", [tensor, matrix], hint=f"{layer}_matmul"), bias], hint=layer)


def _proves_protocols(network: RealMLPNetwork) -> tuple[Network, StartsFromData]:
    return network, network
