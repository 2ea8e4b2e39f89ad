"""The SQLite store: one file, one owner, any number of readers and senders."""

from ripresa.stores.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
