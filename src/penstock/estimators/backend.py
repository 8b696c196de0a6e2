"""Keras with its backend chosen: JAX, unless KERAS_BACKEND says otherwise. Everything here imports Keras from this
module.
"""

import os
from typing import Any

# Keras reads the variable once, at import, and would fall back to TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "jax")

import keras

__all__ = ["backend_name", "keras"]


def backend_name() -> str:
    """ "jax", "tensorflow" or "torch"."""
    name: Any = keras.backend.backend()
    return str(name)
