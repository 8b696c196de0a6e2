"""Sets of classes hold the true one as often as promised, on rows nobody saw, whatever the model, and are served so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.errors import ConfigError, TrainingError
from penstock.estimators.boosted_trees import BoostedTreesClassifier
from penstock.estimators.dnn import DNNClassifier
from penstock.estimators.prediction_sets import fit_prediction_sets
from penstock.runtime.model import load_model

Pair = tuple[dict[str, NDArray[Any]], NDArray[Any]]
NAMES = ("ash", "birch", "cedar")


def trees(rows: int, seed: int, classes: int = 3) -> Pair:
    """Classes that overlap along a line."""
    rng = np.random.default_rng(seed)
    species = rng.integers(0, classes, rows)
    return {"height": species + rng.normal(0.0, 0.6, rows)}, np.array(NAMES, dtype=object)[species]


def wrong_model(rows: int, seed: int, *, is_coarse: bool) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Chances that have little to do with the classes; coarse ones take few values, as those of trees do."""
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(0, 4, rows)
    scores = rng.normal(0.0, 1.0, (rows, 4))
    scores[np.arange(rows), class_ids] += rng.choice([0.0, 2.0], rows)
    chances = np.exp(scores)
    chances /= chances.sum(axis=1, keepdims=True)
    return (np.round(chances, 1) if is_coarse else chances).astype(np.float32), class_ids


@pytest.mark.parametrize("is_coarse", [False, True])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_promise_holds_on_average_over_draws(coverage: float, is_coarse: bool) -> None:
    found = []
    for seed in range(60):
        sets = fit_prediction_sets(coverage, *wrong_model(200, seed, is_coarse=is_coarse))
        chances, class_ids = wrong_model(500, seed + 1000, is_coarse=is_coarse)
        answers = sets.apply({"probabilities": chances, "class_ids": chances.argmax(axis=1)[:, None]})
        found.append(sets.metrics(answers, class_ids, None)["prediction_set/coverage"])
    # Never less; more where ties do not let it be met exactly, or where the likeliest class alone is enough.
    assert np.mean(found) > coverage - 0.01
    if not is_coarse and coverage == 0.9:
        assert np.mean(found) < coverage + 0.02


def test_doubtful_answers_are_larger_sets() -> None:
    chances = np.array([[0.98, 0.01, 0.01], [0.4, 0.35, 0.25], [0.34, 0.33, 0.33]], np.float32)
    sets = fit_prediction_sets(0.5, np.full((9, 3), 0.36, np.float32), np.zeros(9, np.int64))
    answers = sets.apply({"probabilities": chances, "class_ids": np.array([[0], [0], [0]])})
    # The last has no class of that chance, and yet its likeliest.
    assert answers["prediction_set"].tolist() == [[True, False, False], [True, False, False], [True, False, False]]
    wide = fit_prediction_sets(0.5, np.full((9, 3), 0.3, np.float32), np.zeros(9, np.int64))
    answers = wide.apply({"probabilities": chances, "class_ids": np.array([[0], [0], [0]])})
    assert answers["prediction_set"].sum(axis=1).tolist() == [1, 2, 3]


@pytest.mark.parametrize(("kind", "classes"), [(BoostedTreesClassifier, 3), (DNNClassifier, 2)])
def test_a_trained_model_answers_with_them_and_so_does_its_bundle(kind: Any, classes: int, tmp_path: Path) -> None:
    classifier = kind(model_dir=tmp_path / "model", prediction_sets=0.9, calibrate="temperature")
    classifier.train(lambda: trees(3000, 0, classes), max_steps=150)
    metrics = classifier.evaluate(lambda: trees(3000, 1, classes))
    assert metrics["prediction_set/coverage"] == pytest.approx(0.9, abs=0.03)
    assert 1.0 < metrics["prediction_set/size"] < 2.0
    # As another process finds it.
    again = kind(model_dir=tmp_path / "model", prediction_sets=0.9, calibrate="temperature")
    rows = {"height": np.array([-1.0, 0.5, 1.0, 3.0])}
    ours = next(iter(again.predict(lambda: rows, yield_single_examples=False)))
    model = load_model(again.export_saved_model(tmp_path / "export"))
    served = model.predict(model.decode([{"height": value} for value in rows["height"].tolist()]))
    assert served["prediction_set"].tolist() == ours["prediction_set"].tolist()
    sizes = served["prediction_set"].sum(axis=1)
    assert (sizes[0], sizes[1], sizes[3]) == (1, 2, 1)


def test_what_cannot_be_promised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prediction_sets is 90; expected a share between 0 and 1"):
        DNNClassifier([4], model_dir=tmp_path, prediction_sets=90)
    classifier = DNNClassifier([4], model_dir=tmp_path, prediction_sets=0.99)
    with pytest.raises(TrainingError, match=r"prediction_sets of 0.99 are measured on at least 99 rows .* 40 are held"):
        classifier.train(lambda: trees(200, 0), max_steps=1)
