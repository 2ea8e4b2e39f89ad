"""Code that type-checks as it stands."""

from __future__ import annotations

from typing import Any, assert_type

from pydantic import BaseModel

from ripresa import App, Failure, Retry, blocking, child, map_, run, sleep, step, wait_for_signal, workflow


class Order(BaseModel):
    item: str


@step
async def price(order: Order) -> float:
    return float(len(order.item))


@step(retry=Retry(max_attempts=3), timeout="1m")
def pack(order: Order, boxes: int = 1) -> list[str]:
    return [order.item] * boxes


@workflow
async def inner(count: int) -> str:
    return str(count)


@workflow
def halved(count: int) -> float:
    return count / 2


@workflow
async def many(orders: list[Order], width: int | None) -> None:
    assert_type(await map_(price, orders), list[float])
    assert_type(await map_(pack, tuple(orders), max_parallel=4), list[list[str]])
    assert_type(await map_(inner, range(3)), list[str])
    assert_type(await map_(halved, range(3), max_parallel=width), list[float])
    assert_type(await map_(price, orders, min_success=1), list[float | Failure])
    assert_type(await map_(pack, orders, min_success=1), list[list[str] | Failure])
    assert_type(await map_(inner, [1], min_success=1), list[str | Failure])
    assert_type(await map_(halved, [1], min_success=1), list[float | Failure])
    assert_type(await map_(price.using(timeout="5s"), orders), list[Any])


@workflow
async def fulfil(order: Order) -> list[str]:
    assert_type(await price(order), float)
    assert_type(pack(order), list[str])
    assert_type(pack(order, boxes=2), list[str])
    handle = price.start(order)
    assert_type(await handle, float)
    assert_type(await wait_for_signal("label", Order), Order)
    assert_type(await child(inner, 3), str)
    await sleep(days=1)
    return pack(order)


@workflow
def plain(order: Order) -> float:
    blocking.sleep("1h")
    assert_type(blocking.wait_for_signal("label", int), int)
    assert_type(blocking.child(inner, 1), str)
    assert_type(blocking.map_(price, [order]), list[float])
    assert_type(blocking.map_(pack, [order], max_parallel=2), list[list[str]])
    assert_type(blocking.map_(inner, [1], min_success=0), list[str | Failure])
    assert_type(blocking.map_(halved, [1], min_success=0), list[float | Failure])
    return price.start(order).result()


async def main() -> None:
    async with App("memory://", [fulfil, plain, inner]) as app:
        started = await app.start(fulfil, Order(item="hat"), id="order-7")
        assert_type(await started.result(), list[str])
        assert_type(await (await app.start(plain, Order(item="hat"))).result(), float)


run(fulfil, Order(item="hat"))
