"""Models and their versions in the metadata store, each version with its own copy of a bundle."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import IntegrityError

from penstock.bundle.folder import copy_bundle, read_manifest
from penstock.errors import AlreadyExistsError, NotFoundError, PreconditionError, StoreError
from penstock.registry.listing import Filter, Page, page_of
from penstock.registry.names import check_labels, check_name
from penstock.registry.records import Model, Requested, UnfinishedVersion, Version, lineage_of
from penstock.registry.rows import (
    bundle_uri_of,
    changes,
    default_version_row,
    model_of,
    model_row,
    required_default_row,
    select_versions,
    version_of,
    version_row,
)
from penstock.registry.unfinished import CREATE, DELETE, Note, Notes
from penstock.settings import Settings
from penstock.store import blobs
from penstock.store.database import Database, open_database
from penstock.store.tables import models, versions

__all__ = ["Registry", "open_registry"]

_SUBJECT = "registry"


class Registry:
    """The models of one project. Threads and processes may use the same store at once.

    Every method raises StoreError when the store or the artifacts folder cannot be used, and NotFoundError for a model
    or version that is not there, with the closest name or those that are. Where a version is asked for, its number and
    its name do equally; None is the default one.
    """

    def __init__(self, database: Database, *, project: str, artifacts_uri: str) -> None:
        self.project = project
        self._database = database
        self._artifacts_uri = blobs.absolute(artifacts_uri)
        self._notes = Notes(database, self._artifacts_uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def revision(self) -> int:
        """A number that grows with every change: equal numbers mean that nothing has changed. One small query."""
        return self._database.revision(_SUBJECT)

    def sweep(self) -> None:
        """Clears away what killed processes have left; every creation and deletion does so first."""
        self._notes.sweep()

    def create_model(
        self,
        name: str,
        *,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        regions: Iterable[str] = (),
        logging: bool = False,
        console_logging: bool = False,
    ) -> Model:
        """A new model without versions. Raises UsageError for its name, AlreadyExistsError when that is taken."""
        values = {
            "project": self.project,
            "name": check_name(name, of="model"),
            "description": description,
            "labels": check_labels(labels or {}),
            "regions": list(regions),
            "logging": logging,
            "console_logging": console_logging,
            "created": datetime.now(UTC),
            "next_number": 1,
        }
        try:
            with self._database.write(_SUBJECT) as connection:
                connection.execute(models.insert().values(values))
                return model_of(model_row(connection, self.project, name), None)
        except IntegrityError as error:
            raise AlreadyExistsError(
                f"project {self.project!r} has a model called {name!r} already, or one that differs in upper and lower "
                "case only; add a version to it, or choose another name"
            ) from error

    def get_model(self, name: str) -> Model:
        """The model with its default version."""
        with self._database.read() as connection:
            row = model_row(connection, self.project, name)
            return model_of(row, self._default(connection, row))

    def list_models(
        self, *, matching: str | None = None, page_size: int | None = None, page_token: str | None = None
    ) -> Page[Model]:
        """Models by name. matching: a filter on name, description, labels.KEY (see `Filter`). Raises UsageError."""
        wanted = Filter.parse(matching, ("name", "description"))
        with self._database.read() as connection:
            rows = connection.execute(select(models).where(models.c.project == self.project)).all()
            of_defaults = select_versions(self.project).where(versions.c.number == models.c.default_number)
            defaults = {row.model: self._version(row) for row in connection.execute(of_defaults)}
        found = sorted((model_of(row, defaults.get(row.name)) for row in rows), key=lambda model: model.name)
        accepted = (
            model
            for model in found
            if wanted.accepts({"name": model.name, "description": model.description}, model.labels)
        )
        return page_of(accepted, lambda model: model.name, size=page_size, token=page_token)

    def update_model(
        self, name: str, *, description: str | None = None, labels: Mapping[str, str | None] | None = None
    ) -> Model:
        """Changes what is given. labels: those to set, and with None those to take away."""
        with self._database.write(_SUBJECT) as connection:
            row = model_row(connection, self.project, name)
            connection.execute(models.update().where(models.c.id == row.id).values(changes(row, description, labels)))
            row = model_row(connection, self.project, name)
            return model_of(row, self._default(connection, row))

    def delete_model(self, name: str) -> None:
        """Raises PreconditionError while it has versions, or one is being created."""
        self._notes.sweep()
        with self._database.write(_SUBJECT) as connection:
            row = model_row(connection, self.project, name)
            of_model = select(func.count()).select_from(versions).where(versions.c.model_id == row.id)
            if count := connection.execute(of_model).scalar_one():
                raise PreconditionError(
                    f"model {name!r} has {count} version{'s' if count > 1 else ''}, and only a model without versions "
                    f"can be deleted; see them: penstock versions list --model {name}"
                )
            if creating := self._notes.names(connection, self.project, name, change=CREATE):
                raise PreconditionError(
                    f"version {min(creating)!r} of model {name!r} is being created, and only a model without versions "
                    "can be deleted"
                )
            connection.execute(models.delete().where(models.c.id == row.id))
        blobs.remove_empty_folder(blobs.join(self._artifacts_uri, self.project, name))

    def create_version(
        self,
        model: str,
        name: str | None,
        origin_uri: str,
        *,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        requested: Requested | None = None,
        configuration: Mapping[str, Any] | None = None,
        job: str | None = None,
        progress: blobs.Progress | None = None,
        source_uri: str | None = None,
    ) -> Version:
        """Copies the bundle at `origin_uri`, checks its digests, and registers it. The first version becomes default.

        name: None for `v` and its number. source_uri: what the bundle was made of, kept as its origin.
        requested, configuration, job: see `Requested` and `Lineage`.
        progress: told the size of every piece that was copied. Killed at any moment, it leaves no version, and files
        that the next change to the registry clears away.

        Raises BundleError for what is no whole bundle, UsageError and AlreadyExistsError for the name.
        """
        if name is not None:
            check_name(name, of="version")
        values = {
            "description": description,
            "labels": check_labels(labels or {}),
            "requested": msgspec.to_builtins(requested or Requested()),
            "origin_uri": blobs.absolute(source_uri or origin_uri),
        }
        read_manifest(origin_uri)  # what is no bundle is refused before anything is written down
        self._notes.sweep()
        note = self._reserve(model, name, values["origin_uri"])
        try:
            passed = self._notes.renewal(note, then=progress)
            target = bundle_uri_of(self._artifacts_uri, self.project, note.model, note.number)
            manifest, content = copy_bundle(origin_uri, target, progress=passed)
            lineage = lineage_of(manifest, configuration=dict(configuration) if configuration else None, job=job)
            values["lineage"] = msgspec.to_builtins(lineage)
            values["bundle_digest"] = hashlib.sha256(content).hexdigest()
            with self._database.write(_SUBJECT) as connection:
                self._notes.strike(connection, note)
                return self._insert_version(connection, model_row(connection, self.project, model), note, values)
        except BaseException:
            self._give_up(note)
            raise

    def list_versions(
        self, model: str, *, matching: str | None = None, page_size: int | None = None, page_token: str | None = None
    ) -> Page[Version]:
        """Registered versions by number, each with its bundle whole.

        matching: a filter on name, number, description, labels.KEY (see `Filter`). Raises UsageError.
        """
        wanted = Filter.parse(matching, ("name", "number", "description"))
        with self._database.read() as connection:
            row = model_row(connection, self.project, model)
            of_model = select_versions(self.project).where(versions.c.model_id == row.id).order_by(versions.c.number)
            found = [self._version(version) for version in connection.execute(of_model)]
        accepted = (
            version
            for version in found
            if wanted.accepts(
                {"name": version.name, "number": str(version.number), "description": version.description},
                version.labels,
            )
        )
        return page_of(accepted, lambda version: version.number, size=page_size, token=page_token)

    def list_unfinished(self, model: str) -> list[UnfinishedVersion]:
        """Versions being created or deleted, and those whose creation was cut off, by number."""
        return self._notes.listed(self.project, model)

    def resolve(self, model: str, version: str | int | None = None) -> Version:
        """The version with that number or name, or the default one."""
        with self._database.read() as connection:
            row = model_row(connection, self.project, model)
            if version is None:
                return self._version(required_default_row(connection, row))
            return self._version(version_row(connection, row, version))

    def update_version(
        self,
        model: str,
        version: str | int,
        *,
        description: str | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> Version:
        """Changes what is given. labels: those to set, and with None those to take away."""
        with self._database.write(_SUBJECT) as connection:
            of_model = model_row(connection, self.project, model)
            row = version_row(connection, of_model, version)
            changed = changes(row, description, labels)
            connection.execute(versions.update().where(versions.c.id == row.id).values(changed))
            return self._version(version_row(connection, of_model, row.number))

    def set_default(self, model: str, version: str | int) -> Version:
        """Makes it the version that is meant when none is named."""
        with self._database.write(_SUBJECT) as connection:
            of_model = model_row(connection, self.project, model)
            row = version_row(connection, of_model, version)
            if row.number != of_model.default_number:
                values = {"default_number": row.number, "previous_number": of_model.default_number}
                connection.execute(models.update().where(models.c.id == of_model.id).values(values))
            return self._version(version_row(connection, of_model, row.number))

    def roll_back(self, model: str, *, without_labels: Sequence[str] = ()) -> Version:
        """Makes the version the default that was it before, and takes labels away from the model in the same moment.

        Rolling back twice leaves the default as it was. Raises PreconditionError where no other version was the
        default, or it is gone.
        """
        with self._database.write(_SUBJECT) as connection:
            of_model = model_row(connection, self.project, model)
            number = of_model.previous_number
            try:
                row = None if number is None else version_row(connection, of_model, number)
            except NotFoundError:
                row = None
            if row is None:
                raise PreconditionError(
                    f"model {model!r} has no earlier default to go back to; name one: "
                    f"penstock versions set-default VERSION --model {model}"
                )
            values = {"default_number": number, "previous_number": of_model.default_number}
            values |= changes(of_model, None, dict.fromkeys(without_labels))
            connection.execute(models.update().where(models.c.id == of_model.id).values(values))
            return self._version(version_row(connection, of_model, row.number))

    def delete_version(self, model: str, version: str | int) -> None:
        """Takes the version out and deletes the registry's copy of its bundle. Its number is not used again.

        Raises PreconditionError for the default version, unless it is the last.
        """
        self._notes.sweep()
        with self._database.write(_SUBJECT) as connection:
            of_model = model_row(connection, self.project, model)
            row = version_row(connection, of_model, version)
            if row.number == of_model.default_number:
                self._release_default(connection, of_model, row)
            connection.execute(versions.delete().where(versions.c.id == row.id))
            note = self._notes.write(
                connection,
                DELETE,
                project=self.project,
                model=of_model.name,
                number=row.number,
                name=row.name,
                origin_uri=row.origin_uri,
            )
        try:
            self._notes.clear(note)
        except StoreError as error:
            raise StoreError(
                f"version {row.name!r} of model {model!r} is no longer registered, but its files are still there; "
                f"a later change to the registry tries again: {error}"
            ) from error

    def _reserve(self, model: str, name: str | None, origin_uri: str) -> Note:
        """Takes the next number of the model, and a free name, for a version that is about to be copied."""
        with self._database.write(_SUBJECT) as connection:
            row = model_row(connection, self.project, model)
            taken = set(connection.scalars(select(versions.c.name).where(versions.c.model_id == row.id)))
            creating = self._notes.names(connection, self.project, model, change=CREATE)
            if name in creating:
                raise AlreadyExistsError(f"version {name!r} of model {model!r} is being created by another process")
            if name in taken:
                raise AlreadyExistsError(
                    f"model {model!r} has a version {name!r} already; choose another name, or delete it first: "
                    f"penstock versions delete {name} --model {model}"
                )
            number = self._free_number(connection, row)
            connection.execute(models.update().where(models.c.id == row.id).values(next_number=number + 1))
            return self._notes.write(
                connection,
                CREATE,
                project=self.project,
                model=row.name,
                number=number,
                name=name or _free_name(number, taken | creating),
                origin_uri=origin_uri,
            )

    def _free_number(self, connection: Connection, model: Row[Any]) -> int:
        """The next number whose folder is free: files that this store does not know are never written over."""
        number = int(model.next_number)
        busy = self._notes.numbers(connection, self.project, model.name)
        while number in busy or blobs.exists(bundle_uri_of(self._artifacts_uri, self.project, model.name, number)):
            number += 1
        return number

    def _insert_version(
        self, connection: Connection, model: Row[Any], note: Note, values: Mapping[str, Any]
    ) -> Version:
        connection.execute(
            versions.insert().values(
                model_id=model.id,
                number=note.number,
                name=note.name,
                created=datetime.now(UTC),
                **values,
            )
        )
        if model.default_number is None:
            connection.execute(models.update().where(models.c.id == model.id).values(default_number=note.number))
        return self._version(version_row(connection, model, note.number))

    def _release_default(self, connection: Connection, model: Row[Any], version: Row[Any]) -> None:
        others = select(versions.c.name).where(versions.c.model_id == model.id, versions.c.number != version.number)
        other = connection.execute(others.order_by(versions.c.number.desc())).scalar()
        if other is not None:
            raise PreconditionError(
                f"version {version.name!r} is the default of model {model.name!r} and not its last; make another one "
                f"the default first: penstock versions set-default {other} --model {model.name}"
            )
        connection.execute(models.update().where(models.c.id == model.id).values(default_number=None))

    def _give_up(self, note: Note) -> None:
        """Clears away a creation of this process that failed, and gives its number back if it was the last."""
        with suppress(StoreError):  # the note stays, and a later process clears; the caller hears of the failure first
            if self._notes.clear(note):
                of_model = (models.c.project == note.project) & (models.c.name == note.model)
                with self._database.write(_SUBJECT) as connection:
                    connection.execute(
                        models.update()
                        .where(of_model, models.c.next_number == note.number + 1)
                        .values(next_number=note.number)
                    )

    def _version(self, row: Row[Any]) -> Version:
        return version_of(row, self._artifacts_uri)

    def _default(self, connection: Connection, model: Row[Any]) -> Version | None:
        row = default_version_row(connection, model)
        return None if row is None else self._version(row)


def open_registry(settings: Settings) -> Registry:
    """The registry that the settings name; close it, or use it as a context manager. Raises as `open_database`."""
    return Registry(open_database(settings), project=settings.project, artifacts_uri=settings.artifacts_uri)


def _free_name(number: int, taken: set[str]) -> str:
    name = f"v{number}"
    while name in taken:
        number += 1
        name = f"v{number}"
    return name
