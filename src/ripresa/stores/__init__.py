"""Stores: adapters of the store port, each loaded only when its address asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.errors import StoreUnavailable

if TYPE_CHECKING:
    from ripresa.ports.store import Store

__all__ = ["open_store", "shown_address"]

_KNOWN = (
    "memory://, sqlite:///shop.db (relative), sqlite:////var/lib/shop.db (absolute), a path that ends in .db, "
    "or postgresql://user@host/database"
)


def open_store(url: str, *, lock_timeout_s: float = 10.0, create: bool = True) -> Store:
    """The store at this address, not yet open; it waits `lock_timeout_s` for another process's lock.

    `memory://`, `sqlite:///shop.db`, the path of a file that ends in `.db`, or `postgresql://user@host/database` (with
    `?schema=` for another schema than `ripresa`).  Without `create` a PostgreSQL database that holds no store is left
    as it is: `open` raises StoreMissing.  Raises ValueError if the address names no store, StoreUnavailable if what
    PostgreSQL needs (`ripresa[postgres]`) is not installed.
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
            return _postgres(url, lock_timeout_s, create=create)
        case _:
            raise ValueError(f"store {_shown(url)!r}: unknown kind of store; use {_KNOWN}")


def _postgres(url: str, lock_timeout_s: float, *, create: bool) -> Store:
    try:
        from ripresa.stores.postgres import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise StoreUnavailable(
            f"store {_shown(url)!r} needs the driver asyncpg, which is not installed: pip install 'ripresa[postgres]'"
        ) from error
    return PostgresStore(url, lock_timeout=lock_timeout_s, create=create)


def shown_address(url: str) -> str:
    """The address as people may see it: without a password."""
    if not url.lower().startswith(("postgresql://", "postgres://")):
        return url
    try:
        from ripresa.stores.postgres.address import address_of

        return address_of(url).shown
    except (ModuleNotFoundError, ValueError):
        return _shown(url)


def _shown(url: str) -> str:
    """The address without what may be a password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if at else url
