"""Activation functions by name, as Keras functions, or as TensorFlow's of the same names."""

from collections.abc import Callable
from typing import Any

__all__ = ["activation_name"]

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
