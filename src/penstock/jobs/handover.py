"""How a job passes from the one who submits it to the supervisor that will answer for it.

The supervisor is started first and loads while packages are still being built. It is told everything over its standard
input, environment variables included, so that nothing secret has to be stored; it writes the job into the store itself
and answers with it. So there is no moment at which a job is in the store and nobody answers for it.
"""

import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec

import penstock.errors as errors
from penstock.jobs.prediction_input import PredictionInput
from penstock.jobs.record import JobRecord
from penstock.jobs.training_input import TrainingInput

__all__ = ["Answer", "Handover", "SupervisorProcess", "adopt"]


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor is told.

    arguments: of the trainer's module, as they will be run; `training` is stored, with secrets taken out.
    prediction: what a batch prediction is asked to do, which `training` runs.
    folder: that relative paths in the arguments are meant from.
    experiment: the file among the arguments that a cluster needs to be sent.
    driver: module of Penstock that is run in the trainer's place and runs the trainer itself, once a trial of a tuning.
    adopt: take this job over instead of creating it.
    """

    project: str
    name: str
    labels: dict[str, str] = {}
    training: TrainingInput = TrainingInput()
    prediction: PredictionInput | None = None
    arguments: list[str] = []
    folder: str = "/"
    experiment: str = ""
    driver: str = ""
    cluster: str = ""
    adopt: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it answers: the kind and message of an error, or neither."""

    error: str = ""
    message: str = ""


class SupervisorProcess:
    """A supervisor that has been started and waits to be told its job. Left without one, it goes away."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "penstock.jobs.supervision"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()
        self._process.wait()  # the supervisor proper is its child, and lives on

    def take(self, handover: Handover) -> None:
        """Returns once the job is in the store. Raises what kept the supervisor from taking it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode(handover) + b"\n")
            process.stdin.close()
        line = process.stdout.readline()
        if not line:
            reason = process.stderr.read().decode("utf-8", "replace").strip().splitlines()
            raise errors.TrainingError(
                f"the supervisor of job {handover.name!r} ended before it took the job: {' '.join(reason[-1:])}"
            )
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error:
            kind: Any = getattr(errors, answer.error, errors.PenstockError)
            raise kind(answer.message)


def adopt(record: JobRecord) -> None:
    """Starts a supervisor that goes on with a job whose own one is gone. Raises StoreError when another did."""
    with SupervisorProcess() as supervisor:
        supervisor.take(Handover(project=record.project, name=record.name, cluster=record.cluster, adopt=True))
