"""`AutoRegressor` and `AutoClassifier`: an ensemble out of a budget, as one graph that answers as it does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import estimator
from penstock.bundle.folder import read_manifest
from penstock.errors import ConfigError, PreconditionError, TrainingError
from penstock.estimators.auto.portfolio import Portfolio, portfolio
from penstock.runtime.model import load_model

Pair = tuple[dict[str, Any], Any]
InputOf = Callable[[Pair], Callable[[], Pair]]

BUDGET_S = 120.0
"""Of which a network takes a second or two a fold; what ends most tests is a number of trainings."""


@pytest.mark.slow
def test_an_ensemble_of_trees_and_a_network_is_one_graph(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    auto = estimator.AutoRegressor(BUDGET_S, model_dir=tmp_path / "model")
    auto.train(input_of(houses), max_steps=16)
    metrics = auto.evaluate(input_of(houses))
    assert metrics["rmse"] < 1_000
    board = auto.leaderboard()
    assert {entry["family"] for entry in board} >= {"BoostedTrees", "RealMLP", "Linear"}
    assert sum(entry["weight"] for entry in board) == pytest.approx(1.0)

    place = auto.export_saved_model(tmp_path / "export")
    manifest = read_manifest(place)
    assert manifest.parameters["cross_validation"]["metric"] == "rmse"
    assert manifest.parameters["leaderboard"] == board
    assert json.loads((Path(place) / "trainer" / "leaderboard.json").read_text()) == board
    model = load_model(place)
    rows = [{name: values[i] for name, values in houses[0].items()} for i in range(20)]
    served = model.predict(model.decode(rows))["predictions"][:, 0]
    ours = [answer["predictions"][0] for answer in auto.predict(input_of(houses))][:20]
    assert served == pytest.approx(ours, rel=1e-4)


def test_a_search_that_is_over_is_found_again(
    houses: Pair, input_of: InputOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def made() -> Any:
        return estimator.AutoRegressor(BUDGET_S, model_dir=tmp_path)

    first = made().train(input_of(houses), max_steps=2)
    before = next(iter(first.predict(input_of(houses), yield_single_examples=False)))["predictions"]
    capsys.readouterr()
    second = made().train(input_of(houses), max_steps=2)
    assert "holds a finished search of 2 trainings" in capsys.readouterr().err
    after = next(iter(second.predict(input_of(houses), yield_single_examples=False)))["predictions"]
    assert np.array_equal(before, after)
    kept = sorted(path.stat().st_mtime_ns for path in (tmp_path / "candidates").rglob("*.npz"))
    made().train(input_of(houses), max_steps=3)
    now = sorted(path.stat().st_mtime_ns for path in (tmp_path / "candidates").rglob("*.npz"))
    assert now[:2] == kept
    assert len(now) == 3


def test_a_search_begun_again_ends_as_one_that_went_through(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    def trained(name: str, trainings: int) -> Any:
        auto = estimator.AutoRegressor(86_400.0, model_dir=tmp_path / name)
        return auto.train(input_of(houses), max_steps=trainings)

    def answers(auto: Any) -> Any:
        return next(iter(auto.predict(input_of(houses), yield_single_examples=False)))["predictions"]

    whole = answers(trained("whole", 3))
    trained("stopped", 2)
    # As if it had been killed in the middle of the second training.
    first, second = sorted(tmp_path.glob("stopped/candidates/*/*.npz"), key=lambda path: path.stat().st_mtime_ns)
    for path in (*tmp_path.glob("stopped/checkpoint-*"), *second.parent.iterdir()):
        path.unlink()
    kept = first.stat().st_mtime_ns
    assert np.array_equal(whole, answers(trained("stopped", 3)))
    assert first.stat().st_mtime_ns == kept


def test_trees_that_were_proposed_are_found_again_and_served(
    houses: Pair, input_of: InputOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_one_candidate(*arguments: Any, **named: Any) -> Portfolio:
        """From which all others descend."""
        known = portfolio(*arguments, **named)
        known.candidates = tuple(one for one in known.candidates if one.name == "trees-of-stumps")
        known.opening = 1
        return known

    monkeypatch.setattr("penstock.estimators.auto.estimator.portfolio", with_one_candidate)

    def made() -> Any:
        return estimator.AutoRegressor(BUDGET_S, model_dir=tmp_path / "model")

    def answers(auto: Any) -> Any:
        return next(iter(auto.predict(input_of(houses), yield_single_examples=False)))["predictions"][:, 0]

    first = made().train(input_of(houses), max_steps=60)
    proposed = [one for one in first.leaderboard() if one["weight"] and one["candidate"] != "trees-of-stumps"]
    assert proposed
    again = made()
    assert np.array_equal(answers(again), answers(first))
    model = load_model(made().train(input_of(houses), max_steps=61).export_saved_model(tmp_path / "export"))
    rows = [{name: values[i] for name, values in houses[0].items()} for i in range(20)]
    served = model.predict(model.decode(rows))["predictions"][:, 0]
    assert served == pytest.approx(answers(made())[:20], rel=1e-4)
    assert {one["candidate"] for one in made().leaderboard()} >= {one["candidate"] for one in proposed}


@pytest.mark.slow
def test_skewed_labels_are_learned_as_logarithms_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 600)
    table, labels = {"x": x, "z": rng.normal(0, 1, 600)}, np.exp(2.0 + 1.5 * x + rng.normal(0, 0.3, 600))
    auto = estimator.AutoRegressor(BUDGET_S, model_dir=tmp_path / "model")
    auto.train(lambda: (table, labels), max_steps=17)
    assert "trees-of-logarithms" in {entry["candidate"] for entry in auto.leaderboard()}
    auto.export_saved_model(tmp_path / "export")


@pytest.mark.parametrize(("classes", "trainings"), [(5, 2), pytest.param(2, 8, marks=pytest.mark.slow)])
def test_classes_with_missing_values_and_an_odd_one_out(classes: int, trainings: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, word = rng.normal(0, 1, 300), rng.choice(["a", "b", "日本"], 300).astype(object)
    kind = np.clip(np.floor(classes * (1 / (1 + np.exp(-2 * x - (word == "b"))))), 0, classes - 1).astype(int)
    x[rng.uniform(size=300) < 0.1] = np.nan
    word[rng.uniform(size=300) < 0.1] = None
    labels = np.array([f"kind {number}" for number in kind], dtype=object)
    if classes > 2:
        labels[0] = "seen once"
    auto = estimator.AutoClassifier(BUDGET_S, model_dir=tmp_path / "model")
    auto.train(lambda: ({"x": x, "word": word}, labels), max_steps=trainings)
    metrics = auto.evaluate(lambda: ({"x": x, "word": word}, labels))
    assert metrics["accuracy"] > metrics["accuracy_baseline"] + 0.1
    auto.export_saved_model(tmp_path / "export")


@pytest.mark.slow
def test_ten_rows_are_enough(tmp_path: Path) -> None:
    x = np.arange(10.0)
    auto = estimator.AutoClassifier(BUDGET_S, model_dir=tmp_path / "model", metric="log_loss")
    auto.train(lambda: ({"x": x}, np.where(x > 4, "high", "low").astype(object)), max_steps=10)
    model = load_model(auto.export_saved_model(tmp_path / "export"))
    assert model.predict(model.decode([{"x": 0.0}]))["classes"].ravel().tolist() == ["low"]


def test_three_rows_are_not(tmp_path: Path) -> None:
    auto = estimator.AutoRegressor(BUDGET_S, model_dir=tmp_path)
    with pytest.raises(TrainingError, match="has 3 rows; a search compares models on rows held out and needs 4"):
        auto.train(lambda: ({"x": np.arange(3.0)}, np.arange(3.0)))


def test_a_budget_that_is_over_at_once_is_told(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    auto = estimator.AutoRegressor(1e-6, model_dir=tmp_path)
    with pytest.raises(TrainingError, match="were over before a first model of 400 rows was trained"):
        auto.train(input_of(houses))


def test_wrong_arguments_are_told(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="time_budget_s is 0; expected seconds, such as 120"):
        estimator.AutoRegressor(0)
    with pytest.raises(ConfigError, match="metric is 'auc'; for regression expected one of rmse, mae"):
        estimator.AutoRegressor(metric="auc", model_dir=tmp_path / "a").train(input_of(houses))
    with pytest.raises(PreconditionError, match="nothing is trained"):
        estimator.AutoRegressor(model_dir=tmp_path / "b").leaderboard()


@pytest.mark.slow
def test_intervals_cover_rows_of_other_folds(houses: Pair, input_of: InputOf, tmp_path: Path) -> None:
    def made(name: str) -> Any:
        return estimator.AutoRegressor(BUDGET_S, model_dir=tmp_path / name, intervals=0.8)

    table, price = ({name: values[:300] for name, values in houses[0].items()}, houses[1][:300])
    others = ({name: values[300:] for name, values in houses[0].items()}, houses[1][300:])
    auto = made("model").train(lambda: (table, price), max_steps=1)
    metrics = auto.evaluate(input_of(others))
    assert 0.6 < metrics["interval/coverage"] < 1.0
    assert metrics["interval/width"] < 2 * price.std()
    first = next(made("model").predict(lambda: others[0]))
    assert first["lower"] < first["predictions"] < first["upper"]
    model = load_model(auto.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{name: values[0] for name, values in others[0].items()}]))
    assert served["lower"][0] == pytest.approx(first["lower"], rel=1e-4)


def test_too_few_rows_for_intervals_are_told_before_the_search(tmp_path: Path) -> None:
    few = ({"x": np.arange(10.0)}, np.arange(10.0))
    with pytest.raises(TrainingError, match=r"on at least 19 rows .*, and the data has 10;"):
        estimator.AutoRegressor(intervals=0.95, model_dir=tmp_path / "few").train(lambda: few)


def test_probabilities_are_calibrated_and_sets_measured_on_the_folds(species: Pair, tmp_path: Path) -> None:
    auto = estimator.AutoClassifier(
        BUDGET_S, model_dir=tmp_path / "model", calibrate="temperature", prediction_sets=0.9
    )
    auto.train(lambda: species, max_steps=1)
    calibrator = auto.fitted_model().adjustment.calibrator
    assert calibrator is not None
    assert calibrator.temperature != 1.0
    assert auto.evaluate(lambda: species)["prediction_set/coverage"] > 0.85
    auto.export_saved_model(tmp_path / "export")
