"""Every migration of the metadata store, oldest first: what tells an up-to-date store without importing Alembic."""

__all__ = ["NEWEST_REVISION", "REVISIONS"]

REVISIONS = ("0001", "0002", "0003", "0004")

NEWEST_REVISION = REVISIONS[-1]
