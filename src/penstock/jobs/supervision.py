"""The supervisor's process: detached, it takes one job and lives its life with the runner of its place.

`python -m penstock.jobs.supervision` reads a Handover from its standard input and answers once the job is in the store.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from penstock.errors import PenstockError, StoreError
from penstock.jobs.handover import Answer, Handover
from penstock.jobs.ledger import JobLedger
from penstock.jobs.local_runner import LocalRunner
from penstock.jobs.logs import LOG_NAME
from penstock.jobs.reaping import reap
from penstock.jobs.redaction import Redactor
from penstock.jobs.supervisor import Supervisor
from penstock.settings import Settings, load_settings
from penstock.store.owner import this_process
from penstock.store.plain import open_plain_store

__all__ = ["main"]


def main() -> None:
    """Takes a job from standard input and lives its life."""
    # Detached twice: whoever started it need not wait for it, and has no zombie of it.
    if os.fork():
        os._exit(0)
    line = sys.stdin.buffer.readline()
    if not line:
        return
    handover = msgspec.json.decode(line, type=Handover)
    settings = load_settings()
    try:
        supervisor = _take(handover, settings)
    except PenstockError as error:
        _answer(Answer(error=type(error).__name__, message=str(error)))
        return
    _answer(Answer())
    # A tuning's driver runs here, where the study is kept; it is the trials that run on a cluster.
    if not supervisor.record.cluster or handover.driver:
        supervisor.run(LocalRunner(supervisor))
        return
    from penstock.jobs.ray_runner import RayRunner

    supervisor.run(RayRunner(supervisor))


def _take(handover: Handover, settings: Settings) -> Supervisor:
    ledger = JobLedger(open_plain_store(settings))
    reap(ledger)
    owner = this_process()
    if handover.adopt:
        record = ledger.get(handover.project, handover.name)
        if not ledger.take_over(record, owner):
            raise StoreError(f"job {handover.name!r} has been taken over by somebody else")
        return Supervisor(handover, ledger.get(handover.project, handover.name), ledger, settings=settings)
    folder = settings.home / "jobs" / handover.project / handover.name
    clean = Redactor(os.environ).clean
    stored = msgspec.convert(_cleaned(msgspec.to_builtins(handover.training), clean), type(handover.training))
    record = ledger.create(
        project=handover.project,
        name=handover.name,
        labels={clean(key): clean(value) for key, value in handover.labels.items()},
        training=stored,
        prediction=handover.prediction,
        folder=str(folder),
        marker=os.urandom(16).hex(),
        owner=owner,
        cluster=clean(handover.cluster),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        (folder / LOG_NAME).unlink()  # of a job of a store that is no more
    return Supervisor(handover, record, ledger, settings=settings)


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(one, clean) for one in value]
    if isinstance(value, dict):
        return {key: _cleaned(one, clean) for key, one in value.items()}
    return value


def _answer(answer: Answer) -> None:
    """Answers, and lets go of the terminal or pipes of whoever submitted the job."""
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nowhere, number)


if __name__ == "__main__":
    main()
