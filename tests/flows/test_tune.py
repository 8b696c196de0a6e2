"""Tuning an experiment in one process: from its file to a registered winner."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from penstock.bundle.folder import read_manifest
from penstock.errors import AlreadyExistsError, ConfigError, TrainingError
from penstock.flows.train import train_experiment
from penstock.flows.tune import Tuned, tune_experiment
from penstock.flows.tuning_report import write_report
from penstock.settings import Settings
from penstock.training.experiment import Experiment, parse_experiment
from penstock.tuning.study import Study

SPACE = {
    "trials": 4,
    "evaluations": 4,
    "parameters": {
        "learning_rate": {"min": 0.001, "max": 0.3, "scale": "log"},
        "hidden_units_1": {"type": "discrete", "values": [4, 8]},
    },
}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """A quantity that one column tells and another does not."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(120, 2))
    lines = [f"{a:.4f},{b:.4f},{3 * a + 1:.4f}" for a, b in rows]
    (tmp_path / "table.csv").write_text("a,b,y\n" + "\n".join(lines) + "\n")
    text = "data: table.csv\nlabel: y\nestimator: DNNRegressor\ntraining: {max_steps: 40, batch_size: all}\n"
    return msgspec.structs.replace(parse_experiment(text, folder=str(tmp_path)), tuning=SPACE)


def tune(experiment: Experiment, settings: Settings, **arguments: Any) -> Tuned:
    return tune_experiment(experiment, settings=settings, name="s", note=print, **arguments)


def test_the_winner_is_the_best_trial_and_trained_to_the_same_loss(experiment: Experiment, settings: Settings) -> None:
    tuned = tune(experiment, settings, changes={"pruner": "none"})
    assert tuned.best.value == min(trial.value or 0.0 for trial in tuned.trials)
    assert tuned.trained is not None
    assert tuned.trained.manifest.metrics["loss"] == pytest.approx(tuned.best.value, rel=1e-5)
    parameters = read_manifest(tuned.trained.uri).parameters
    assert parameters["hidden_units"] == [tuned.best.parameters["hidden_units_1"]]
    assert parameters["learning_rate"] == tuned.best.parameters["learning_rate"]
    page = write_report(tuned).read_text()
    assert page.count("<polyline") >= 4
    assert "http" not in page
    assert len(list((tuned.folder / "hparams").glob("trial-*/*tfevents*"))) == 4


def test_trials_write_no_files(experiment: Experiment, settings: Settings) -> None:
    tuned = tune(experiment, settings, refit=False)
    assert not tuned.folder.exists()


def test_a_study_is_gone_on_with_and_a_name_is_used_once(experiment: Experiment, settings: Settings) -> None:
    first = tune(experiment, settings, refit=False)
    with pytest.raises(AlreadyExistsError, match="--resume"):
        tune(experiment, settings, refit=False)
    second = tune(experiment, settings, refit=False, resume=True, changes={"trials": 6})
    assert second.trials[:4] == first.trials
    assert len(second.trials) == 6


def test_several_trials_at_a_time_all_count(experiment: Experiment, settings: Settings) -> None:
    tuned = tune(experiment, settings, refit=False, changes={"parallel": 3, "trials": 7})
    assert [trial.number for trial in tuned.trials] == list(range(1, 8))
    assert all(trial.is_over for trial in tuned.trials)


def test_a_cross_validation_reports_the_mean_after_each_fold(experiment: Experiment, settings: Settings) -> None:
    tuned = tune(experiment, settings, refit=False, changes={"folds": 3, "pruner": "none", "trials": 2})
    assert [step for step, _ in tuned.best.reports] == [1, 2, 3]


def test_a_built_in_space_leaves_what_the_experiment_gives(experiment: Experiment, settings: Settings) -> None:
    given = msgspec.structs.replace(
        experiment,
        tuning=None,
        estimator=msgspec.structs.replace(experiment.estimator, parameters={"hidden_units": [4]}),
    )
    tuned = tune(given, settings, refit=False, changes={"trials": 2})
    assert set(tuned.best.parameters) == {"learning_rate", "weight_decay", "dropout"}


def test_the_time_is_kept_to_within_an_evaluation(experiment: Experiment, settings: Settings) -> None:
    told = []

    def watch(study: Study) -> None:
        told.append(study.finished)

    tuned = tune(experiment, settings, refit=False, changes={"timeout": 1.5, "pruner": "none"}, watch=watch)
    assert tuned.trials
    took = (max(trial.ended or 0 for trial in tuned.trials) - tuned.trials[0].started) / 1e6
    assert took < 30  # the first trial compiles; the bound itself is tested in tests/tuning
    assert told[-1] == len(tuned.trials)


def test_trials_that_all_fail_end_the_study_with_the_reason(experiment: Experiment, settings: Settings) -> None:
    changes = {"parameters": {"learning_rate": {"min": 1e30, "max": 1e31}}, "failures": 1}
    with pytest.raises(TrainingError, match=r"2 of 2 trials failed, and 1 may .*learning_rate"):
        tune(experiment, settings, refit=False, changes=changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trails": 3}, "tuning has no field 'trails'.*did you mean 'trials'"),
        ({"parameters": {"dropout": {"min": 0, "max": 0.5, "scale": "log"}}}, "'dropout'.*above 0"),
        ({"parameters": {"dropout": {"min": 0.5, "max": 0.1}}}, "'dropout'.*exchange them"),
        ({"parameters": {"dropout": {"min": 0.1}}}, "parameters.dropout: max is None"),
        ({"parameters": {"dropout": {"min": 0.1, "max": 0.2}}, "algorithm": "grid"}, "'dropout'.*grid"),
        ({"parameters": {"dropout": {"values": [0, 0.1], "when": {"batch_norm": [True]}}}}, "'batch_norm'.*no param"),
        ({"timeout": "soon"}, "tuning.timeout is 'soon'"),
        ({"folds": 1}, "tuning.folds is 1"),
    ],
)
def test_a_wrong_section_is_named(
    experiment: Experiment, settings: Settings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(experiment, settings, changes=changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "rmsle"}, "tuning.metric is 'rmsle'.*did you mean 'rmse'"),
        ({"parameters": {"learning_rat": [0.1, 0.2]}}, "learning_rat"),
    ],
)
def test_what_only_a_trial_can_find_out_ends_the_study_at_once(
    experiment: Experiment, settings: Settings, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        tune(experiment, settings, changes=changes)


def test_a_plain_training_tells_what_is_wrong_with_the_tuning_too(experiment: Experiment, settings: Settings) -> None:
    misspelt = msgspec.structs.replace(experiment, tuning={"trails": 3})
    with pytest.raises(ConfigError, match=r"tuning has no field 'trails'.*did you mean 'trials'"):
        train_experiment(misspelt, settings=settings, note=print)
