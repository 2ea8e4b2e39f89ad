"""Stores: adapters of the store port, each loaded only when its address asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripresa.ports.store import Store

__all__ = ["open_store"]

_KNOWN = "memory://, sqlite:///shop.db (relative), sqlite:////var/lib/shop.db (absolute), or a path that ends in .db"


def open_store(url: str, *, lock_timeout_s: float = 10.0) -> Store:
    """The store at this address, not yet open; it waits `lock_timeout_s` for another process's lock.

    `memory://`, `sqlite:///shop.db`, or the path of a file that ends in `.db`.  Raises ValueError if the
    address names no store that this build has.
    """
    scheme, separator, rest = url.partition("://")
    if not separator and url.endswith(".db"):
        scheme = "sqlite"
    match scheme.lower():
        case "memory" if separator and not rest:
            from ripresa.stores.memory import MemoryStore

            return MemoryStore()
        case "sqlite":
            from ripresa.stores.sqlite import SqliteStore

            return SqliteStore(url, lock_timeout=lock_timeout_s)
        case "postgresql" | "postgres" if separator:
            raise ValueError(f"store {_shown(url)!r}: this build of ripresa has no PostgreSQL adapter; use {_KNOWN}")
        case _:
            raise ValueError(f"store {_shown(url)!r}: unknown kind of store; use {_KNOWN}")


def _shown(url: str) -> str:
    """The address without what may be a password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url
