"""`JaxRegressor` and `JaxClassifier`: plain JAX functions of the user's behind feature columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from penstock.errors import ConfigError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.backend import backend_name, keras
from penstock.estimators.calibration import Calibration
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.keras_model import KerasNetwork
from penstock.estimators.network_estimator import NetworkEstimator
from penstock.estimators.network_options import NetworkOptions
from penstock.estimators.networks import Network
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head
from penstock.estimators.run_config import RunConfig
from penstock.estimators.schedules import Schedule
from penstock.features.column import FeatureColumn

__all__ = ["JaxClassifier", "JaxRegressor"]

Init = Callable[[Any, int, int], Any]
"""Of (key, width, outputs): the first parameters, any tree of float arrays."""

Apply = Callable[[Any, Any], Any]
"""Of (parameters, features `[rows, width]`): outputs `[rows, outputs]`."""

RowLoss = Callable[[Any, Any], Any]
"""Of (outputs, targets): the loss of each row, `[rows]`."""


class JaxLayer(keras.layers.Layer):  # type: ignore[misc]
    """Holds a tree of parameters as weights, and calls the function on it. leaves: in JAX's order, with their names."""

    def __init__(self, apply: Apply, treedef: Any, leaves: Sequence[tuple[str, Any]]) -> None:
        super().__init__(name="function")
        self._apply = apply
        self._treedef = treedef
        for name, value in leaves:
            self.add_weight(shape=value.shape, dtype="float32", initializer=_Given(value), name=name)

    def call(self, features: Any) -> Any:
        import jax

        values = [variable.value for variable in self.weights]
        return self._apply(jax.tree_util.tree_unflatten(self._treedef, values), features)


class _Given(keras.initializers.Initializer):  # type: ignore[misc]
    """The value that `init` chose."""

    def __init__(self, value: Any) -> None:
        self._value = np.asarray(value, np.float32)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        assert tuple(shape) == self._value.shape
        return keras.ops.convert_to_tensor(self._value, dtype=dtype)


@dataclass(frozen=True, eq=False)
class JaxNetwork(KerasNetwork):
    """source: the function. init: of its parameters."""

    init: Init

    @property
    def key(self) -> str:
        return f"jax {id(self.source)} {id(self.init)}"

    def _model(self, width: int, outputs: int, seed: int) -> Any:
        import jax

        tree = self.init(jax.random.key(seed), width, outputs)
        leaves, treedef = jax.tree_util.tree_flatten_with_path(tree)
        if not leaves:
            raise ConfigError("init returned no parameters; expected a tree of arrays, such as {'weights': …}")
        named = []
        for position, (path, leaf) in enumerate(leaves):
            place = jax.tree_util.keystr(path)
            value = np.asarray(leaf)
            if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
                raise ConfigError(f"init returned {value.dtype} at {place or 'its root'}; expected arrays of floats")
            words = "".join(c if c.isalnum() else "_" for c in place).strip("_")
            named.append((f"p{position}_{words}", value))
        inputs = keras.Input((width,))
        try:
            answer = JaxLayer(self.source, treedef, named)(inputs)
        except Exception as error:
            text = " ".join(str(error).split())
            raise ConfigError(
                f"apply failed on features of shape (rows, {width}): {type(error).__name__}: {text[:300]}"
            ) from error
        return keras.Model(inputs, answer, name="jax_model")


class JaxRegressor(NetworkEstimator):
    """Predicts numbers with a function of your own in plain JAX.

    init: of (key, width, outputs), returns the first parameters, any tree of float arrays. apply: of (parameters,
    features), answers `[rows, outputs]` for float32 `[rows, width]`. loss: of (outputs, targets), a loss a row, on
    standardized labels; or the name of one, as in `DNNRegressor`, whose other arguments these are. No weight
    decays: parameters have no roles here.
    """

    def __init__(
        self,
        init: Init,
        apply: Apply,
        loss: RowLoss | RegressionLoss = "mean_squared_error",
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        label_dimension: int = 1,
        weight_column: Any = None,
        optimizer: Any = None,
        config: RunConfig | None = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        huber_delta: float = 1.0,
        quantile: float = 0.5,
        early_stopping: bool | None = None,
        intervals: float | None = None,
    ) -> None:
        network = _network(init, apply)
        named: Any = "mean_squared_error" if callable(loss) else loss
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=network,
            fit_head=lambda labels, label: fit_regression_head(
                labels, label=label, label_dimension=label_dimension, loss=named, delta=huber_delta, quantile=quantile
            ),
            options=NetworkOptions(
                optimizer=optimizer,
                learning_rate=learning_rate,
                learning_rate_schedule=learning_rate_schedule,
                weight_decay=0.0,
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(intervals=intervals),
                row_loss=loss if callable(loss) else None,
            ),
            params={
                **_described(init, apply, loss),
                "label_dimension": label_dimension,
                "huber_delta": huber_delta,
                "quantile": quantile,
            },
        )


class JaxClassifier(NetworkEstimator):
    """Predicts classes with a function of your own in plain JAX.

    init, apply: as in `JaxRegressor`; answers are logits, one a row for two classes, else one a class. loss: of
    (logits, class ids), a loss a row; None for cross-entropy. Other arguments as in `DNNClassifier`.
    """

    def __init__(
        self,
        init: Init,
        apply: Apply,
        loss: RowLoss | None = None,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        optimizer: Any = None,
        config: RunConfig | None = None,
        *,
        learning_rate: float | None = None,
        learning_rate_schedule: Schedule | None = None,
        class_weight: Mapping[str, float] | str | None = None,
        early_stopping: bool | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        network = _network(init, apply)
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            network=network,
            fit_head=lambda labels, label: fit_classification_head(
                labels, label=label, n_classes=n_classes, label_vocabulary=label_vocabulary
            ),
            options=NetworkOptions(
                optimizer=optimizer,
                learning_rate=learning_rate,
                learning_rate_schedule=learning_rate_schedule,
                weight_decay=0.0,
                class_weight=class_weight,
                early_stopping=early_stopping,
                adjustments=AdjustmentOptions(calibrate=calibrate, prediction_sets=prediction_sets),
                row_loss=loss,
            ),
            params={
                **_described(init, apply, loss),
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
        )


def _network(init: Init, apply: Apply) -> JaxNetwork:
    for name, function in (("init", init), ("apply", apply)):
        if not callable(function):
            raise ConfigError(f"{name} is a {type(function).__name__}; expected a function")
    if backend_name() != "jax":
        raise ConfigError(f"a JAX function is trained on the backend jax, and Keras runs on {backend_name()} here")
    return JaxNetwork(apply, init)


def _described(init: Any, apply: Any, loss: Any) -> dict[str, Any]:
    """Functions by their names: what they compute is the caller's to keep the same."""
    return {
        "init": _name_of(init),
        "apply": _name_of(apply),
        "loss": loss if loss is None or isinstance(loss, str) else _name_of(loss),
    }


def _name_of(function: Any) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _proves_protocol(network: JaxNetwork) -> Network:
    return network
