"""Jobs on a real Ray cluster whose machines are started and ended by Ray's own autoscaler."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.jobs.conftest import Desk, kill, supervisor_pid
from tests.runtime.bundles import linear_bundle

from penstock.flows.submit_prediction import PredictionSubmission, submit_prediction
from penstock.jobs.jobs import Jobs
from penstock.jobs.prediction_input import PredictionInput
from penstock.jobs.processes import marked
from penstock.jobs.states import JobState
from penstock.jobs.training_input import Scheduling
from penstock.settings import load_settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SLEEP = "import time; print('ready', flush=True); time.sleep(120)"


@dataclass
class Cluster:
    address: str
    home: Path
    process: "subprocess.Popen[bytes]"

    def machines(self) -> int:
        """Machines that are up, the head excepted."""
        token = (self.home / "ray" / "token").read_text().strip()
        request = urllib.request.Request(
            f"{self.address}/nodes?view=summary", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)["data"]["summary"]
        return sum(1 for node in found if node["raylet"].get("state") == "ALIVE") - 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path, *words: str) -> Cluster:
    port = free_port()
    command = [sys.executable, "-m", "penstock.cli.main", "cluster", "local", "--port", str(port), *words]
    process = subprocess.Popen(command, env={**os.environ, "PENSTOCK_HOME": str(home)}, stderr=subprocess.PIPE)
    assert process.stderr is not None
    line = process.stderr.readline().decode()
    if "runs at" not in line:
        with process:  # it has ended, or is about to
            pytest.fail(line + process.stderr.read().decode())
    return Cluster(f"http://127.0.0.1:{port}", home, process)


def stop(cluster: Cluster) -> None:
    if cluster.process.poll() is not None:
        return
    cluster.process.send_signal(signal.SIGINT)
    cluster.process.wait(timeout=60)
    assert cluster.process.stderr is not None
    cluster.process.stderr.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = start(tmp_path_factory.mktemp("ray-home"), "--elastic", "3")
    yield started
    stop(started)


@pytest.fixture
def ray_desk(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(cluster.home / "ray" / "token"))
    monkeypatch.setenv("PENSTOCK_RAY_ADDRESS", cluster.address)
    made = Desk(tmp_path / "trainers", load_settings())
    yield made
    with Jobs(made.settings) as jobs:
        for name in made.submitted:
            jobs.cancel(name)
    for name in made.submitted:
        made.wait(name)


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def wait_until(claim: object, *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.3)


def test_machines_start_when_a_job_needs_them_and_go_when_it_is_over(
    cluster: Cluster, ray_desk: Desk, tmp_path: Path
) -> None:
    wait_until(lambda: cluster.machines() == 0)
    go = tmp_path / "go"
    code = f"""
import json, os, time
while not os.path.exists({str(go)!r}): time.sleep(0.1)
config = json.loads(os.environ["TF_CONFIG"])
print(config["task"], sorted(config["cluster"]))
"""
    ray_desk.submit("two", code, scale_tier="CUSTOM", master_type="standard", worker_type="standard", worker_count=1)
    wait_until(lambda: cluster.machines() == 2)  # each replica of four cores has one of its own
    go.touch()
    record = ray_desk.wait("two")
    assert record.state is JobState.SUCCEEDED, ray_desk.log("two", None)
    assert ray_desk.log("two") == ["{'type': 'master', 'index': 0} ['master', 'worker']"]
    assert ray_desk.log("two", "worker-replica-0") == ["{'type': 'worker', 'index': 0} ['master', 'worker']"]
    assert record.cluster_job
    wait_until(lambda: cluster.machines() == 0)


def test_a_failing_trainer_fails_its_job_with_its_last_words(ray_desk: Desk) -> None:
    ray_desk.submit("one", "raise ValueError('no such column')")
    record = ray_desk.wait("one")
    assert record.state is JobState.FAILED
    assert record.error_message.startswith("The replica master 0 exited with a non-zero status of 1.")
    assert "ValueError: no such column" in record.error_message


def test_the_users_environment_does_not_reach_the_cluster(ray_desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "very-secret-1")
    ray_desk.submit("one", "import os; print(os.environ.get('SERVICE_TOKEN'))")
    assert ray_desk.wait("one").state is JobState.SUCCEEDED
    assert ray_desk.log("one") == ["None"]


def test_cancelling_ends_the_job_on_the_cluster(ray_desk: Desk) -> None:
    child = "import subprocess; subprocess.Popen(['sleep', '120'], start_new_session=True)\n"
    ray_desk.submit("one", child + SLEEP)
    ray_desk.wait_for_line("one", "ready")
    marker = f"{ray_desk.record('one').marker}-0"
    assert len(marked(marker)) >= 2
    with Jobs(ray_desk.settings) as jobs:
        jobs.cancel("one")
    assert ray_desk.wait("one").state is JobState.CANCELLED
    wait_until(lambda: not marked(marker), seconds=20)


def test_a_killed_worker_process_is_replaced(ray_desk: Desk, tmp_path: Path) -> None:
    note = tmp_path / "note"
    code = f"""
import os, time
if os.path.exists({str(note)!r}):
    print("attempt", os.environ["PENSTOCK_JOB_ATTEMPT"])
else:
    open({str(note)!r}, "w").close(); print("ready", flush=True); time.sleep(120)
"""
    ray_desk.submit("one", code)
    ray_desk.wait_for_line("one", "ready")
    marker = f"{ray_desk.record('one').marker}-0"
    (host,) = [int(one.parent.name) for one in Path("/proc").glob("[0-9]*/cmdline") if b"ReplicaHost" in read(one)]
    kill(host, signal.SIGKILL)
    assert ray_desk.wait("one").state is JobState.SUCCEEDED, ray_desk.log("one", None)
    # Mostly the first; Ray may clear the job's folder away under it, which makes it a lost one too.
    assert int(ray_desk.log("one")[-1].removeprefix("attempt ")) >= 1
    assert not marked(marker)


def test_a_killed_supervisor_is_replaced_and_the_job_goes_on(ray_desk: Desk, tmp_path: Path) -> None:
    note = tmp_path / "go"
    code = f"""
import os, time
print("ready", flush=True)
while not os.path.exists({str(note)!r}): time.sleep(0.1)
print("done")
"""
    ray_desk.submit("one", code)
    ray_desk.wait_for_line("one", "ready")
    record = ray_desk.record("one")
    kill(supervisor_pid(record), signal.SIGKILL)
    wait_until(lambda: ray_desk.record("one").owner != record.owner)
    note.touch()
    ended = ray_desk.wait("one")
    assert ended.state is JobState.SUCCEEDED
    assert ended.started == record.started
    assert ray_desk.log("one") == ["ready", "done"]


def test_a_batch_prediction_goes_on_where_a_killed_process_was(ray_desk: Desk, tmp_path: Path) -> None:
    rows = [{"A": float(index), "B": index % 7, "C": -1.5} for index in range(60_000)]
    for part in range(3):
        lines = "".join(json.dumps(row) + "\n" for row in rows[part::3])
        (tmp_path / f"part-{part}.jsonl").write_text(lines * 3)
    output = tmp_path / "out"
    prediction = PredictionInput(
        input_paths=["part-*.jsonl"], output_path="out", batch_size=20, max_worker_count=2, keys=["A"]
    )
    submission = PredictionSubmission(
        job_id="batch",
        prediction=prediction,
        model_dir=linear_bundle(tmp_path / "bundle"),
        folder=tmp_path,
        cluster=ray_desk.settings.ray_address,
    )
    submit_prediction(submission, settings=ray_desk.settings)
    ray_desk.submitted.append("batch")
    wait_until(lambda: len(list(output.glob(".prediction/shard-*.json"))) >= 2)
    finished = {file: file.stat().st_mtime_ns for file in output.glob(".prediction/shard-*.json")}
    mine = marked(f"{ray_desk.record('batch').marker}-0")
    victim = next(pid for pid in mine if b"predict_batch" in read(Path(f"/proc/{pid}/cmdline")))
    kill(victim, signal.SIGKILL)
    record = ray_desk.wait("batch")
    assert record.state is JobState.SUCCEEDED, ray_desk.log("batch", None)
    assert any("are finished already" in line for line in ray_desk.log("batch"))
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    files = sorted(output.glob("prediction.results-*"))
    assert len(files) > 3
    found = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    expected = [row for part in range(3) for row in 3 * rows[part::3]]
    assert [row["A"] for row in found] == [row["A"] for row in expected]
    assert [row["predictions"][0] for row in found] == [row["A"] + 10 * row["B"] - 150 for row in expected]
    assert record.output["predictionCount"] == str(len(expected))


def test_a_job_that_no_machine_fits_is_cancelled_when_it_waited_too_long(ray_desk: Desk) -> None:
    ray_desk.submit(
        "one",
        "print('x')",
        scale_tier="CUSTOM",
        master_type="complex_model_l",
        scheduling=Scheduling(max_wait_time="8s"),
    )
    record = ray_desk.wait("one")
    assert record.error_message == "It did not start within its maxWaitTime of 8 s."
    assert record.state is JobState.CANCELLED


def test_a_cluster_that_is_gone_fails_its_job(cluster: Cluster, ray_desk: Desk) -> None:
    """Stands last: it takes the cluster away."""
    ray_desk.submit("one", SLEEP)
    ray_desk.wait_for_line("one", "ready")
    marker = f"{ray_desk.record('one').marker}-0"
    stop(cluster)
    wait_until(lambda: not marked(marker), seconds=20)
    wait_until(lambda: ray_desk.record("one").is_over, seconds=120)
    record = ray_desk.record("one")
    assert record.state is JobState.FAILED
    assert "was lost with its cluster" in record.error_message
