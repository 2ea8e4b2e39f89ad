"""What `check` looks at: settings that could take back what was acknowledged, and rows that belong to nothing."""

from __future__ import annotations

import logging
import time
from typing import Any

from ripresa.contracts.errors import StoreUnavailable
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.orphans import ORPHANS, told
from ripresa.stores.postgres.address import Address

SQL = NamedSql("ripresa.stores.postgres", "checks.sql")

logger = logging.getLogger("ripresa.stores")

SKEW_S_MAX = 5.0

_SETTINGS = (
    ("fsync", {"on"}, "a power cut can damage the database beyond repair"),
    ("full_page_writes", {"on"}, "a power cut can leave pages half written"),
    (
        "synchronous_commit",
        {"on", "local", "remote_write", "remote_apply"},
        "a crash can take back what was acknowledged",
    ),
)


async def settings(connection: Any) -> list[str]:
    """What is wrong with how the server is set up, a line each."""
    found = [(name, await connection.fetchval(f"SHOW {name}"), good, why) for name, good, why in _SETTINGS]
    wrong = [f"{name} is {value!r}: {why}; switch it on" for name, value, good, why in found if value not in good]
    skew = await connection.fetchval(SQL["now"]) - time.time()
    if abs(skew) > SKEW_S_MAX:
        ahead = "ahead of" if skew > 0 else "behind"
        wrong.append(f"the server's clock is {abs(skew):.0f} s {ahead} ours: set one of them (the server's counts)")
    return wrong


async def at_opening(connection: Any, address: Address) -> None:
    """Warn of what is unsafe; refuse a server that cannot be written.  Raises StoreUnavailable."""
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        raise StoreUnavailable(f"{address.shown} is a standby, which cannot be written: name the primary server")
    for line in await settings(connection):
        logger.warning("store %s is not safe: %s", address.shown, line)


async def check(connection: Any) -> list[str]:
    """What is wrong, a line each."""
    wrong = await settings(connection)
    for query, what in ORPHANS:
        number, first = await connection.fetchrow(SQL[query])
        if number:
            wrong.append(told(number, what, first))
    return wrong
