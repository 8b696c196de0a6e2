"""A job as the store knows it, and as ML Engine's API shows it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from penstock.jobs.logs import timestamp_of
from penstock.jobs.prediction_input import PredictionInput
from penstock.jobs.states import TERMINAL, JobState
from penstock.jobs.training_input import TrainingInput

__all__ = ["JobRecord", "job_json", "record_of", "stored_input"]

_INT64 = ("workerCount", "parameterServerCount", "evaluatorCount")


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """One row of the jobs table.

    created, admitted, started, ended: microseconds since 1970-01-01 UTC. admitted: when it took its slot.
    training: how its processes run; of a prediction too, and `prediction` says what they do then.
    folder: of its log and what it runs from. marker: value of `PENSTOCK_JOB_MARKER` in all of its processes.
    owner, host: the supervisor, as `store.owner` names it, and the machine in it. renewed: its last sign of life.
    gpus: indices of the GPUs that it was given. cluster, cluster_job: Ray's address and its name there, or "".
    """

    id: int
    project: str
    name: str
    state: JobState
    labels: dict[str, str]
    training: TrainingInput
    prediction: PredictionInput | None
    output: dict[str, Any]
    created: int
    admitted: int | None
    started: int | None
    ended: int | None
    error_message: str
    folder: str
    marker: str
    owner: str
    host: str
    renewed: int
    cancel_requested: bool
    gpus: tuple[int, ...]
    cluster: str
    cluster_job: str

    @property
    def is_over(self) -> bool:
        return self.state in TERMINAL


def record_of(row: Mapping[str, Any]) -> JobRecord:
    """The record in a row of the jobs table."""
    stored = _stored_input(row["input"])
    plain = {key: value for key, value in row.items() if key != "input"}
    parsed = {
        "state": JobState(row["state"]),
        "labels": json.loads(row["labels"]),
        "training": stored.training_input,
        "prediction": stored.prediction_input,
        "output": json.loads(row["output"]),
        "cancel_requested": bool(row["cancel_requested"]),
        "gpus": tuple(int(index) for index in row["gpus"].split(",") if index),
    }
    return JobRecord(**{**plain, **parsed})


def job_json(record: JobRecord, *, position: int = 0) -> dict[str, Any]:
    """ML Engine's Job, fields without a value left out. position: place in the queue, from 1, of a queued job."""
    training = msgspec.to_builtins(record.training)
    for name in _INT64:
        if name in training:
            training[name] = str(training[name])
    job = {
        "jobId": record.name,
        "labels": record.labels,
        "state": record.state.value,
        "createTime": _time(record.created),
        "startTime": _time(record.started),
        "endTime": _time(record.ended),
        "errorMessage": record.error_message,
        "jobPosition": str(position) if position else "",
        **_what_it_does(record, training),
        "etag": f"{record.id}-{record.state.value.lower()}-{int(record.cancel_requested)}",
    }
    return {name: value for name, value in job.items() if value}


class _StoredInput(msgspec.Struct, frozen=True, rename="camel"):
    training_input: TrainingInput
    prediction_input: PredictionInput | None = None


def stored_input(training: TrainingInput, prediction: PredictionInput | None) -> str:
    """The text that the jobs table keeps of what a job is asked to do."""
    if prediction is None:
        return msgspec.json.encode(training).decode()
    return msgspec.json.encode(_StoredInput(training, prediction)).decode()


def _stored_input(text: str) -> _StoredInput:
    if text.startswith('{"trainingInput"'):
        return msgspec.json.decode(text, type=_StoredInput)
    return _StoredInput(msgspec.json.decode(text, type=TrainingInput))


def _what_it_does(record: JobRecord, training: dict[str, Any]) -> dict[str, Any]:
    if record.prediction is None:
        return {
            "trainingInput": {"scaleTier": record.training.scale_tier, **training},
            "trainingOutput": record.output,
        }
    prediction = msgspec.to_builtins(record.prediction)
    for name in ("batchSize", "maxWorkerCount"):
        if name in prediction:
            prediction[name] = str(prediction[name])
    return {
        "predictionInput": {"dataFormat": record.prediction.data_format, **prediction},
        "predictionOutput": record.output,
    }


def _time(microseconds: int | None) -> str:
    return "" if microseconds is None else timestamp_of(microseconds / 1_000_000)
