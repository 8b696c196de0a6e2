"""Estimators, by the names and call shapes of `tf.estimator`: train, evaluate, predict and export in a few lines.

Names load on first use: Keras and JAX take seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from penstock.estimator import export, inputs

if TYPE_CHECKING:
    from penstock.estimators.auto.estimator import AutoClassifier, AutoRegressor
    from penstock.estimators.boosted_trees import BoostedTreesClassifier, BoostedTreesRegressor
    from penstock.estimators.dnn import DNNClassifier, DNNRegressor
    from penstock.estimators.estimator import Estimator
    from penstock.estimators.image_classifier import ImageClassifier
    from penstock.estimators.jax_model import JaxClassifier, JaxRegressor
    from penstock.estimators.keras_model import KerasClassifier, KerasRegressor
    from penstock.estimators.linear import LinearClassifier, LinearRegressor
    from penstock.estimators.real_mlp import RealMLPClassifier, RealMLPRegressor
    from penstock.estimators.run_config import RunConfig
    from penstock.estimators.tabm import TabMClassifier, TabMRegressor
    from penstock.estimators.wide_deep import DNNLinearCombinedClassifier, DNNLinearCombinedRegressor
    from penstock.training.exporters import BestExporter, Exporter, FinalExporter, LatestExporter
    from penstock.training.specs import EvalSpec, TrainSpec
    from penstock.training.train_and_evaluate import train_and_evaluate

__all__ = [
    "AutoClassifier",
    "AutoRegressor",
    "BestExporter",
    "BoostedTreesClassifier",
    "BoostedTreesRegressor",
    "DNNClassifier",
    "DNNLinearCombinedClassifier",
    "DNNLinearCombinedRegressor",
    "DNNRegressor",
    "Estimator",
    "EvalSpec",
    "Exporter",
    "FinalExporter",
    "ImageClassifier",
    "JaxClassifier",
    "JaxRegressor",
    "KerasClassifier",
    "KerasRegressor",
    "LatestExporter",
    "LinearClassifier",
    "LinearRegressor",
    "RealMLPClassifier",
    "RealMLPRegressor",
    "RunConfig",
    "TabMClassifier",
    "TabMRegressor",
    "TrainSpec",
    "export",
    "inputs",
    "train_and_evaluate",
]

_HOMES = {
    "AutoClassifier": "penstock.estimators.auto.estimator",
    "AutoRegressor": "penstock.estimators.auto.estimator",
    "BestExporter": "penstock.training.exporters",
    "BoostedTreesClassifier": "penstock.estimators.boosted_trees",
    "BoostedTreesRegressor": "penstock.estimators.boosted_trees",
    "DNNClassifier": "penstock.estimators.dnn",
    "DNNLinearCombinedClassifier": "penstock.estimators.wide_deep",
    "DNNLinearCombinedRegressor": "penstock.estimators.wide_deep",
    "DNNRegressor": "penstock.estimators.dnn",
    "Estimator": "penstock.estimators.estimator",
    "EvalSpec": "penstock.training.specs",
    "Exporter": "penstock.training.exporters",
    "FinalExporter": "penstock.training.exporters",
    "ImageClassifier": "penstock.estimators.image_classifier",
    "JaxClassifier": "penstock.estimators.jax_model",
    "JaxRegressor": "penstock.estimators.jax_model",
    "KerasClassifier": "penstock.estimators.keras_model",
    "KerasRegressor": "penstock.estimators.keras_model",
    "LatestExporter": "penstock.training.exporters",
    "LinearClassifier": "penstock.estimators.linear",
    "LinearRegressor": "penstock.estimators.linear",
    "RealMLPClassifier": "penstock.estimators.real_mlp",
    "RealMLPRegressor": "penstock.estimators.real_mlp",
    "RunConfig": "penstock.estimators.run_config",
    "TabMClassifier": "penstock.estimators.tabm",
    "TabMRegressor": "penstock.estimators.tabm",
    "TrainSpec": "penstock.training.specs",
    "train_and_evaluate": "penstock.training.train_and_evaluate",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'penstock.estimator' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
