"""Writes down what is about to be done to a version's files, so that whoever comes after a crash can clear it away.

The order is what makes the registry safe against a kill at any moment:

    create   note → copy under a temporary name → rename → (row in, note out) in one transaction
    delete   (row out, note in) in one transaction → delete the files → note out

So a row exists only while its files are whole, and files without a row have a note, unless they are someone else's.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from penstock.errors import StoreError
from penstock.registry.records import UnfinishedVersion, VersionState
from penstock.store import blobs
from penstock.store.database import Database
from penstock.store.owner import fate_of, this_process
from penstock.store.staging import sweep_abandoned
from penstock.store.tables import unfinished

__all__ = ["CREATE", "DELETE", "LEASE_S", "Note", "Notes"]

CREATE = "create"
DELETE = "delete"

LEASE_S = 600.0
"""How long a note is honoured that its owner, on another host, has not renewed."""

_RENEWED_EVERY_S = 20.0

_SUBJECT = "registry"


@dataclass(frozen=True, kw_only=True)
class Note:
    """A change under way, owned by this process."""

    id: int
    project: str
    model: str
    number: int
    name: str
    owner: str


class Notes:
    """The notes of all processes that share a store and an artifacts folder."""

    def __init__(self, database: Database, artifacts_uri: str) -> None:
        self._database = database
        self._artifacts_uri = artifacts_uri

    def write(
        self,
        connection: Connection,
        change: str,
        *,
        project: str,
        model: str,
        number: int,
        name: str,
        origin_uri: str,
    ) -> Note:
        """Notes a change in the caller's transaction."""
        owner, now = this_process(), datetime.now(UTC)
        row_id = connection.execute(
            unfinished.insert()
            .values(
                change=change,
                project=project,
                model=model,
                number=number,
                name=name,
                origin_uri=origin_uri,
                started=now,
                owner=owner,
                renewed=now,
            )
            .returning(unfinished.c.id)
        ).scalar_one()
        return Note(id=row_id, project=project, model=model, number=number, name=name, owner=owner)

    def names(self, connection: Connection, project: str, model: str, *, change: str) -> set[str]:
        """Versions of a model that are being created, or deleted."""
        of_model = (unfinished.c.project == project) & (unfinished.c.model == model)
        return set(connection.scalars(select(unfinished.c.name).where(of_model, unfinished.c.change == change)))

    def numbers(self, connection: Connection, project: str, model: str) -> set[int]:
        """Numbers of a model, or of one of the same name before it, to whose files something is being done."""
        of_model = (unfinished.c.project == project) & (unfinished.c.model == model)
        return set(connection.scalars(select(unfinished.c.number).where(of_model)))

    def renewal(self, note: Note, *, then: blobs.Progress | None) -> blobs.Progress:
        """To be called while files are copied: renews the note now and then, and calls `then`.

        What is returned raises StoreError when the note was lost to another process.
        """
        last = datetime.now(UTC)

        def renew(size_bytes: int) -> None:
            nonlocal last
            if then:
                then(size_bytes)
            now = datetime.now(UTC)
            if now - last < timedelta(seconds=_RENEWED_EVERY_S):
                return
            last = now
            with self._database.write(_SUBJECT) as connection:
                mine = (unfinished.c.id == note.id) & (unfinished.c.owner == note.owner)
                if not connection.execute(unfinished.update().where(mine).values(renewed=now)).rowcount:
                    raise _lost(note)

        return renew

    def strike(self, connection: Connection, note: Note) -> None:
        """Takes the note out in the caller's transaction. Raises StoreError when another process has taken it over."""
        mine = (unfinished.c.id == note.id) & (unfinished.c.owner == note.owner)
        if not connection.execute(unfinished.delete().where(mine)).rowcount:
            raise _lost(note)

    def clear(self, note: Note) -> bool:
        """Deletes the files of a change that is given up or is a deletion, then its note.

        Does nothing and returns False when the note is out: then the change was made after all, or another process
        has taken the note over.
        """
        with self._database.read() as connection:
            mine = (unfinished.c.id == note.id) & (unfinished.c.owner == note.owner)
            if connection.execute(select(unfinished.c.id).where(mine)).first() is None:
                return False
        parent = blobs.join(self._artifacts_uri, note.project, note.model)
        blobs.remove_folder(blobs.join(parent, str(note.number)), under=parent)
        if blobs.is_local(parent) and blobs.local_path(parent).is_dir():
            sweep_abandoned(blobs.local_path(parent))
        with self._database.write(_SUBJECT) as connection:
            connection.execute(unfinished.delete().where(unfinished.c.id == note.id))
        return True

    def sweep(self) -> None:
        """Clears away what processes that are gone have left. What cannot be deleted now is left for a later one."""
        with self._database.read() as connection:
            left = [row for row in connection.execute(select(unfinished)).all() if _is_abandoned(row)]
        for row in left:
            # Taken over first: a process that only seemed to be gone then finds its note lost, and adds no row.
            owner = this_process()
            note = Note(id=row.id, project=row.project, model=row.model, number=row.number, name=row.name, owner=owner)
            with self._database.write(_SUBJECT) as connection:
                theirs = (unfinished.c.id == row.id) & (unfinished.c.owner == row.owner)
                taken = connection.execute(
                    unfinished.update().where(theirs).values(owner=owner, renewed=datetime.now(UTC), change=DELETE)
                ).rowcount
            if taken:
                with suppress(StoreError):
                    self.clear(note)

    def listed(self, project: str, model: str) -> list[UnfinishedVersion]:
        """The unfinished versions of a model, by number."""
        of_model = (unfinished.c.project == project) & (unfinished.c.model == model)
        with self._database.read() as connection:
            rows = connection.execute(select(unfinished).where(of_model).order_by(unfinished.c.number)).all()
        return [_listed(row) for row in rows]


def _is_abandoned(row: Row[Any]) -> bool:
    fate = fate_of(row.owner)
    return fate == "gone" or (fate == "unknown" and datetime.now(UTC) - row.renewed > timedelta(seconds=LEASE_S))


def _listed(row: Row[Any]) -> UnfinishedVersion:
    error = None
    state = VersionState.CREATING if row.change == CREATE else VersionState.DELETING
    if state is VersionState.CREATING and _is_abandoned(row):
        state = VersionState.FAILED
        error = "the process that was creating it is gone; what it left is cleared away by the next change"
    return UnfinishedVersion(
        project=row.project,
        model=row.model,
        number=row.number,
        name=row.name,
        state=state,
        started=row.started,
        origin_uri=row.origin_uri,
        error=error,
    )


def _lost(note: Note) -> StoreError:
    return StoreError(
        f"gave up on version {note.name!r}: this process did not answer for {LEASE_S:.0f} s, and another one has "
        "cleared away its unfinished version; create it again"
    )
