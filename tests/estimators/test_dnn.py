"""The canned networks from outside: what a trainer's author sees."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import feature_column
from penstock.errors import ConfigError, DataError, PreconditionError, TrainingError, UsageError
from penstock.estimators import programs
from penstock.estimators.array_input import numpy_input_fn
from penstock.estimators.dnn import DNNClassifier, DNNRegressor
from penstock.estimators.run_config import RunConfig
from penstock.runtime.model import load_model

InputOf = Callable[[Any], Callable[[], Any]]


def columns() -> list[feature_column.FeatureColumn]:
    town = feature_column.categorical_column_with_vocabulary_list("town", ["Ålesund", "Brno", "Ávila"])
    return [
        feature_column.numeric_column("rooms"),
        feature_column.numeric_column("distance"),
        feature_column.indicator_column(town),
    ]


def weights(estimator: DNNRegressor) -> list[Any]:
    body: Any = estimator.fitted_model().body
    return [*body.state.trainable, *body.state.optimizer]


def test_it_learns_a_known_function(houses: Any, input_of: InputOf, tmp_path: Path) -> None:
    estimator = DNNRegressor([32], columns(), str(tmp_path)).train(input_of(houses), max_steps=1500)
    metrics = estimator.evaluate(input_of(houses), steps=1)
    assert metrics["global_step"] == 1500
    assert metrics["rmse"] < 0.1 * houses[1].std()
    assert metrics["loss"] == metrics["average_loss"] == pytest.approx(metrics["rmse"] ** 2)
    answers = list(estimator.predict(input_of(houses[0])))
    assert len(answers) == 400
    assert answers[0]["predictions"].shape == (1,)
    assert (
        np.mean([abs(answer["predictions"][0] - price) for answer, price in zip(answers, houses[1], strict=True)]) < 600
    )


@pytest.mark.parametrize(
    "hidden",
    [
        {"batch_norm": True},
        {"activation_fn": "gelu"},
        pytest.param({"dropout": 0.2}, marks=pytest.mark.slow),
        pytest.param({"optimizer": "Ftrl"}, marks=pytest.mark.slow),
    ],
)
def test_the_bundle_answers_like_the_trainer(hidden: Any, houses: Any, input_of: InputOf, tmp_path: Path) -> None:
    estimator = DNNRegressor([8, 4], columns(), tmp_path, **hidden).train(input_of(houses), max_steps=200)
    uri = estimator.export_saved_model(tmp_path / "export")
    model = load_model(uri)
    instances = [{"rooms": 6.0, "distance": 2.0, "town": town} for town in ("Brno", "Ålesund", "never seen")]
    features = {key: np.array([instance[key] for instance in instances]) for key in instances[0]}
    ours = [answer["predictions"] for answer in estimator.predict(lambda: features)]
    served = model.predict(model.decode(instances))["predictions"]
    assert served == pytest.approx(np.array(ours), rel=1e-4)
    assert model.manifest.estimator == "DNNRegressor"
    assert model.manifest.global_step == 200


def test_three_classes_are_told_apart_and_served(species: Any, input_of: InputOf, tmp_path: Path) -> None:
    estimator = DNNClassifier([16], model_dir=tmp_path).train(input_of(species), max_steps=800)
    metrics = estimator.evaluate(input_of(species))
    assert metrics["accuracy"] > 0.93 > metrics["accuracy_baseline"]
    model = load_model(estimator.export_saved_model(tmp_path / "export"))
    answer = model.predict(model.decode([{"length": 3.0, "width": 0.0}]))
    assert answer["classes"].tolist() == [["virginica"]]
    assert answer["probabilities"].shape == (1, 3)
    assert model.manifest.classes == ("setosa", "versicolor", "virginica")
    assert model.manifest.metrics["accuracy"] == metrics["accuracy"]


def test_equal_seeds_give_equal_weights_and_others_do_not(houses: Any, input_of: InputOf) -> None:
    first, again, other = (
        DNNRegressor([6], columns(), config=RunConfig(tf_random_seed=seed)).train(input_of(houses), max_steps=50)
        for seed in (1, 1, 2)
    )
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(weights(first), weights(again), strict=True))
    assert not np.array_equal(weights(first)[0], weights(other)[0])


def test_training_in_pieces_equals_training_at_once(houses: Any, tmp_path: Path) -> None:
    def input_fn() -> Any:
        return numpy_input_fn(houses[0], houses[1], batch_size=32, num_epochs=None)()

    whole = DNNRegressor([6], columns(), tmp_path / "whole", dropout=0.1).train(input_fn, max_steps=150)
    config = RunConfig(save_checkpoints_steps=40)
    DNNRegressor([6], columns(), tmp_path / "pieces", dropout=0.1, config=config).train(input_fn, max_steps=150)
    for step in (120, 150):
        # What a kill leaves behind: an older checkpoint, and the newest gone.
        newest = tmp_path / "pieces" / "checkpoint-150.json"
        newest.unlink(missing_ok=True)
        if step == 120:
            (tmp_path / "pieces" / "checkpoint-120.json").unlink()
        resumed = DNNRegressor([6], columns(), tmp_path / "pieces", dropout=0.1, config=config)
        resumed.train(input_fn, max_steps=150)
        for mine, theirs in zip(weights(whole), weights(resumed), strict=True):
            assert np.array_equal(mine, theirs)


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_as_if_it_was_not(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, numpy as np\n"
        "from penstock import estimator, feature_column\n"
        "rng = np.random.default_rng(0)\n"
        "x = rng.normal(size=3000)\n"
        "def input_fn():\n"
        "    return estimator.inputs.numpy_input_fn({'x': x}, np.sin(3 * x), batch_size=64, num_epochs=None)()\n"
        "config = estimator.RunConfig(save_checkpoints_steps=500)\n"
        "columns = [feature_column.numeric_column('x')]\n"
        "made = estimator.DNNRegressor([16], columns, sys.argv[1], config=config)\n"
        "made.train(input_fn, max_steps=40_000)\n"
    )
    command = [sys.executable, str(script)]
    began = time.monotonic()
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    took = time.monotonic() - began
    draw, kills = random.Random(0), 0
    while True:
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=took * draw.uniform(0.4, 0.9))
            break
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            assert kills < 60
    assert kills > 0
    assert process.returncode == 0
    whole, killed = (np.load(tmp_path / name / "checkpoint-40000.npz") for name in ("whole", "killed"))
    assert sorted(whole) == sorted(killed)
    assert all(np.array_equal(whole[name], killed[name]) for name in whole)
    assert not list((tmp_path / "killed").glob(".*.tmp")) or kills


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_and_the_same_call_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import numpy as np\n"
        "from penstock import estimator, feature_column\n"
        "x = np.random.default_rng(0).normal(size=20_000)\n"
        "made = estimator.DNNRegressor([64], [feature_column.numeric_column('x')], 'model')\n"
        "print('ready', flush=True)\n"
        "made.train(lambda: ({'x': x}, x * 2), max_steps=1_000_000)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    while not list(tmp_path.glob("model/events*")):
        time.sleep(0.1)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    (saved,) = (tmp_path / "model").glob("checkpoint-*.npz")
    step = int(saved.stem.removeprefix("checkpoint-"))
    assert step > 0
    assert f"stopped at step {step}; the same call goes on from there" in errors


def test_another_configuration_in_the_folder_is_refused(houses: Any, input_of: InputOf, tmp_path: Path) -> None:
    DNNRegressor([6], columns(), tmp_path).train(input_of(houses), max_steps=10)
    with pytest.raises(PreconditionError, match=r"hidden_units \[6\], now \[7\].*use another model_dir"):
        DNNRegressor([7], columns(), tmp_path).train(input_of(houses), max_steps=20)
    with pytest.raises(PreconditionError, match="estimator DNNRegressor, now DNNClassifier"):
        DNNClassifier([6], columns(), tmp_path).train(input_of(houses), max_steps=20)


def test_a_folder_that_is_done_is_not_trained_further(
    houses: Any, input_of: InputOf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        estimator = DNNRegressor([6], columns(), tmp_path).train(input_of(houses), max_steps=10)
    assert "at step 10 already" in capsys.readouterr().err
    estimator.train(input_of(houses), steps=5)
    assert estimator.evaluate(input_of(houses))["global_step"] == 15
    assert estimator.latest_checkpoint() == str(tmp_path / "checkpoint-15")


def test_without_steps_it_stops_early_and_keeps_the_best_weights(houses: Any, tmp_path: Path) -> None:
    def input_fn() -> Any:
        return numpy_input_fn(houses[0], houses[1], batch_size=64, num_epochs=None)()

    estimator = DNNRegressor([32], columns(), tmp_path).train(input_fn)
    reloaded = DNNRegressor([32], columns(), tmp_path)
    metrics = estimator.evaluate(lambda: houses)
    assert metrics["rmse"] < 1000
    assert reloaded.evaluate(lambda: houses) == metrics


def test_a_number_that_overflows_stops_the_training(houses: Any, input_of: InputOf, tmp_path: Path) -> None:
    estimator = DNNRegressor([6], columns(), tmp_path, optimizer="SGD", learning_rate=1e6)
    with pytest.raises(TrainingError, match=r"not a number any more at step \d+; lower learning_rate \(it is 1e\+06\)"):
        estimator.train(input_of(houses), max_steps=500)
    assert estimator.latest_checkpoint() is None


def test_trials_that_differ_in_numbers_share_one_compilation(houses: Any, input_of: InputOf) -> None:
    made = []
    for rate, decay, dropout, seed in ((0.1, 0.0001, 0.1, 0), (0.01, 0.3, 0.4, 5)):
        estimator = DNNRegressor(
            [7, 3],
            columns(),
            learning_rate=rate,
            weight_decay=decay,
            dropout=dropout,
            config=RunConfig(tf_random_seed=seed),
        ).train(input_of(houses), max_steps=20)
        body: Any = estimator.fitted_model().body
        made.append(body.compiled)
    assert made[0] is made[1]
    assert made[0].loop._run._cache_size() == 1
    assert len(programs._programs) <= 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_units": []}, "hidden_units is []"),
        ({"hidden_units": [0]}, "hidden_units is [0]"),
        ({"activation_fn": "rleu"}, "activation_fn is 'rleu'; expected one of relu"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"optimizer": "Adma"}, "optimizer is 'Adma'"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1"),
    ],
)
def test_wrong_arguments_are_named_before_any_data_is_read(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DNNRegressor(**{"hidden_units": [4], **change})
    assert message in str(caught.value)


def test_hooks_are_refused_with_what_to_do_instead(houses: Any, input_of: InputOf) -> None:
    with pytest.raises(UsageError, match="early_stopping=True"):
        DNNRegressor([4]).train(input_of(houses), hooks=[object()], max_steps=1)


def test_steps_and_max_steps_exclude_each_other(houses: Any, input_of: InputOf) -> None:
    with pytest.raises(UsageError, match="not both"):
        DNNRegressor([4]).train(input_of(houses), steps=1, max_steps=1)


def test_evaluating_before_training_is_refused(houses: Any, input_of: InputOf) -> None:
    with pytest.raises(PreconditionError, match="call train first"):
        DNNRegressor([4]).evaluate(input_of(houses))


def test_row_weights_come_from_a_column(houses: Any, tmp_path: Path) -> None:
    features, price = houses
    trusted = np.arange(400) < 200
    spoiled = np.where(trusted, price, price + 1e6)
    weighted = {**features, "trust": trusted.astype(float)}
    estimator = DNNRegressor([16], columns(), tmp_path, weight_column="trust")
    estimator.train(lambda: (weighted, spoiled), max_steps=800)
    answers = np.array([answer["predictions"][0] for answer in estimator.predict(lambda: features)])
    assert np.abs(answers - price)[trusted].mean() < 1500
    assert estimator.evaluate(lambda: (weighted, spoiled))["rmse"] < 3000


def test_balanced_classes_find_more_of_the_rare_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    label = np.where(rng.uniform(size=4000) < 0.1 / (1 + np.exp(-2 * x)), "rare", "usual").astype(object)
    recalls = [
        DNNClassifier([4], class_weight=class_weight, label_vocabulary=["usual", "rare"])
        .train(lambda: ({"x": x}, label), max_steps=300)
        .evaluate(lambda: ({"x": x}, label))["recall"]
        for class_weight in (None, "balanced", {"rare": 30.0})
    ]
    assert recalls[0] < 0.1
    assert min(recalls[1:]) > 0.4
    with pytest.raises(ConfigError, match="'scarce'; the classes are"):
        DNNClassifier([4], class_weight={"scarce": 2.0}).train(lambda: ({"x": x}, label), max_steps=1)


def test_ids_never_seen_get_neutral_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    town = rng.choice(["a", "b"], 600).astype(object)
    price = np.where(town == "a", 10.0, 30.0) + rng.normal(0, 0.1, 600)
    listed = feature_column.categorical_column_with_vocabulary_list("town", ["a", "b"], num_oov_buckets=1)
    for treated in (feature_column.indicator_column(listed), feature_column.embedding_column(listed, 2)):
        estimator = DNNRegressor([8], [treated], tmp_path / treated.name)
        estimator.train(lambda: ({"town": town}, price), max_steps=400)
        (answer,) = estimator.predict(lambda: {"town": np.array(["elsewhere"])})
        assert 12 < answer["predictions"][0] < 28


def test_labels_that_cannot_be_learned_leave_nothing_behind(tmp_path: Path) -> None:
    x = {"x": np.arange(5.0)}
    with pytest.raises(DataError, match="same value in all 5 rows"):
        DNNRegressor([4], model_dir=tmp_path / "m").train(lambda: (x, np.ones(5)), max_steps=1)
    assert not (tmp_path / "m").exists()


def test_params_are_plain_json() -> None:
    optimizer_argument = {"optimizer": "Adagrad", "learning_rate": 0.1}
    params = DNNRegressor([4], columns(), **optimizer_argument).params  # type: ignore[arg-type]
    assert json.loads(json.dumps(params)) == params
