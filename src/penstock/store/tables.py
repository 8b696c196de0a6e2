"""The tables of the metadata store, as the newest migration leaves them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    func,
)

__all__ = [
    "UtcTime",
    "jobs",
    "metadata",
    "models",
    "revisions",
    "studies",
    "trials",
    "unfinished",
    "versions",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UtcTime(TypeDecorator[datetime]):
    """A moment as microseconds since 1970-01-01 UTC: the same on every database, in order, and never without a zone."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_Id = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in a column typed INTEGER

revisions = Table(
    "revisions",
    metadata,
    Column("subject", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="Counts the changes of a subject. Every change takes its row first, which also puts writers in line.",
)

models = Table(
    "models",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("regions", JSON, nullable=False),
    Column("logging", Boolean, nullable=False),
    Column("console_logging", Boolean, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("default_number", Integer),
    Column("previous_number", Integer),
    Column("next_number", Integer, nullable=False),
    sqlite_autoincrement=True,
)
# A model is a folder of artifacts: names that differ only in case would share one on macOS.
Index("uq_models_project_lower_name", models.c.project, func.lower(models.c.name), unique=True)

versions = Table(
    "versions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("model_id", ForeignKey("models.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("requested", JSON, nullable=False),
    Column("created", UtcTime, nullable=False),
    Column("origin_uri", Text, nullable=False),
    Column("bundle_digest", Text, nullable=False),
    Column("lineage", JSON, nullable=False),
    UniqueConstraint("model_id", "number"),
    UniqueConstraint("model_id", "name"),
    sqlite_autoincrement=True,
    comment="Only versions whose bundle lies whole under the artifacts folder, at PROJECT/MODEL/NUMBER.",
)

unfinished = Table(
    "unfinished",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("change", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("origin_uri", Text, nullable=False),
    Column("started", UtcTime, nullable=False),
    Column("owner", Text, nullable=False),
    Column("renewed", UtcTime, nullable=False),
    sqlite_autoincrement=True,
    comment="Versions being created or deleted: what to clear away when the owner is gone. Written before any file is.",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("admitted", BigInteger),
    Column("started", BigInteger),
    Column("ended", BigInteger),
    Column("error_message", Text, nullable=False),
    Column("folder", Text, nullable=False),
    Column("marker", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("renewed", BigInteger, nullable=False),
    Column("cancel_requested", Integer, nullable=False),
    Column("gpus", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("cluster_job", Text, nullable=False),
    sqlite_autoincrement=True,
    comment=(
        "Jobs, in order of submission. Written and read by plain SQL over plain types (JSON as text, times as "
        "microseconds since 1970-01-01 UTC), so that a supervisor need not load SQLAlchemy."
    ),
)
Index("uq_jobs_project_lower_name", jobs.c.project, func.lower(jobs.c.name), unique=True)
Index("ix_jobs_ended", jobs.c.ended)

studies = Table(
    "studies",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("specification", Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("renewed", BigInteger, nullable=False),
    UniqueConstraint("project", "name"),
    sqlite_autoincrement=True,
    comment="Tunings. One process at a time owns one. Plain types, as in jobs.",
)

trials = Table(
    "trials",
    metadata,
    Column("study_id", ForeignKey("studies.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("reports", Text, nullable=False),
    Column("notes", Text, nullable=False),
    Column("value", Float(53)),
    Column("failure", Text, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger),
    comment="Trials of a study, from 1. A row that has ended never changes again.",
)
