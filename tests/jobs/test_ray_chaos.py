"""Fifty jobs, half of them on a Ray cluster, under kills of supervisors, trainers and Ray's worker processes."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.jobs.conftest import Desk, is_alive, kill, supervisor_pid
from tests.jobs.test_chaos import TRAINER, run_out
from tests.jobs.test_ray import Cluster, start, stop

from penstock.jobs.jobs import Jobs
from penstock.jobs.processes import MARKER_VARIABLE, marked
from penstock.jobs.states import JobState
from penstock.settings import load_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JOBS = 50
# A replica stands in a folder of its own on a cluster, so the checkpoint's place is named in full.
WHERE_TOLD = TRAINER.replace('Path("checkpoint-" + sys.argv[1])', "Path(sys.argv[1])")
KILLED_FOR_S = 120.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    started = start(tmp_path / "ray-home", "--cpus", "12")  # three jobs of four cores at a time
    yield started
    stop(started)


def processes_of(marker: str) -> set[int]:
    """Every process of a job, here and on the cluster: there each attempt has the job's mark and its own number."""
    wanted = f"{MARKER_VARIABLE}={marker}".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(one.startswith(wanted) for one in (folder / "environ").read_bytes().split(b"\0")):
                found.add(int(folder.name))
    return found - {os.getpid()}


def ray_workers() -> list[int]:
    """The processes in which Ray runs replicas."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if b"ReplicaHost" in file.read_bytes():
                found.append(int(file.parent.name))
    return found


def test_fifty_jobs_here_and_on_ray_all_end_true_under_random_kills(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_SLOTS", "3")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(cluster.home / "ray" / "token"))
    desk = Desk(tmp_path / "trainers", load_settings())
    luck = random.Random(20172)
    names = [f"chaos_{number}" for number in range(JOBS)]
    for number, name in enumerate(names):
        if number % 2:
            monkeypatch.setenv("PENSTOCK_RAY_ADDRESS", cluster.address)
        else:
            monkeypatch.delenv("PENSTOCK_RAY_ADDRESS", raising=False)
        desk.settings = load_settings()
        desk.submit(name, WHERE_TOLD, str(tmp_path / f"checkpoint-{name}"))
    cancelled: set[str] = set()
    killed_workers = 0
    until = time.monotonic() + KILLED_FOR_S
    while time.monotonic() < until:
        with Jobs(desk.settings) as jobs:
            living = [record for record in jobs.list() if not record.is_over]
            if not living:
                break
            victim = luck.choice(living)
            fate = luck.random()
            if fate < 0.05:
                jobs.cancel(victim.name)
                cancelled.add(victim.name)
            with suppress(ProcessLookupError):
                if 0.05 <= fate < 0.2:
                    kill(supervisor_pid(victim), signal.SIGKILL)
                elif 0.2 <= fate < 0.35 and (processes := sorted(processes_of(victim.marker))):
                    kill(luck.choice(processes), signal.SIGKILL)
                elif 0.35 <= fate < 0.5 and (workers := ray_workers()):
                    kill(luck.choice(workers), signal.SIGKILL)
                    killed_workers += 1
        time.sleep(luck.uniform(0.2, 1.0))
    run_out(desk, names, seconds=500)
    records = [desk.record(name) for name in names]
    ends = {state: [one for one in records if one.state is state] for state in JobState}
    assert sum(len(ends[state]) for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)) == JOBS
    assert all(one.error_message for one in ends[JobState.FAILED])
    assert all(one.ended is not None for one in records)
    assert {one.name for one in ends[JobState.CANCELLED]} <= cancelled
    for one in ends[JobState.SUCCEEDED]:
        assert (tmp_path / f"checkpoint-{one.name}").read_text() == "40"
    on_ray = {name for number, name in enumerate(names) if number % 2}
    assert any(one.name in on_ray for one in ends[JobState.SUCCEEDED])
    assert any(one.name not in on_ray for one in ends[JobState.SUCCEEDED])
    assert killed_workers >= 5, "Ray's own workers were among those killed, or this tests too little"
    deadline = time.monotonic() + 30
    while left := [one.name for one in records if processes_of(one.marker) or is_alive(supervisor_pid(one))]:
        assert time.monotonic() < deadline, f"processes of {left} run on"
        time.sleep(0.5)
    assert not [one.name for one in records if marked(one.marker)]
