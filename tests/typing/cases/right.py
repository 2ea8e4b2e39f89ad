"""Code that type-checks as it stands."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel

from ripresa import App, Retry, blocking, child, run, sleep, step, wait_for_signal, workflow


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
    return price.start(order).result()


async def main() -> None:
    async with App("memory://", [fulfil, plain, inner]) as app:
        started = await app.start(fulfil, Order(item="hat"), id="order-7")
        assert_type(await started.result(), list[str])
        assert_type(await (await app.start(plain, Order(item="hat"))).result(), float)


run(fulfil, Order(item="hat"))
