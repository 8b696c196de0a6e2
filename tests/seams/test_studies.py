"""A study is kept in the metadata store, whichever database it is: gone on with, and written to by several at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.flows.tune import Tuned, tune_experiment
from penstock.settings import load_settings
from penstock.training.experiment import Experiment, parse_experiment

SPACE = {"trials": 3, "pruner": "none", "parameters": {"learning_rate": {"min": 0.001, "max": 0.3, "scale": "log"}}}
EXPERIMENT = "data: table.csv\nlabel: y\nestimator: LinearRegressor\ntraining: {max_steps: 20, batch_size: all}\n"


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    rows = np.random.default_rng(0).normal(size=(80, 2))
    lines = [f"{a:.4f},{b:.4f},{3 * a + 1:.4f}" for a, b in rows]
    (tmp_path / "table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    return msgspec.structs.replace(parse_experiment(EXPERIMENT, folder=str(tmp_path)), tuning=SPACE)


def test_a_study_is_gone_on_with_and_written_to_by_several_at_once(database_url: str, experiment: Experiment) -> None:
    settings = replace(load_settings(), database_url=database_url)

    def tune(**arguments: Any) -> Tuned:
        return tune_experiment(experiment, settings=settings, name="s", note=print, refit=False, **arguments)

    first = tune(changes={"parallel": 3})
    second = tune(resume=True, changes={"trials": 7, "parallel": 3})
    assert second.trials[:3] == first.trials
    assert [trial.number for trial in second.trials] == list(range(1, 8))
    assert all(trial.is_over and trial.value is not None for trial in second.trials)
    assert second.best.value == min(trial.value or 0.0 for trial in second.trials)
