"""The PostgreSQL store: one schema of a database, any number of engines, readers and senders."""

from ripresa.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
