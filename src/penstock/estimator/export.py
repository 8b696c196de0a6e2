"""What callers send to a served model, by the names of `tf.estimator.export`; see `penstock.serving_input`."""

from penstock.data.recipe.serving_input import ServingInputReceiver, build_raw_serving_input_receiver_fn, placeholder

__all__ = ["ServingInputReceiver", "build_raw_serving_input_receiver_fn", "placeholder"]
