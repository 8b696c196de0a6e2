"""Estimators by the names that experiment files use. A class is imported when it is asked for."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, get_args

import msgspec

from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.estimator import Estimator

__all__ = ["ESTIMATORS", "check_arguments", "estimator_class"]

ESTIMATORS: dict[str, str] = {
    "AutoClassifier": "penstock.estimators.auto.estimator",
    "AutoRegressor": "penstock.estimators.auto.estimator",
    "BoostedTreesClassifier": "penstock.estimators.boosted_trees",
    "BoostedTreesRegressor": "penstock.estimators.boosted_trees",
    "DNNClassifier": "penstock.estimators.dnn",
    "DNNLinearCombinedClassifier": "penstock.estimators.wide_deep",
    "DNNLinearCombinedRegressor": "penstock.estimators.wide_deep",
    "DNNRegressor": "penstock.estimators.dnn",
    "LinearClassifier": "penstock.estimators.linear",
    "LinearRegressor": "penstock.estimators.linear",
    "RealMLPClassifier": "penstock.estimators.real_mlp",
    "RealMLPRegressor": "penstock.estimators.real_mlp",
    "TabMClassifier": "penstock.estimators.tabm",
    "TabMRegressor": "penstock.estimators.tabm",
}


def estimator_class(name: str) -> type[Estimator]:
    """The estimator of that name. Raises ConfigError with the names there are."""
    if name == "ImageClassifier":
        raise ConfigError("estimator ImageClassifier reads photos and no table; train it with penstock train")
    if name not in ESTIMATORS:
        raise ConfigError(
            f"there is no estimator {name!r}; there is {', '.join(ESTIMATORS)}, ImageClassifier"
            f"{did_you_mean(name, ESTIMATORS)}"
        )
    found: type[Estimator] = getattr(import_module(ESTIMATORS[name]), name)
    return found


def check_arguments(estimator: type[Estimator], arguments: Mapping[str, Any]) -> None:
    """Raises ConfigError for a name in the section `estimator` that this estimator has no argument for, and for a
    value of another type than the argument's.
    """
    given_elsewhere = {
        "self",
        "feature_columns",
        "linear_feature_columns",
        "dnn_feature_columns",
        "model_dir",
        "config",
    }
    parameters = inspect.signature(estimator.__init__).parameters.values()
    known = {one.name: one.annotation for one in parameters if one.name not in given_elsewhere}
    for name, value in arguments.items():
        if name not in known:
            close = did_you_mean(str(name), ["type", *known])
            raise ConfigError(
                f"estimator {estimator.__name__} has no argument {name!r}; it has {', '.join(known)}{close}"
            )
        if (complaint := _complaint(value, known[name])) is not None:
            raise ConfigError(f"estimator {estimator.__name__}: {name} is {value!r}; {complaint}")


def _complaint(value: Any, wanted: Any) -> str | None:
    """What is wrong with the type of a value, in words; None where it is as wanted, or nothing can tell."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a tuning's numbers
    elif isinstance(value, Mapping):
        value = {str(key): one for key, one in value.items()}
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        if "`array" in str(error):
            return None  # the estimator takes a single size, too, or says what it expects
        choices = ", ".join(map(str, get_args(wanted)))
        return f"expected one of {choices}" if "enum" in str(error) else str(error)[:1].lower() + str(error)[1:]
    except TypeError:
        return None  # a type of Python's own, such as a function
    return None
