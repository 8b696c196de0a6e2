"""Runs a job's replicas as processes of this machine: installed, started, and restarted when one is lost."""

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import msgspec

from penstock.errors import TrainingError
from penstock.jobs.contract import trainer_environment
from penstock.jobs.crew import Crew, Exit, Launch
from penstock.jobs.installation import Runtime, install_plain_wheels, request_installation
from penstock.jobs.logs import SERVICE_TASK
from penstock.jobs.machines import Replica, check_here, cores_here, gpus_here, load_machines, replicas_of
from penstock.jobs.processes import MARKER_VARIABLE, become_subreaper, resident_bytes
from penstock.jobs.states import JobState
from penstock.jobs.supervisor import Supervisor

__all__ = ["LocalRunner", "free_addresses", "inherited_environment"]

_LISTEN_S = 0.25
_SETTLE_S = 1.0
"""How long after one replica's end others may end for the same reason."""

_WORKERS_LINGER_S = 5.0
"""How long workers may take to end after the master has."""

_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONSAFEPATH", "TF_CONFIG")


class LocalRunner:
    """The runner for this machine, and for a tuning's driver here whose trials run on a cluster."""

    def __init__(self, supervisor: Supervisor) -> None:
        become_subreaper()
        self._supervisor = supervisor
        self._cluster = supervisor.record.cluster
        self._crew = Crew(supervisor.listen)
        training = supervisor.record.training
        self._replicas = replicas_of(training, load_machines(supervisor.settings.home / "machines.yaml"))
        if supervisor.handover.driver:
            self._replicas = self._replicas[:1]
        supervisor.replicas = tuple(self._replicas)
        supervisor.units = sum(replica.machine.units for replica in self._replicas)

    def needs_slot(self) -> tuple[int, int] | None:
        if self._cluster:
            return None
        return sum(replica.machine.gpus for replica in self._replicas), gpus_here()

    def memory_bytes(self) -> int:
        return resident_bytes(self._crew.pids())

    def stop(self, *, grace_s: float) -> None:
        if not self._crew.stop(grace_s=grace_s):
            self._supervisor.say("Some processes of the job could not be ended.", severity="ERROR")
        self._crew.close()
        if self._cluster:
            from penstock.jobs.ray_trials import stop_trials

            stop_trials(self._supervisor.folder, self._cluster, token=self._supervisor.settings.ray_token)

    def run(self, supervisor: Supervisor) -> None:
        supervisor.say("Job is preparing.")
        notice = None if self._cluster else check_here(self._replicas, cores=cores_here(), gpus=gpus_here())
        if notice:
            supervisor.say(notice)
        # The nodes of a cluster install for themselves what their trials need.
        runtime = Runtime(sys.executable, []) if self._cluster else self._install()
        supervisor.enter(JobState.RUNNING)
        allowed = supervisor.record.training.scheduling.max_restarts
        for attempt in range(allowed + 1):
            self._start(runtime, attempt)
            failed = self._await_master()
            if not failed:
                return
            lost = [one for one in failed if one.status < 0]
            if not lost or attempt == allowed:
                raise TrainingError(self._explain(failed, attempt))
            supervisor.say(
                f"{lost[0].reason} Starting all replicas again from the last checkpoint ({attempt + 1} of {allowed}).",
                severity="WARNING",
            )
            self._crew.stop(grace_s=1.0)

    def _install(self) -> Runtime:
        supervisor = self._supervisor
        packages = supervisor.handover.training.package_uris
        runtime = install_plain_wheels(packages, folder=supervisor.folder)
        if runtime is not None:
            return runtime
        command = request_installation(packages, folder=supervisor.folder, home=supervisor.settings.home)
        environment = self._environment()
        self._crew.start(Launch(SERVICE_TASK, command, environment, str(supervisor.folder)))
        while SERVICE_TASK not in self._crew.exits:
            self._crew.wait(_LISTEN_S)
            supervisor.watch()
        if self._crew.exits[SERVICE_TASK].status != 0:
            raise TrainingError(f"The packages could not be installed. {supervisor.tail(SERVICE_TASK)}")
        return msgspec.json.decode((supervisor.folder / "runtime.json").read_bytes(), type=Runtime)

    def _start(self, runtime: Runtime, attempt: int) -> None:
        supervisor = self._supervisor
        training = supervisor.handover.training
        with ExitStack() as reserved:
            names = [replica.task_name for replica in self._replicas]
            *addresses, coordinator = free_addresses(len(names) + 1, reserved)
        by_name = dict(zip(names, addresses, strict=True))
        gpus = list(supervisor.gpus)
        for replica in self._replicas:
            given, gpus = gpus[: replica.machine.gpus], gpus[replica.machine.gpus :]
            environment = {
                **self._environment(),
                **trainer_environment(
                    replica,
                    addresses=by_name,
                    coordinator=coordinator,
                    training=msgspec.structs.replace(training, args=supervisor.handover.arguments),
                    job_id=supervisor.record.name,
                ),
                "PYTHONPATH": os.pathsep.join(runtime.paths),
                "PENSTOCK_JOB_ATTEMPT": str(attempt),
                **({"PENSTOCK_RAY_ADDRESS": self._cluster} if supervisor.handover.driver else {}),
            }
            if not self._cluster:
                environment.update(_share(self._replicas, given))
            module = supervisor.handover.driver or training.python_module
            command = [runtime.python, "-P", "-m", module, *supervisor.handover.arguments]
            self._crew.start(Launch(replica.task_name, command, environment, supervisor.handover.folder))

    def _await_master(self) -> list[Exit]:
        """The replicas that ended badly; none when the master ended well."""
        crew, master = self._crew, self._replicas[0].task_name
        workers = {one.task_name for one in self._replicas if one.role == "worker"}
        while True:
            crew.wait(_LISTEN_S)
            self._supervisor.watch()
            if any(one.status for one in crew.exits.values()):
                self._listen_on(_SETTLE_S, lambda: bool(crew.running))
                return [one for one in crew.exits.values() if one.status]
            if master in crew.exits:
                self._listen_on(_WORKERS_LINGER_S, lambda: bool(workers & set(crew.running)))
                return []

    def _listen_on(self, seconds: float, while_true: Callable[[], bool]) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and while_true():
            self._crew.wait(_LISTEN_S)
            self._supervisor.watch()

    def _explain(self, failed: Sequence[Exit], attempt: int) -> str:
        sentences = [one.reason for one in failed]
        if attempt:
            sentences.append(f"The job had been restarted {'once' if attempt == 1 else f'{attempt} times'}.")
        return "\n".join([" ".join(sentences), self._supervisor.tail(failed[0].task_name)]).strip()

    def _environment(self) -> dict[str, str]:
        supervisor = self._supervisor
        return {**inherited_environment(supervisor.environment), MARKER_VARIABLE: supervisor.record.marker}


def inherited_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a trainer inherits: all but what would change where it imports from."""
    return {name: value for name, value in environment.items() if name not in _NOT_INHERITED}


def free_addresses(count: int, reserved: ExitStack) -> list[str]:
    """Addresses on loopback with free ports, held together until `reserved` closes so that all differ."""
    addresses = []
    for _ in range(count):
        probe = reserved.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        addresses.append(f"127.0.0.1:{probe.getsockname()[1]}")
    return addresses


def _share(replicas: Sequence[Replica], gpus: Sequence[int]) -> dict[str, str]:
    """Which part of the machine a replica may use."""
    variables = {}
    busy = sum(replica.role in ("master", "worker") for replica in replicas)
    if busy > 1:
        # Every replica would otherwise start as many threads as there are cores.
        variables["OMP_NUM_THREADS"] = str(max(1, cores_here() // busy))
    if any(replica.machine.gpus for replica in replicas):
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    return variables
