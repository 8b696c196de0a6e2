"""Runs a job on a Ray cluster: ships plan and packages to its job server, follows log and state, stops it there."""

import http
import time
from typing import Any

from penstock.errors import ServiceError, TrainingError
from penstock.jobs.logs import SERVICE_TASK
from penstock.jobs.machines import load_machines, replicas_of
from penstock.jobs.processes import MARKER_VARIABLE
from penstock.jobs.ray_address import check_address
from penstock.jobs.ray_archive import driver_command, planned_replicas, ship
from penstock.jobs.ray_client import RayJob, RayJobs
from penstock.jobs.ray_plan import EXPERIMENT_NAME, Plan, answer_in
from penstock.jobs.states import Ended, JobState
from penstock.jobs.supervisor import Supervisor
from penstock.jobs.training_input import seconds_of
from penstock.version import __version__

__all__ = ["RayRunner"]

_POLL_S = 0.5
_SECONDS_PER_LOG_MB = 2.0
"""The job server sends a log whole: a long one is asked for less often."""

_SILENCE_S = 60.0
"""How long the cluster may be out of reach before its job counts as lost."""

_STOP_S = 30.0
_LOG_POSITION = "ray-log-position"


class RayRunner:
    """The runner for a cluster."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._ray = RayJobs(supervisor.record.cluster, token=supervisor.settings.ray_token)
        self._replicas = replicas_of(
            supervisor.record.training, load_machines(supervisor.settings.home / "machines.yaml")
        )
        supervisor.replicas = tuple(self._replicas)
        supervisor.units = sum(replica.machine.units for replica in self._replicas)
        self._job = supervisor.record.cluster_job
        self._is_over = False
        self._failure = ""
        self._position_file = supervisor.folder / _LOG_POSITION
        self._position = int(self._position_file.read_text()) if self._position_file.exists() else 0
        self._log_due = 0.0
        self._waiting_since = time.monotonic()
        self._is_running = False

    def needs_slot(self) -> tuple[int, int] | None:
        return None

    def memory_bytes(self) -> int:
        return 0

    def run(self, supervisor: Supervisor) -> None:
        if not self._job:
            self._submit()
        else:
            supervisor.say(f"Following Ray job {self._job} again.", severity="WARNING")
            self._is_running = supervisor.record.started is not None
            if self._is_running:
                supervisor.enter(JobState.RUNNING)
        job = self._follow()
        if job.status == "SUCCEEDED":
            return
        if job.status == "STOPPED":
            raise Ended(JobState.CANCELLED, "It was stopped on the cluster.")
        raise TrainingError(self._failure or f"The Ray job failed: {job.message}")

    def stop(self, *, grace_s: float) -> None:
        """Stops the Ray job and waits until the cluster says that it is over, half a minute at most."""
        if not self._job or self._is_over:
            return
        until = time.monotonic() + _STOP_S
        try:
            self._ray.stop(self._job)
            while not self._ray.get(self._job).is_over and time.monotonic() < until:
                time.sleep(_POLL_S)
            self._read_log()
        except ServiceError as error:
            self._supervisor.say(f"The Ray job {self._job} may go on: {error}", severity="ERROR")

    def _submit(self) -> None:
        supervisor = self._supervisor
        working_dir = ship(self._ray, self._plan(), experiment=supervisor.handover.experiment)
        self._job = f"penstock-{supervisor.record.project}-{supervisor.record.name}-{supervisor.record.marker[:8]}"
        supervisor.enter(JobState.PREPARING, cluster_job=self._job)
        self._patiently(
            submission_id=self._job,
            entrypoint=driver_command(supervisor.record.cluster),
            working_dir=working_dir,
            # Not the user's environment: the cluster shows these to everybody.
            variables={MARKER_VARIABLE: supervisor.record.marker},
            metadata={"penstock_job": supervisor.record.name, "penstock_project": supervisor.record.project},
        )
        supervisor.say(f"Ray job {self._job} at {check_address(supervisor.record.cluster)}")

    def _patiently(self, **submission: Any) -> None:
        """Submits; a cluster that has just started takes uploads before it takes jobs."""
        until = time.monotonic() + _STOP_S
        while True:
            try:
                self._ray.submit(**submission)
                return
            except ServiceError as error:
                if error.status != http.HTTPStatus.INTERNAL_SERVER_ERROR or time.monotonic() > until:
                    raise
            self._supervisor.watch()
            time.sleep(_POLL_S)

    def _plan(self) -> Plan:
        supervisor = self._supervisor
        training, experiment = supervisor.handover.training, supervisor.handover.experiment
        return Plan(
            job_id=supervisor.record.name,
            training=training,
            arguments=[EXPERIMENT_NAME if one == experiment else one for one in supervisor.handover.arguments],
            replicas=planned_replicas(self._replicas),
            packages=training.package_uris,
            marker=supervisor.record.marker,
            max_restarts=training.scheduling.max_restarts,
            grace_s=float(supervisor.settings.job_grace_s),
            penstock_version=__version__,
        )

    def _follow(self) -> RayJob:
        supervisor = self._supervisor
        longest_wait = seconds_of(supervisor.record.training.scheduling.max_wait_time)
        answered = time.monotonic()
        while True:
            try:
                job = self._ray.get(self._job)
                if job.is_over or time.monotonic() >= self._log_due:
                    self._read_log()
                answered = time.monotonic()
            except ServiceError as error:
                if error.status is not None or time.monotonic() - answered > _SILENCE_S:
                    raise TrainingError(f"The job was lost with its cluster: {error}") from None
            else:
                if job.is_over:
                    self._is_over = True
                    return job
            supervisor.watch()
            waited = time.monotonic() - self._waiting_since
            if not self._is_running and longest_wait is not None and waited > longest_wait:
                raise Ended(JobState.CANCELLED, f"It did not start within its maxWaitTime of {longest_wait:g} s.")
            time.sleep(_POLL_S)

    def _read_log(self) -> None:
        """Takes what is new in the driver's log, whole lines only."""
        text = self._ray.log(self._job)
        *lines, _ = text[self._position :].split("\n")
        for line in lines:
            self._take(line)
            self._position += len(line) + 1
        self._supervisor.log.flush()
        self._position_file.write_text(str(self._position))
        self._log_due = time.monotonic() + len(text) / 1e6 * _SECONDS_PER_LOG_MB

    def _take(self, line: str) -> None:
        supervisor = self._supervisor
        answer = answer_in(line)
        if answer is None:
            if line.strip():
                supervisor.listen(SERVICE_TASK, line.rstrip("\r").rpartition("\r")[2], severity="INFO")
            return
        if answer.is_running and not self._is_running:
            self._is_running = True
            supervisor.enter(JobState.RUNNING)
        if answer.failure:
            self._failure = answer.failure
        if answer.message:
            supervisor.listen(answer.task_name, answer.message, severity=answer.severity, moment=answer.time)
