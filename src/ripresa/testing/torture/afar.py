"""The part of the tortured program whose steps Celery workers carry out, over each kind of broker.

Workers find the steps by their names in this module; workflows are made for each kind of broker from the same words.
"""

from __future__ import annotations

from typing import Any

from ripresa import map_, step, wait_for_signal, workflow
from ripresa.testing.torture.telling import AGAIN, SLOW_S, effect, end

REDIS: Any = "redis"
RABBITMQ: Any = "rabbitmq"
WIDTH = 6
ITEMS = 8


async def _done(number: int, index: int, fails: int = 0) -> int:
    end(await effect(number, index, fails, within_s=SLOW_S))
    return number + index


@step(runtime=REDIS)
async def by_redis(number: int, index: int) -> int:
    return await _done(number, index)


@step(runtime=REDIS, retry=AGAIN)
async def flaky_by_redis(number: int, index: int, fails: int) -> int:
    return await _done(number, index, fails)


@step(runtime=REDIS)
async def item_by_redis(pair: list[int]) -> int:
    return await _done(*pair)


@step(runtime=RABBITMQ)
async def by_rabbitmq(number: int, index: int) -> int:
    return await _done(number, index)


@step(runtime=RABBITMQ, retry=AGAIN)
async def flaky_by_rabbitmq(number: int, index: int, fails: int) -> int:
    return await _done(number, index, fails)


@step(runtime=RABBITMQ)
async def item_by_rabbitmq(pair: list[int]) -> int:
    return await _done(*pair)


def _workflows(kind: str, plain: Any, flaky: Any, item: Any) -> list[Any]:
    """One after the other; side by side; until it is cancelled."""

    @workflow(name=f"over_{kind}")
    async def one_by_one(number: int) -> int:
        return await plain(number, 0) + await flaky(number, 1, 1) + await plain(number, 2)  # type: ignore[no-any-return]

    @workflow(name=f"fan_{kind}")
    async def fan(number: int) -> list[int]:
        return await map_(item, [[number, index] for index in range(ITEMS)], max_parallel=WIDTH)

    @workflow(name=f"stopped_{kind}")
    async def stopped(number: int) -> int:
        """Is cancelled from outside, sooner or later."""
        for index in range(4):
            await plain(number, index)
        await wait_for_signal("never", int)
        return 0

    return [one_by_one, fan, stopped]


WORKFLOWS: dict[str, list[Any]] = {
    REDIS: _workflows(REDIS, by_redis, flaky_by_redis, item_by_redis),
    RABBITMQ: _workflows(RABBITMQ, by_rabbitmq, flaky_by_rabbitmq, item_by_rabbitmq),
}
STOPPED = frozenset(f"stopped_{kind}" for kind in WORKFLOWS)
