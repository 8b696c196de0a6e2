"""Optimizers by the names that tf.estimator took, or as Keras objects; by default Adam with decoupled weight decay."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.backend import keras
from penstock.estimators.schedules import SCHEDULES, Schedule

__all__ = ["OptimizerChoice", "choose_optimizer"]

_KNOWN = {
    "adamw": ("Adam", 0.001),
    "adam": ("Adam", 0.001),
    "adagrad": ("Adagrad", 0.05),
    "rmsprop": ("RMSprop", 0.001),
    "sgd": ("SGD", 0.05),
    "ftrl": ("Ftrl", 0.05),
    "adamax": ("Adamax", 0.001),
    "nadam": ("Nadam", 0.001),
    "lion": ("Lion", 0.0003),
    "muon": ("Muon", 0.001),
}


@dataclass(frozen=True)
class OptimizerChoice:
    """A recipe for an optimizer.

    key: names everything of it that is compiled into a step. rate: base learning rate; None where it keeps its own
    schedule. make: a fresh one.
    """

    key: str
    rate: float | None
    schedule: Schedule
    make: Callable[[], Any]


def choose_optimizer(
    optimizer: Any,
    *,
    learning_rate: float | None,
    schedule: Schedule | None,
    default_rate: float,
    default_schedule: Schedule = "cosine",
    betas: tuple[float, float] = (0.9, 0.999),
) -> OptimizerChoice:
    """What the arguments `optimizer`, `learning_rate` and `learning_rate_schedule` of an estimator stand for.

    optimizer: None for Adam with these betas and `default_schedule`; a name, a Keras optimizer, or a function that
    makes one: these keep their learning rate constant unless told otherwise.
    """
    if learning_rate is not None and not learning_rate > 0:
        raise ConfigError(f"learning_rate is {learning_rate}; expected a number above 0")
    if schedule is not None and schedule not in SCHEDULES:
        raise ConfigError(f"learning_rate_schedule is {schedule!r}; expected one of {', '.join(SCHEDULES)}")
    if optimizer is None:
        rate = learning_rate or default_rate
        return OptimizerChoice(
            f"Adam {betas}", rate, schedule or default_schedule, lambda: keras.optimizers.Adam(rate, *betas)
        )
    if isinstance(optimizer, str):
        name, usual = _known(optimizer)
        rate = learning_rate or usual
        return OptimizerChoice(
            name, rate, schedule or "constant", lambda: getattr(keras.optimizers, name)(learning_rate=rate)
        )
    made = optimizer() if callable(optimizer) and not isinstance(optimizer, keras.optimizers.Optimizer) else optimizer
    if not isinstance(made, keras.optimizers.Optimizer):
        raise ConfigError(
            f"optimizer is a {type(made).__name__}; expected a name such as 'Adam', a Keras optimizer, "
            "or a function that makes one"
        )
    return _given(made, learning_rate, schedule)


def describe_optimizer(optimizer: Any) -> Any:
    """An `optimizer` argument as a JSON value."""
    if optimizer is None or isinstance(optimizer, str):
        return optimizer
    made = optimizer() if callable(optimizer) and not isinstance(optimizer, keras.optimizers.Optimizer) else optimizer
    if not isinstance(made, keras.optimizers.Optimizer):
        return repr(made)
    config = json.loads(json.dumps(made.get_config(), default=str))
    config.pop("name", None)
    return {"class": type(made).__name__, **config}


def _known(optimizer: str) -> tuple[str, float]:
    key = optimizer.lower()
    if key not in _KNOWN:
        names = sorted(name for name, _ in _KNOWN.values())
        raise ConfigError(
            f"optimizer is {optimizer!r}; expected one of {', '.join(dict.fromkeys(names))}"
            f"{did_you_mean(optimizer, names)}"
        )
    return _KNOWN[key]


def _given(made: Any, learning_rate: float | None, schedule: Schedule | None) -> OptimizerChoice:
    config = made.get_config()
    own = config.pop("learning_rate", None)
    config.pop("name", None)
    key = json.dumps({"class": type(made).__name__, **config}, sort_keys=True, default=str)
    if not isinstance(own, int | float):
        if learning_rate is not None or schedule is not None:
            raise ConfigError(
                "the optimizer has a learning rate schedule of its own; leave out learning_rate and its schedule"
            )
        return OptimizerChoice(
            key + json.dumps(own, default=str), None, "constant", lambda: type(made).from_config(made.get_config())
        )
    rate = learning_rate or float(own)
    return OptimizerChoice(key, rate, schedule or "constant", lambda: type(made).from_config(made.get_config()))
