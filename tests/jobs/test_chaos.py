"""Many jobs, and kills at random moments: every job ends true, and nothing of it runs on."""

import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.jobs.conftest import Desk, is_alive, kill, supervisor_pid

from penstock.jobs.jobs import Jobs
from penstock.jobs.processes import marked
from penstock.jobs.states import JobState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# A trainer with a child in a session of its own, and a checkpoint that it goes on from.
TRAINER = """
import subprocess, sys, time
from pathlib import Path
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
done = Path("checkpoint-" + sys.argv[1])
for step in range(int(done.read_text()) if done.exists() else 0, 40):
    time.sleep(0.1)
    done.write_text(str(step + 1))
print("steps", done.read_text())
"""


def run_out(desk: Desk, names: list[str], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with Jobs(desk.settings) as jobs:
            waiting = [name for name in names if not jobs.get(name).is_over]
        if not waiting:
            return
        assert time.monotonic() < deadline, f"{len(waiting)} jobs never ended: {waiting[:5]}"
        time.sleep(0.2)


def test_fifty_jobs_under_random_kills_all_end_true(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_SLOTS", "4")
    luck = random.Random(20171)
    names = [f"chaos_{number}" for number in range(50)]
    for name in names:
        desk.submit(name, TRAINER, name)
    cancelled: set[str] = set()
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        with Jobs(desk.settings) as jobs:
            living = [record for record in jobs.list() if not record.is_over]
            if not living:
                break
            victim = luck.choice(living)
            fate = luck.random()
            if fate < 0.1:
                jobs.cancel(victim.name)
                cancelled.add(victim.name)
            elif fate < 0.3:
                with suppress(ProcessLookupError):
                    kill(supervisor_pid(victim), signal.SIGKILL)
            elif fate < 0.7 and (processes := sorted(marked(victim.marker))):
                with suppress(ProcessLookupError):
                    kill(luck.choice(processes), signal.SIGKILL)
        time.sleep(luck.uniform(0.05, 0.4))
    run_out(desk, names, seconds=120)
    records = [desk.record(name) for name in names]
    ends = {state: [one for one in records if one.state is state] for state in JobState}
    assert len(records) == 50
    assert sum(len(ends[state]) for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)) == 50
    assert all(one.error_message for one in ends[JobState.FAILED])
    assert all(one.ended is not None for one in records)
    assert {one.name for one in ends[JobState.CANCELLED]} <= cancelled
    for one in ends[JobState.SUCCEEDED]:
        assert (desk.folder / one.name / f"checkpoint-{one.name}").read_text() == "40"
    assert [one.name for one in records if marked(one.marker)] == []
    assert [one.name for one in records if is_alive(supervisor_pid(one))] == []
    assert len(ends[JobState.SUCCEEDED]) >= 5, "the kills leave some to succeed, or this tests too little"
    assert len(ends[JobState.FAILED]) >= 5, "and hit some"


def test_a_hundred_small_jobs_run_through_in_order_without_a_leak(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_SLOTS", "2")
    names = [f"small_{number}" for number in range(100)]
    for name in names:
        desk.submit(name, "print('done')")
    run_out(desk, names, seconds=400)
    records = [desk.record(name) for name in names]
    assert {record.state for record in records} == {JobState.SUCCEEDED}
    admitted = [record.admitted or 0 for record in records]
    assert admitted == sorted(admitted), "slots are taken in order of submission"
    events = [(record.admitted or 0, 1) for record in records] + [(record.ended or 0, -1) for record in records]
    running, most = 0, 0
    for _, change in sorted(events):
        running += change
        most = max(most, running)
    assert most <= 2
    time.sleep(1.0)
    assert [record.name for record in records if is_alive(supervisor_pid(record))] == []
    assert all(desk.log(name) == ["done"] for name in names)
    assert not list(Path(desk.settings.home).rglob("*.partial-*"))
