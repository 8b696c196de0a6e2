"""The jobs of a project: asked about, cancelled, listened to. Whoever asks first tidies up after dead supervisors."""

from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from penstock.errors import StoreError
from penstock.jobs.handover import adopt
from penstock.jobs.ledger import JobLedger
from penstock.jobs.logs import LOG_NAME, LogEntry, follow_log, read_log
from penstock.jobs.prediction_input import prediction_output
from penstock.jobs.reaping import orphaned, reap
from penstock.jobs.record import JobRecord, job_json
from penstock.jobs.tuning_output import tuning_output
from penstock.settings import Settings
from penstock.store.plain import open_plain_store

__all__ = ["Jobs"]


class Jobs:
    """Every method raises StoreError, and NotFoundError for a job that is not there."""

    def __init__(self, settings: Settings) -> None:
        self._project = settings.project
        self._store = open_plain_store(settings)
        self._ledger = JobLedger(self._store)
        self.tidy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()

    def tidy(self) -> list[JobRecord]:
        """Ends jobs whose supervisors are gone, and returns those; jobs that go on in a cluster get a new one."""
        reaped = reap(self._ledger)
        for record in orphaned(self._ledger):
            try:
                adopt(record)
            except StoreError:
                continue  # somebody else has
        return reaped

    def get(self, name: str) -> JobRecord:
        return self._ledger.get(self._project, name)

    def list(self, *, limit: int | None = None, before: int | None = None) -> list[JobRecord]:
        """Newest first. before: only those whose `id` is smaller."""
        return self._ledger.list(self._project, limit=limit, before=before)

    def describe(self, record: JobRecord) -> dict[str, Any]:
        """ML Engine's Job."""
        found = job_json(record, position=self._ledger.position(record))
        if not record.is_over and record.prediction is not None:
            found["predictionOutput"] = prediction_output(record.prediction)
        elif not record.is_over and (output := tuning_output(record.folder)):
            found["trainingOutput"] = output
        return found

    def cancel(self, name: str) -> JobRecord:
        """Asks for the job's end; its supervisor looks twice a second. A job that is over stays as it is."""
        return self._ledger.request_cancel(self._project, name)

    def log(self, name: str, *, task_name: str | None = None) -> Generator[LogEntry]:
        """What the job and Penstock have said so far."""
        return read_log(Path(self.get(name).folder) / LOG_NAME, task_name=task_name)

    def follow(self, name: str, *, task_name: str | None = None, poll_s: float = 0.2) -> Generator[LogEntry]:
        """What they have said and will say until the job is over."""
        record = self.get(name)

        def is_over() -> bool:
            self.tidy()
            return self.get(name).is_over

        yield from follow_log(Path(record.folder) / LOG_NAME, is_over=is_over, task_name=task_name, poll_s=poll_s)
