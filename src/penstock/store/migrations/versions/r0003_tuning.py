"""Studies and their trials."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    revisions = sa.table("revisions", sa.column("subject", sa.Text), sa.column("value", sa.BigInteger))
    op.bulk_insert(revisions, [{"subject": "studies", "value": 0}])
    row_id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "studies",
        sa.Column("id", row_id, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("specification", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("renewed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("project", "name", name="uq_studies_project_name"),
        sqlite_autoincrement=True,
        comment="Tunings. One process at a time owns one. Plain types, as in jobs.",
    )
    op.create_table(
        "trials",
        sa.Column("study_id", row_id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        sa.Column("reports", sa.Text, nullable=False),
        sa.Column("notes", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("started", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_trials"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_trials_study_id"),
        comment="Trials of a study, from 1. A row that has ended never changes again.",
    )
