"""Jobs in the store: created, admitted to slots in order of submission, kept alive by their supervisors, ended once.

Every change by a supervisor names it as the owner: one that was declared dead can change nothing any more.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from penstock.errors import AlreadyExistsError, NotFoundError, did_you_mean
from penstock.jobs.prediction_input import PredictionInput
from penstock.jobs.record import JobRecord, record_of, stored_input
from penstock.jobs.states import JobState
from penstock.jobs.training_input import TrainingInput
from penstock.store.owner import Fate, fate_of
from penstock.store.plain import PlainStore

__all__ = ["LEASE_S", "RENEW_S", "JobLedger", "supervisor_fate"]

RENEW_S = 5.0
"""How often a supervisor shows that it lives."""

LEASE_S = 60.0
"""How long a supervisor on another machine may be silent before its job counts as lost."""

_SUBJECT = "jobs"
_ACTIVE = "ended IS NULL"


class JobLedger:
    """The jobs table. Times in it are microseconds since 1970-01-01 UTC. Every method raises StoreError."""

    def __init__(self, store: PlainStore) -> None:
        self._store = store

    def create(
        self,
        *,
        project: str,
        name: str,
        labels: dict[str, str],
        training: TrainingInput,
        prediction: PredictionInput | None = None,
        folder: str,
        marker: str,
        owner: str,
        cluster: str,
    ) -> JobRecord:
        """A queued job of a supervisor. Raises AlreadyExistsError: the names of ended jobs stay taken too."""
        values = {
            "project": project,
            "name": name,
            "state": JobState.QUEUED.value,
            "labels": json.dumps(labels),
            "input": stored_input(training, prediction),
            "output": "{}",
            "created": _now(),
            "error_message": "",
            "folder": folder,
            "marker": marker,
            "owner": owner,
            "host": host_of(owner),
            "renewed": _now(),
            "cancel_requested": 0,
            "gpus": "",
            "cluster": cluster,
            "cluster_job": "",
        }
        columns, places = ", ".join(values), ", ".join(f":{column}" for column in values)
        with self._store.write(_SUBJECT) as transaction:
            sql = f"INSERT INTO jobs ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING"  # noqa: S608 - own names
            if not transaction.change(sql, **values):
                raise AlreadyExistsError(
                    f"project {project!r} has or had a job {name!r}; every job needs a name of its own, such as "
                    f"{name}_2"
                )
        return self.get(project, name)

    def get(self, project: str, name: str) -> JobRecord:
        """Raises NotFoundError."""
        sql = "SELECT * FROM jobs WHERE project = :project AND name = :name"
        rows = self._store.rows(sql, project=project, name=name)
        if rows:
            return record_of(rows[0])
        known = [
            row["name"] for row in self._store.rows("SELECT name FROM jobs WHERE project = :project", project=project)
        ]
        raise NotFoundError(f"project {project!r} has no job {name!r}{did_you_mean(name, known)}")

    def list(self, project: str, *, limit: int | None = None, before: int | None = None) -> list[JobRecord]:
        """Newest first. before: only jobs whose id is smaller."""
        sql = "SELECT * FROM jobs WHERE project = :project AND id < :before ORDER BY id DESC LIMIT :limit"
        most = 2**62
        return [
            record_of(row) for row in self._store.rows(sql, project=project, before=before or most, limit=limit or most)
        ]

    def position(self, record: JobRecord) -> int:
        """Place in its machine's queue, from 1; 0 for a job that is not queued."""
        if record.state is not JobState.QUEUED or record.admitted is not None:
            return 0
        sql = f"SELECT count(*) AS ahead FROM jobs WHERE {_WAITING} AND host = :host AND id < :id"  # noqa: S608
        return 1 + int(self._store.rows(sql, host=record.host, id=record.id)[0]["ahead"])

    def admit(self, record: JobRecord, *, slots: int, gpus_wanted: int, gpus_here: int) -> tuple[int, ...] | None:
        """Gives a queued job its slot and its GPUs, as their indices; None while it is not its turn."""
        ahead = f"SELECT count(*) AS n FROM jobs WHERE {_WAITING} AND host = :host AND id < :id"  # noqa: S608
        holding = f"SELECT gpus FROM jobs WHERE {_HOLDING} AND host = :host"  # noqa: S608
        # A look before the leap: a hundred waiting supervisors must not all queue for the write lock.
        if self._store.rows(ahead, host=record.host, id=record.id)[0]["n"]:
            return None
        if len(self._store.rows(holding, host=record.host)) >= slots:
            return None
        with self._store.write(_SUBJECT) as transaction:
            if transaction.rows(ahead, host=record.host, id=record.id)[0]["n"]:
                return None
            held = transaction.rows(holding, host=record.host)
            taken = {int(index) for row in held for index in row["gpus"].split(",") if index}
            free = [index for index in range(gpus_here) if index not in taken]
            if len(held) >= slots or len(free) < gpus_wanted:
                return None
            given = tuple(free[:gpus_wanted])
            changed = transaction.change(
                "UPDATE jobs SET admitted = :now, state = :state, gpus = :gpus "
                "WHERE id = :id AND owner = :owner AND state = :queued",
                now=_now(),
                state=JobState.PREPARING.value,
                gpus=",".join(map(str, given)),
                id=record.id,
                owner=record.owner,
                queued=JobState.QUEUED.value,
            )
        return given if changed else None

    def renew(self, record: JobRecord) -> bool:
        """A supervisor's sign of life. False when the job is its no more."""
        return self._change(record, "renewed = :now", now=_now())

    def set_state(self, record: JobRecord, state: JobState, *, cluster_job: str = "") -> bool:
        """A step forward; the first RUNNING sets the start time. False when the job is the supervisor's no more."""
        sql = (
            "state = CASE WHEN cancel_requested = 1 THEN 'CANCELLING' ELSE :state END, "
            "cluster_job = CASE WHEN :job = '' THEN cluster_job ELSE :job END"
        )
        if state is JobState.RUNNING:
            sql += ", started = COALESCE(started, :now)"
            return self._change(record, sql, state=state.value, job=cluster_job, now=_now())
        return self._change(record, sql, state=state.value, job=cluster_job)

    def end(self, record: JobRecord, state: JobState, *, error_message: str, output: dict[str, Any]) -> bool:
        """The end, once. False when the job had ended or is the supervisor's no more."""
        return self._change(
            record,
            "state = :state, ended = :now, error_message = :error, output = :output",
            state=state.value,
            now=_now(),
            error=error_message,
            output=json.dumps(output),
        )

    def request_cancel(self, project: str, name: str) -> JobRecord:
        """Asks the supervisor to cancel; a job that is over stays as it is. Raises NotFoundError."""
        sql = (
            "UPDATE jobs SET cancel_requested = 1, "
            "state = CASE WHEN state = 'QUEUED' THEN state ELSE 'CANCELLING' END "
            "WHERE project = :project AND name = :name AND ended IS NULL"
        )
        with self._store.write(_SUBJECT) as transaction:
            transaction.change(sql, project=project, name=name)
        return self.get(project, name)

    def is_cancel_requested(self, record: JobRecord) -> bool:
        rows = self._store.rows("SELECT cancel_requested FROM jobs WHERE id = :id", id=record.id)
        return bool(rows and rows[0]["cancel_requested"])

    def unfinished(self) -> "Sequence[JobRecord]":
        """Every job that has not ended, of all projects, oldest first."""
        return [record_of(row) for row in self._store.rows(f"SELECT * FROM jobs WHERE {_ACTIVE} ORDER BY id")]  # noqa: S608

    def take_over(self, record: JobRecord, owner: str) -> bool:
        """Makes another supervisor the owner. False when somebody else was faster."""
        return self._change(
            record, "owner = :new, host = :host, renewed = :now", new=owner, host=host_of(owner), now=_now()
        )

    def _change(self, record: JobRecord, assignments: str, **values: Any) -> bool:
        sql = f"UPDATE jobs SET {assignments} WHERE id = :id AND owner = :owner AND {_ACTIVE}"  # noqa: S608 - own words
        with self._store.write(_SUBJECT) as transaction:
            return bool(transaction.change(sql, id=record.id, owner=record.owner, **values))


_WAITING = "ended IS NULL AND admitted IS NULL AND cluster = ''"
_HOLDING = "ended IS NULL AND admitted IS NOT NULL AND cluster = ''"


def host_of(owner: str) -> str:
    return owner.partition("-")[0]


def supervisor_fate(record: JobRecord) -> Fate:
    """Whether the job's supervisor lives: certain here, by its last sign of life when it runs on another machine."""
    fate = fate_of(record.owner)
    if fate != "unknown":
        return fate
    return "gone" if _now() - record.renewed > LEASE_S * 1_000_000 else "alive"


def _now() -> int:
    return time.time_ns() // 1000
