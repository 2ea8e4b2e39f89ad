"""The ceiling: the rows that ripresa writes, written by a bare loop over `sqlite3`.

`record` runs ripresa once and notes every statement of its writing connection, with its parameters, between
BEGIN and COMMIT; `replay` executes exactly these on a copy of the file as it was before.  So rows, SQL and
grouping are ripresa's, and all that an engine does – deciding, encoding, waking – costs nothing.  The journal is
moved into the file by SQLite's own checkpoint, at the same length as in ripresa.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import STEPS, arguments, closed_loop, report
from benchmarks.ripresa_steps import settings_of, ten_steps
from ripresa import App
from ripresa.stores.sqlite.checkpoint import PAGES
from ripresa.stores.sqlite.file import connect

_statements: list[tuple[str, tuple[Any, ...]]] = []


class Recorder(sqlite3.Connection):
    """A connection that notes what it executes within transactions of its own making."""

    _writes = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("BEGIN"):
            self._writes = True
        if self._writes:
            _statements.append((sql, tuple(parameters)))
        if sql.startswith(("COMMIT", "ROLLBACK")):
            self._writes = False
        return super().execute(sql, parameters)


async def record(directory: Path, keep: Path, clients: int, runs: int) -> None:
    plain = sqlite3.connect
    sqlite3.connect = partial(plain, factory=Recorder)  # type: ignore[assignment]  # the store knows nothing of it
    path = directory / "recorded.db"
    async with App(f"sqlite:///{path}", workflows=[ten_steps]) as app:

        async def one(number: int) -> None:
            if number == 0:
                _copy(plain(path), keep / "seed.db")
                _statements.clear()
            run = await app.start(ten_steps, number)
            await run.result()

        times = await closed_loop(one, clients=clients, runs=runs)
        recorded = list(_statements)
    (keep / "statements.json").write_text(json.dumps(recorded), "utf-8")
    report(**times)


def _copy(source: sqlite3.Connection, target: Path) -> None:
    into = sqlite3.Connection(target)
    source.backup(into)
    into.close()
    source.close()


def replay(recorded: Path, directory: Path, clients: int, runs: int) -> None:
    path = directory / "raw.db"
    path.write_bytes((recorded / "seed.db").read_bytes())
    statements = [(sql, tuple(values)) for sql, values in json.loads((recorded / "statements.json").read_text("utf-8"))]
    connection = connect(path, cache_kib=64 * 1024)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES}")
    before = connection.total_changes
    since = time.time()
    busy = time.process_time()
    start = time.perf_counter()
    for sql, values in statements:
        connection.execute(sql, values)
    seconds = time.perf_counter() - start
    busy = time.process_time() - busy
    commits = sum(sql.startswith("COMMIT") for sql, _ in statements)
    rows = connection.total_changes - before
    report(
        clients=clients,
        runs=runs,
        steps=runs * STEPS,
        seconds=seconds,
        steps_per_s=runs * STEPS / seconds,
        cpu_us_per_step=1e6 * busy / runs / STEPS,
        rows_per_s=rows / seconds,
        rows_per_step=rows / runs / STEPS,
        commits_per_step=commits / runs / STEPS,
        window=[since, time.time()],
        **settings_of(connection),
    )


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--keep", type=Path, help="record, and keep it there")
    parser.add_argument("--recorded", type=Path, help="replay what was kept there")
    given = parser.parse_args()
    if given.keep is not None:
        asyncio.run(record(given.directory, given.keep, given.clients, given.runs))
    else:
        replay(given.recorded, given.directory, given.clients, given.runs)
