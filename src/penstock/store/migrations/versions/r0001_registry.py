"""Models, versions, and what is unfinished about them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    revisions = op.create_table(
        "revisions",
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_revisions"),
        comment="Counts the changes of a subject. Every change takes its row first, which also puts writers in line.",
    )
    op.bulk_insert(revisions, [{"subject": "registry", "value": 0}])
    op.create_table(
        "models",
        sa.Column("id", row_id, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("regions", sa.JSON, nullable=False),
        sa.Column("logging", sa.Boolean, nullable=False),
        sa.Column("console_logging", sa.Boolean, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("default_number", sa.Integer),
        sa.Column("next_number", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_models_project_lower_name", "models", ["project", sa.text("lower(name)")], unique=True)
    op.create_table(
        "versions",
        sa.Column("id", row_id, nullable=False),
        sa.Column("model_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("requested", sa.JSON, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("origin_uri", sa.Text, nullable=False),
        sa.Column("bundle_digest", sa.Text, nullable=False),
        sa.Column("lineage", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_versions_model_id"),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),
        sa.UniqueConstraint("model_id", "name", name="uq_versions_model_id_name"),
        sqlite_autoincrement=True,
        comment="Only versions whose bundle lies whole under the artifacts folder, at PROJECT/MODEL/NUMBER.",
    )
    op.create_table(
        "unfinished",
        sa.Column("id", row_id, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("origin_uri", sa.Text, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("renewed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_unfinished"),
        sqlite_autoincrement=True,
        comment=(
            "Versions being created or deleted: what to clear away when the owner is gone. Written before any file is."
        ),
    )
