"""A trainer package to submit, and jobs waited for."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.flows.submit_training import Submission, submit_training
from penstock.jobs.jobs import Jobs
from penstock.jobs.record import JobRecord
from penstock.jobs.states import JobState
from penstock.jobs.training_input import TrainingInput
from penstock.settings import Settings

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quick_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_GRACE_S", "1")


class Desk:
    """Submits trainers written as text, and waits for what becomes of them."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.submitted: list[str] = []

    def submit(self, name: str, task: str, *arguments: str, **training: Any) -> None:
        package = self.folder / name / "trainer"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "task.py").write_text(task)
        given = TrainingInput(python_module="trainer.task", args=list(arguments), **training)
        submission = Submission(job_id=name, training=given, package_path="trainer", folder=package.parent)
        submit_training(submission, settings=self.settings)
        self.submitted.append(name)

    def record(self, name: str) -> JobRecord:
        with Jobs(self.settings) as jobs:
            return jobs.get(name)

    def wait(self, name: str, until: Callable[[JobRecord], bool] = lambda record: record.is_over) -> JobRecord:
        deadline = time.monotonic() + PATIENCE_S
        while not until(record := self.record(name)):
            assert time.monotonic() < deadline, f"{name} is still {record.state}; its log: {self.log(name)}"
            time.sleep(0.05)
        return record

    def wait_for_line(self, name: str, line: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while line not in (log := self.log(name)):
            assert time.monotonic() < deadline, log
            time.sleep(0.05)

    def log(self, name: str, task_name: str | None = "master-replica-0") -> list[str]:
        with Jobs(self.settings) as jobs:
            return [entry.message for entry in jobs.log(name, task_name=task_name)]


@pytest.fixture
def desk(tmp_path: Path, settings: Settings) -> Iterator[Desk]:
    made = Desk(tmp_path / "trainers", settings)
    yield made
    with Jobs(settings) as jobs:
        for name in made.submitted:
            jobs.cancel(name)
    for name in made.submitted:
        made.wait(name)


def is_alive(pid: int) -> bool:
    """Whether a process runs, zombies excepted."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def supervisor_pid(record: JobRecord) -> int:
    return int(record.owner.split("-")[1])


def is_running(record: JobRecord) -> bool:
    return record.state is JobState.RUNNING


def kill(pid: int, number: int) -> None:
    os.kill(pid, number)
