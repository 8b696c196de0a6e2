"""The version that was a model's default before the one that is now: what a rollback goes back to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("models", sa.Column("previous_number", sa.Integer))
