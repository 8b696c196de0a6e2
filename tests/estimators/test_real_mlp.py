"""RealMLP: begins with the data, trains each group of weights at a rate of its own, and is served as trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.errors import ConfigError
from penstock.estimators.front import fit_front
from penstock.estimators.losses import sigmoid_cross_entropy, softmax_cross_entropy
from penstock.estimators.networks import weights_of
from penstock.estimators.real_mlp import RealMLPClassifier, RealMLPRegressor
from penstock.estimators.real_mlp_network import RealMLPNetwork
from penstock.features.block import Block
from penstock.runtime.model import load_model

InputOf = Callable[[Any], Callable[[], Any]]

BLOCKS = [
    Block(name="a", kind="dense", columns=("a",)),
    Block(name="b", kind="dense", columns=("b",)),
    Block(name="rare", kind="ids", columns=("rare",), num_buckets=3, representation="indicator", unseen=(2,)),
    Block(name="many", kind="ids", columns=("many",), num_buckets=50, representation="embedding", dimension=4),
]


def encoded(rows: int = 2000) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "a": (rng.normal(size=(rows, 1)) * 1e5).astype(np.float32),
        "b": rng.lognormal(size=(rows, 1)).astype(np.float32),
        "rare": (rng.uniform(size=(rows, 1)) < 0.05).astype(np.int32),
        "many": rng.integers(0, 50, (rows, 1)).astype(np.int32),
    }


def test_every_unit_begins_with_a_deviation_of_one_and_its_kink_among_the_rows() -> None:
    rows = encoded()
    front = fit_front(BLOCKS, rows, normalization="robust", seed=0)
    network = RealMLPNetwork((32, 16), "mish", 0.0)
    model = network.build(front, 1, seed=0)
    values = [np.array(variable) for variable in (v.value for v in model.trainable_variables)]
    started = network.first_weights(front, weights_of(model, values, []), front.pack(rows), seed=0)
    for variable in model.trainable_variables:
        variable.assign(started[variable.path])
    hidden = model.get_layer("front_scale").output
    probe = type(model)(model.inputs, [model.get_layer(name).output for name in ("hidden_1", "hidden_2", "logits")])
    assert hidden.shape[1] == 2 * 4 + 3 + 4
    for layer in probe(list(front.pack(rows))):
        reached = np.asarray(layer)
        assert reached.std(axis=0) == pytest.approx(np.ones(reached.shape[1]), rel=1e-3)
        assert (reached.min(axis=0) < 0.0).all()
        assert (reached.max(axis=0) > 0.0).all()


def test_rates_and_decay_are_those_of_the_paper() -> None:
    rates = {path: RealMLPNetwork.rate_of(path) for path in ("front_scale/scale", "hidden_1/kernel", "hidden_2/bias")}
    assert rates == {"front_scale/scale": 6.0, "hidden_1/kernel": 1.0, "hidden_2/bias": 0.1}
    assert RealMLPNetwork.rate_of("act_1/amount") == RealMLPNetwork.rate_of("numbers/mix") == 0.1
    assert RealMLPNetwork.decay_of("logits/bias") == 0.0
    assert RealMLPNetwork.decay_of("column_2_rare_table/embeddings") == 1.0


def test_it_learns_stops_by_itself_and_keeps_the_best(houses: Any, tmp_path: Path) -> None:
    from penstock.estimators.array_input import pandas_input_fn

    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(houses[0])
    regressor = RealMLPRegressor([32, 32], model_dir=tmp_path)
    regressor.train(pandas_input_fn(table, houses[1], batch_size=64, num_epochs=None))
    metrics = regressor.evaluate(lambda: houses)
    assert metrics["global_step"] == 256 * 360 // 64
    assert metrics["rmse"] < 0.1 * houses[1].std()


def test_the_bundle_answers_like_the_trainer(species: Any, input_of: InputOf, tmp_path: Path) -> None:
    classifier = RealMLPClassifier([16], model_dir=tmp_path, label_smoothing=0.1, class_weight="balanced")
    classifier.train(input_of(species), max_steps=300)
    model = load_model(classifier.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{"length": 3.0, "width": 0.0}, {"length": -2.0, "width": 0.5}]))
    assert served["classes"].tolist() == [["virginica"], ["versicolor"]]


def test_smoothed_labels_leave_each_class_a_share() -> None:
    logits, labels = np.array([[2.0], [-1.0]], np.float32), np.array([1, 0], np.int32)
    chance = 1.0 / (1.0 + np.exp(-logits[:, 0]))
    expected = -(0.95 * np.log([chance[0], 1 - chance[1]]) + 0.05 * np.log([1 - chance[0], chance[1]])).mean()
    assert float(sigmoid_cross_entropy(logits, labels, None, smoothing=0.1)) == pytest.approx(expected, rel=1e-5)
    both = np.concatenate([np.zeros_like(logits), logits], axis=1)
    assert float(softmax_cross_entropy(both, labels, None, smoothing=0.1)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hidden_units": []}, r"hidden_units is \[\]"),
        ({"activation_fn": "step"}, "activation_fn is 'step'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_arguments_that_cannot_be_are_told(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        RealMLPRegressor(model_dir=tmp_path, **given)
    with pytest.raises(ConfigError, match="label_smoothing is 1"):
        RealMLPClassifier(model_dir=tmp_path, label_smoothing=1)
