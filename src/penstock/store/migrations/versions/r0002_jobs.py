"""Jobs: what was asked for, how far it is, and which supervisor answers for it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    revisions = sa.table("revisions", sa.column("subject", sa.Text), sa.column("value", sa.BigInteger))
    op.bulk_insert(revisions, [{"subject": "jobs", "value": 0}])
    op.create_table(
        "jobs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("output", sa.Text, nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("admitted", sa.BigInteger),
        sa.Column("started", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
        sa.Column("error_message", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("marker", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("renewed", sa.BigInteger, nullable=False),
        sa.Column("cancel_requested", sa.Integer, nullable=False),
        sa.Column("gpus", sa.Text, nullable=False),
        sa.Column("cluster", sa.Text, nullable=False),
        sa.Column("cluster_job", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sqlite_autoincrement=True,
        comment=(
            "Jobs, in order of submission. Written and read by plain SQL over plain types (JSON as text, times as "
            "microseconds since 1970-01-01 UTC), so that a supervisor need not load SQLAlchemy."
        ),
    )
    op.create_index("uq_jobs_project_lower_name", "jobs", ["project", sa.text("lower(name)")], unique=True)
    op.create_index("ix_jobs_ended", "jobs", ["ended"])
