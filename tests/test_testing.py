"""Every canned estimator passes the public checks; and the checks tell an estimator that does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from penstock import estimator
from penstock.errors import UsageError
from penstock.estimators.estimator import Estimator
from penstock.estimators.run_config import RunConfig
from penstock.testing import EstimatorCheckError, check_estimator


def keras_model(width: int, outputs: int) -> Any:
    from penstock.estimators.backend import keras

    hidden = keras.layers.Dense(16, activation="relu")
    return keras.Sequential([keras.Input((width,)), hidden, keras.layers.Dense(outputs)])


def first_parameters(key: Any, width: int, outputs: int) -> Any:
    import jax

    hidden, answer = jax.random.split(key)
    return {
        "hidden": jax.random.normal(hidden, (width, 16)) * width**-0.5,
        "answer": jax.random.normal(answer, (16, outputs)) * 0.25,
    }


def answers(parameters: Any, features: Any) -> Any:
    import jax.numpy as jnp

    return jnp.tanh(features @ parameters["hidden"]) @ parameters["answer"]


MAKERS: dict[str, Callable[..., Estimator]] = {
    "LinearRegressor": lambda **given: estimator.LinearRegressor(**given, learning_rate=0.05),
    "LinearClassifier": lambda **given: estimator.LinearClassifier(**given),
    "DNNRegressor": lambda **given: estimator.DNNRegressor([16], **given),
    "DNNClassifier": lambda **given: estimator.DNNClassifier([16], **given),
    "DNNLinearCombinedRegressor": lambda **given: estimator.DNNLinearCombinedRegressor(dnn_hidden_units=[16], **given),
    "DNNLinearCombinedClassifier": lambda **given: estimator.DNNLinearCombinedClassifier(
        dnn_hidden_units=[16], **given
    ),
    "RealMLPRegressor": lambda **given: estimator.RealMLPRegressor([32, 32], **given),
    "RealMLPClassifier": lambda **given: estimator.RealMLPClassifier([32, 32], **given),
    "TabMRegressor": lambda **given: estimator.TabMRegressor(4, [32], **given),
    "TabMClassifier": lambda **given: estimator.TabMClassifier(4, [32], **given),
    "KerasRegressor": lambda **given: estimator.KerasRegressor(keras_model, **given),
    "KerasClassifier": lambda **given: estimator.KerasClassifier(keras_model, **given),
    "JaxRegressor": lambda **given: estimator.JaxRegressor(first_parameters, answers, **given),
    "JaxClassifier": lambda **given: estimator.JaxClassifier(first_parameters, answers, **given),
    "BoostedTreesRegressor": lambda **given: estimator.BoostedTreesRegressor(**given),
    "BoostedTreesClassifier": lambda **given: estimator.BoostedTreesClassifier(**given),
}

DAY_S = 86_400.0

# Trees run on LightGBM, and a Keras model or a JAX function of the user's is exported on JAX alone.
NOT_ON_TENSORFLOW = {name for name in MAKERS if name.startswith(("BoostedTrees", "Keras", "Jax"))}

# One of each kind of body every day; the rest share its code.
SLOW = {
    name for name in MAKERS if not name.startswith(("DNNReg", "BoostedTreesCla", "RealMLPReg", "TabMCla", "JaxReg"))
}


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in MAKERS])
def test_every_canned_estimator_passes(name: str) -> None:
    checks = check_estimator(lambda folder, config: MAKERS[name](model_dir=folder, config=config))
    assert len(checks) == 6


# The first trainings of a search on few rows are of trees; then come a network and a linear model.
@pytest.mark.parametrize(
    ("name", "trainings"),
    [
        ("AutoRegressor", 3),
        ("AutoClassifier", 3),
        pytest.param("AutoRegressor", 7, marks=pytest.mark.slow),
        pytest.param("AutoClassifier", 5, marks=pytest.mark.slow),
    ],
)
def test_a_search_that_trainings_end_passes(name: str, trainings: int) -> None:
    checks = check_estimator(
        lambda folder, config: getattr(estimator, name)(DAY_S, model_dir=folder, config=config),
        steps=trainings,
        few_steps=trainings,
    )
    assert len(checks) == 6


def test_a_search_that_the_clock_may_end_is_not_checked() -> None:
    with pytest.raises(UsageError, match=r"time_budget_s of the estimator is 120; expected at least 86400, so that"):
        check_estimator(lambda folder, config: estimator.AutoRegressor(model_dir=folder, config=config))


def test_too_few_steps_for_a_checkpoint_in_the_middle_are_told() -> None:
    with pytest.raises(UsageError, match="few_steps is 1; expected at least 2"):
        check_estimator(lambda folder, config: MAKERS["DNNRegressor"](model_dir=folder, config=config), few_steps=1)


@pytest.mark.slow
def test_networks_pass_on_tensorflow_too() -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (the extra tensorflow)")
    names = " and ".join(f"not {name}" for name in NOT_ON_TENSORFLOW)
    tests = ["-k", f"test_every_canned_estimator_passes and {names}", "-n0", "-q", "-p", "no:cacheprovider"]
    # Keras' own conversion from TensorFlow warns.
    quiet = ["-W", "ignore:__array__ implementation:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, *tests, *quiet],
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{len(MAKERS) - len(NOT_ON_TENSORFLOW)} passed" in done.stdout


class Forgetful(estimator.DNNRegressor):
    """Answers by a seed of its own each time."""

    made = 0

    def __init__(self, folder: str, config: RunConfig) -> None:
        Forgetful.made += 1
        super().__init__([16], model_dir=folder, config=config.replace(tf_random_seed=Forgetful.made))


class Idle(estimator.DNNRegressor):
    """Learns nothing."""

    def __init__(self, folder: str, config: RunConfig) -> None:
        super().__init__([16], model_dir=folder, config=config, learning_rate=1e-9)


@pytest.mark.parametrize(
    ("faulty", "message"), [(Forgetful, "answers alike for equal seeds"), (Idle, "learns a known function")]
)
def test_a_faulty_estimator_is_told(faulty: Any, message: str) -> None:
    with pytest.raises(EstimatorCheckError, match=message):
        check_estimator(faulty)
