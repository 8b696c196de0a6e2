"""A trainer package, or an experiment, becomes a job with a supervisor of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.errors import NotFoundError, UsageError
from penstock.jobs.handover import Handover, SupervisorProcess
from penstock.jobs.training_input import TrainingInput, check_job_id
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.tuning.specification import Specification

__all__ = ["Submission", "submit_training"]

_TRAIN_MODULE = "penstock.cli.main"
_TUNING_DRIVER = "penstock.flows.tune_trainer"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What is to be submitted.

    training: everything that ML Engine's TrainingInput says; its packageUris are used as they are.
    package_path: folder of the trainer's package, built and staged; None where packageUris hold it.
    packages: further archives on this machine. staging_uri: where archives go; default: under the job's own folder.
    experiment: an experiment file to train instead of a package.
    folder: that relative paths are meant from.
    """

    job_id: str
    training: TrainingInput
    labels: Mapping[str, str] = field(default_factory=dict)
    package_path: str | None = None
    packages: Sequence[str] = ()
    staging_uri: str | None = None
    experiment: str | None = None
    folder: Path
    cluster: str | None = None


def submit_training(submission: Submission, *, settings: Settings) -> str | None:
    """Hands the job to its supervisor; returns what the user should know of how it will run, if anything.

    Raises UsageError, PreconditionError for a GPU that is not there, AlreadyExistsError for a name that is taken.
    """
    check_job_id(submission.job_id)
    # It loads in its own process while this one loads what checks the job and builds packages, hence the imports here.
    with SupervisorProcess() as supervisor:
        from penstock.jobs.contract import trainer_arguments
        from penstock.jobs.machines import check_here, cores_here, gpus_here, load_machines, replicas_of
        from penstock.jobs.ray_address import check_address

        training = _with_absolute_job_dir(submission)
        if submission.experiment is not None:
            training = msgspec.structs.replace(training, python_module=_TRAIN_MODULE)
        training.check()
        tuning = None
        if training.hyperparameters is not None:
            tuning = _checked_tuning(submission, training, settings=settings)
            training = _restarted_often(training, trials=tuning.trials or 0)
        replicas = replicas_of(training, load_machines(settings.home / "machines.yaml"))
        address = submission.cluster or settings.ray_address
        cluster = check_address(address) if address else ""
        notice = None if cluster else check_here(replicas, cores=cores_here(), gpus=gpus_here())
        folder = settings.home / "jobs" / settings.project / submission.job_id
        experiment = ""
        if submission.experiment is not None:
            experiment = _snapshot(submission.folder / submission.experiment, folder)
            arguments = _train_arguments(experiment, training, folder=folder, project=settings.project)
        else:
            training = _with_packages(submission, training, folder=folder, home=settings.home)
            arguments = trainer_arguments(training, job_dir=training.job_dir)
        if tuning is not None:
            arguments = [settings.project, *training.args]
            if len(replicas) > 1 and not cluster:
                notice = " ".join([notice or "", "Each trial of a tuning runs as one process."]).strip()
        supervisor.take(
            Handover(
                project=settings.project,
                name=submission.job_id,
                labels=dict(submission.labels),
                training=training,
                arguments=arguments,
                folder=str(submission.folder),
                experiment=experiment,
                driver="" if tuning is None else _TUNING_DRIVER,
                cluster=cluster,
            )
        )
    return notice


def _checked_tuning(submission: Submission, training: TrainingInput, *, settings: Settings) -> "Specification":
    """What is to be tuned. Raises ConfigError naming the field at fault, UsageError for what cannot be tuned so."""
    if submission.experiment is not None:
        raise UsageError(
            f"trainingInput.hyperparameters tunes a trainer package; tune an experiment with: penstock tune "
            f"{submission.experiment}"
        )
    from penstock.tuning.hyperparameter_spec import parse_hyperparameter_spec
    from penstock.tuning.ledger import read_trials, study_name

    spec = parse_hyperparameter_spec(training.hyperparameters)
    if spec.resume_previous_job_id:
        read_trials(study_name(spec.resume_previous_job_id), settings=settings)
    return spec.specification()


def _restarted_often(training: TrainingInput, *, trials: int) -> TrainingInput:
    """A driver that is lost costs the trials that ran: it may be lost as often as there are trials."""
    most = max(training.scheduling.max_restarts, trials)
    return msgspec.structs.replace(training, scheduling=msgspec.structs.replace(training.scheduling, max_restarts=most))


def _with_absolute_job_dir(submission: Submission) -> TrainingInput:
    from penstock.store import blobs

    job_dir = submission.training.job_dir
    if job_dir and blobs.is_local(job_dir):
        job_dir = (
            str(submission.folder / blobs.local_path(job_dir)) if "://" in job_dir else str(submission.folder / job_dir)
        )
    return msgspec.structs.replace(submission.training, job_dir=job_dir)


def _with_packages(submission: Submission, training: TrainingInput, *, folder: Path, home: Path) -> TrainingInput:
    """The training with the URIs of all its packages, built and staged where that is asked for."""
    import tempfile

    from penstock.jobs.packaging import build_package, package_folder, stage_packages
    from penstock.store import blobs

    if not (submission.package_path or submission.packages or training.package_uris):
        # As with `local train`, the package is looked for here by the module's first name.
        package_path: str | None = training.python_module.partition(".")[0]
    else:
        package_path = submission.package_path
    base = str(folder / "packages")
    if submission.staging_uri:
        base = blobs.join(submission.staging_uri, submission.job_id)
    elif training.job_dir:
        base = blobs.join(training.job_dir, "packages")
    uris = list(training.package_uris)
    with tempfile.TemporaryDirectory(prefix="penstock-package-") as scratch:
        files = []
        if package_path:
            place = package_folder(training.python_module, str(submission.folder / package_path))
            files += build_package(place, target=Path(scratch), home=home)
        for name in submission.packages:
            if not blobs.is_local(name):
                uris.append(name)
                continue
            file = submission.folder / blobs.local_path(name)
            if not file.is_file():
                raise NotFoundError(
                    f"there is no package {name!r}; --packages takes archives such as dist/helper-1.0.tar.gz"
                )
            files.append(file)
        if files:
            uris = [*stage_packages(files, base), *uris]
    return msgspec.structs.replace(training, package_uris=uris)


def _snapshot(file: Path, folder: Path) -> str:
    """The experiment as it is now, kept with the job: what its file says later changes nothing. Raises ConfigError."""
    import tempfile

    import yaml

    from penstock.jobs.packaging import stage_packages
    from penstock.training.experiment import load_experiment

    experiment = load_experiment(file)
    with tempfile.TemporaryDirectory(prefix="penstock-experiment-") as scratch:
        copy = Path(scratch) / "experiment.yaml"
        copy.write_text(yaml.safe_dump(msgspec.to_builtins(experiment), sort_keys=False))
        return stage_packages([copy], str(folder / "packages"))[0]


def _train_arguments(experiment: str, training: TrainingInput, *, folder: Path, project: str) -> list[str]:
    """Of `penstock train`."""
    model_dir = training.job_dir or str(folder / "output")
    return ["--project", project, "train", experiment, "--model-dir", model_dir, *training.args]
