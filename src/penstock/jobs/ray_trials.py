"""Trials as jobs of a Ray cluster, each with a machine of its own; what they report is read from their logs.

The Ray job of each trial is written down beside the study. A process that goes on with the study finds it there, and
follows what still runs, or has ended in between, instead of beginning it again. How much of its output was passed on
stands beside it: metrics are read again from the beginning, lines are told twice only where a process was killed
between telling and noting it.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock.errors import ServiceError, TrainingError
from penstock.jobs.logs import SERVICE_TASK
from penstock.jobs.machines import load_machines, replicas_of
from penstock.jobs.processes import MARKER_VARIABLE
from penstock.jobs.ray_archive import driver_command, planned_replicas, ship
from penstock.jobs.ray_client import RayJob, RayJobs
from penstock.jobs.ray_plan import Plan, PlannedTrial, answer_in
from penstock.jobs.training_input import TrainingInput
from penstock.jobs.trial_host import Sighting, TrialHost, TrialLaunch
from penstock.settings import Settings
from penstock.store.blobs import replace_file
from penstock.version import __version__

__all__ = ["RayTrials", "stop_trials", "trial_plan"]

_POLL_S = 0.5
_SILENCE_S = 60.0
"""How long the cluster may be out of reach before the tuning gives up."""

_NOTE_NAME = "ray-job"
_PASSED_ON_NAME = "ray-job-passed-on"

_Answer = TypeVar("_Answer")
Listener = Callable[[int, str, str], None]
"""Takes what a trial's trainer printed: number, message, severity."""


@dataclass
class _Trial:
    """A trial that was begun. job: its name on the cluster. position: how much of its log has been read.

    passed_on: how much of it a listener was told, maybe of an earlier process.
    """

    job: str
    note: Path
    position: int = 0
    passed_on: int = 0
    waits: bool = True
    reports: list[tuple[int, float]] = field(default_factory=list)
    failure: str = ""
    status: int | None = None
    is_stopped: bool = False


class RayTrials:
    """plan: as `trial_plan` makes it. tag: of their metric. folder: of the study, for what is written down.

    experiment: a file that goes along, or "". listen: told what trainers print.
    Its methods raise TrainingError once the cluster does not answer for a minute.
    """

    def __init__(
        self, ray: RayJobs, address: str, plan: Plan, *, tag: str, folder: Path, experiment: str, listen: Listener
    ) -> None:
        self._ray = ray
        self._address = address
        self._plan = plan
        self._tag = tag
        self._folder = folder
        self._experiment = experiment
        self._listen = listen
        self._trials: dict[int, _Trial] = {}
        self._silent_since: float | None = None

    def start(self, launch: TrialLaunch) -> None:
        note = _note(self._folder, launch.number)
        if note.exists():
            job = note.read_text()
            found = self._patiently(lambda: self._known(job))
            if found is not None and found.status != "STOPPED":
                self._trials[launch.number] = _Trial(job, note, passed_on=_passed_on(note))
                return
        marker = secrets.token_hex(16)
        job = f"penstock-{self._plan.job_id}-trial-{launch.number}-{marker[:8]}"
        note.parent.mkdir(parents=True, exist_ok=True)
        _passed_on_file(note).unlink(missing_ok=True)
        replace_file(note, job.encode())
        trial = PlannedTrial(number=str(launch.number), tag=self._tag, folders=list(launch.folders))
        plan = msgspec.structs.replace(
            self._plan,
            arguments=list(launch.arguments),
            training=msgspec.structs.replace(self._plan.training, job_dir=launch.job_dir),
            marker=marker,
            trial=trial,
        )

        def submit() -> None:
            if self._silent_since is not None and self._known(job) is not None:
                return  # it arrived, and the answer did not
            self._ray.submit(
                submission_id=job,
                entrypoint=driver_command(self._address),
                working_dir=ship(self._ray, plan, experiment=self._experiment),
                # Not the user's environment: the cluster shows these to everybody.
                variables={MARKER_VARIABLE: marker},
                metadata={"penstock_job": self._plan.job_id, "penstock_trial": str(launch.number)},
            )

        self._patiently(submit)
        self._trials[launch.number] = _Trial(job, note)

    def wait(self) -> None:
        time.sleep(_POLL_S)

    def look(self, number: int) -> Sighting:
        trial = self._trials[number]
        try:
            job = self._known(trial.job)
            if job is not None:
                self._read_log(number, trial)
        except ServiceError as error:
            self._bear(error)
            return Sighting()
        self._silent_since = None
        reports, trial.reports = trial.reports, []
        if job is not None and not job.is_over:
            return Sighting(reports=reports, waits=trial.waits)
        del self._trials[number]
        ending, is_lost = _end_of(job, trial)
        if is_lost:
            trial.note.unlink(missing_ok=True)
        return Sighting(reports=reports, ending=ending, is_lost=is_lost)

    def stop(self, number: int) -> None:
        trial = self._trials[number]
        trial.is_stopped = True
        try:
            self._ray.stop(trial.job)
        except ServiceError as error:
            self._bear(error)

    def close(self) -> None:
        for number, trial in self._trials.items():
            try:
                self._ray.stop(trial.job)
            except ServiceError as error:
                self._listen(number, f"The Ray job {trial.job} may go on: {error}", "WARNING")

    def _known(self, job: str) -> RayJob | None:
        """The job as the cluster knows it; None where it does not, having been started anew. Raises ServiceError."""
        try:
            return self._ray.get(job)
        except ServiceError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def _patiently(self, action: Callable[[], _Answer]) -> _Answer:
        """Does it, again if need be: a cluster that has just started takes uploads before it takes jobs."""
        while True:
            try:
                answer = action()
            except ServiceError as error:
                self._bear(error)
            else:
                self._silent_since = None
                return answer
            time.sleep(_POLL_S)

    def _bear(self, error: ServiceError) -> None:
        is_passing = error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        self._silent_since = self._silent_since or time.monotonic()
        if not is_passing or time.monotonic() - self._silent_since > _SILENCE_S:
            raise TrainingError(f"The tuning was lost with its cluster: {error}") from None

    def _read_log(self, number: int, trial: _Trial) -> None:
        """Takes what is new in the log of the trial's driver, whole lines only."""
        *lines, _ = self._ray.log(trial.job)[trial.position :].split("\n")
        for line in lines:
            trial.position += len(line) + 1
            answer = answer_in(line)
            if answer is None:
                continue
            if answer.is_running:
                trial.waits = False
            trial.reports += [(step, float(value)) for step, value in answer.reports]
            if answer.failure:
                trial.failure, trial.status = answer.failure, answer.exit_status
            is_said = answer.message and (answer.task_name != SERVICE_TASK or answer.severity != "INFO")
            if is_said and trial.position > trial.passed_on:
                self._listen(number, answer.message, answer.severity)
        if trial.position > trial.passed_on:
            trial.passed_on = trial.position
            with suppress(OSError):  # a full disk may cost lines told twice, and no trial
                replace_file(_passed_on_file(trial.note), str(trial.passed_on).encode())


def trial_plan(job_id: str, training: TrainingInput, *, settings: Settings) -> Plan:
    """What is alike in all trials of a tuning; arguments, job_dir, marker and trial are set for each."""
    return Plan(
        job_id=job_id,
        training=training,
        arguments=[],
        replicas=planned_replicas(replicas_of(training, load_machines(settings.home / "machines.yaml"))),
        packages=training.package_uris,
        marker="",
        max_restarts=0,  # a trial that is lost is begun again by the study, which counts its attempts
        grace_s=float(settings.job_grace_s),
        penstock_version=__version__,
    )


def stop_trials(folder: Path, address: str, *, token: str | None) -> None:
    """Ends what a tuning has left running on a cluster, as far as that can be reached. folder: of the study."""
    ray = RayJobs(address, token=token)
    for note in folder.glob(f"trials/*/{_NOTE_NAME}"):
        try:
            job = note.read_text()
            if not ray.get(job).is_over:
                ray.stop(job)
        except ServiceError as error:
            if error.status is None:
                return  # nor will it answer for the others


def _note(folder: Path, number: int) -> Path:
    return folder / "trials" / str(number) / _NOTE_NAME


def _passed_on_file(note: Path) -> Path:
    return note.with_name(_PASSED_ON_NAME)


def _passed_on(note: Path) -> int:
    try:
        return int(_passed_on_file(note).read_text())
    except (OSError, ValueError):
        return 0


def _end_of(job: RayJob | None, trial: _Trial) -> tuple[str, bool]:
    """How a trial ended: the reason if not well, and whether it was killed."""
    if job is None:
        return "the cluster knows nothing of it any more", True
    if job.status == "SUCCEEDED":
        return "", False
    if job.status == "STOPPED":
        return "" if trial.is_stopped else "it was stopped on the cluster", False
    first, _, tail = trial.failure.partition("\n")
    words = " ".join([first, *tail.strip().splitlines()[-1:]]).strip()
    if trial.status is not None:
        return words, trial.status < 0
    # Without a word of its driver: killed, or it could not even begin.
    is_lost = not trial.failure and (job.exit_code is None or job.exit_code < 0)
    return words or " ".join(job.message.split())[-500:], is_lost


_: type[TrialHost] = RayTrials
