"""Intervals cover what they promise on rows nobody saw, whatever the model, and are served as given."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.errors import ConfigError, TrainingError
from penstock.estimators.boosted_trees import BoostedTreesRegressor
from penstock.estimators.dnn import DNNRegressor
from penstock.estimators.intervals import fit_intervals
from penstock.estimators.run_config import RunConfig
from penstock.runtime.model import load_model

Pair = tuple[dict[str, NDArray[Any]], NDArray[Any]]


def noisy(rows: int, seed: int) -> Pair:
    """A level, and errors that grow with it."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.0, 10.0, rows)
    return {"level": level}, 100.0 * level + rng.normal(0.0, 1.0, rows) * (5.0 + 20.0 * level)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_promise_holds_on_average_over_draws(coverage: float) -> None:
    found = []
    for seed in range(40):
        (features, labels), (later, truth) = noisy(300, seed), noisy(500, seed + 1000)
        # The model is wrong: the promise does not depend on it.
        model = [(80.0 * table["level"][:, None]).astype(np.float32) for table in (features, later)]
        intervals = fit_intervals(coverage, model[0], labels[:, None])
        answers = intervals.apply({"predictions": model[1]})
        found.append(intervals.metrics(answers, truth[:, None], None)["interval/coverage"])
    assert np.mean(found) == pytest.approx(coverage, abs=0.02)


def test_large_predictions_have_wide_intervals() -> None:
    features, labels = noisy(4000, 0)
    predictions = (100.0 * features["level"][:, None]).astype(np.float32)
    intervals = fit_intervals(0.9, predictions, labels[:, None])
    ends = intervals.apply({"predictions": np.array([[100.0], [900.0]], np.float32)})
    width = (ends["upper"] - ends["lower"])[:, 0]
    assert width[1] > 3.0 * width[0]


@pytest.mark.parametrize("kind", [BoostedTreesRegressor, DNNRegressor])
def test_a_trained_model_answers_with_them_and_so_does_its_bundle(kind: Any, tmp_path: Path) -> None:
    config = RunConfig(save_checkpoints_steps=100)
    regressor = kind(model_dir=tmp_path / "model", intervals=0.8, config=config)
    regressor.train(lambda: noisy(3000, 0), max_steps=200)
    metrics = regressor.evaluate(lambda: noisy(3000, 1))
    assert metrics["interval/coverage"] == pytest.approx(0.8, abs=0.04)
    assert 50.0 < metrics["interval/width"] < 500.0
    # As another process finds it.
    again = kind(model_dir=tmp_path / "model", intervals=0.8, config=config)
    ours = next(iter(again.predict(lambda: {"level": np.array([1.0, 9.0])}, yield_single_examples=False)))
    model = load_model(again.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{"level": 1.0}, {"level": 9.0}]))
    assert list(served) == ["predictions", "lower", "upper"]
    for name in served:
        assert served[name] == pytest.approx(ours[name], rel=1e-4)
    assert [path.name for path in (tmp_path / "model").glob("adjustment-*")]


def test_what_cannot_be_promised_is_refused(houses: Pair, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"intervals is 90; expected a share between 0 and 1"):
        DNNRegressor([4], model_dir=tmp_path, intervals=90)
    with pytest.raises(TrainingError, match=r"intervals of 0.99 are measured on at least 99 rows .* 80 are held back"):
        DNNRegressor([4], model_dir=tmp_path, intervals=0.99).train(lambda: houses, max_steps=1)
