"""Finds the rows of models and versions, or says what there is instead, and turns rows into records."""

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, select

from penstock.errors import NotFoundError, did_you_mean
from penstock.registry.names import check_labels
from penstock.registry.records import Lineage, Model, Requested, Version
from penstock.registry.unfinished import CREATE
from penstock.store import blobs
from penstock.store.tables import models, unfinished, versions

__all__ = [
    "bundle_uri_of",
    "changes",
    "default_version_row",
    "model_of",
    "model_row",
    "required_default_row",
    "select_versions",
    "version_of",
    "version_row",
]


def model_row(connection: Connection, project: str, name: str) -> Row[Any]:
    """Raises NotFoundError with the closest name, or those there are."""
    of_project = models.c.project == project
    row = connection.execute(select(models).where(of_project, models.c.name == name)).first()
    if row is not None:
        return row
    known = list(connection.scalars(select(models.c.name).where(of_project).order_by(models.c.name)))
    hint = did_you_mean(name, known)
    if not hint:
        hint = f"; there are {_enumerated(known)}" if known else f"; make it: penstock models create {name}"
    raise NotFoundError(f"there is no model {name!r} in project {project!r}{hint}")


def version_row(connection: Connection, model: Row[Any], version: str | int) -> Row[Any]:
    """The version with that number or name. Raises NotFoundError with the closest name, or those there are."""
    of_model = select_versions(model.project).where(versions.c.model_id == model.id)
    by_number = isinstance(version, int) or version.isdecimal()
    # A number beyond what a column holds is asked for as 0, which no version has.
    number = int(version) if by_number and len(str(version)) < 10 else 0
    wanted = versions.c.number == number if by_number else versions.c.name == version
    row = connection.execute(of_model.where(wanted)).first()
    if row is not None:
        return row
    names = select(versions.c.name).where(versions.c.model_id == model.id).order_by(versions.c.number)
    known = list(connection.scalars(names))
    hint = did_you_mean(str(version), known) or (f"; it has {_enumerated(known)}" if known else "")
    raise NotFoundError(
        f"model {model.name!r} has no version {version!r}{_being_created(connection, model, str(version)) or hint}"
    )


def default_version_row(connection: Connection, model: Row[Any]) -> Row[Any] | None:
    """None for a model without versions."""
    is_default = (versions.c.model_id == model.id) & (versions.c.number == model.default_number)
    return connection.execute(select_versions(model.project).where(is_default)).first()


def required_default_row(connection: Connection, model: Row[Any]) -> Row[Any]:
    """Raises NotFoundError for a model without versions."""
    row = default_version_row(connection, model)
    if row is None:
        raise NotFoundError(f"model {model.name!r} has no versions yet{_being_created(connection, model)}")
    return row


def select_versions(project: str) -> Select[Any]:
    """Versions of a project, each row with the name and the default number of its model."""
    return (
        select(versions, models.c.name.label("model"), models.c.project, models.c.default_number)
        .join(models, models.c.id == versions.c.model_id)
        .where(models.c.project == project)
    )


def model_of(row: Row[Any], default: Version | None) -> Model:
    return Model(
        project=row.project,
        name=row.name,
        description=row.description,
        labels=row.labels,
        regions=tuple(row.regions),
        logging=row.logging,
        console_logging=row.console_logging,
        created=row.created,
        default_version=default,
    )


def version_of(row: Row[Any], artifacts_uri: str) -> Version:
    """Of a row of `select_versions`."""
    return Version(
        id=row.id,
        project=row.project,
        model=row.model,
        number=row.number,
        name=row.name,
        is_default=row.number == row.default_number,
        description=row.description,
        labels=row.labels,
        requested=msgspec.convert(row.requested, Requested),
        created=row.created,
        origin_uri=row.origin_uri,
        bundle_uri=bundle_uri_of(artifacts_uri, row.project, row.model, row.number),
        bundle_digest=row.bundle_digest,
        lineage=msgspec.convert(row.lineage, Lineage),
    )


def bundle_uri_of(artifacts_uri: str, project: str, model: str, number: int) -> str:
    """Where a version's bundle lies. Not kept in its row, so that a home can be moved, or mounted elsewhere."""
    return blobs.join(artifacts_uri, project, model, str(number))


def changes(row: Row[Any], description: str | None, labels: Mapping[str, str | None] | None) -> dict[str, Any]:
    """Column values of a model or version after an update. labels: those to set, and with None those to take away."""
    merged = {**row.labels, **(labels or {})}
    kept = check_labels({key: value for key, value in merged.items() if value is not None})
    return {"description": row.description if description is None else description, "labels": kept}


def _being_created(connection: Connection, model: Row[Any], version: str | None = None) -> str:
    creating = select(unfinished.c.name, unfinished.c.number).where(
        unfinished.c.project == model.project, unfinished.c.model == model.name, unfinished.c.change == CREATE
    )
    for row in connection.execute(creating):
        if version in (None, row.name, str(row.number)):
            return f"; version {row.name!r} is being created"
    return ""


def _enumerated(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
