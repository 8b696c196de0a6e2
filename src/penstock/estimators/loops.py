"""Which training loop runs a program here: by the backend that Keras runs on and the devices that JAX knows."""

from penstock.errors import ConfigError
from penstock.estimators.backend import backend_name
from penstock.estimators.loop import Program, TrainLoop

__all__ = ["make_loop"]


def make_loop(program: Program) -> TrainLoop:
    """The loop for the backend that Keras runs on. Raises ConfigError for one there is none for."""
    match backend_name():
        case "jax":
            import jax

            if jax.device_count() > 1:
                from penstock.estimators.distributed_loop import DistributedJaxLoop

                return DistributedJaxLoop(program)
            from penstock.estimators.jax_loop import JaxLoop

            return JaxLoop(program)
        case "tensorflow":
            from penstock.estimators.tensorflow_loop import TensorFlowLoop

            return TensorFlowLoop(program)
        case other:
            raise ConfigError(f"KERAS_BACKEND is {other!r}; estimators train on 'jax' or 'tensorflow'")
