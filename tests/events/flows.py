"""Workflows that publish, and that events start or signal."""

from typing import Any

from ripresa import publish, step, wait_for_signal, workflow

STARTED = []


@workflow
async def tells(count: int) -> int:
    for number in range(count):
        await publish("order.placed", {"number": number})
    return count


@workflow
async def fails() -> None:
    msg = "no stock"
    raise ValueError(msg)


@step
async def note(order: dict[str, Any]) -> None:
    STARTED.append(order)


@workflow
async def placed(order: dict[str, Any]) -> str:
    await note(order)
    return str(order["id"])


@workflow
async def waits() -> Any:
    return [await wait_for_signal("label"), await wait_for_signal("label")]


ALL = [tells, fails, placed, waits]
