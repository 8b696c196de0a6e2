"""A registered version, or a bundle, and a pile of files become a batch prediction with a supervisor of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from penstock.bundle.folder import find_bundle, read_manifest
from penstock.data.shards import find_input_files
from penstock.errors import UsageError
from penstock.jobs.handover import Handover, SupervisorProcess
from penstock.jobs.prediction_input import PredictionInput
from penstock.jobs.ray_address import check_address
from penstock.jobs.training_input import Scheduling, TrainingInput, check_job_id
from penstock.settings import Settings
from penstock.store import blobs

__all__ = ["PredictionSubmission", "submit_prediction"]

_MODULE = "penstock.flows.predict_batch"
_MOST_WORKERS = 10
_BYTES_PER_WORKER = 4 * 1024 * 1024
"""With less to predict, a process's start takes longer than what it would do."""


@dataclass(frozen=True, kw_only=True)
class PredictionSubmission:
    """What is to be submitted.

    prediction: all but what predicts, as given; relative paths are meant from `folder`.
    model, version: of the registry, no version for the default one; or model_dir, a bundle.
    max_running_time: such as "7200s"; "" for the default.
    """

    job_id: str
    prediction: PredictionInput
    model: str | None = None
    version: str | None = None
    model_dir: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    folder: Path
    cluster: str | None = None
    max_running_time: str = ""


def submit_prediction(submission: PredictionSubmission, *, settings: Settings) -> PredictionInput:
    """Hands the job to its supervisor; returns what it is asked to do, in full.

    Raises UsageError, NotFoundError for a model or input that is not there, AlreadyExistsError for a taken name.
    """
    check_job_id(submission.job_id)
    given = submission.prediction
    with SupervisorProcess() as supervisor:  # loads meanwhile
        version_name, uri = _what_predicts(submission, settings)
        address = submission.cluster or settings.ray_address
        cluster = check_address(address) if address else ""
        inputs = [_absolute(path, submission.folder) for path in given.input_paths]
        size_bytes = sum(file.size_bytes for file in find_input_files(inputs))
        workers = given.max_worker_count or (1 if cluster else _suitable_workers(size_bytes, settings.threads))
        prediction = msgspec.structs.replace(
            given,
            version_name=version_name,
            uri=uri,
            input_paths=inputs,
            output_path=_absolute(given.output_path, submission.folder),
            max_worker_count=workers,
        )
        outputs = [output.name for output in read_manifest(uri).signature.outputs]
        if twice := [key for key in given.keys if key in outputs]:
            raise UsageError(
                f"--keys names {twice[0]!r}, which is also an output of the model; rename the column in the input"
            )
        supervisor.take(
            Handover(
                project=settings.project,
                name=submission.job_id,
                labels=dict(submission.labels),
                training=_processes(workers, submission.max_running_time),
                prediction=prediction,
                arguments=[msgspec.json.encode(prediction).decode()],
                folder=str(submission.folder),
                cluster=cluster,
            )
        )
    return prediction


def _suitable_workers(size_bytes: int, cores: int) -> int:
    """How many processes here, where the caller leaves it to us.

    >>> _suitable_workers(1_000, cores=4), _suitable_workers(9_000_000, cores=4), _suitable_workers(10**12, cores=4)
    (1, 3, 4)
    """
    return min(cores, _MOST_WORKERS, 1 + size_bytes // _BYTES_PER_WORKER)


def _what_predicts(submission: PredictionSubmission, settings: Settings) -> tuple[str, str]:
    """The version's full name, where it has one, and the URI of its bundle."""
    if (submission.model is None) == (submission.model_dir is None):
        raise UsageError("expected either --model M, with --version V for another than its default, or --model-dir DIR")
    if submission.model_dir is not None:
        if submission.version is not None:
            raise UsageError("--version goes with --model")
        return "", find_bundle(_absolute(submission.model_dir, submission.folder))
    from penstock.registry.registry import open_registry

    assert submission.model is not None
    with open_registry(settings) as registry:
        version = registry.resolve(submission.model, submission.version)
        name = f"projects/{settings.project}/models/{submission.model}/versions/{version.name}"
        return name, version.bundle_uri


def _processes(workers: int, max_running_time: str) -> TrainingInput:
    scheduling = Scheduling(max_running_time=max_running_time) if max_running_time else Scheduling()
    if workers == 1:
        training = TrainingInput(python_module=_MODULE, scheduling=scheduling)
    else:
        training = TrainingInput(
            python_module=_MODULE,
            scale_tier="CUSTOM",
            master_type="n1-standard-1",
            worker_type="n1-standard-1",
            worker_count=workers - 1,
            scheduling=scheduling,
        )
    training.check()
    return training


def _absolute(path: str, folder: Path) -> str:
    """A path from `folder`, wildcards and all, or a URI as it is."""
    if not blobs.is_local(path):
        return path
    return str(folder / path.removeprefix("file://"))
