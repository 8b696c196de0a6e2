"""Canned networks: a front and layers behind it, as a Keras model for training and as nodes of an ONNX graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.backend import keras
from penstock.estimators.front import Front
from penstock.estimators.layers import AdjustableDropout
from penstock.export.graph import GraphBuilder

__all__ = ["ACTIVATIONS", "DNNNetwork", "LinearNetwork", "Network", "Weights", "variable_keys", "weights_of"]

Weights = Mapping[str, NDArray[Any]]
"""Values of a model's variables by path (`hidden_1/kernel`)."""

ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "tanh",
    "sigmoid",
    "softplus",
    "linear",
)


class Network(Protocol):
    """What stands between a front and a head."""

    @property
    def key(self) -> str:
        """Names the architecture: equal keys build equal models."""

    @property
    def dropout(self) -> float: ...

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        """The Keras model from `front.inputs()` to `[rows, outputs]`."""

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        """The same in a graph: the outputs' tensor, float32 `[N, outputs]`."""

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        """The weights to answer with: ids that no training row had get neutral values instead of initial
        random ones.
        """


@dataclass(frozen=True)
class LinearNetwork:
    """A weighted sum: of dense values, and of a weight for each id."""

    dropout: float = 0.0

    @property
    def key(self) -> str:
        return "linear"

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        layer = keras.layers.Dense(outputs, kernel_initializer="zeros", name="linear")
        return keras.Model(inputs, layer(_joined(front.parts(inputs, seed=seed))), name="linear_model")

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        return emit_dense_layer(graph, front, tensors, weights, "linear", hint="linear")

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        return finish_first_layers(front, weights, ("linear",))


@dataclass(frozen=True)
class DNNNetwork:
    """Fully connected hidden layers: each Dense, batch normalization if asked for, activation, dropout if asked for."""

    hidden_units: tuple[int, ...]
    activation: str = "relu"
    dropout: float = 0.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        if not self.hidden_units or any(units < 1 for units in self.hidden_units):
            raise ConfigError(
                f"hidden_units is {list(self.hidden_units)}; expected sizes of at least 1, such as [64, 64]"
            )
        if self.activation not in ACTIVATIONS:
            close = did_you_mean(self.activation, ACTIVATIONS)
            raise ConfigError(f"activation_fn is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}{close}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; expected a share of at least 0 and below 1")

    @property
    def key(self) -> str:
        drops = "dropout" if self.dropout else "no dropout"
        return f"dnn {self.hidden_units} {self.activation} {drops} {self.batch_norm}"

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        hidden = _joined(front.parts(inputs, seed=seed))
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
        initializer = keras.initializers.GlorotUniform(seed=seed)
        logits = keras.layers.Dense(outputs, kernel_initializer=initializer, name="logits")(hidden)
        return keras.Model(inputs, logits, name="dnn_model")

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        hidden = ""
        for number in range(1, len(self.hidden_units) + 1):
            layer = f"hidden_{number}"
            folded = fold_batch_norm(weights, layer) if self.batch_norm else weights
            if number == 1:
                hidden = emit_dense_layer(graph, front, tensors, folded, layer, hint=layer)
            else:
                hidden = emit_affine(graph, hidden, folded, layer)
            hidden = emit_activation(graph, hidden, self.activation, hint=f"{layer}_{self.activation}")
        return emit_affine(graph, hidden, weights, "logits")

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        return finish_first_layers(front, weights, ("hidden_1",))


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


def finish_first_layers(front: Front, weights: Weights, layers: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Weights with, for ids never seen, the mean of the seen ones: rows of tables, and of the kernels behind
    indicators.

    layers: those that read the front's parts side by side.
    """
    result = {path: np.array(value) for path, value in weights.items()}
    offset = 0
    for block, width in front.widths():
        if block is not None and block.unseen and len(block.unseen) < (block.num_buckets or 0):
            unseen = np.asarray(block.unseen, dtype=np.int64)
            seen = np.setdiff1d(np.arange(block.num_buckets or 0), unseen)
            if block.representation == "embedding":
                table = result[f"{front.layer_name(block)}_table/embeddings"]
                table[unseen] = table[seen].mean(axis=0)
            else:
                for layer in layers:
                    kernel = result[f"{layer}/kernel"]
                    kernel[offset + unseen] = kernel[offset + seen].mean(axis=0)
        offset += width
    return result


def fold_batch_norm(weights: Weights, layer: str) -> dict[str, NDArray[Any]]:
    """The layer's kernel and bias with the batch normalization behind it worked in (Keras' default epsilon)."""
    norm = f"{layer}_norm"
    scale = weights[f"{norm}/gamma"] / np.sqrt(weights[f"{norm}/moving_variance"] + 1e-3)
    bias = weights[f"{norm}/beta"] - weights[f"{norm}/moving_mean"] * scale
    return {**weights, f"{layer}/kernel": weights[f"{layer}/kernel"] * scale, f"{layer}/bias": bias}


def emit_dense_layer(
    graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, layer: str, *, hint: str
) -> str:
    """A dense layer on the front's parts; behind an indicator its kernel is a table to look up, not to
    multiply with.
    """
    kernel, offset = weights[f"{layer}/kernel"], 0
    terms, joined, joined_rows = [], [], []
    for block, width in front.widths():
        rows = kernel[offset : offset + width]
        offset += width
        if block is not None and block.representation != "embedding":
            table = graph.constant(np.ascontiguousarray(rows, np.float32), hint=f"{hint}_{block.name}_table")
            flat = graph.node("Reshape", [tensors[block.name], graph.constant([-1], np.int64)])
            terms.append(graph.node("Gather", [table, flat], axis=0, hint=f"{hint}_{block.name}"))
            continue
        if block is None:
            joined.append(front.emit_dense(graph, tensors))
        else:
            table = graph.constant(
                weights[f"{front.layer_name(block)}_table/embeddings"], np.float32, hint=f"{block.name}_table"
            )
            flat = graph.node("Reshape", [tensors[block.name], graph.constant([-1], np.int64)])
            joined.append(graph.node("Gather", [table, flat], axis=0, hint=f"{block.name}_vector"))
        joined_rows.append(rows)
    bias = graph.constant(np.asarray(weights[f"{layer}/bias"], np.float32), hint=f"{layer}_bias")
    if joined:
        values = joined[0] if len(joined) == 1 else graph.node("Concat", joined, axis=1, hint=f"{hint}_input")
        matrix = graph.constant(np.concatenate(joined_rows).astype(np.float32), hint=f"{layer}_kernel")
        terms.insert(0, graph.node("MatMul", [values, matrix], hint=f"{hint}_matmul"))
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", [total, term])
    return graph.node("Add", [total, bias], hint=hint)


def emit_affine(graph: GraphBuilder, tensor: str, weights: Weights, layer: str) -> str:
    """A dense layer on one tensor."""
    kernel = graph.constant(np.asarray(weights[f"{layer}/kernel"], np.float32), hint=f"{layer}_kernel")
    bias = graph.constant(np.asarray(weights[f"{layer}/bias"], np.float32), hint=f"{layer}_bias")
    return graph.node("Add", [graph.node("MatMul", [tensor, kernel], hint=f"{layer}_matmul"), bias], hint=layer)


def emit_activation(graph: GraphBuilder, tensor: str, activation: str, *, hint: str) -> str:
    """A Keras activation by its name."""
    match activation:
        case "linear":
            return tensor
        case "relu" | "elu" | "tanh" | "sigmoid" | "softplus" | "mish":
            return graph.node(activation.capitalize(), [tensor], hint=hint)
        case "selu":
            return graph.node("Selu", [tensor], hint=hint, alpha=1.67326324, gamma=1.05070098)
        case "leaky_relu":
            return graph.node("LeakyRelu", [tensor], hint=hint, alpha=0.2)
        case "relu6":
            bounds = [graph.constant(0.0, np.float32), graph.constant(6.0, np.float32)]
            return graph.node("Clip", [tensor, *bounds], hint=hint)
        case "silu":
            return graph.node("Mul", [tensor, graph.node("Sigmoid", [tensor])], hint=hint)
        case "gelu":
            return graph.node("Gelu", [tensor], hint=hint)
        case _:
            raise ConfigError(f"activation {activation!r} has no graph form")


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)


def _initializer(activation: str, seed: int) -> Any:
    if activation in ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish"):
        return keras.initializers.HeNormal(seed=seed)
    if activation == "selu":
        return keras.initializers.LecunNormal(seed=seed)
    return keras.initializers.GlorotUniform(seed=seed)


def _proves_protocol(linear: LinearNetwork, dnn: DNNNetwork) -> tuple[Network, Network]:
    return linear, dnn
