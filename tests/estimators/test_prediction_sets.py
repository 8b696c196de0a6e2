"""Sets of classes hold the true one as often as promised, on rows nobody saw, whatever the model, and are served so."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.errors import ConfigError, TrainingError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.auto.estimator import AutoClassifier
from penstock.estimators.boosted_trees import BoostedTreesClassifier
from penstock.estimators.classification_heads import MulticlassHead
from penstock.estimators.dnn import DNNClassifier
from penstock.estimators.examples import Examples
from penstock.estimators.prediction_sets import PredictionSets, fit_prediction_sets
from penstock.features.arrays import batch_of_arrays
from penstock.runtime.model import load_model

Pair = tuple[dict[str, NDArray[Any]], NDArray[Any]]
NAMES = ("ash", "birch", "cedar")


def trees(rows: int, seed: int, classes: int = 3) -> Pair:
    """Classes that overlap along a line."""
    rng = np.random.default_rng(seed)
    species = rng.integers(0, classes, rows)
    return {"height": species + rng.normal(0.0, 0.6, rows)}, np.array(NAMES, dtype=object)[species]


def wrong_model(rows: int, seed: int, *, is_coarse: bool) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits that have little to do with the classes; coarse ones take few values, as those of trees do."""
    rng = np.random.default_rng(seed)
    class_ids = rng.integers(0, 4, rows)
    scores = rng.normal(0.0, 1.0, (rows, 4))
    scores[np.arange(rows), class_ids] += rng.choice([0.0, 2.0], rows)
    return (np.round(scores) if is_coarse else scores).astype(np.float32), class_ids


def coverage_of(sets: PredictionSets, logits: NDArray[np.float32], class_ids: NDArray[Any], **weights: Any) -> float:
    answers = sets.apply({"logits": logits, "class_ids": logits.argmax(axis=1)[:, None]})
    return sets.metrics(answers, class_ids, weights.get("weights"))["prediction_set/coverage"]


@pytest.mark.parametrize("is_coarse", [False, True])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_the_promise_holds_on_average_over_draws(coverage: float, is_coarse: bool) -> None:
    found = []
    for seed in range(60):
        sets = fit_prediction_sets(coverage, *wrong_model(200, seed, is_coarse=is_coarse))
        found.append(coverage_of(sets, *wrong_model(500, seed + 1000, is_coarse=is_coarse)))
    # Never less; more where ties do not let it be met exactly, or where the likeliest class alone is enough.
    assert np.mean(found) > coverage - 0.01
    if not is_coarse and coverage == 0.9:
        assert np.mean(found) < coverage + 0.02


def test_rows_count_as_their_weights_say() -> None:
    """A fifth of the rows, of labels drawn blindly, counts twenty times as much as the rest, which are easy."""
    found: dict[bool, list[float]] = {False: [], True: []}
    for seed in range(20):
        parts = []
        for start in (seed, seed + 1000):
            logits, class_ids = wrong_model(1000, start, is_coarse=False)
            class_ids[:200] = np.random.default_rng(start).integers(0, 4, 200)
            logits[np.arange(200, 1000), class_ids[200:]] += 4.0
            parts.append((logits, class_ids, np.where(np.arange(1000) < 200, 20.0, 1.0).astype(np.float32)))
        (logits, class_ids, weights), later = parts
        for is_weighted in found:
            sets = fit_prediction_sets(0.9, logits, class_ids, weights if is_weighted else None)
            found[is_weighted].append(coverage_of(sets, later[0], later[1], weights=later[2]))
    assert np.mean(found[True]) == pytest.approx(0.9, abs=0.015)
    assert np.mean(found[False]) < 0.88


def test_probabilities_are_not_measured_on_the_rows_that_they_were_bent_to() -> None:
    """Of 60 rows, isotonic curves learn by heart what these rows' own classes were."""
    head, found = MulticlassHead(label="kind", classes=("a", "b", "c", "d")), []
    options = AdjustmentOptions(calibrate="isotonic", prediction_sets=0.9)
    for seed in range(80):
        logits, class_ids = wrong_model(60, seed, is_coarse=False)
        rows = Examples(
            features=batch_of_arrays({"x": np.arange(60.0)}), labels=np.array(head.classes)[class_ids], label="kind"
        )
        made = options.fit(logits, head, rows)
        assert made.prediction_sets is not None
        logits, class_ids = wrong_model(300, seed + 1000, is_coarse=False)
        found.append(coverage_of(made.prediction_sets, made.calibrated(logits), class_ids))
    assert np.mean(found) > 0.89


def test_doubtful_answers_are_larger_sets() -> None:
    chances = np.array([[0.98, 0.01, 0.01], [0.4, 0.35, 0.25], [0.34, 0.33, 0.33]])
    logits = np.log(chances).astype(np.float32)

    def sizes(reached: float) -> list[int]:
        rest = (1.0 - reached) / 2.0
        measured = np.log(np.tile([reached, rest, rest], (9, 1))).astype(np.float32)
        sets = fit_prediction_sets(0.5, measured, np.zeros(9, np.int64))
        answers = sets.apply({"logits": logits, "class_ids": np.zeros((3, 1), np.int64)})
        assert answers["prediction_set"][:, 0].all()
        sums: list[int] = answers["prediction_set"].sum(axis=1).tolist()
        return sums

    assert sizes(0.36) == [1, 1, 1]  # the last has no class of that chance, and yet its likeliest
    assert sizes(0.3) == [1, 2, 3]


def test_rounding_parts_no_rows_of_equal_chances(tmp_path: Path) -> None:
    """Trees that are sure of nearly all rows: many have the very chance that is asked for, and it is tiny."""
    rng = np.random.default_rng(0)
    table = {"x": rng.integers(0, 30, 8000).astype(float), "y": rng.integers(0, 30, 8000).astype(float)}
    labels = np.array(["no", "yes"], dtype=object)[((table["x"] > 14) ^ (rng.uniform(size=8000) < 0.004)).astype(int)]
    classifier = BoostedTreesClassifier(model_dir=tmp_path / "model", n_trees=80, prediction_sets=0.998)
    classifier.train(lambda: (table, labels))
    sets = classifier.fitted_model().adjustment.prediction_sets
    assert sets is not None
    assert sets.least < -4.0
    model = load_model(classifier.export_saved_model(tmp_path / "export"))
    rows = {"x": np.repeat(np.arange(30.0), 30), "y": np.tile(np.arange(30.0), 30)}
    ours = next(iter(classifier.predict(lambda: rows, yield_single_examples=False)))
    served = model.predict(model.decode([{"x": x, "y": y} for x, y in zip(rows["x"], rows["y"], strict=True)]))
    assert ours["prediction_set"].sum(axis=1).mean() > 1.0
    assert np.array_equal(served["prediction_set"], ours["prediction_set"])


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


def test_a_class_is_not_held_back_whole(tmp_path: Path) -> None:
    table, labels = trees(300, 0, 2)
    for row in range(0, 300, 60):
        one = labels.copy()
        one[row] = "cedar"
        classifier = BoostedTreesClassifier(model_dir=tmp_path / str(row), n_trees=2, prediction_sets=0.9)
        classifier.train(partial(tuple, (table, one)))
        assert classifier.fitted_model().head.classes == NAMES


def test_what_cannot_be_promised_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prediction_sets is 90; expected a share between 0 and 1"):
        DNNClassifier([4], model_dir=tmp_path, prediction_sets=90)
    classifier = DNNClassifier([4], model_dir=tmp_path, prediction_sets=0.99)
    with pytest.raises(TrainingError, match=r"prediction_sets of 0.99 are measured on at least 99 rows .* 40 are held"):
        classifier.train(lambda: trees(200, 0), max_steps=1)
    both = BoostedTreesClassifier(model_dir=tmp_path, prediction_sets=0.98, calibrate="isotonic")
    with pytest.raises(TrainingError, match=r"49 rows .* 80 are held back, half of which are for the calibration"):
        both.train(lambda: trees(400, 0))
    few = BoostedTreesClassifier(model_dir=tmp_path, prediction_sets=0.5, calibrate="sigmoid")
    with pytest.raises(TrainingError, match=r"calibrate is fitted to rows that training does not see, and 1 are held"):
        few.train(lambda: trees(7, 0, 2))
    with pytest.raises(TrainingError, match=r"at least 9999 rows .*the data has 12000, half .*; ask for less"):
        AutoClassifier(prediction_sets=0.9999, model_dir=tmp_path / "auto", calibrate="sigmoid").train(
            lambda: trees(12_000, 0)
        )
