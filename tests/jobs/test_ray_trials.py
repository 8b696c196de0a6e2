"""Trials on a cluster, as its job server tells of them; the real one is in tests/flows/test_tune_on_ray.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import ServiceError, TrainingError
from penstock.jobs.ray_client import RayJob, RayJobs
from penstock.jobs.ray_plan import ANSWER_PREFIX, Plan, PlannedReplica
from penstock.jobs.ray_trials import Listener, RayTrials
from penstock.jobs.training_input import TrainingInput
from penstock.jobs.trial_host import Sighting, TrialLaunch

ADDRESS = "http://127.0.0.1:8265"
PLAN = Plan(
    job_id="tune",
    training=TrainingInput(python_module="trainer.task"),
    arguments=[],
    replicas=[PlannedReplica(role="master", index=0, machine_type="standard", cpus=1, gpus=0)],
    packages=[],
    marker="",
    max_restarts=0,
    grace_s=1.0,
    penstock_version="1",
)


class ToldServer(RayJobs):
    """A job server that knows what it is told."""

    def __init__(self) -> None:
        super().__init__(ADDRESS, token=None)
        self.jobs: dict[str, RayJob] = {}
        self.logs: dict[str, str] = {}
        self.is_away = False

    def upload(self, name: str, archive: bytes) -> str:
        return f"gcs://{name}"

    def submit(self, *, submission_id: str, **_: Any) -> None:
        self._answer()
        self.jobs[submission_id], self.logs[submission_id] = RayJob("PENDING", ""), ""

    def get(self, submission_id: str) -> RayJob:
        self._answer()
        if submission_id not in self.jobs:
            raise ServiceError("no such job", status=404)
        return self.jobs[submission_id]

    def log(self, submission_id: str) -> str:
        return self.logs[submission_id]

    def stop(self, submission_id: str) -> None:
        self.jobs[submission_id] = RayJob("STOPPED", "")

    def tell(self, **answer: Any) -> None:
        self.logs[self.only] += f"{ANSWER_PREFIX}{json.dumps(answer, ensure_ascii=False)}\n"

    def end(self, status: Any, exit_code: int | None = None) -> None:
        self.jobs[self.only] = RayJob(status, "it ended", exit_code)

    @property
    def only(self) -> str:
        (job,) = self.jobs
        return job

    def _answer(self) -> None:
        if self.is_away:
            raise ServiceError("cannot be reached", status=None)


@pytest.fixture
def server() -> ToldServer:
    return ToldServer()


def begun(server: ToldServer, folder: Path, listen: Listener = lambda *_: None) -> RayTrials:
    made = RayTrials(server, ADDRESS, PLAN, tag="loss", folder=folder, experiment="", listen=listen)
    made.start(TrialLaunch(number=1, arguments=["--rate=1"]))
    return made


def test_reports_come_while_the_trial_runs_each_once(server: ToldServer, tmp_path: Path) -> None:
    trials = begun(server, tmp_path)
    assert trials.look(1) == Sighting(reports=[], waits=True)
    server.tell(is_running=True)
    server.tell(reports=[[1, "0.5"], [2, "nan"]])
    server.logs[server.only] += f'{ANSWER_PREFIX}{{"reports"'  # a line that is half written
    seen = trials.look(1)
    assert [str(one) for one in seen.reports] == ["(1, 0.5)", "(2, nan)"]
    assert not seen.waits
    server.logs[server.only] += ': [[3, "0.25"]]}\n50%\r'  # a bar that ends no line
    server.tell(reports=[[4, "0.125"]])
    server.end("SUCCEEDED", 0)
    assert trials.look(1) == Sighting(reports=[(3, 0.25), (4, 0.125)], ending="")


def test_another_process_follows_what_was_begun_and_hears_all_of_it(server: ToldServer, tmp_path: Path) -> None:
    trials = begun(server, tmp_path)
    server.tell(reports=[[1, "0.5"]])
    trials.look(1)
    server.end("SUCCEEDED", 0)
    later = begun(server, tmp_path)
    assert len(server.jobs) == 1
    assert later.look(1) == Sighting(reports=[(1, 0.5)], ending="")


def test_another_process_does_not_tell_again_what_was_printed(server: ToldServer, tmp_path: Path) -> None:
    heard: list[str] = []
    first = begun(server, tmp_path, lambda _number, message, _severity: heard.append(message))
    server.tell(message="epoch 1", task_name="master-replica-0")
    server.logs[server.only] += "a warning of Ray's, of\u2028two lines to Python\n"
    first.look(1)
    server.tell(message="epoch\u20282", task_name="master-replica-0")
    later = begun(server, tmp_path, lambda _number, message, _severity: heard.append(message))
    later.look(1)
    assert heard == ["epoch 1", "epoch\u20282"]

    server.jobs.clear()  # lost, and begun again: the new job's output is all new
    assert later.look(1).is_lost
    later.start(TrialLaunch(number=1, arguments=[]))
    server.tell(message="epoch 1", task_name="master-replica-0")
    later.look(1)
    assert heard == ["epoch 1", "epoch\u20282", "epoch 1"]


@pytest.mark.parametrize(
    ("answers", "exit_code", "expected"),
    [
        ([{"failure": "The replica master 0 exited.\nTraceback\nValueError: x", "exit_status": 1}], 1, False),
        ([{"failure": "The replica master 0 was killed by SIGKILL.\n", "exit_status": -9}], 1, True),
        ([], -9, True),  # the driver itself
        ([], None, True),  # with the machine that it ran on
        ([], 1, False),  # it could not even begin
    ],
)
def test_what_was_killed_is_lost_and_what_failed_has_failed(
    server: ToldServer, tmp_path: Path, answers: list[dict[str, Any]], exit_code: int | None, expected: bool
) -> None:
    trials = begun(server, tmp_path)
    for answer in answers:
        server.tell(**answer)
    server.end("FAILED", exit_code)
    seen = trials.look(1)
    assert seen.ending
    assert seen.is_lost is expected
    if exit_code == 1 and answers and not expected:
        assert seen.ending == "The replica master 0 exited. ValueError: x"


def test_a_lost_trial_becomes_another_job(server: ToldServer, tmp_path: Path) -> None:
    trials = begun(server, tmp_path)
    first = server.only
    server.jobs.clear()  # a cluster that was started anew
    assert trials.look(1).is_lost
    trials.start(TrialLaunch(number=1, arguments=[]))
    assert server.only != first


def test_a_stopped_trial_ends_well(server: ToldServer, tmp_path: Path) -> None:
    trials = begun(server, tmp_path)
    trials.stop(1)
    assert trials.look(1) == Sighting(reports=[], ending="")


def test_a_cluster_may_be_away_for_a_while_and_no_longer(
    server: ToldServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = begun(server, tmp_path)
    server.is_away = True
    assert trials.look(1) == Sighting()
    server.is_away = False
    assert trials.look(1).waits
    monkeypatch.setattr("penstock.jobs.ray_trials._SILENCE_S", 0.0)
    server.is_away = True
    with pytest.raises(TrainingError, match="lost with its cluster: cannot be reached"):
        trials.look(1)
