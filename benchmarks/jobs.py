"""Jobs: from the command to the user's first line, a hundred in a queue, and training over single-core workers."""

import compileall
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import penstock
from benchmarks.report import report
from penstock.flows.submit_training import Submission, submit_training
from penstock.jobs.jobs import Jobs
from penstock.jobs.processes import marked
from penstock.jobs.states import JobState
from penstock.jobs.training_input import TrainingInput
from penstock.settings import load_settings

RUNS = 10
QUEUED = 100
SLOTS = 2
ROUNDS = 3
STEPS = 300
PATIENCE_S = 900

TRAINER = "import time; print('began', time.time(), flush=True)\n"

# The net and the batch of the scaling table; steps are timed after the compilation, by the estimator's own loop. CORE
# sets a process that trains alone on a core of its own; those that train together go by their rank.
SCALING = """
import os, sys, time, json
cores = sorted(os.sched_getaffinity(0))
rank = int(os.environ.get("JAX_PROCESS_ID", os.environ.get("CORE", "0")))
os.sched_setaffinity(0, {cores[rank % len(cores)]})
import numpy as np
import penstock


random = np.random.default_rng(0)
columns = {f"x{i}": random.normal(size=65_536).astype(np.float32) for i in range(9)}
labels = (columns["x0"] * columns["x1"] + columns["x2"]).astype(np.float32)
estimator, column = penstock.estimator, penstock.feature_column
made = estimator.DNNRegressor(
    feature_columns=[column.numeric_column(name) for name in columns], hidden_units=[256, 256], model_dir=sys.argv[1]
)
train = estimator.inputs.numpy_input_fn(columns, labels, batch_size=4096, num_epochs=None, shuffle=True)
steps, seen = int(sys.argv[2]), []
made.train_with_visits(train, max_steps=steps + 50, every=50, visit=lambda *_: seen.append(time.perf_counter()))
if seen:
    print("STEPS_PER_S", steps / (seen[-1] - seen[0]))
"""


def main(arguments: list[str]) -> None:
    """Prints the tables. arguments: "submission", "queue" or "scaling" for one of them."""
    wanted = arguments or ["submission", "queue", "scaling"]
    # As an installed Penstock is; in a checkout under PYTHONDONTWRITEBYTECODE every process would compile it anew.
    compileall.compile_dir(Path(penstock.__file__).parent, quiet=2)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        os.environ["PENSTOCK_HOME"] = str(Path(scratch) / "home")
        if "submission" in wanted:
            _submission(Path(scratch))
        if "queue" in wanted:
            _queue(Path(scratch))
        if "scaling" in wanted:
            _scaling(Path(scratch))


def _submission(scratch: Path) -> None:
    _package(scratch, TRAINER)
    bare = [_bare() for _ in range(RUNS)]
    _submit(scratch, "warm_up")  # makes the store
    jobs = [_submit(scratch, f"job_{number}") for number in range(RUNS)]
    local = [_local(scratch) for _ in range(RUNS)]
    base = statistics.median(bare)
    rows: list[list[object]] = [["python -c, the interpreter's own start", f"{base * 1e3:.0f}", "", ""]]
    for name, times in (("penstock local train", local), ("penstock jobs submit training", jobs)):
        median = statistics.median(times)
        spread = f"{min(times) * 1e3:.0f}–{max(times) * 1e3:.0f}"
        rows.append([name, f"{median * 1e3:.0f}", spread, f"{(median - base) * 1e3:.0f}"])
    report(
        "jobs_submission",
        "From the command to the first line of the user's trainer",
        ["Command", "Median (ms)", "Range (ms)", "Beyond the interpreter's start (ms)"],
        rows,
        [
            f"{RUNS} runs each, one after the other; a package without requirements, BASIC.",
            f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        ],
    )


def _queue(scratch: Path) -> None:
    """A hundred jobs submitted at once; what is left of them when the last has ended."""
    os.environ["PENSTOCK_JOB_SLOTS"] = str(SLOTS)
    settings = load_settings()
    _package(scratch, "print('done')\n")
    names = [f"queued_{number}" for number in range(QUEUED)]
    began = time.monotonic()
    descriptors = _open_descriptors()
    for name in names:
        given = TrainingInput(python_module="trainer.task")
        submission = Submission(job_id=name, training=given, package_path="trainer", folder=scratch)
        submit_training(submission, settings=settings)
    submitted_s = time.monotonic() - began
    with Jobs(settings) as jobs:
        while not all(jobs.get(name).is_over for name in names):
            if time.monotonic() - began > PATIENCE_S:
                raise SystemExit(f"after {PATIENCE_S} s some of {QUEUED} jobs still run: this is a failure")
            time.sleep(0.2)
        took_s = time.monotonic() - began
        records = [jobs.get(name) for name in names]
    time.sleep(1.0)  # supervisors end after their jobs have
    left = {pid for record in records for pid in marked(record.marker)}
    succeeded = sum(record.state is JobState.SUCCEEDED for record in records)
    in_order = [record.admitted for record in records] == sorted(record.admitted or 0 for record in records)
    report(
        "jobs_queue",
        f"{QUEUED} small jobs, submitted at once, {SLOTS} at a time",
        ["What", "Measured"],
        [
            ["succeeded", f"{succeeded} of {QUEUED}"],
            ["started in the order of submission", "yes" if in_order else "no"],
            ["until the last was submitted (s)", f"{submitted_s:.1f}"],
            ["until the last had ended (s)", f"{took_s:.1f}"],
            ["processes left", len(left) + len(_supervisors(settings.home))],
            ["descriptors left open by the submitter", _open_descriptors() - descriptors],
        ],
        [f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."],
    )


def _scaling(scratch: Path) -> None:
    _package(scratch, SCALING)
    measured: dict[str, list[float]] = {"1 worker": [], "2 workers": [], "2 trainings apart": []}
    for number in range(ROUNDS):  # in turns: what disturbs the machine disturbs all
        measured["1 worker"] += _train(scratch, [[]])
        measured["2 workers"] += _train(scratch, [_together(number)])
        measured["2 trainings apart"].append(sum(_train(scratch, [[], []])))
    one = statistics.median(measured["1 worker"])
    rows = []
    for name, speeds in measured.items():
        speed = statistics.median(speeds)
        cores = 1 if name == "1 worker" else 2
        spread = f"{min(speeds):.1f}–{max(speeds):.1f}"
        rows.append([name, f"{speed:.1f}", spread, f"{speed / one:.2f}x", f"{speed / one / cores:.0%}"])
    report(
        "jobs_scaling",
        "The same training over single-core workers",
        ["What", "Steps/s (median)", "Range", "Speed-up", "Efficiency"],
        rows,
        [
            f"Net 9-256-256-1, batch 4,096 rows over all workers, {STEPS} steps after compilation, one core a process, "
            f"{ROUNDS} rounds in turns.",
            "Two trainings apart, each of whole batches on a core of its own and without a word between them, are what "
            "the machine's caches and memory allow at most; what they lack of 100% is not the workers' doing.",
            f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        ],
    )


def _train(scratch: Path, words_of_each: list[list[str]]) -> list[float]:
    """Steps a second of trainings that run at once, each with further words for `penstock local train`."""
    began = []
    for core, words in enumerate(words_of_each):
        model = scratch / f"model-{core}"
        shutil.rmtree(model, ignore_errors=True)
        command = [sys.executable, "-m", "penstock.cli.main", "local", "train", "--module-name=trainer.task", *words]
        began.append(
            subprocess.Popen(
                [*command, "--", str(model), str(STEPS)],
                cwd=scratch,
                env={**os.environ, "CORE": str(core)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    speeds = []
    for process in began:
        said, complained = process.communicate(timeout=PATIENCE_S)
        lines = [line for line in said.splitlines() if line.startswith("STEPS_PER_S")]
        if process.returncode != 0 or not lines:
            raise SystemExit(f"the training ended with status {process.returncode}:\n{complained[-3000:]}")
        speeds.append(float(lines[0].split()[1]))
    return speeds


def _together(number: int) -> list[str]:
    """The words for a master and a worker on ports that are free."""
    base = 20_000 + 50 * number
    while not all(_is_free(base + offset) for offset in range(3)):
        base += 10
    return ["--distributed", "--worker-count=1", "--parameter-server-count=0", f"--start-port={base}"]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _supervisors(home: Path) -> list[int]:
    """Supervisors that work for this home."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"penstock.jobs.supervision" in command and f"PENSTOCK_HOME={home}".encode() in environment:
            found.append(int(folder.name))
    return found


def _package(scratch: Path, code: str) -> None:
    folder = scratch / "trainer"
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "task.py").write_text(code)


def _bare() -> float:
    began = time.time()
    done = subprocess.run([sys.executable, "-c", TRAINER], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[1]) - began


def _local(scratch: Path) -> float:
    command = [sys.executable, "-m", "penstock.cli.main", "local", "train", "--module-name=trainer.task"]
    began = time.time()
    done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[1]) - began


def _submit(scratch: Path, name: str) -> float:
    command = [sys.executable, "-m", "penstock.cli.main", "jobs"]
    began = time.time()
    submit = [*command, "submit", "training", name, "--module-name=trainer.task", "--package-path=trainer"]
    subprocess.run(submit, cwd=scratch, capture_output=True, check=True)
    logs = [*command, "stream-logs", name, "--task-name=master-replica-0", "--format=json"]
    done = subprocess.run(logs, cwd=scratch, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[0])["message"].split()[1]) - began


if __name__ == "__main__":
    main(sys.argv[1:])
