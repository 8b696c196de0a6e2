"""Jobs from submission to end, with real trainers, real signals and real kills."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.jobs.conftest import Desk, is_alive, is_running, kill, supervisor_pid

from penstock.errors import AlreadyExistsError, PreconditionError, UsageError
from penstock.jobs.jobs import Jobs
from penstock.jobs.processes import marked
from penstock.jobs.states import JobState
from penstock.jobs.training_input import Scheduling

SLEEP = "import time; print('ready', flush=True); time.sleep(60)"


def test_a_job_runs_its_trainer_and_ends_well(desk: Desk, tmp_path: Path) -> None:
    code = "import sys, json, os; print(json.dumps(sys.argv[1:])); print(os.environ['CLOUD_ML_JOB_ID'])"
    desk.submit("one", code, "--rate", "-0.5", job_dir=str(tmp_path / "out"))
    record = desk.wait("one")
    assert (record.state, record.error_message) == (JobState.SUCCEEDED, "")
    assert desk.log("one") == [json.dumps(["--rate", "-0.5", "--job-dir", str(tmp_path / "out")]), "one"]
    assert record.created <= (record.admitted or 0) <= (record.started or 0) <= (record.ended or 0)
    assert "consumedMLUnits" in record.output
    assert record.training.package_uris[0].startswith(str(tmp_path / "out" / "packages"))


def test_imports_do_not_depend_on_where_the_user_stood(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = desk.folder / "one"
    folder.mkdir(parents=True)
    (folder / "colorsys.py").write_text("raise SystemExit('imported from the folder of the caller')")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    desk.submit("one", "import colorsys, os; print(os.getcwd())")
    assert desk.wait("one").state is JobState.SUCCEEDED
    assert desk.log("one") == [str(folder)], "relative paths of the user's arguments are meant from there"


def test_a_failing_trainer_fails_its_job_with_its_last_words(desk: Desk) -> None:
    desk.submit("one", "raise ValueError('no such column')")
    record = desk.wait("one")
    assert record.state is JobState.FAILED
    assert record.error_message.startswith("The replica master 0 exited with a non-zero status of 1.")
    assert "ValueError: no such column" in record.error_message
    assert record.ended is not None


def test_secrets_of_the_environment_reach_neither_log_nor_store(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "very-secret-1")
    desk.submit(
        "one", "import os, sys; print(sys.argv); raise ValueError(os.environ['SERVICE_TOKEN'])", "very-secret-1"
    )
    record = desk.wait("one")
    assert "ValueError: ***" in record.error_message, "the trainer has the secret, and nobody else"
    assert record.training.args == ["***"]
    kept = [path for path in desk.settings.home.rglob("*") if path.is_file()]
    assert [path for path in kept if b"very-secret-1" in path.read_bytes()] == []


def test_cancelling_ends_everything_that_the_job_started(desk: Desk, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"""
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open({str(note)!r}, "w").write(str(os.getpid()))
    time.sleep(60)
while not os.path.exists({str(note)!r}): time.sleep(0.01)
print("ready", flush=True)
time.sleep(60)
"""
    desk.submit("one", code)
    desk.wait_for_line("one", "ready")
    marker = desk.record("one").marker
    assert len(marked(marker)) == 3
    with Jobs(desk.settings) as jobs:
        jobs.cancel("one")
    assert desk.wait("one").state is JobState.CANCELLED
    assert marked(marker) == set()
    assert not is_alive(int(note.read_text()))


def test_a_cancelled_trainer_has_time_to_save(desk: Desk, tmp_path: Path) -> None:
    code = f"""
import signal, sys, time
def save(*_):
    time.sleep(0.3); open({str(tmp_path / "saved")!r}, "w").close(); sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(60)
"""
    desk.submit("one", code)
    desk.wait_for_line("one", "ready")
    with Jobs(desk.settings) as jobs:
        jobs.cancel("one")
    assert desk.wait("one").state is JobState.CANCELLED
    assert (tmp_path / "saved").exists()


def test_what_a_finished_trainer_left_running_is_ended(desk: Desk) -> None:
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid)"
    desk.submit("one", code)
    assert desk.wait("one").state is JobState.SUCCEEDED
    assert not is_alive(int(desk.log("one")[0]))


def test_a_killed_supervisor_leaves_nothing_and_its_job_is_failed_at_the_next_look(desk: Desk) -> None:
    child = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    desk.submit("one", child + SLEEP)
    desk.wait_for_line("one", "ready")
    record = desk.record("one")
    assert len(marked(record.marker)) == 2
    kill(supervisor_pid(record), signal.SIGKILL)
    ended = desk.wait("one")
    assert ended.state is JobState.FAILED
    assert "Its supervisor was killed" in ended.error_message
    assert marked(record.marker) == set()


def test_a_supervisor_that_is_told_to_stop_ends_its_job(desk: Desk) -> None:
    desk.submit("one", SLEEP)
    desk.wait_for_line("one", "ready")
    record = desk.record("one")
    kill(supervisor_pid(record), signal.SIGTERM)
    ended = desk.wait("one")
    assert (ended.state, ended.error_message) == (JobState.FAILED, "Its supervisor was told to stop (SIGTERM).")
    assert marked(record.marker) == set()


@pytest.mark.slow  # it notices with its next sign of life
def test_a_supervisor_that_was_declared_dead_ends_its_processes_and_leaves_the_record_alone(desk: Desk) -> None:
    from penstock.jobs.ledger import JobLedger
    from penstock.store.plain import open_plain_store

    desk.submit("one", SLEEP)
    desk.wait_for_line("one", "ready")
    record = desk.record("one")
    store = open_plain_store(desk.settings)
    JobLedger(store).end(record, JobState.FAILED, error_message="lost", output={})
    store.close()
    deadline = time.monotonic() + 20
    while is_alive(supervisor_pid(record)) or marked(record.marker):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert desk.record("one").error_message == "lost"


def test_a_lost_process_is_replaced_and_the_job_goes_on(desk: Desk, tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
tries = Path({str(tmp_path / "tries")!r})
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
if len(tries.read_text()) < 3: os.kill(os.getpid(), signal.SIGKILL)
print("attempt", os.environ["PENSTOCK_JOB_ATTEMPT"])
"""
    desk.submit("one", code)
    assert desk.wait("one").state is JobState.SUCCEEDED
    assert desk.log("one") == ["attempt 2"]
    said = desk.log("one", "service")
    assert any("was killed by SIGKILL" in line and "(1 of 3)" in line for line in said)


def test_restarts_are_bounded(desk: Desk) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    desk.submit("one", code, scheduling=Scheduling(max_restarts=1))
    record = desk.wait("one")
    assert record.state is JobState.FAILED
    assert "killed by SIGKILL" in record.error_message
    assert "restarted once" in record.error_message


def test_several_replicas_know_each_other_and_parameter_servers_end_with_the_master(desk: Desk) -> None:
    code = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
shape = sorted((role, len(all)) for role, all in config["cluster"].items())
print(config["task"]["type"], config["task"]["index"], shape)
if config["task"]["type"] == "ps": time.sleep(60)
"""
    desk.submit("one", code, scale_tier="STANDARD_1")
    assert desk.wait("one").state is JobState.SUCCEEDED
    shape = "[('master', 1), ('ps', 3), ('worker', 4)]"
    assert desk.log("one", "master-replica-0") == [f"master 0 {shape}"]
    assert desk.log("one", "worker-replica-3") == [f"worker 3 {shape}"]
    assert desk.log("one", "ps-replica-2") in ([f"ps 2 {shape}"], []), "the master may end before it has spoken"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert any("run as 8 processes" in line for line in desk.log("one", "service")) or (cores or 0) >= 36


def test_a_failing_worker_fails_the_job_and_ends_the_others(desk: Desk) -> None:
    code = """
import json, os, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]
if task == {"type": "worker", "index": 1}: sys.exit("worker one is broken")
time.sleep(60)
"""
    desk.submit("one", code, scale_tier="CUSTOM", master_type="standard", worker_type="standard", worker_count=2)
    record = desk.wait("one")
    assert record.state is JobState.FAILED
    assert record.error_message.startswith("The replica worker 1 exited with a non-zero status of 1.")
    assert "worker one is broken" in record.error_message
    assert marked(record.marker) == set()


def test_a_job_that_runs_too_long_is_cancelled(desk: Desk) -> None:
    desk.submit("one", SLEEP, scheduling=Scheduling(max_running_time="1s"))
    record = desk.wait("one")
    assert (record.state, record.error_message) == (
        JobState.CANCELLED,
        "It ran longer than its maxRunningTime of 1 s.",
    )


def test_a_job_that_holds_too_much_memory_fails(desk: Desk) -> None:
    code = "import time; hold = bytearray(300_000_000); print('ready', flush=True); time.sleep(60)"
    desk.submit("one", code, scheduling=Scheduling(memory_limit_mb=200))
    record = desk.wait("one")
    assert record.state is JobState.FAILED
    assert "more than their limit of 200 MB" in record.error_message


def test_jobs_wait_for_their_slot_in_order_and_can_be_cancelled_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_SLOTS", "1")
    desk.submit("first", SLEEP)
    desk.wait("first", is_running)
    for name in ("second", "third", "fourth"):
        desk.submit(name, f"print({name!r})")
    assert desk.record("third").state is JobState.QUEUED
    with Jobs(desk.settings) as jobs:
        assert jobs.describe(jobs.get("fourth"))["jobPosition"] == "3"
        jobs.cancel("third")
    assert desk.wait("third").state is JobState.CANCELLED
    assert desk.log("third") == []
    # Whoever holds the slot dies: those that wait notice by themselves.
    kill(supervisor_pid(desk.record("first")), signal.SIGKILL)
    assert desk.wait("fourth").state is JobState.SUCCEEDED
    assert (desk.record("second").ended or 0) <= (desk.record("fourth").started or 0)


def test_a_job_that_waits_too_long_is_cancelled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_SLOTS", "1")
    desk.submit("first", SLEEP)
    desk.wait("first", is_running)
    desk.submit("second", "print('x')", scheduling=Scheduling(max_wait_time="0.5s"))
    record = desk.wait("second")
    assert (record.state, record.error_message) == (
        JobState.CANCELLED,
        "It did not start within its maxWaitTime of 0.5 s.",
    )


def test_a_queued_job_whose_supervisor_is_killed_is_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_JOB_SLOTS", "1")
    desk.submit("first", SLEEP)
    desk.wait("first", is_running)
    desk.submit("second", "print('x')")
    kill(supervisor_pid(desk.record("second")), signal.SIGKILL)
    assert "killed before the job started" in desk.wait("second").error_message


def test_a_taken_name_is_refused_and_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.submit("one", "print('first')")
    desk.wait("one")
    other = Desk(tmp_path / "other", desk.settings)
    with pytest.raises(AlreadyExistsError, match="has or had a job 'one'"):
        other.submit("one", "print('second')")
    assert desk.log("one") == ["first"]


def test_a_gpu_that_is_not_there_is_refused_before_anything_is_made(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.jobs.machines.gpus_here", lambda: 0)
    with pytest.raises(PreconditionError, match="this machine has none"):
        desk.submit("one", "print('x')", scale_tier="BASIC_GPU")
    assert not desk.settings.home.exists()


def test_a_job_with_a_bad_name_is_refused(desk: Desk) -> None:
    with pytest.raises(UsageError, match="cannot be called"):
        desk.submit("not-a-name", "print('x')")


def test_requirements_are_installed_for_the_job_alone(desk: Desk, tmp_path: Path) -> None:
    from tests.jobs.test_installation import wheel

    own = wheel(tmp_path / "own", "onlythere", "A = 1")
    project = desk.folder / "one"
    project.mkdir(parents=True)
    (project / "requirements.txt").write_text(f"{own}\n")
    desk.submit("one", "import onlythere, penstock.errors; print(onlythere.A)")
    assert desk.wait("one").state is JobState.SUCCEEDED, desk.log("one", None)
    assert desk.log("one") == ["1"]
    assert any("making an environment" in line for line in desk.log("one", "service"))


def test_requirements_that_cannot_be_installed_fail_the_job_with_pips_words(desk: Desk) -> None:
    project = desk.folder / "one"
    project.mkdir(parents=True)
    (project / "requirements.txt").write_text("./no-such-thing-1.0-py3-none-any.whl\n")
    desk.submit("one", "print('x')")
    record = desk.wait("one")
    assert record.state is JobState.FAILED
    assert "no-such-thing" in record.error_message
    assert desk.log("one") == []


def test_the_supervisor_loads_nothing_heavy() -> None:
    code = "import penstock.jobs.supervision, penstock.flows.submit_training, sys\n"
    code += "print([n for n in ('sqlalchemy', 'numpy', 'yaml', 'fsspec', 'ray', 'keras') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
