"""A job's driver inside a Ray cluster: reserves the replicas' machines, runs them there, starts anew after a loss.

`python -m penstock.jobs.ray_driver` runs as a Ray job, in the folder that holds the plan.
"""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from penstock.errors import PenstockError, TrainingError
from penstock.jobs.contract import trainer_environment
from penstock.jobs.crew import Exit
from penstock.jobs.logs import SERVICE_TASK, timestamp_of
from penstock.jobs.machines import Machine, Replica
from penstock.jobs.processes import end_all, marked
from penstock.jobs.ray_plan import (
    ANSWER_PREFIX,
    EXPERIMENT_NAME,
    PLAN_NAME,
    Answer,
    Plan,
    PlannedReplica,
    ReplicaRequest,
    amounts,
    check_fixed,
    wanted_by,
)
from penstock.version import __version__

__all__ = ["main"]

_REMIND_S = 10.0
_SETTLE_S = 2.0
_WORKERS_LINGER_S = 5.0
_LOST = -9
"""Status of a replica whose host is gone with it."""


class ReplicaHost:
    """The actor on a replica's machine."""

    def addresses(self, count: int) -> list[str]:
        """Free addresses on this machine, as the others reach it."""
        import socket

        host = ray.util.get_node_ip_address()
        probes = [socket.socket() for _ in range(count)]
        for probe in probes:
            probe.bind(("", 0))
        found = [f"{host}:{probe.getsockname()[1]}" for probe in probes]
        for probe in probes:
            probe.close()
        return found

    def clear(self, marker: str) -> None:
        """Ends what an earlier attempt has left on this machine."""
        end_all(lambda: marked(marker), grace_s=0)

    def run(self, request: bytes) -> Generator[bytes]:
        """The replica's Answers, as they come."""
        told = msgspec.json.decode(request, type=ReplicaRequest)
        home = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}"
        folder = home / "replicas" / f"{told.marker}-{told.task_name}"
        try:
            here = Path.cwd()  # Ray unpacked the job's folder here
        except FileNotFoundError:
            return  # and has cleared it away since: a replica that is lost, which the driver starts anew
        packages = [one if "://" in one else str(here / one) for one in told.packages]
        if (here / EXPERIMENT_NAME).exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(here / EXPERIMENT_NAME, folder / EXPERIMENT_NAME)
        told = msgspec.structs.replace(told, packages=packages, folder=str(folder), home=str(home))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "penstock.jobs.replica"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(told) + b"\n")
        process.stdin.flush()  # and left open: its end tells the replica of this process's
        for line in process.stdout:  # noqa: UP028 - Ray sends into the generator, and a file takes nothing
            yield line
        process.stdin.close()
        process.wait()


def main() -> int:
    """Runs the plan in the current folder; exit status 0 when the master ended well."""
    plan = msgspec.json.decode(Path(PLAN_NAME).read_bytes(), type=Plan)
    # The replicas' output reaches the log as Answers; Ray would print it a second time.
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except ConnectionError as error:
        _tell(Answer(failure=f"The job's driver cannot reach its cluster: {error}", exit_status=_LOST))
        return 1
    try:
        if plan.penstock_version != __version__:
            _note(f"submitted by Penstock {plan.penstock_version}, run by {__version__}", severity="WARNING")
        group = _reserve(plan)
        _tell(Answer(is_running=True))
        for attempt in range(plan.max_restarts + 1):
            failed, tails = _attempt(plan, group, attempt)
            if not failed:
                return 0
            lost = [one for one in failed if one.status < 0]
            if not lost or attempt == plan.max_restarts:
                reasons = " ".join(one.reason for one in failed)
                _tell(Answer(failure=f"{reasons}\n{tails}", exit_status=(lost or failed)[0].status))
                return 1
            _note(
                f"{lost[0].reason} Starting all replicas again from the last checkpoint "
                f"({attempt + 1} of {plan.max_restarts}).",
                severity="WARNING",
            )
    except PenstockError as error:
        _tell(Answer(failure=str(error)))
    return 1


def _reserve(plan: Plan) -> Any:
    """The machines of all replicas; waits for the cluster's autoscaler where they are not there yet.

    Raises PreconditionError where there is none, and what is wanted is not there.
    """
    check_fixed(plan.replicas, ray.cluster_resources())
    group = placement_group([one.resources for one in plan.replicas], strategy="PACK")
    ready = group.ready()
    wanted = wanted_by(plan.replicas)
    _note(f"waiting for {amounts(wanted)} on up to {len(plan.replicas)} machines")
    while not ray.wait([ready], timeout=_REMIND_S)[0]:
        there = ray.cluster_resources()
        _note(f"still waiting; the cluster has {amounts({name: there.get(name, 0) for name in wanted})} now")
    return group


def _attempt(plan: Plan, group: Any, attempt: int) -> tuple[list[Exit], str]:
    """One start of all replicas: those that ended badly, and the last lines of the first of them."""
    hosts = [
        ray.remote(ReplicaHost)
        .options(
            num_cpus=one.cpus,
            num_gpus=one.gpus,
            resources={"TPU": one.tpus} if one.tpus else {},
            max_restarts=0,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=number),
        )
        .remote()
        for number, one in enumerate(plan.replicas)
    ]
    heard: queue.Queue[tuple[str, Answer]] = queue.Queue()
    try:
        ray.get([host.clear.remote(f"{plan.marker}-{attempt - 1}") for host in hosts])
        found = ray.get([host.addresses.remote(2) for host in hosts])
        names = [one.task_name for one in plan.replicas]
        addresses = {name: pair[0] for name, pair in zip(names, found, strict=True)}
        for host, one in zip(hosts, plan.replicas, strict=True):
            request = _request(plan, one, addresses, coordinator=found[0][1], attempt=attempt)
            stream = host.run.options(num_returns="streaming").remote(msgspec.json.encode(request))
            threading.Thread(target=_follow, args=(one.task_name, stream, heard), daemon=True).start()
        return _listen(plan, heard)
    except ray.exceptions.RayError as error:
        return [Exit(plan.replicas[0].task_name, _LOST)], f"{type(error).__name__}: a machine was lost"
    finally:
        for host in hosts:
            ray.kill(host)


def _request(
    plan: Plan, planned: PlannedReplica, addresses: dict[str, str], *, coordinator: str, attempt: int
) -> ReplicaRequest:
    machine = Machine(cpus=planned.cpus, memory_gb=0, gpus=planned.gpus)
    replica = Replica(planned.role, planned.index, planned.machine_type, machine)  # type: ignore[arg-type]
    variables = trainer_environment(
        replica,
        addresses=addresses,
        coordinator=coordinator,
        training=msgspec.structs.replace(plan.training, args=plan.arguments),
        job_id=plan.job_id,
        trial=None if plan.trial is None else plan.trial.number,
    )
    return ReplicaRequest(
        task_name=planned.task_name,
        module=plan.training.python_module,
        arguments=plan.arguments,
        variables={**variables, "PENSTOCK_JOB_ATTEMPT": str(attempt)},
        packages=plan.packages,
        marker=f"{plan.marker}-{attempt}",
        folder="",
        home="",
        grace_s=plan.grace_s,
        trial=plan.trial,
    )


def _follow(task_name: str, stream: Any, heard: "queue.Queue[tuple[str, Answer]]") -> None:
    try:
        has_ended = False
        for reference in stream:
            answer = msgspec.json.decode(ray.get(reference), type=Answer)
            has_ended = has_ended or answer.exit_status is not None
            heard.put((task_name, answer))
        if not has_ended:  # whoever ran the trainer was killed
            heard.put((task_name, Answer(task_name=task_name, exit_status=_LOST)))
    except ray.exceptions.RayTaskError as error:
        heard.put((task_name, Answer(failure=f"{task_name} could not be run: {error}")))
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:500]
        heard.put((task_name, Answer(task_name=SERVICE_TASK, message=f"{task_name}: {reason}", severity="WARNING")))
        heard.put((task_name, Answer(task_name=task_name, exit_status=_LOST)))


def _listen(plan: Plan, heard: "queue.Queue[tuple[str, Answer]]") -> tuple[list[Exit], str]:
    exits: dict[str, Exit] = {}
    tails: dict[str, list[str]] = {}
    workers = {one.task_name for one in plan.replicas if one.role == "worker"}
    until = float("inf")
    while time.monotonic() < until:
        try:
            name, answer = heard.get(timeout=0.25)
        except queue.Empty:
            continue
        if answer.message:
            tails.setdefault(name, []).append(answer.message)
            del tails[name][:-20]
            _tell(answer)
        if answer.reports and name == plan.replicas[0].task_name:
            _tell(answer)
        if answer.failure:
            raise TrainingError(answer.failure)
        if answer.exit_status is None or answer.task_name != name:
            continue
        exits[name] = Exit(name, answer.exit_status)
        if answer.exit_status:
            until = min(until, time.monotonic() + _SETTLE_S)
        elif name == plan.replicas[0].task_name:
            until = min(until, time.monotonic() + _WORKERS_LINGER_S)
        if plan.replicas[0].task_name in exits and workers <= exits.keys():
            break
    failed = [one for one in exits.values() if one.status]
    master = exits.get(plan.replicas[0].task_name)
    if master is not None and master.status == 0 and not any(one.status > 0 for one in failed):
        return [], ""
    return failed, "\n".join(tails.get(failed[0].task_name, [])) if failed else ""


def _note(message: str, *, severity: str = "INFO") -> None:
    _tell(Answer(task_name=SERVICE_TASK, message=message, severity=severity, time=timestamp_of(time.time())))


def _tell(answer: Answer) -> None:
    sys.stdout.write(f"{ANSWER_PREFIX}{msgspec.json.encode(answer).decode()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
