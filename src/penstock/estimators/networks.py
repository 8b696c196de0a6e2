"""Canned networks: a front and layers behind it, as a Keras model for training and as nodes of an ONNX graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.activations import ACTIVATIONS, emit_activation
from penstock.estimators.backend import keras
from penstock.estimators.front import Front, Part, emit_lookup
from penstock.estimators.initializers import glorot_uniform, he_normal, lecun_normal
from penstock.estimators.layers import AdjustableDropout
from penstock.export.graph import GraphBuilder

__all__ = [
    "DNNNetwork",
    "Network",
    "StartsFromData",
    "Weights",
    "emit_affine",
    "emit_on_parts",
    "neutralize",
    "variable_keys",
    "weights_of",
]

Weights = Mapping[str, NDArray[Any]]
"""Values of a model's variables by key (`hidden_1/kernel`)."""


class Network(Protocol):
    """What stands between blocks and a head."""

    @property
    def key(self) -> str:
        """Names the architecture: equal keys build equal models."""

    @property
    def writes_own_graph(self) -> bool:
        """Whether `emit` writes nodes of its own, in no time and without an extra; else another library translates."""

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        """The Keras model from `front.inputs()` to `[rows, outputs]`."""

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        """The same in a graph: the outputs' tensor, float32 `[N, outputs]`."""

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        """The weights to answer with: ids that no training row had get neutral values instead of random ones."""


@runtime_checkable
class StartsFromData(Protocol):
    """A network whose first weights depend on the training rows."""

    def first_weights(
        self, front: Front, weights: Weights, inputs: Sequence[NDArray[Any]], *, seed: int
    ) -> dict[str, NDArray[Any]]:
        """The weights to begin with. weights: as built. inputs: the training rows as the network reads them."""


@dataclass(frozen=True)
class DNNNetwork:
    """Fully connected hidden layers: each Dense, batch normalization if asked for, activation, dropout if asked for."""

    hidden_units: tuple[int, ...]
    activation: str = "relu"
    dropout: float = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if not self.hidden_units or not all(str(units).isdecimal() and units > 0 for units in self.hidden_units):
            raise ConfigError(
                f"hidden_units is {list(self.hidden_units)}; expected sizes of at least 1, such as [64, 64]"
            )
        if self.activation not in ACTIVATIONS:
            close = did_you_mean(self.activation, ACTIVATIONS)
            raise ConfigError(f"activation_fn is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}{close}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; expected a share of at least 0 and below 1")

    @property
    def writes_own_graph(self) -> bool:
        return True

    @property
    def key(self) -> str:
        drops = "dropout" if self.dropout else "no dropout"
        return f"dnn {self.hidden_units} {self.activation} {drops} {self.batch_norm}"

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        return keras.Model(inputs, self.answer(front, inputs, front.parts, outputs, seed=seed), name="dnn_model")

    def answer(self, front: Front, inputs: Sequence[Any], parts: Sequence[Part], outputs: int, *, seed: int) -> Any:
        """The Keras tensor of the network on these parts."""
        hidden = front.read(inputs, parts, seed=seed)
        for number, units in enumerate(self.hidden_units, 1):
            initializer = _initializer(self.activation, seed + number)
            dense = keras.layers.Dense(
                units, kernel_initializer=initializer, use_bias=not self.batch_norm, name=f"hidden_{number}"
            )
            hidden = dense(hidden)
            if self.batch_norm:
                hidden = keras.layers.BatchNormalization(name=f"hidden_{number}_norm")(hidden)
            hidden = keras.layers.Activation(self.activation, name=f"hidden_{number}_{self.activation}")(hidden)
            if self.dropout:
                drop = AdjustableDropout(self.dropout, seed=seed + number, name=f"hidden_{number}_dropout")
                hidden = drop(hidden)
        initializer = glorot_uniform(seed)
        return keras.layers.Dense(outputs, kernel_initializer=initializer, name="logits")(hidden)

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        return self.emit_answer(graph, front, front.parts, tensors, weights)

    def emit_answer(
        self,
        graph: GraphBuilder,
        front: Front,
        parts: Sequence[Part],
        tensors: Mapping[str, str],
        weights: Weights,
    ) -> str:
        """The nodes of the network on these parts."""
        hidden = ""
        for number in range(1, len(self.hidden_units) + 1):
            layer = f"hidden_{number}"
            folded = fold_batch_norm(weights, layer) if self.batch_norm else weights
            if number == 1:
                hidden = emit_on_parts(graph, front, parts, tensors, folded, layer)
            else:
                hidden = emit_affine(graph, hidden, folded, layer)
            hidden = emit_activation(graph, hidden, self.activation, hint=f"{layer}_{self.activation}")
        return emit_affine(graph, hidden, weights, "logits")

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        return neutralize(front, front.parts, weights, "hidden_1")


def variable_keys(model: Any) -> list[str]:
    """A key for each variable, trainable ones first: its path, numbered where a user's model has it twice."""
    keys: list[str] = []
    for variable in (*model.trainable_variables, *model.non_trainable_variables):
        path = str(variable.path)
        keys.append(path if path not in keys else f"{path}#{len(keys)}")
    return keys


def weights_of(model: Any, trainable: Sequence[NDArray[Any]], non_trainable: Sequence[NDArray[Any]]) -> Weights:
    """Values in the order of the model's variables, by the variables' keys."""
    return dict(zip(variable_keys(model), (*trainable, *non_trainable), strict=True))


def neutralize(
    front: Front, parts: Sequence[Part], weights: Weights, layer: str, *, start: int = 0
) -> dict[str, NDArray[Any]]:
    """Weights with, for what was never seen in training, the mean of what was: rows of tables, and rows of the kernel
    of `layer`, which reads the parts side by side. start: its row of the first part.
    """
    result = {key: np.array(value) for key, value in weights.items()}
    offset = start
    for part in parts:
        block = part.block
        size = 0 if block is None else (block.num_buckets or block.width)
        if block is not None and block.unseen and len(block.unseen) < size:
            name = front.layer_name(block)
            match part.kind:
                case "embedded":
                    _to_mean(result[f"{name}_table/embeddings"], block.unseen, range(size))
                case "projected":
                    _to_mean(result[f"{name}_table/kernel"], block.unseen, range(size))
                case _:
                    unseen = [offset + place for place in block.unseen]
                    _to_mean(result[f"{layer}/kernel"], unseen, range(offset, offset + size))
        offset += part.width
    return result


def fold_batch_norm(weights: Weights, layer: str) -> dict[str, NDArray[Any]]:
    """The layer's kernel and bias with the batch normalization behind it worked in (Keras' default epsilon)."""
    norm = f"{layer}_norm"
    scale = weights[f"{norm}/gamma"] / np.sqrt(weights[f"{norm}/moving_variance"] + 1e-3)
    bias = weights[f"{norm}/beta"] - weights[f"{norm}/moving_mean"] * scale
    return {**weights, f"{layer}/kernel": weights[f"{layer}/kernel"] * scale, f"{layer}/bias": bias}


def emit_on_parts(
    graph: GraphBuilder,
    front: Front,
    parts: Sequence[Part],
    tensors: Mapping[str, str],
    weights: Weights,
    layer: str,
) -> str:
    """A dense layer on the parts side by side; behind a one-hot its kernel is a table to look up, not to multiply."""
    dense = front.emit_dense(graph, tensors) if any(part.kind in ("dense", "projected") for part in parts) else None
    kernel, offset = weights[f"{layer}/kernel"], 0
    terms, joined, joined_rows = [], [], []
    for part in parts:
        rows = kernel[offset : offset + part.width]
        offset += part.width
        if part.kind == "onehot":
            assert part.block is not None
            terms.append(emit_lookup(graph, tensors[part.block.name], rows, hint=f"{layer}_{part.block.name}"))
        else:
            joined.append(front.emit_part(graph, part, dense, tensors, weights))
            joined_rows.append(rows)
    bias = graph.constant(np.asarray(weights[f"{layer}/bias"], np.float32), hint=f"{layer}_bias")
    if joined:
        values = joined[0] if len(joined) == 1 else graph.node("Concat", joined, axis=1, hint=f"{layer}_input")
        matrix = graph.constant(np.concatenate(joined_rows).astype(np.float32), hint=f"{layer}_kernel")
        terms.insert(0, graph.node("MatMul", [values, matrix], hint=f"{layer}_matmul"))
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", [total, term])
    return graph.node("Add", [total, bias], hint=layer)


def emit_affine(graph: GraphBuilder, tensor: str, weights: Weights, layer: str) -> str:
    """A dense layer on one tensor."""
    kernel = graph.constant(np.asarray(weights[f"{layer}/kernel"], np.float32), hint=f"{layer}_kernel")
    bias = graph.constant(np.asarray(weights[f"{layer}/bias"], np.float32), hint=f"{layer}_bias")
    return graph.node("Add", [graph.node("MatMul", [tensor, kernel], hint=f"{layer}_matmul"), bias], hint=layer)


def _to_mean(table: NDArray[Any], unseen: Sequence[int], places: Sequence[int]) -> None:
    seen = np.setdiff1d(np.asarray(places), np.asarray(unseen))
    table[np.asarray(unseen)] = table[seen].mean(axis=0)


def _initializer(activation: str, seed: int) -> Any:
    if activation in ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish"):
        return he_normal(seed)
    if activation == "selu":
        return lecun_normal(seed)
    return glorot_uniform(seed)


def _proves_protocol(dnn: DNNNetwork) -> Network:
    return dnn
