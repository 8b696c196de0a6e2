"""Plain JAX functions behind feature columns train, resume, and are served as they were trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock import estimator
from penstock.errors import ConfigError
from penstock.estimators.run_config import RunConfig
from penstock.runtime.model import load_model

Pair = tuple[dict[str, Any], Any]
InputOf = Callable[[Pair], Callable[[], Pair]]


def init(key: Any, width: int, outputs: int) -> Any:
    first, second = jax.random.split(key)
    return {
        "hidden": {"w": jax.random.normal(first, (width, 32)) * width**-0.5, "b": jnp.zeros(32)},
        "answer": [jax.random.normal(second, (32, outputs)) * 32**-0.5, jnp.zeros(outputs)],
    }


def apply(parameters: Any, features: Any) -> Any:
    hidden = jnp.tanh(features @ parameters["hidden"]["w"] + parameters["hidden"]["b"])
    kernel, bias = parameters["answer"]
    return hidden @ kernel + bias


def log_cosh(outputs: Any, targets: Any) -> Any:
    return jnp.log(jnp.cosh(outputs - targets)).mean(axis=1)


def test_a_function_with_its_loss_is_served_as_trained(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    pytest.importorskip("jax2onnx")
    model = estimator.JaxRegressor(init, apply, log_cosh, model_dir=tmp_path / "model", learning_rate=0.01)
    model.train(input_of(houses), max_steps=600)
    assert model.evaluate(input_of(houses))["rmse"] < 1_000
    bundle = load_model(model.export_saved_model(tmp_path / "export"))
    rows = [{name: values[i] for name, values in houses[0].items()} for i in range(20)]
    served = bundle.predict(bundle.decode(rows))["predictions"][:, 0]
    ours = [answer["predictions"][0] for answer in model.predict(input_of(houses))][:20]
    assert served == pytest.approx(ours, rel=1e-4)


def test_the_loss_is_the_one_given(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    def high(outputs: Any, targets: Any) -> Any:
        error = targets - outputs
        return jnp.maximum(0.9 * error, -0.1 * error).mean(axis=1)

    model = estimator.JaxRegressor(init, apply, high, model_dir=tmp_path, learning_rate=0.01)
    model.train(input_of(houses), max_steps=600)
    answers = next(iter(model.predict(input_of(houses), yield_single_examples=False)))["predictions"][:, 0]
    assert float(np.mean(houses[1] < answers)) == pytest.approx(0.9, abs=0.07)


def test_resumed_equals_uninterrupted(species: Pair, input_of: InputOf, tmp_path: Path) -> None:
    def made(name: str) -> Any:
        config = RunConfig(save_checkpoints_steps=10)
        return estimator.JaxClassifier(init, apply, model_dir=tmp_path / name, config=config)

    def answers(model: Any) -> Any:
        return next(iter(model.predict(input_of(species), yield_single_examples=False)))["probabilities"]

    whole = made("whole").train(input_of(species), max_steps=20)
    made("killed").train(input_of(species), max_steps=20)
    for path in (tmp_path / "killed").glob("checkpoint-20.*"):
        path.unlink()
    assert np.array_equal(answers(whole), answers(made("killed").train(input_of(species), max_steps=20)))


def test_three_classes_are_learned(species: Pair, input_of: InputOf, tmp_path: Path) -> None:
    model = estimator.JaxClassifier(
        init, apply, model_dir=tmp_path, learning_rate=0.02, calibrate="sigmoid", prediction_sets=0.8
    )
    model.train(input_of(species), max_steps=600)
    metrics = model.evaluate(input_of(species))
    assert metrics["accuracy"] > 0.9
    assert metrics["prediction_set/coverage"] > 0.75


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"init": lambda _key, _width, _outputs: {}}, "init returned no parameters"),
        ({"init": lambda _key, _width, _outputs: {"w": jnp.zeros(3, jnp.int32)}}, r"init returned int32 at \['w'\]"),
        ({"apply": lambda _parameters, x: x @ jnp.zeros((1, 1))}, r"apply failed on features of shape \(rows, "),
        ({"apply": lambda _parameters, x: x}, "answers with shape"),
        ({"apply": "no function"}, "apply is a str; expected a function"),
    ],
)
def test_what_is_wrong_with_a_function_is_told(
    broken: dict[str, Any], message: str, houses: Pair, input_of: InputOf, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        estimator.JaxRegressor(**{"init": init, "apply": apply, **broken}, model_dir=tmp_path).train(
            input_of(houses), max_steps=1
        )
