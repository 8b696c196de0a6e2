"""Every canned estimator passes the public checks; and the checks tell an estimator that does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from penstock import estimator
from penstock.estimators.estimator import Estimator
from penstock.estimators.run_config import RunConfig
from penstock.testing import EstimatorCheckError, check_estimator

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
    "BoostedTreesRegressor": lambda **given: estimator.BoostedTreesRegressor(**given),
    "BoostedTreesClassifier": lambda **given: estimator.BoostedTreesClassifier(**given),
}


# One of each kind of body every day; the rest share its code.
SLOW = {name for name in MAKERS if not name.startswith(("DNNReg", "BoostedTreesCla", "RealMLPReg", "TabMCla"))}


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in MAKERS])
def test_every_canned_estimator_passes(name: str) -> None:
    checks = check_estimator(lambda folder, config: MAKERS[name](model_dir=folder, config=config))
    assert len(checks) == 6


@pytest.mark.slow
def test_networks_pass_on_tensorflow_too() -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (the extra tensorflow)")
    tests = ["-k", "test_every_canned_estimator_passes and not Boosted", "-n0", "-q", "-p", "no:cacheprovider"]
    # Keras' own conversion from TensorFlow warns.
    quiet = ["-W", "ignore:__array__ implementation:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, *tests, *quiet],
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert f"{len(MAKERS) - 2} passed" in done.stdout


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
