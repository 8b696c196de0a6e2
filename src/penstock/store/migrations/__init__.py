"""The history of the tables, as Alembic scripts; `penstock.store.database` runs them."""
