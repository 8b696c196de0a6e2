"""Estimators by the names that experiment files use. A class is imported when it is asked for."""

import inspect
from collections.abc import Iterable
from importlib import import_module

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


def check_arguments(estimator: type[Estimator], names: Iterable[str]) -> None:
    """Raises ConfigError for a name in the section `estimator` that this estimator has no argument for."""
    given_elsewhere = {
        "self",
        "feature_columns",
        "linear_feature_columns",
        "dnn_feature_columns",
        "model_dir",
        "config",
    }
    parameters = inspect.signature(estimator.__init__).parameters.values()
    known = [one.name for one in parameters if one.name not in given_elsewhere]
    for name in names:
        if name not in known:
            close = did_you_mean(str(name), ["type", *known])
            raise ConfigError(
                f"estimator {estimator.__name__} has no argument {name!r}; it has {', '.join(known)}{close}"
            )
