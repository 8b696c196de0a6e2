"""Tuning jobs: trainers of the time, run from the command line, and what is left of them when processes are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from penstock.jobs.jobs import Jobs
from penstock.jobs.states import TERMINAL, JobState
from penstock.settings import Settings
from penstock.tuning.ledger import read_trials, study_name

# Stands for cloudml-hypertune 0.1.0.dev6: it writes what that package writes.
HYPERTUNE_TRAINER = """
import argparse, json, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--job-dir", required=True)
parser.add_argument("--tag", default="score")
parser.add_argument("--seconds", type=float, default=0)
parser.add_argument("--explode", action="store_true")
args = parser.parse_args()
trial = json.loads(os.environ["TF_CONFIG"])["task"]["trial"]
assert trial == os.environ["CLOUD_ML_TRIAL_ID"] == pathlib.Path(args.job_dir).name
assert args.rate < 0, "negative numbers come as --name=value"
file = pathlib.Path(os.environ["CLOUD_ML_HP_METRIC_FILE"])
folder = pathlib.Path(args.job_dir)
folder.mkdir(parents=True, exist_ok=True)
lines = []
for step in (1, 2, 3):
    time.sleep(args.seconds / 3)
    value = "nan" if args.explode else str(-args.rate - 1 / step)
    entry = {args.tag: value, "checkpoint_path": "", "global_step": str(step), "timestamp": time.time(), "trial": trial}
    lines.append(json.dumps(entry, sort_keys=True))
    file.write_text("\\n".join(lines) + "\\n")
with (folder / "ended").open("a") as ended:
    ended.write("to its end\\n")
"""


def config(**changes: Any) -> dict[str, Any]:
    rate = {"parameterName": "rate", "type": "DOUBLE", "minValue": -2, "maxValue": -1}
    spec = {"goal": "MAXIMIZE", "hyperparameterMetricTag": "score", "maxTrials": 3, "params": [rate], **changes}
    return {"trainingInput": {"hyperparameters": spec}}


def submit(folder: Path, job: str, content: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
    package = folder / "trainer"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").touch()
    (package / "task.py").write_text(HYPERTUNE_TRAINER)
    (folder / "config.json").write_text(json.dumps(content))
    command = [sys.executable, "-m", "penstock.cli.main", "jobs", "submit", "training", job]
    command += ["--module-name", "trainer.task", "--package-path", "trainer", "--job-dir", "jobs"]
    command += ["--config", "config.json", "--", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def wait_for(job: str, settings: Settings, *, seconds: float = 120) -> dict[str, Any]:
    until = time.monotonic() + seconds
    with Jobs(settings) as jobs:
        while (record := jobs.get(job)).state not in TERMINAL:
            assert time.monotonic() < until, f"job {job} is still {record.state}"
            time.sleep(0.2)
            jobs.tidy()
        return jobs.describe(record)


def test_a_hypertune_trainer_tunes_unchanged_and_trials_are_listed_best_first(
    tmp_path: Path, settings: Settings
) -> None:
    done = submit(tmp_path, "tune", config(maxParallelTrials=2))
    assert done.returncode == 0, done.stderr
    output = wait_for("tune", settings)["trainingOutput"]
    values = [trial["finalMetric"]["objectiveValue"] for trial in output["trials"]]
    assert values == sorted(values, reverse=True)
    assert output["completedTrialCount"] == "3"
    assert output["isHyperparameterTuningJob"] is True
    assert {trial["trialId"] for trial in output["trials"]} == {"1", "2", "3"}
    assert all(trial["finalMetric"]["trainingStep"] == "3" for trial in output["trials"])

    # What one job has learned, the next begins with.
    done = submit(tmp_path, "more", config(resumePreviousJobId="tune", maxTrials=1))
    assert done.returncode == 0, done.stderr
    assert wait_for("more", settings)["state"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tag=other"], "reported the metric 'score'"),
        (["--explode"], "score was nan at step 1"),
    ],
)
def test_a_tuning_that_learns_nothing_fails_and_says_why(
    tmp_path: Path, settings: Settings, arguments: list[str], message: str
) -> None:
    done = submit(tmp_path, "tune", config(maxTrials=2, maxFailedTrials=1), *arguments)
    assert done.returncode == 0, done.stderr
    described = wait_for("tune", settings)
    assert described["state"] == "FAILED"
    assert message in described["errorMessage"]
    assert [trial["state"] for trial in described["trainingOutput"]["trials"]] == ["FAILED", "FAILED"]


def test_a_wrong_specification_is_refused_before_the_job_is(tmp_path: Path, settings: Settings) -> None:
    content = config(params=[{"parameterName": "rate", "type": "DOUBLE", "minValue": 2, "maxValue": 1}])
    done = submit(tmp_path, "tune", content)
    assert done.returncode == 1
    assert "'rate'" in done.stderr
    assert "exchange them" in done.stderr


def processes_of(job: str, kind: str) -> list[int]:
    """Process ids of the job's driver, or of its trainers."""
    wanted = "penstock.flows.tune_trainer" if kind == "driver" else "trainer.task"
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command = (folder / "cmdline").read_bytes().decode().split("\0")
                environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if wanted in command and f"CLOUD_ML_JOB_ID={job}" in environment:
                found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes under /proc")
def test_twenty_trials_survive_five_killed_drivers_and_five_killed_workers(tmp_path: Path, settings: Settings) -> None:
    done = submit(tmp_path, "tune_kills", config(maxTrials=20, maxParallelTrials=2), "--seconds=1.5")
    assert done.returncode == 0, done.stderr
    kills, until = ["driver", "worker"] * 5, time.monotonic() + 240
    while kills:
        assert time.monotonic() < until
        time.sleep(1.1)
        if victims := processes_of("tune_kills", kills[0]):
            os.kill(victims[0], signal.SIGKILL)
            kills.pop(0)
    described = wait_for("tune_kills", settings, seconds=200)
    assert described["state"] == JobState.SUCCEEDED.value, described
    trials = read_trials(study_name("tune_kills"), settings=settings)
    assert [trial.number for trial in trials] == list(range(1, 21))
    assert [trial.failure for trial in trials if trial.state.value != "SUCCEEDED"] == []
    assert sum(trial.attempts - 1 for trial in trials) >= 10
    ended = [(tmp_path / "jobs" / str(number) / "ended").read_text().count("\n") for number in range(1, 21)]
    assert ended == [1] * 20
    best = max(trials, key=lambda trial: trial.value or 0.0)
    assert described["trainingOutput"]["trials"][0]["trialId"] == str(best.number)
