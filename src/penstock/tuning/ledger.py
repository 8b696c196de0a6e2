"""Studies and trials in the metadata store: each trial's end is written once, by the process that owns its study."""

import json
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.errors import AlreadyExistsError, NotFoundError, PreconditionError, StoreError
from penstock.settings import Settings
from penstock.store.owner import fate_of, this_process
from penstock.store.plain import PlainStore, open_plain_store
from penstock.tuning.specification import Specification
from penstock.tuning.trial import Trial, TrialState

__all__ = ["LEASE_S", "StudyLedger", "read_trials", "study_name"]

LEASE_S = 60.0
"""How long a process on another machine may be silent before its study may be taken over."""

_RENEW_S = 10.0
_SUBJECT = "studies"


class StudyLedger:
    """One study of this process. Its methods raise StoreError; once another process owns the study, too."""

    def __init__(self, store: PlainStore, study_id: int) -> None:
        self._store = store
        self._id = study_id
        self._owner = this_process()
        self._renewed = time.monotonic()

    @classmethod
    def create(cls, name: str, specification: Specification, *, settings: Settings) -> "StudyLedger":
        """A new study. Raises AlreadyExistsError."""
        store = open_plain_store(settings)
        with store.write(_SUBJECT) as transaction:
            made = transaction.change(
                "INSERT INTO studies (project, name, specification, created, owner, renewed) "
                "VALUES (:project, :name, :specification, :now, :owner, :now) ON CONFLICT DO NOTHING",
                project=settings.project,
                name=name,
                specification=msgspec.json.encode(specification).decode(),
                now=_now(),
                owner=this_process(),
            )
        if not made:
            store.close()
            raise AlreadyExistsError(
                f"there is a study {name!r} already; go on with it (--resume), or give this one another name"
            )
        return cls(store, _study_row(store, settings.project, name)["id"])

    @classmethod
    def take_over(
        cls, name: str, specification: Specification, *, settings: Settings
    ) -> tuple["StudyLedger", list[Trial]]:
        """A study that another process left, with its trials.

        Raises NotFoundError, PreconditionError while that process goes on with it or where the study looks for other
        parameters or another metric.
        """
        store = open_plain_store(settings)
        try:
            row = _study_row(store, settings.project, name)
            _check_same(name, msgspec.json.decode(row["specification"], type=Specification), specification)
            with store.write(_SUBJECT) as transaction:
                (row,) = transaction.rows("SELECT owner, renewed, id FROM studies WHERE id = :id", id=row["id"])
                fate = fate_of(row["owner"])
                silent_s = (_now() - row["renewed"]) / 1e6
                is_free = row["owner"] in ("", this_process())
                if not is_free and (fate == "alive" or (fate == "unknown" and silent_s < LEASE_S)):
                    raise PreconditionError(
                        f"study {name!r} is being worked on by another process ({row['owner']}); wait until it has "
                        "ended, or end it"
                    )
                transaction.change(
                    "UPDATE studies SET owner = :owner, renewed = :now, specification = :specification WHERE id = :id",
                    owner=this_process(),
                    now=_now(),
                    specification=msgspec.json.encode(specification).decode(),
                    id=row["id"],
                )
        except BaseException:
            store.close()
            raise
        return cls(store, row["id"]), _trials(store, row["id"])

    def start(self, trial: Trial) -> None:
        """Writes that a trial runs: a new one, or another attempt at one that was lost."""
        with self._store.write(_SUBJECT) as transaction:
            self._own(transaction)
            transaction.change(
                "INSERT INTO trials (study_id, number, state, attempts, parameters, reports, notes, failure, started) "
                "VALUES (:study, :number, :state, 1, :parameters, '[]', '{}', '', :now) "
                "ON CONFLICT (study_id, number) DO UPDATE SET attempts = trials.attempts + 1, started = :now",
                study=self._id,
                number=trial.number,
                state=TrialState.RUNNING.value,
                parameters=json.dumps(trial.parameters),
                now=trial.started,
            )

    def end(self, trial: Trial) -> None:
        """Writes how a trial ended, its start written or not. Raises StoreError where it has ended before."""
        with self._store.write(_SUBJECT) as transaction:
            self._own(transaction)
            changed = transaction.change(
                "INSERT INTO trials (study_id, number, state, attempts, parameters, reports, notes, value, failure, "
                "started, ended) VALUES (:study, :number, :state, :attempts, :parameters, :reports, :notes, :value, "
                ":failure, :started, :ended) ON CONFLICT (study_id, number) DO UPDATE SET state = excluded.state, "
                "attempts = excluded.attempts, reports = excluded.reports, notes = excluded.notes, "
                "value = excluded.value, failure = excluded.failure, started = excluded.started, "
                "ended = excluded.ended WHERE trials.ended IS NULL",
                study=self._id,
                number=trial.number,
                state=trial.state.value,
                attempts=trial.attempts,
                parameters=json.dumps(trial.parameters),
                reports=json.dumps(trial.reports),
                notes=json.dumps(trial.notes),
                value=trial.value,
                failure=trial.failure,
                started=trial.started,
                ended=trial.ended,
            )
            if not changed:
                raise StoreError(f"trial {trial.number} has ended before; it is counted once")

    def renew(self) -> None:
        """Shows, every ten seconds, that the study is being worked on."""
        if time.monotonic() - self._renewed < _RENEW_S:
            return
        with self._store.write(_SUBJECT) as transaction:
            self._own(transaction)

    def close(self) -> None:
        """Lets go of the study, so that it can be resumed at once."""
        with self._store.write(_SUBJECT) as transaction:
            transaction.change(
                "UPDATE studies SET owner = '' WHERE id = :id AND owner = :owner", id=self._id, owner=self._owner
            )
        self._store.close()

    def _own(self, transaction: Any) -> None:
        changed = transaction.change(
            "UPDATE studies SET renewed = :now WHERE id = :id AND owner = :owner",
            now=_now(),
            id=self._id,
            owner=self._owner,
        )
        if not changed:
            raise StoreError("another process has taken this study over; this one ends")
        self._renewed = time.monotonic()


def study_name(job_id: str) -> str:
    """The study of a tuning job."""
    return f"job/{job_id}"


def read_trials(name: str, *, settings: Settings) -> list[Trial]:
    """The trials of a study as they are now, for those who only look. Raises NotFoundError."""
    store = open_plain_store(settings)
    try:
        return _trials(store, _study_row(store, settings.project, name)["id"])
    finally:
        store.close()


def _study_row(store: PlainStore, project: str, name: str) -> Mapping[str, Any]:
    rows = store.rows("SELECT * FROM studies WHERE project = :project AND name = :name", project=project, name=name)
    if not rows:
        raise NotFoundError(f"there is no study {name!r} to go on with; leave out --resume to begin it")
    return rows[0]


def _trials(store: PlainStore, study_id: int) -> list[Trial]:
    rows = store.rows("SELECT * FROM trials WHERE study_id = :study ORDER BY number", study=study_id)
    return [
        Trial(
            number=row["number"],
            state=TrialState(row["state"]),
            attempts=row["attempts"],
            parameters=json.loads(row["parameters"]),
            reports=tuple((step, value) for step, value in json.loads(row["reports"])),
            notes=json.loads(row["notes"]),
            value=row["value"],
            failure=row["failure"],
            started=row["started"],
            ended=row["ended"],
        )
        for row in rows
    ]


def _check_same(name: str, before: Specification, now: Specification) -> None:
    """A study may go on with another budget, not with other parameters or another metric."""
    for field in ("parameters", "metric", "goal"):
        was, given = msgspec.to_builtins(getattr(before, field)), msgspec.to_builtins(getattr(now, field))
        if was != given:
            raise PreconditionError(
                f"study {name!r} was begun with other {field}; go on with the same, or begin a study of another name"
            )


def _now() -> int:
    return time.time_ns() // 1_000
