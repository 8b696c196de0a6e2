"""Runs a trainer package on this machine as ML Engine's `local train` did: its module, its arguments, a TF_CONFIG."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from penstock.errors import UsageError
from penstock.jobs.contract import trainer_environment
from penstock.jobs.machines import BUILT_IN, Replica, replicas_of
from penstock.jobs.packaging import package_folder
from penstock.jobs.processes import die_with_parent, end_all
from penstock.jobs.training_input import TrainingInput

__all__ = ["Distribution", "run_trainer"]

_GRACE_S = 10.0
_LINGER_S = 5.0
"""How long workers may take to end after the master has."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How many processes beside the master, and the first of the ports: master, parameter servers, workers."""

    workers: int = 2
    parameter_servers: int = 2
    start_port: int = 27182


def run_trainer(
    module_name: str,
    *,
    package_path: str | None = None,
    job_dir: str | None = None,
    arguments: Sequence[str] = (),
    distribution: Distribution | None = None,
) -> int:
    """Runs `python -m module_name ARGS [--job-dir JOB_DIR]` beside the package and returns its exit status.

    package_path: the package's folder; by default the one of the module's first name, here.
    distribution: makes it a cluster of processes on this machine; the status is then the master's, or that of the first
        other process that fails.
    """
    folder = package_folder(module_name, package_path)
    flags = [*arguments, *([] if job_dir is None else ["--job-dir", job_dir])]
    command = [sys.executable, "-m", module_name, *flags]
    inherited = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder.parent), *_python_path()])}
    job = {"job_name": module_name, "args": list(arguments)}
    if distribution is None:
        config = {"cluster": {}, "task": {}, "job": job}
        return _wait(subprocess.Popen(command, env={**inherited, "TF_CONFIG": json.dumps(config)}))
    environments = _environments(module_name, flags, distribution)
    processes = {
        name: subprocess.Popen(command, env={**inherited, **variables}, preexec_fn=die_with_parent())
        for name, variables in environments.items()
    }
    return _await_cluster(processes)


def _environments(
    module_name: str, arguments: Sequence[str], distribution: Distribution
) -> Mapping[str, Mapping[str, str]]:
    training = TrainingInput(
        scale_tier="CUSTOM",
        master_type="standard",
        worker_type="standard",
        worker_count=distribution.workers,
        parameter_server_type="standard",
        parameter_server_count=distribution.parameter_servers,
        python_module=module_name,
        args=list(arguments),
    )
    training.check()
    replicas = replicas_of(training, BUILT_IN)
    order = ("master", "ps", "worker")
    by_port = sorted(replicas, key=lambda replica: order.index(replica.role))
    last_port = distribution.start_port + len(replicas)
    if last_port > 65535:
        raise UsageError(f"--start-port is {distribution.start_port}; {len(replicas) + 1} ports from there pass 65535")
    ports = {replica.task_name: distribution.start_port + number for number, replica in enumerate(by_port)}
    addresses = {replica.task_name: f"localhost:{ports[replica.task_name]}" for replica in replicas}

    def environment(replica: Replica) -> dict[str, str]:
        return trainer_environment(
            replica,
            addresses=addresses,
            coordinator=f"localhost:{last_port}",
            training=training,
            job_id=module_name.replace(".", "_"),
        )

    return {replica.task_name: environment(replica) for replica in replicas}


def _await_cluster(processes: Mapping[str, "subprocess.Popen[bytes]"]) -> int:
    """Waits for the master, then ends the others; a failure of any of them ends all."""
    master = processes["master-replica-0"]
    workers = [process for name, process in processes.items() if name.startswith("worker")]
    with _patient():
        try:
            while master.poll() is None:
                failed = [process for process in processes.values() if process.poll()]
                if failed and master.poll() is None:
                    return _status(failed[0])
                time.sleep(0.05)
            until = time.monotonic() + _LINGER_S
            while time.monotonic() < until and any(process.poll() is None for process in workers):
                time.sleep(0.05)
            return _status(master)
        finally:
            end_all(lambda: {one.pid for one in processes.values() if one.poll() is None}, grace_s=_GRACE_S)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    with _patient():
        process.wait()
    return _status(process)


@contextmanager
def _patient() -> Iterator[None]:
    """Leaves Ctrl-C to the trainers: the terminal sends them the same signal; they save a checkpoint and end."""
    usual = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _status(process: "subprocess.Popen[bytes]") -> int:
    """As a shell reports it: 128 and the signal's number for a process that was killed."""
    status = process.returncode or 0
    return status if status >= 0 else 128 - status


def _python_path() -> list[str]:
    return [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
