"""Tunings whose trials run on a real Ray cluster of one machine with two cores."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.flows.test_tune_trainer import config, processes_of, submit, wait_for
from tests.jobs.test_ray import Cluster, read, start, stop

from penstock.jobs.jobs import Jobs
from penstock.settings import Settings, load_settings
from penstock.tuning.ledger import read_trials, study_name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = start(tmp_path_factory.mktemp("ray-home"), "--cpus", "2")
    yield started
    stop(started)


@pytest.fixture
def ray_settings(cluster: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(cluster.home / "ray" / "token"))
    monkeypatch.setenv("PENSTOCK_RAY_ADDRESS", cluster.address)
    return load_settings()


def on_one_core(**changes: object) -> dict[str, object]:
    training = config(**changes)["trainingInput"]
    return {"trainingInput": {"scaleTier": "CUSTOM", "masterType": "n1-standard-1", **training}}


def hosts() -> list[int]:
    """Process ids of the actors that run trials."""
    return [int(one.parent.name) for one in Path("/proc").glob("[0-9]*/cmdline") if b"ReplicaHost.run" in read(one)]


def test_trials_survive_a_killed_driver_and_a_killed_worker_and_none_runs_to_its_end_twice(
    tmp_path: Path, ray_settings: Settings
) -> None:
    done = submit(tmp_path, "tune", on_one_core(maxTrials=4, maxParallelTrials=2), "--seconds=4")
    assert done.returncode == 0, done.stderr
    killed, until = set[str](), time.monotonic() + 240
    while killed != {"driver", "worker"}:
        assert time.monotonic() < until
        time.sleep(0.3)
        if victims := hosts():
            # The worker last: a driver that follows what an earlier one began sees it go.
            if "driver" not in killed:
                victims = processes_of("tune", "driver")
            if victims:
                os.kill(victims[0], signal.SIGKILL)
                killed.add("worker" if "driver" in killed else "driver")
                time.sleep(3.0)
    described = wait_for("tune", ray_settings, seconds=300)
    assert described["state"] == "SUCCEEDED", described
    trials = read_trials(study_name("tune"), settings=ray_settings)
    assert [trial.failure for trial in trials] == [""] * 4
    ended = [(tmp_path / "jobs" / str(number) / "ended").read_text().count("\n") for number in range(1, 5)]
    assert ended == [1] * 4
    assert sum(trial.attempts for trial in trials) > 4
    assert all(len(trial.reports) == 3 for trial in trials)
    best = max(trials, key=lambda trial: trial.value or 0.0)
    assert described["trainingOutput"]["trials"][0]["trialId"] == str(best.number)


def test_a_cancelled_tuning_leaves_no_trial_on_the_cluster(tmp_path: Path, ray_settings: Settings) -> None:
    done = submit(tmp_path, "long", on_one_core(maxTrials=4, maxParallelTrials=2), "--seconds=300")
    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 120
    while not hosts():
        assert time.monotonic() < until
        time.sleep(0.3)
    with Jobs(ray_settings) as jobs:
        jobs.cancel("long")
    assert wait_for("long", ray_settings)["state"] == "CANCELLED"
    while hosts():
        assert time.monotonic() < until
        time.sleep(0.3)


def test_trials_that_fail_say_why(tmp_path: Path, ray_settings: Settings) -> None:
    done = submit(tmp_path, "bad", on_one_core(maxTrials=2, maxFailedTrials=1), "--colour=red")
    assert done.returncode == 0, done.stderr
    described = wait_for("bad", ray_settings)
    assert described["state"] == "FAILED"
    assert "unrecognized arguments: --colour=red" in described["errorMessage"]
