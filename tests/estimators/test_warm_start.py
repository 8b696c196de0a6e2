from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.errors import ConfigError, NotFoundError
from penstock.estimators.boosted_trees import BoostedTreesClassifier, BoostedTreesRegressor
from penstock.estimators.dnn import DNNClassifier, DNNRegressor
from penstock.estimators.linear import LinearRegressor
from penstock.estimators.real_mlp import RealMLPRegressor
from penstock.estimators.run_config import RunConfig
from penstock.estimators.tabm import TabMRegressor
from penstock.runtime.model import load_model


def rmse(estimator: Any, data: Any) -> float:
    return float(estimator.evaluate(lambda: data)["rmse"])


def test_a_warm_start_begins_where_the_earlier_training_ended(houses: Any, tmp_path: Path) -> None:
    earlier = DNNRegressor([16], model_dir=tmp_path / "earlier", batch_norm=True).train(lambda: houses, max_steps=600)
    cold = DNNRegressor([16], batch_norm=True).train(lambda: houses, max_steps=1)
    warm = DNNRegressor([16], batch_norm=True, warm_start_from=earlier, learning_rate=1e-6)
    warm.train(lambda: houses, max_steps=1)
    assert rmse(warm, houses) == pytest.approx(rmse(earlier, houses), rel=0.05)
    assert rmse(cold, houses) > 2 * rmse(earlier, houses)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (LinearRegressor, {"learning_rate": 0.05}),
        (RealMLPRegressor, {"hidden_units": [16]}),
        (TabMRegressor, {"members": 2, "hidden_units": [16]}),
    ],
)
def test_every_network_starts_warm(kind: Any, given: Any, houses: Any, tmp_path: Path) -> None:
    earlier = kind(model_dir=tmp_path / "earlier", **given).train(lambda: houses, max_steps=100)
    warm = kind(warm_start_from=earlier, **{**given, "learning_rate": 1e-7}).train(lambda: houses, max_steps=1)
    assert rmse(warm, houses) == pytest.approx(rmse(earlier, houses), rel=0.05)


def test_it_keeps_the_earlier_features_on_other_rows(houses: Any, tmp_path: Path) -> None:
    earlier = DNNRegressor([8], model_dir=tmp_path).train(lambda: houses, max_steps=50)
    few = ({name: values[:40] for name, values in houses[0].items()}, houses[1][:40])
    warm = DNNRegressor([8], warm_start_from=tmp_path).train(lambda: few, max_steps=5)
    assert warm.fitted_model().features == earlier.fitted_model().features


def test_what_does_not_fit_is_refused(houses: Any, species: Any, tmp_path: Path) -> None:
    DNNRegressor([8], model_dir=tmp_path / "eight").train(lambda: houses, max_steps=5)
    with pytest.raises(ConfigError, match=r"weights of shape .* where this network has"):
        DNNRegressor([9], warm_start_from=tmp_path / "eight").train(lambda: houses, max_steps=5)
    with pytest.raises(ConfigError, match="holds a DNNRegressor, and this is a DNNClassifier"):
        DNNClassifier([8], warm_start_from=tmp_path / "eight").train(lambda: species, max_steps=5)
    with pytest.raises(ConfigError, match="trained with loss 'mean_squared_error', and this estimator has 'poisson'"):
        DNNRegressor([8], warm_start_from=tmp_path / "eight", loss="poisson").train(lambda: houses, max_steps=5)
    with pytest.raises(NotFoundError, match="where nothing is trained"):
        DNNRegressor([8], warm_start_from=tmp_path / "none").train(lambda: houses, max_steps=5)


def test_resuming_a_warm_started_training_does_not_start_it_again(houses: Any, tmp_path: Path) -> None:
    DNNRegressor([8], model_dir=tmp_path / "a").train(lambda: houses, max_steps=20)
    for steps in (10, 20):
        warm = DNNRegressor([8], model_dir=tmp_path / "b", warm_start_from=tmp_path / "a")
        warm.train(lambda: houses, max_steps=steps)
    assert warm.evaluate(lambda: houses)["global_step"] == 20
    assert np.isfinite(rmse(warm, houses))


def test_new_trees_correct_the_earlier_ones(houses: Any, tmp_path: Path) -> None:
    earlier = BoostedTreesRegressor(model_dir=tmp_path / "earlier", n_trees=30).train(lambda: houses)
    whole = BoostedTreesRegressor(n_trees=40).train(lambda: houses)
    warm = BoostedTreesRegressor(model_dir=tmp_path / "warm", n_trees=10, warm_start_from=earlier)
    warm.train(lambda: houses)
    assert warm.evaluate(lambda: houses)["global_step"] == 10
    assert rmse(warm, houses) == pytest.approx(rmse(whole, houses), rel=1e-3)
    shifted = (houses[0], houses[1] + 10_000)
    moved = BoostedTreesRegressor(warm_start_from=tmp_path / "earlier").train(lambda: shifted)
    assert rmse(moved, shifted) < 0.5 * rmse(earlier, shifted)
    bundle = load_model(warm.export_saved_model(tmp_path / "export"))
    row = {name: values[0] for name, values in houses[0].items()}
    answer = next(warm.predict(lambda: {name: values[:1] for name, values in houses[0].items()}))
    assert bundle.predict(bundle.decode([row]))["predictions"][0] == pytest.approx(answer["predictions"], rel=1e-6)


def test_warm_started_trees_that_were_killed_end_as_those_that_were_not(species: Any, tmp_path: Path) -> None:
    earlier = BoostedTreesClassifier(model_dir=tmp_path / "earlier", n_trees=5).train(lambda: species)
    config = RunConfig(save_checkpoints_steps=5)
    made = [
        BoostedTreesClassifier(model_dir=tmp_path / name, n_trees=12, warm_start_from=earlier, config=config)
        for name in ("whole", "killed")
    ]
    made[0].train(lambda: species)
    made[1].train(lambda: species, max_steps=5)
    (tmp_path / "earlier" / "estimator.json").unlink()
    again = BoostedTreesClassifier(
        model_dir=tmp_path / "killed", n_trees=12, warm_start_from=tmp_path / "earlier", config=config
    )
    again.train(lambda: species)
    answers = [next(iter(one.predict(lambda: species[0], yield_single_examples=False))) for one in (made[0], again)]
    assert np.array_equal(answers[0]["probabilities"], answers[1]["probabilities"])
    assert again.evaluate(lambda: species)["global_step"] == 12
