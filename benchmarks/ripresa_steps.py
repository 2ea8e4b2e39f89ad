"""Contestant: ripresa, on SQLite with the settings it always has (WAL, synchronous=FULL), or on PostgreSQL as it is."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from benchmarks.measure import STEPS, arguments, closed_loop, report
from ripresa import App, step, workflow


@step
async def nothing(number: int) -> int:
    return number


@workflow
async def ten_steps(number: int) -> int:
    for index in range(STEPS):
        await nothing(index)
    return number


async def measure(directory: Path, clients: int, runs: int, url: str | None) -> None:
    path = directory / "ripresa.db"
    async with App(url or f"sqlite:///{path}", workflows=[ten_steps]) as app:
        assert app.engine is not None
        committer = app.engine.committer
        before = 0

        async def one(number: int) -> None:
            nonlocal before
            if number == 0:
                before = committer.commits
            run = await app.start(ten_steps, number)
            assert await run.result() == number

        times = await closed_loop(one, clients=clients, runs=runs)
        commits = committer.commits - before
    safety = {"journal_mode": "PostgreSQL", "synchronous": "as the server has it"} if url else settings(path)
    report(**times, commits_per_step=commits / times["steps"], **safety)


def settings(path: Path) -> dict[str, str]:
    """How the store opens its file, asked of a connection that it opens."""
    from ripresa.stores.sqlite.file import connect  # noqa: PLC0415 - after the clock has stopped

    return settings_of(connect(path))


def settings_of(connection: sqlite3.Connection) -> dict[str, str]:
    """What decides how safe a commit is."""
    levels = {0: "off", 1: "normal", 2: "full", 3: "extra"}
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    level = connection.execute("PRAGMA synchronous").fetchone()[0]
    connection.close()
    return {"journal_mode": mode, "synchronous": levels[level]}


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--url", help="a PostgreSQL database to use in place of a file")
    given = parser.parse_args()
    asyncio.run(measure(given.directory, given.clients, given.runs, given.url))
