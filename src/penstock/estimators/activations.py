"""Activation functions by name, as Keras functions, or as TensorFlow's of the same names; and their ONNX nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from penstock.export.graph import GraphBuilder

__all__ = ["ACTIVATIONS", "activation_name", "emit_activation"]

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

_ALIASES = {"swish": "silu", "lrelu": "leaky_relu", "none": "linear", "identity": "linear"}


def activation_name(activation: str | Callable[..., Any] | None) -> str:
    """The name of an activation: `"relu"`, `keras.activations.relu` and `tf.nn.relu` are all called relu.

    >>> activation_name("swish")
    'silu'
    """
    if activation is None:
        return "linear"
    name = activation if isinstance(activation, str) else getattr(activation, "__name__", type(activation).__name__)
    name = name.lower()
    return _ALIASES.get(name, name)


def emit_activation(graph: GraphBuilder, tensor: str, activation: str, *, hint: str) -> str:
    """The node of a Keras activation, with Keras' constants."""
    match activation:
        case "linear":
            return tensor
        case "selu":
            return graph.node("Selu", [tensor], hint=hint, alpha=1.67326324, gamma=1.05070098)
        case "leaky_relu":
            return graph.node("LeakyRelu", [tensor], hint=hint, alpha=0.2)
        case "relu6":
            bounds = [graph.constant(0.0, np.float32), graph.constant(6.0, np.float32)]
            return graph.node("Clip", [tensor, *bounds], hint=hint)
        case "silu":
            return graph.node("Mul", [tensor, graph.node("Sigmoid", [tensor])], hint=hint)
        case _:
            return graph.node(activation.capitalize(), [tensor], hint=hint)
