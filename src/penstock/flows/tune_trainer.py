"""Drives a tuning job: each trial is a run of the trainer package, told its parameters and heard by its metric.

`python -m penstock.flows.tune_trainer PROJECT [ARGS]` is what the job's supervisor runs in the place of the trainer;
killed, it is started again and goes on with the study. ARGS are the trainer's own. Trials run here or on
a Ray cluster.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.errors import PenstockError
from penstock.flows.run_trials import forget_others, run_trials
from penstock.jobs.local_trials import LocalTrials
from penstock.jobs.metric_sources import summary_folders
from penstock.jobs.ray_client import RayJobs
from penstock.jobs.ray_trials import RayTrials, trial_plan
from penstock.jobs.training_input import parse_job
from penstock.jobs.trial_host import TrialHost, TrialLaunch
from penstock.jobs.tuning_output import OUTPUT_NAME
from penstock.settings import Settings, load_settings
from penstock.store import blobs
from penstock.store.blobs import replace_file
from penstock.tuning.hyperparameter_spec import parse_hyperparameter_spec
from penstock.tuning.ledger import read_trials, study_name
from penstock.tuning.study import Study, begin_study
from penstock.tuning.training_output import flag_text, training_output
from penstock.tuning.trial import Trial

__all__ = ["main", "tune_trainer"]


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
        forget_others(study, job.folder)

        def changed() -> None:
            """Leaves what `jobs describe` shows."""
            content = training_output(specification, study.trials)
            replace_file(job.folder / OUTPUT_NAME, json.dumps(content).encode())

        host = _host(job, specification.metric, settings=settings)
        try:
            run_trials(study, host, launch_of=lambda trial: _launch(job, trial), say=_say, changed=changed)
        finally:
            changed()
        _say(_summary(study))


def _host(job: _Job, tag: str, *, settings: Settings) -> TrialHost:
    module = str(job.training["python_module"])
    if not settings.ray_address:
        return LocalTrials(module, environment=os.environ, tag=tag, folder=job.folder, listen=_hear)
    training, _ = parse_job({"trainingInput": job.training}, name="CLOUD_ML_JOB")
    plan = trial_plan(job.job_id, training, settings=settings)
    ray = RayJobs(settings.ray_address, token=settings.ray_token)
    return RayTrials(ray, settings.ray_address, plan, tag=tag, folder=job.folder, experiment="", listen=_hear)


def _launch(job: _Job, trial: Trial) -> TrialLaunch:
    number = str(trial.number)
    job_dir = blobs.join(job.job_dir, number) if job.job_dir else ""
    flags = [f"--{name}={flag_text(value)}" for name, value in trial.parameters.items()]
    return TrialLaunch(
        number=trial.number,
        arguments=[*job.arguments, *flags, *(["--job-dir", job_dir] if job_dir else [])],
        job_dir=job_dir,
        folders=summary_folders(number, job_dir=job.job_dir, arguments=job.arguments),
    )


def _summary(study: Study) -> str:
    best, metric = study.result(), study.specification.metric
    return f"Tuning has ended: {study.finished} trials, the best is trial {best.number} with {metric} {best.value:g}."


def _hear(number: int, message: str, severity: str) -> None:
    _say(f"{severity}: [trial-{number}] {message}")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - the supervisor takes it into the job's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
