"""Calibrated probabilities mean what they say, on rows nobody saw, and are served as the trainer gives them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.errors import ConfigError
from penstock.estimators.boosted_trees import BoostedTreesClassifier
from penstock.estimators.calibration import CALIBRATIONS, Calibration, fit_calibrator
from penstock.estimators.dnn import DNNClassifier
from penstock.runtime.model import load_model


def boasting(rows: int, classes: int, seed: int) -> tuple[Any, Any]:
    """Logits three times as sure as the truth, and classes drawn from the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0.0, 1.5, (rows, classes))
    if classes == 1:
        drawn = rng.uniform(size=rows) < 1.0 / (1.0 + np.exp(-truth[:, 0]))
    else:
        drawn = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    return (3.0 * truth).astype(np.float32), drawn.astype(np.int32)


def log_loss(outputs: Any, classes: Any) -> float:
    if outputs.shape[1] == 1:
        outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    chances = np.exp(outputs.astype(np.float64))
    chances /= chances.sum(axis=1, keepdims=True)
    return float(-np.log(chances[np.arange(len(classes)), classes]).mean())


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_a_boast_is_taken_back(kind: Calibration, classes: int) -> None:
    calibrator = fit_calibrator(kind, *boasting(4000, classes, 0), None)
    outputs, drawn = boasting(4000, classes, 1)
    best = log_loss(outputs / 3.0, drawn)
    assert log_loss(outputs, drawn) > best + 0.2
    assert log_loss(calibrator.apply(outputs), drawn) < best + 0.03


def test_weights_count() -> None:
    outputs, drawn = boasting(2000, 1, 0)
    doubled = fit_calibrator("sigmoid", np.repeat(outputs, 2, axis=0), np.repeat(drawn, 2), None)
    weighted = fit_calibrator("sigmoid", outputs, drawn, np.full(2000, 2.0, np.float32))
    assert weighted.slope == pytest.approx(doubled.slope, rel=1e-4)


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [(DNNClassifier, "temperature"), (DNNClassifier, "isotonic"), (BoostedTreesClassifier, "isotonic")],
)
def test_a_calibrated_model_is_served_as_trained(estimator: Any, kind: str, species: Any, tmp_path: Path) -> None:
    made = estimator(model_dir=tmp_path, calibrate=kind).train(lambda: species, max_steps=100)
    metrics = made.evaluate(lambda: species)
    assert metrics["accuracy"] > metrics["accuracy_baseline"] + 0.2
    features = {name: values[:20] for name, values in species[0].items()}
    ours = next(iter(made.predict(lambda: features, yield_single_examples=False)))["probabilities"]
    model = load_model(made.export_saved_model(tmp_path / "export"))
    rows = [{name: float(values[i]) for name, values in features.items()} for i in range(20)]
    assert model.predict(model.decode(rows))["probabilities"] == pytest.approx(ours, abs=1e-4)
    assert ours.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-5)


def test_an_unknown_calibration_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"calibrate is 'platt'; expected one of isotonic, sigmoid, temperature"):
        DNNClassifier([4], model_dir=tmp_path, calibrate="platt")  # type: ignore[arg-type]
