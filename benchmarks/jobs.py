"""Jobs: how long after the command the user's first line runs, and how training scales over single-core workers."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import report

RUNS = 10

TRAINER = "import time; print('began', time.time(), flush=True)\n"

# The net and the batch of the scaling table; steps are timed after the compilation, by the estimator's own loop.
SCALING = """
import os, sys, time, json
cores = sorted(os.sched_getaffinity(0))
rank = int(os.environ.get("JAX_PROCESS_ID", "0"))
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
seen = []
made.train_with_visits(train, max_steps=120, every=20, visit=lambda model, last: seen.append(time.perf_counter()))
if seen:
    print("STEPS_PER_S", 100 / (seen[-1] - seen[0]))
"""


def main(arguments: list[str]) -> None:
    """Prints both tables. arguments: "submission" or "scaling" for one of them."""
    wanted = arguments or ["submission", "scaling"]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as scratch:
        os.environ["PENSTOCK_HOME"] = str(Path(scratch) / "home")
        if "submission" in wanted:
            _submission(Path(scratch))
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


def _scaling(scratch: Path) -> None:
    _package(scratch, SCALING)
    speeds = {}
    for workers in (1, 2):
        shutil.rmtree(scratch / "model", ignore_errors=True)
        command = [sys.executable, "-m", "penstock.cli.main", "local", "train", "--module-name=trainer.task"]
        if workers > 1:
            command += ["--distributed", f"--worker-count={workers - 1}", "--parameter-server-count=0"]
            command += ["--start-port=31400"]
        command += ["--", str(scratch / "model")]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("STEPS_PER_S"))
        speeds[workers] = float(line.split()[1])
    rows = [
        [workers, f"{speed:.1f}", f"{speed / speeds[1]:.2f}x", f"{speed / speeds[1] / workers:.0%}"]
        for workers, speed in speeds.items()
    ]
    report(
        "jobs_scaling",
        "The same training over single-core workers",
        ["Workers", "Steps/s", "Speed-up", "Efficiency"],
        rows,
        [
            "Net 9-256-256-1, batch 4,096 rows over all workers, 100 steps after compilation, one core a process.",
            f"Load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.",
        ],
    )


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
