"""The schema: how new it is, and the way from there to the schema of this build, safe while engines work on it.

The table `version` tells how many migrations the schema has seen.  A migration only adds – tables, columns with
defaults, functions under new names – so that engines of the release before go on beside it.  One process migrates at a
time (an advisory lock), each step is one transaction, and none waits for a lock longer than engines can bear: it is
tried again.  Invariant: a schema that is newer than us, or that is not ours, is not changed.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.resources import files
from typing import Any

from ripresa.contracts.errors import StoreCorrupt, StoreTooNew, StoreUnavailable
from ripresa.stores.missing import StoreMissing
from ripresa.stores.postgres.address import Address
from ripresa.stores.postgres.faults import is_transient

VERSION_MIN = 140_000
"""PostgreSQL 14."""

_TRIES = 60
_LOCK_TIMEOUT = "500ms"
_REST_S = 0.5
_TABLES_SHOWN = 5
_OURS = {"version", "run", "history"}


@cache
def migrations() -> tuple[str, ...]:
    """The steps from an empty schema to this build's, in order."""
    directory = files("ripresa.stores.postgres").joinpath("migrations")
    steps = [entry for entry in directory.iterdir() if entry.name.endswith(".sql")]
    return tuple(step.read_text("utf-8") for step in sorted(steps, key=lambda entry: entry.name))


async def prepare(connection: Any, address: Address, *, create: bool = True) -> None:
    """Create the schema or bring it up to date.  Raises the driver's errors, StoreCorrupt, StoreTooNew.

    Without `create` StoreMissing is raised where there is none.
    """
    server = int(await connection.fetchval("SHOW server_version_num"))
    if server < VERSION_MIN:
        raise StoreUnavailable(f"{address.shown} is PostgreSQL {server // 10_000}: ripresa needs 14 or newer")
    if (encoding := await connection.fetchval("SHOW server_encoding")) != "UTF8":
        raise StoreUnavailable(
            f"{address.shown} keeps texts as {encoding}, which has no place for all: create a database with UTF8 "
            "(createdb -E UTF8 -T template0)"
        )
    version = await _version(connection, address)
    if version == len(migrations()):
        return
    if version == 0 and not create:
        raise StoreMissing(
            f"no store in schema {address.schema} of {address.shown} yet: `ripresa run` creates it, --store names "
            "another"
        )
    for attempt in range(1, _TRIES + 1):
        try:
            await _migrate(connection, address)
        except Exception as error:
            if attempt == _TRIES or not is_transient(error):
                raise
        else:
            return
        await asyncio.sleep(_REST_S)


async def _version(connection: Any, address: Address) -> int:
    """How many migrations the schema has seen; 0: it is empty, or not there."""
    found = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", address.schema)
    tables = sorted(row[0] for row in found)
    if set(tables) >= _OURS:
        version = int(await connection.fetchval(f'SELECT max(number) FROM "{address.schema}".version') or 0)  # noqa: S608
        if version > len(migrations()):
            raise StoreTooNew(
                f"schema {address.schema} of {address.shown} has version {version} of a newer ripresa, this one knows "
                f"{len(migrations())}: upgrade ripresa; nothing was changed"
            )
        return version
    if tables:
        shown = ", ".join(tables[:_TABLES_SHOWN])
        raise StoreCorrupt(
            f"schema {address.schema} of {address.shown} is not ripresa's (tables: {shown}): name another with "
            "?schema=; nothing was changed"
        )
    return 0


async def _migrate(connection: Any, address: Address) -> None:
    """Take every step that is missing, each with its number in one transaction."""
    done = 0
    while done < len(migrations()):
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'")
            # The only advisory lock that there is; it goes with the transaction.
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended('ripresa ' || $1, 0))", address.schema
            )
            done = await _version(connection, address)
            if done == len(migrations()):
                return
            if done == 0:
                if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{address.schema}"'):
                    await connection.execute(
                        f'CREATE SCHEMA "{address.schema}"'
                    )  # asks for more rights than to use one
                await connection.execute("CREATE TABLE version (number bigint PRIMARY KEY, since timestamptz NOT NULL)")
            await connection.execute(migrations()[done])
            done += 1
            await connection.execute("INSERT INTO version (number, since) VALUES ($1, now())", done)
