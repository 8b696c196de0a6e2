"""Keras layers of the canned networks whose settings are variables, so that a change of one compiles nothing anew."""

from typing import Any

from penstock.estimators.backend import keras

__all__ = ["AdjustableDropout", "Bias", "OneHot", "Pick"]

ops: Any = keras.ops


@keras.saving.register_keras_serializable(package="penstock")
class AdjustableDropout(keras.layers.Layer):  # type: ignore[misc]
    """Dropout whose rate is a variable. Set it with `layer.rate.assign`, or in the state of a training.

    is_scheduled: another variable, `share`, holds what the rate is multiplied with at a step.
    """

    def __init__(self, rate: float = 0.0, *, seed: int = 0, is_scheduled: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.is_scheduled = is_scheduled
        if is_scheduled:
            self.share = self.add_weight(
                shape=(), initializer="ones", trainable=False, name="regularization_share", dtype="float32"
            )
        self.rate = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(rate), trainable=False, name="rate", dtype="float32"
        )
        # Named, since variables are told apart by their paths.
        self.generator = keras.random.SeedGenerator(seed, name=f"{self.name}_seed")

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        noise = keras.random.uniform(ops.shape(inputs), seed=self.generator)
        rate = self.rate * self.share if self.is_scheduled else self.rate
        kept = ops.cast(noise >= rate, inputs.dtype)
        return inputs * kept / (1.0 - rate)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed, "is_scheduled": self.is_scheduled}


@keras.saving.register_keras_serializable(package="penstock")
class OneHot(keras.layers.Layer):  # type: ignore[misc]
    """Ids `[rows, 1]` to their indicators `[rows, buckets]`."""

    def __init__(self, buckets: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buckets = buckets

    def call(self, inputs: Any) -> Any:
        return ops.cast(inputs == ops.arange(self.buckets, dtype="int32"), "float32")

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], self.buckets)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "buckets": self.buckets}


@keras.saving.register_keras_serializable(package="penstock")
class Pick(keras.layers.Layer):  # type: ignore[misc]
    """Columns `start` to `stop` of `[rows, width]`."""

    def __init__(self, start: int, stop: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, inputs: Any) -> Any:
        return inputs[:, self.start : self.stop]

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], self.stop - self.start)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "start": self.start, "stop": self.stop}


@keras.saving.register_keras_serializable(package="penstock")
class Bias(keras.layers.Layer):  # type: ignore[misc]
    """Adds a trained number to each column."""

    def build(self, shape: Any) -> None:
        self.bias = self.add_weight(shape=(shape[-1],), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias
