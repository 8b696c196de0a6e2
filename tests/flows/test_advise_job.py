from pathlib import Path

import numpy as np
import pytest

from penstock.flows.advise_job import advise_job
from penstock.settings import Settings
from penstock.training.experiment import load_experiment


@pytest.mark.slow
def test_trees_are_counted_as_the_experiment_names_them_however_few(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.flows.advise_job._INTERVAL_S", 0.01)
    x = np.random.default_rng(0).normal(size=200)
    (tmp_path / "table.csv").write_text("X,Y\n" + "".join(f"{one:.4f},{2 * one:.4f}\n" for one in x))
    experiment = tmp_path / "trees.yaml"
    experiment.write_text("data: table.csv\nlabel: Y\nestimator: {type: BoostedTreesRegressor, n_trees: 10}\n")
    found = advise_job(load_experiment(experiment), settings=settings, note=lambda _: None)
    assert found.steps == 10
    assert found.recommendation.startswith("under an hour here: stay local")
