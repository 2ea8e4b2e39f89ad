"""The part of the tortured program that leans on the store: transactions of the user's own SQL, and a pool's slots.

The user's table has no constraint: what is written twice is there twice.
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

from ripresa import Pool, map_, step, transaction, workflow
from ripresa.testing.torture import ledger
from ripresa.testing.torture.telling import QUICK_S, begin, end

BOOKS_VARIABLE = "RIPRESA_TORTURE_BOOKS"
"""Names the user's table, as SQL has it; not set where the store is no PostgreSQL."""
POOL = Pool("few", slots=3)
BOOKS, TAKES = 3, 4


@transaction
async def book(connection: Any, number: int, index: int) -> int:
    told = begin(number, index)
    await connection.execute(
        f"INSERT INTO {os.environ[BOOKS_VARIABLE]} (key, number) VALUES ($1, $2)",  # noqa: S608 - a name of ours
        told["key"],
        number + index,
    )
    end(told)
    return number + index


@workflow
async def booked(number: int) -> int:
    total = 0
    for index in range(BOOKS):
        total += await book(number, index)
    return total


@step(pool=POOL.name)
async def take_turn(pair: list[int]) -> int:
    told = begin(*pair)
    try:
        await asyncio.sleep(random.Random(sum(pair)).random() * QUICK_S)
    finally:
        ledger.note("left", **told)
    end(told)
    return sum(pair)


@workflow
async def in_turn(number: int) -> list[int]:
    return await map_(take_turn, [[number, index] for index in range(TAKES)])
