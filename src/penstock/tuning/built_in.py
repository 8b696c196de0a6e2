"""The spaces that canned estimators are searched in unless an experiment says otherwise.

Ranges are around the defaults of each estimator. Sizes of layers are few, so that trials share compiled programs.
"""

from collections.abc import Mapping
from typing import Any

from penstock.errors import ConfigError
from penstock.tuning.parameter import Parameter, Value

__all__ = ["built_in_space", "split_assignment"]

_RATE = Parameter(name="learning_rate", type="DOUBLE", low=3e-4, high=3e-2, scale="LOG")
_DECAY = Parameter(name="weight_decay", type="DOUBLE", low=1e-3, high=1.0, scale="LOG")
_LAYERS = Parameter(
    name="hidden_units", type="CATEGORICAL", values=([32], [64], [64, 32], [128, 64], [256, 128], [128, 64, 32])
)
_DROPOUT = Parameter(name="dropout", type="DISCRETE", values=(0.0, 0.1, 0.25, 0.5))
_SPACES: dict[str, tuple[Parameter, ...]] = {
    "DNN": (_RATE, _DECAY, _LAYERS, _DROPOUT),
    "Linear": (
        Parameter(name="learning_rate", type="DOUBLE", low=1e-3, high=0.3, scale="LOG"),
        Parameter(name="l1_regularization_strength", type="DOUBLE", low=1e-6, high=1e-1, scale="LOG"),
        Parameter(name="l2_regularization_strength", type="DOUBLE", low=1e-6, high=1e-1, scale="LOG"),
    ),
    "DNNLinearCombined": (
        _RATE,
        _DECAY,
        Parameter(name="dnn_hidden_units", type="CATEGORICAL", values=_LAYERS.values),
        Parameter(name="dnn_dropout", type="DISCRETE", values=_DROPOUT.values),
    ),
    "RealMLP": (
        Parameter(name="learning_rate", type="DOUBLE", low=0.02, high=0.5, scale="LOG"),
        Parameter(name="weight_decay", type="DOUBLE", low=1e-3, high=0.1, scale="LOG"),
        Parameter(name="hidden_units", type="CATEGORICAL", values=([64, 64, 64], [256, 256, 256], [512])),
        Parameter(name="dropout", type="DISCRETE", values=(0.0, 0.15, 0.3)),
    ),
    "TabM": (
        Parameter(name="learning_rate", type="DOUBLE", low=1e-4, high=5e-3, scale="LOG"),
        Parameter(name="weight_decay", type="DOUBLE", low=1e-4, high=0.1, scale="LOG"),
        Parameter(name="hidden_units", type="CATEGORICAL", values=([128, 128], [256, 256], [256, 256, 256])),
        Parameter(name="dropout", type="DISCRETE", values=(0.0, 0.1, 0.25)),
    ),
}
_OF_TRAINING = ("max_steps", "batch_size", "seed")


def built_in_space(estimator: str, given: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """The parameters to search for an estimator, without those that the experiment gives.

    Raises ConfigError where none is left or the estimator has no space.
    """
    family = estimator.removesuffix("Regressor").removesuffix("Classifier")
    if family not in _SPACES:
        raise ConfigError(f"{estimator} has no built-in search space; name what to search in tuning.parameters")
    space = tuple(parameter for parameter in _SPACES[family] if parameter.name not in given)
    if not space:
        raise ConfigError(
            f"the experiment gives every parameter that {estimator} is searched in "
            f"({', '.join(parameter.name for parameter in _SPACES[family])}); leave some out, or name tuning.parameters"
        )
    return space


def split_assignment(values: Mapping[str, Value]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of the estimator, and the fields of the training section, that a trial's values stand for.

    `hidden_units_1`, `hidden_units_2`, … are the sizes of as many layers, in their order. Zero dropout is none.
    """
    layers: dict[str, dict[int, int]] = {}
    arguments: dict[str, Any] = {}
    training: dict[str, Any] = {}
    for name, value in values.items():
        stem, _, number = name.rpartition("_")
        if stem in ("hidden_units", "dnn_hidden_units") and number.isdecimal():
            assert isinstance(value, int | float)
            layers.setdefault(stem, {})[int(number)] = int(value)
        elif name in _OF_TRAINING or name.startswith("training."):
            training[name.removeprefix("training.")] = value
        else:
            arguments[name] = value
    for stem, sizes in layers.items():
        arguments[stem] = [sizes[number] for number in sorted(sizes)]
    return arguments, training
