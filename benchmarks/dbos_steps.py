"""Contestant: DBOS Transact, on its SQLite system database, or on PostgreSQL (`--url`) as its documentation shows it.

On SQLite two entries, as DBOS leaves the journal mode of its file to SQLite:

- `installed`: as its documentation shows it; the file then has SQLite's default, a rollback journal;
- `tuned`: the file is switched to WAL before DBOS opens it, which gives it the same journal and the same
  `synchronous=FULL` as ripresa has, and `max_executor_threads` is 1, as the best of the settings that were tried.

Workflows and steps are `async`, and a workflow is awaited directly, which is quicker than `start_workflow_async`
with `get_result`.  The admin server is off.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig

from benchmarks.measure import STEPS, arguments, closed_loop, report


@DBOS.step()
async def nothing(number: int) -> int:
    return number


@DBOS.workflow()
async def ten_steps(number: int) -> int:
    for index in range(STEPS):
        await nothing(index)
    return number


async def measure(directory: Path, clients: int, runs: int, *, tuned: bool, url: str | None) -> None:
    path = directory / "dbos.sqlite"
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": url or f"sqlite:///{path}",
        "run_admin_server": False,
        "log_level": "ERROR",
    }
    if tuned:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
        config["max_executor_threads"] = 1
    DBOS(config=config)
    DBOS.launch()

    async def one(number: int) -> None:
        assert await ten_steps(number) == number

    times = await closed_loop(one, clients=clients, runs=runs)
    safety = {"journal_mode": "PostgreSQL", "synchronous": "as the server has it"} if url else settings()
    report(**times, commits_per_step=None, **safety)
    sys.stdout.flush()
    os._exit(0)  # its shutdown waits for threads that poll; nothing of it is measured


def settings() -> dict[str, Any]:
    """What decides how safe a commit is, asked of one of its own connections."""
    from dbos._dbos import _get_dbos_instance  # noqa: PLC0415 - it has no public way to ask

    levels = {0: "off", 1: "normal", 2: "full", 3: "extra"}
    with _get_dbos_instance()._sys_db.engine.connect() as connection:  # noqa: SLF001 - as above
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        level = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    return {"journal_mode": mode, "synchronous": levels[level]}


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--url", help="a PostgreSQL database to use in place of a file")
    given = parser.parse_args()
    asyncio.run(measure(given.directory, given.clients, given.runs, tuned=given.tuned, url=given.url))
