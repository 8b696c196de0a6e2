"""Keras with its backend chosen: JAX, unless KERAS_BACKEND says otherwise. Everything here imports Keras from this
module.
"""

import os
from typing import Any

# Keras reads the variable once, at import, and would fall back to TensorFlow.
_IS_CHOSEN = "KERAS_BACKEND" in os.environ
os.environ.setdefault("KERAS_BACKEND", "jax")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

if not _IS_CHOSEN:  # nor do processes begun from here, such as a job's trainer, have it chosen for them
    del os.environ["KERAS_BACKEND"]

__all__ = ["backend_name", "has_accelerator", "keras", "value_of"]


def backend_name() -> str:
    """ "jax", "tensorflow" or "torch"."""
    name: Any = keras.backend.backend()
    return str(name)


def has_accelerator() -> bool:
    """Whether networks train on something faster than processor cores. Uses JAX: processes must have met before."""
    if backend_name() != "jax":
        return False
    import jax

    platform: str = jax.default_backend()
    return platform != "cpu"


def value_of(variable: Any) -> NDArray[Any]:
    """A copy of a Keras variable's value. NumPy's own conversion warns: Keras' `__array__` knows no `copy`."""
    return np.array(keras.ops.convert_to_numpy(variable.value))
