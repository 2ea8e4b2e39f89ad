"""Which driver writes a batch to PostgreSQL with the least CPU: asyncpg or psycopg 3, arrays or one JSON text.

One statement a batch, in autocommit: rows of the journal go from Python into a table by `INSERT … SELECT` out of
parameters, as `ripresa.stores.postgres` does it.  What counts is the processor time of this process per row, as the
server has the other core; the time on the clock stands beside it.

    python -m benchmarks.pg_drivers postgresql://localhost/scratch

Needs both drivers (`pip install asyncpg 'psycopg[binary]'`) and a database where it may make a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import psycopg

TYPES = ("text", "int8", "text", "int8", "text", "text", "int8", "int4", "int8", "text", "text")
COLUMNS = ("run", "seq", "kind", "at", "operation", "name", "fingerprint", "attempt", "started_at", "data", "error")
TABLE = f"CREATE UNLOGGED TABLE pg_drivers ({', '.join(map(' '.join, zip(COLUMNS, TYPES, strict=True)))})"

ROUNDS = 5
ROWS_A_ROUND = 6_000

Row = tuple[Any, ...]
Write = Callable[[list[Row]], Awaitable[object]]


def rows(count: int) -> list[Row]:
    """Events as a step that returned something leaves them."""
    data = json.dumps({"order": 123456, "lines": [{"sku": "abc-1", "count": 2}], "note": 'say "hello"'})
    rest = ("step_completed", 1_700_000_000_000_000, "charge#2", "charge", -(2**60) + 1, 1, 1_700_000_000_000_000)
    return [(f"{n:08x}-0000-7000-8000-000000000000", 7, *rest, data, None) for n in range(count)]


def columns(batch: Sequence[Row]) -> list[list[Any]]:
    return [list(column) for column in zip(*batch, strict=True)]


def from_arrays(mark: str) -> str:
    marks = ", ".join(f"{mark.format(n)}::{kind}[]" for n, kind in enumerate(TYPES, 1))
    return f"INSERT INTO pg_drivers SELECT * FROM unnest({marks})"  # noqa: S608 - our own constants


def from_json(mark: str) -> str:
    picked = ", ".join(f"(row->>{n})::{kind}" for n, kind in enumerate(TYPES))
    return f"INSERT INTO pg_drivers SELECT {picked} FROM json_array_elements({mark}::json) AS row"  # noqa: S608 - as above


async def writers(url: str) -> dict[str, Write]:
    """Each way to write a batch."""
    one = await asyncpg.connect(url)
    other = await psycopg.AsyncConnection.connect(url, autocommit=True)
    other.prepare_threshold = 0
    arrays, packed = await one.prepare(from_arrays("${}")), await one.prepare(from_json("$1"))
    cursor = other.cursor(binary=True)
    names = (from_arrays("%b"), from_json("%s"))
    return {
        "asyncpg, arrays": lambda batch: arrays.fetch(*columns(batch)),
        "asyncpg, JSON": lambda batch: packed.fetch(json.dumps(batch)),
        "psycopg, arrays": lambda batch: cursor.execute(names[0], columns(batch)),
        "psycopg, JSON": lambda batch: cursor.execute(names[1], [json.dumps(batch)]),
    }


async def measure(write: Write, size: int) -> tuple[float, float]:
    """Processor time of this process, and time on the clock, of one row in µs."""
    batch = rows(size)
    for _ in range(5):
        await write(batch)
    times = max(5, ROWS_A_ROUND // size // 4)
    busy, start = time.process_time(), time.perf_counter()
    for _ in range(times):
        await write(batch)
    number = times * size / 1e6
    return (time.process_time() - busy) / number, (time.perf_counter() - start) / number


async def main(url: str) -> None:
    scratch = await asyncpg.connect(url)
    await scratch.execute("DROP TABLE IF EXISTS pg_drivers")
    await scratch.execute(TABLE)
    ways = await writers(url)
    print(f"{'rows':>5}  {'':16}  {'CPU µs/row':>10}  {'clock µs/row':>12}")
    for size in (1, 20, 200, 1_000):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, write in ways.items():
                found[name].append(await measure(write, size))
            await scratch.execute("TRUNCATE pg_drivers")
        for name, times in found.items():
            busy, clock = (sorted(column)[ROUNDS // 2] for column in zip(*times, strict=True))
            print(f"{size:>5}  {name:16}  {busy:10.2f}  {clock:12.2f}")
    await scratch.execute("DROP TABLE pg_drivers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="a database where a table may be made")
    asyncio.run(main(parser.parse_args().url))
