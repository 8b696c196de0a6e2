"""Drives a tuning job: each trial is a run of the trainer package, told its parameters and heard by its metric.

`python -m penstock.flows.tune_trainer PROJECT [ARGS]` is what the job's supervisor runs in the place of the trainer;
killed, it is started again and goes on with the study. ARGS are the trainer's own.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import PenstockError
from penstock.jobs.crew import Crew, Exit, Launch
from penstock.jobs.tuning_output import OUTPUT_NAME
from penstock.settings import Settings, load_settings
from penstock.store import blobs
from penstock.store.blobs import replace_file
from penstock.tuning.hyperparameter_spec import parse_hyperparameter_spec
from penstock.tuning.ledger import read_trials, study_name
from penstock.tuning.metric_sources import EventFiles, HypertuneFile
from penstock.tuning.specification import Specification
from penstock.tuning.study import Study, begin_study
from penstock.tuning.training_output import flag_text, training_output
from penstock.tuning.trial import Trial, TrialState

__all__ = ["main", "tune_trainer"]

_TRIAL_MODULE = "penstock.jobs.trial_process"
_LISTEN_S = 0.25
_GRACE_S = 5.0
_MOST_LOSSES = 5
"""How often a trial is begun again after its own process was killed, before it counts as failed: it may need more
memory than there is. Losing it with the driver is no fault of its own."""


@dataclass(frozen=True)
class _Job:
    """The job as its environment tells it. training: ML Engine's TrainingInput in snake_case."""

    job_id: str
    training: Mapping[str, Any]
    arguments: Sequence[str]
    folder: Path

    @property
    def job_dir(self) -> str:
        return str(self.training.get("job_dir") or "")


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 once every trial has ended, 1 with the reason on stderr."""
    project, *own = arguments
    settings = load_settings(project=project)
    job_id = os.environ["CLOUD_ML_JOB_ID"]
    job = _Job(job_id, json.loads(os.environ["CLOUD_ML_JOB"]), own, settings.home / "jobs" / settings.project / job_id)
    try:
        tune_trainer(job, settings=settings)
    except PenstockError as error:
        _say(f"ERROR: {error}")
        return 1
    return 0


def tune_trainer(job: _Job, *, settings: Settings) -> None:
    """Runs the study's trials to their end. Raises TrainingError when too many fail, or all."""
    spec = parse_hyperparameter_spec(job.training["hyperparameters"])
    specification = spec.specification()
    earlier: list[Trial] = []
    if spec.resume_previous_job_id:
        earlier = read_trials(study_name(spec.resume_previous_job_id), settings=settings)
    with begin_study(
        study_name(job.job_id), specification, settings=settings, resume=True, anew=True, earlier=earlier
    ) as study:
        _Driver(job, study).run()
        best = study.result()
        value = f"{specification.metric} {best.value:g}"
        _say(f"Tuning has ended: {study.finished} trials, the best is trial {best.number} with {value}.")


class _Running:
    """A trial whose trainer runs."""

    def __init__(self, trial: Trial, specification: Specification, *, folder: Path, places: Sequence[Path]) -> None:
        self.trial = trial
        self.metric_file = folder / "hypertune" / "output.metrics"
        self.metric_file.parent.mkdir(parents=True, exist_ok=True)
        self.end_file = folder / "ended"
        if not self.has_ended:
            self.metric_file.unlink(missing_ok=True)
        self._sources = (
            HypertuneFile(self.metric_file, specification.metric),
            EventFiles(places, specification.metric),
        )
        self._last_step = -1
        self.is_stopped = False

    @property
    def has_ended(self) -> bool:
        """Whether the trainer came to its end, now or before this driver was started."""
        return self.end_file.exists()

    def new(self) -> list[tuple[int, float]]:
        """What it has reported since the last look, each at a step above the last: the last report is what counts."""
        found = []
        for source in self._sources:
            for step, value in source.new():
                self._last_step = max(step, self._last_step + 1)
                found.append((self._last_step, value))
        return found


class _Driver:
    """Keeps as many trainers running as may run at a time."""

    def __init__(self, job: _Job, study: Study) -> None:
        self._job = job
        self._study = study
        self._crew = Crew(self._hear)
        self._running: dict[str, _Running] = {}
        self._losses: Counter[int] = Counter()

    def run(self) -> None:
        try:
            self._publish()
            while self._start_some() or self._running:
                self._crew.wait(_LISTEN_S)
                for name in list(self._running):
                    self._look_at(name)
                self._study.renew()
        finally:
            self._crew.stop(grace_s=_GRACE_S)
            self._crew.close()
            self._publish()

    def _start_some(self) -> bool:
        """Whether trials have been begun."""
        begun = False
        while len(self._running) < self._study.specification.parallel:
            trial = self._study.ask()
            if trial is None:
                break
            self._start(trial)
            begun = True
        if begun:
            self._publish()
        return begun

    def _start(self, trial: Trial) -> None:
        name = f"trial-{trial.number}"
        running = _Running(
            trial,
            self._study.specification,
            folder=self._job.folder / "trials" / str(trial.number),
            places=self._places(trial),
        )
        job_dir = blobs.join(self._job.job_dir, str(trial.number)) if self._job.job_dir else ""
        flags = [f"--{key}={flag_text(value)}" for key, value in trial.parameters.items()]
        arguments = [*self._job.arguments, *flags, *(["--job-dir", job_dir] if job_dir else [])]
        command = [sys.executable, "-P", "-m", _TRIAL_MODULE, str(running.end_file)]
        command += [str(self._job.training["python_module"]), *arguments]
        environment = _environment(trial, running.metric_file, self._study.specification.metric, job_dir, arguments)
        again = f", attempt {trial.attempts}" if trial.attempts > 1 else ""
        _say(f"Trial {trial.number} begins{again}: {' '.join(flags)}")
        self._running[name] = running
        if not running.has_ended:
            self._crew.start(Launch(name, command, environment, str(Path.cwd())))

    def _places(self, trial: Trial) -> list[Path]:
        """Where the trial's summaries may be: its job dir, and the folder of its number in folders that are named.

        Trainers of the time wrote to `--output_dir` joined with the trial of TF_CONFIG.
        """
        named = [self._job.job_dir, *(word.partition("=")[2] or word for word in self._job.arguments)]
        local = [
            Path(blobs.local_path(one)) for one in named if one and not one.startswith("-") and blobs.is_local(one)
        ]
        return [folder / str(trial.number) for folder in local]

    def _look_at(self, name: str) -> None:
        running, number = self._running[name], self._running[name].trial.number
        has_ended, exit_ = running.has_ended, self._crew.exits.get(name)  # before the last look, which then sees all
        for step, value in running.new():
            if self._study.report(number, step, value) and not (has_ended or exit_ or running.is_stopped):
                running.is_stopped = True
                self._crew.stop(grace_s=_GRACE_S, tasks=[name])
                exit_ = self._crew.exits.get(name)
        if exit_ is None and not (has_ended and name not in self._crew.running):
            return
        del self._running[name]
        if exit_ is None or has_ended:
            exit_ = Exit(name, 0)
        if exit_.status < 0 and not running.is_stopped and self._losses[number] < _MOST_LOSSES:
            self._losses[number] += 1
            _say(f"Trial {number} was lost: {exit_.reason} It is begun again.")
            self._study.lose(number)
            return
        failure = "" if exit_.status == 0 or running.is_stopped else exit_.reason
        ended = self._study.tell(number, stopped=running.is_stopped, failure=failure)
        said = ended.failure or f"{self._study.specification.metric} {ended.value:g}"
        prefix = "WARNING: " if ended.state is TrialState.FAILED else ""
        _say(f"{prefix}Trial {number} has {ended.state.value.lower()}: {said}")
        self._publish()

    def _publish(self) -> None:
        """Leaves what `jobs describe` shows."""
        content = training_output(self._study.specification, self._study.trials)
        replace_file(self._job.folder / OUTPUT_NAME, json.dumps(content).encode())

    def _hear(self, task_name: str, message: str, *, severity: str) -> None:
        _say(f"{severity}: [{task_name}] {message}")


def _environment(trial: Trial, metric_file: Path, tag: str, job_dir: str, arguments: Sequence[str]) -> dict[str, str]:
    """The job's variables as this trial is to see them."""
    number = str(trial.number)
    job = {**json.loads(os.environ["CLOUD_ML_JOB"]), "args": list(arguments)}
    if job_dir:
        job["job_dir"] = job_dir
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    config["task"] = {**config.get("task", {}), "trial": number}
    config["job"] = job
    return {
        **os.environ,
        "TF_CONFIG": json.dumps(config),
        "CLOUD_ML_JOB": json.dumps(job),
        "CLOUD_ML_TRIAL_ID": number,
        "CLOUD_ML_HP_METRIC_TAG": tag,
        "CLOUD_ML_HP_METRIC_FILE": str(metric_file),
    }


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - the supervisor takes it into the job's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
