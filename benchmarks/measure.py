"""Whole processes measured from outside: wall seconds and peak resident memory, as the operating system counts them."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """wall_s: from start to end. peak_mb: largest resident set of the process. output: its stdout."""

    wall_s: float
    peak_mb: float
    output: str
    status: int


def run_measured(
    command: Sequence[str | Path], *, cpus: set[int] | None = None, env: dict[str, str] | None = None
) -> Measured:
    """Runs a command to its end. cpus: processors it may use."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        env=None if env is None else {**os.environ, **env},
        preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
    )
    assert process.stdout is not None
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(time.perf_counter() - started, usage.ru_maxrss / 1024, output, process.returncode)
