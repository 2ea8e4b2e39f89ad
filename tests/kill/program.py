"""The program that is killed: workflows of every kind, whose steps tell the effect ledger what they do.

Each kind has a `Kind` entry, which says how it ends and how many of its steps may be under way at once;
`expected` is the answer, from the input alone.  Outputs are plain functions of inputs, so that a step
done twice, left out, or fed with something else shows.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ripresa import (
    App,
    Retry,
    Retryable,
    StepFailed,
    Terminal,
    child,
    context,
    continue_as_new,
    map_,
    saga,
    sleep,
    step,
    wait_for_signal,
    workflow,
)
from tests.kill import ledger

AGAIN = Retry(max_attempts=6, delay="10ms")
WIDTH = 4
ITEMS = 10
ACTIVE = 24


# -- steps ------------------------------------------------------------------------------------------------------------


def begin(*payload: object) -> dict[str, Any]:
    here = context()
    told = {"key": here.idempotency_key, "run": here.run_uuid, "step": here.step, "attempt": here.attempt}
    told["hash"] = ledger.payload_hash(here.step, *payload)
    ledger.note("begin", **told)
    return told


def end(told: dict[str, Any]) -> None:
    ledger.note("end", **told)


async def effect(number: int, index: int, fails: int = 0) -> dict[str, Any]:
    told = begin(number, index, fails)
    await asyncio.sleep(random.Random(number * 31 + index).random() * 0.02)
    if told["attempt"] <= fails:
        ledger.note("fail", **told)
        raise Retryable(f"attempt {told['attempt']} of {fails} that fail")
    return told


@step
async def work(number: int, index: int) -> int:
    end(await effect(number, index))
    return number + index


@step(retry=AGAIN)
async def flaky(number: int, index: int, fails: int) -> int:
    end(await effect(number, index, fails))
    return number + index


@step
def plain(number: int, index: int) -> int:
    told = begin(number, index)
    time.sleep(0.01)
    end(told)
    return number + index


@step(runtime="process")
def heavy(number: int, index: int) -> int:
    told = begin(number, index)
    time.sleep(0.01)
    end(told)
    return number + index


@step
async def give_back(number: int, index: int) -> int:
    end(await effect(number, index))
    return index


@step(compensate=give_back)
async def take(number: int, index: int) -> int:
    end(await effect(number, index))
    return index


@step
async def refuse(number: int) -> None:
    told = begin(number)
    ledger.note("fail", **told)
    raise Terminal("as planned")


@step
async def item(pair: list[int]) -> int:
    end(await effect(*pair))
    return sum(pair)


# -- workflows --------------------------------------------------------------------------------------------------------


@workflow
async def sequence(number: int) -> int:
    total = 0
    for index in range(5):
        total += await work(number, index)
        total += await flaky(number, index, index % 3)
    return total


@workflow
async def timers(number: int) -> int:
    total = await work(number, 0)
    await sleep(seconds=0.05)
    total += await work(number, 1)
    await asyncio.sleep(0.15)
    return total + await work(number, 2)


@workflow
async def signalled(number: int) -> list[int]:
    seen = []
    for index in range(3):
        await work(number, index)
        seen.append(await wait_for_signal("go", int))
    return seen


@workflow
async def family(number: int) -> list[int]:
    first = await work(number, 0)
    children = await asyncio.gather(child(timers, number), child(short, number))
    return [first, *children]


@workflow
async def short(number: int) -> int:
    return await flaky(number, 7, 1)


@workflow
async def fan(number: int) -> list[int]:
    return await map_(item, [[number, index] for index in range(ITEMS)], max_parallel=WIDTH)


@workflow
async def undone(number: int) -> None:
    for index in range(4):
        await take(number, index)
    await refuse(number)


@workflow
async def half_undone(number: int) -> int:
    total = await work(number, 0)
    try:
        async with saga():
            await take(number, 1)
            await take(number, 2)
            await sleep(seconds=0.02)
            await refuse(number)
    except StepFailed:
        total += await work(number, 3)
    return total


@workflow
async def generations(number: int, generation: int = 0, total: int = 0) -> int:
    total += await work(number, generation)
    if generation < 3:
        await continue_as_new(number, generation + 1, total)
    return total


@workflow
def in_line(number: int) -> int:
    total = 0
    for index in range(4):
        total += plain(number, index)
    return total


@workflow
async def by_process(number: int) -> int:
    return plain(number, 0) + heavy(number, 1) + heavy(number, 2)


@workflow
async def stopped(number: int) -> int:
    """Is cancelled from outside, sooner or later."""
    for index in range(3):
        await take(number, index)
    await wait_for_signal("never", int)
    return 0


@workflow
async def halting(number: int) -> int:
    """Is paused and resumed from outside."""
    total = 0
    for index in range(8):
        total += await work(number, index)
        await sleep(seconds=0.02)
    return total


# -- what is expected -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    workflow: Any
    expected: Callable[[int], Any]
    status: str = "succeeded"
    at_once: int = 1
    """Steps under way at the same time, at most: so many a kill may repeat."""


KINDS = {
    kind.workflow.name: kind
    for kind in (
        Kind(sequence, lambda n: 10 * n + 20),
        Kind(timers, lambda n: 3 * n + 3),
        Kind(signalled, lambda n: [0, 1, 2]),
        Kind(family, lambda n: [n, 3 * n + 3, n + 7]),
        Kind(fan, lambda n: [n + index for index in range(ITEMS)], at_once=WIDTH),
        Kind(undone, lambda n: None, status="failed"),
        Kind(half_undone, lambda n: 2 * n + 3),
        Kind(generations, lambda n: 4 * n + 6),
        Kind(in_line, lambda n: 4 * n + 6),
        Kind(by_process, lambda n: 3 * n + 3),
        Kind(stopped, lambda n: None, status="cancelled"),
        Kind(halting, lambda n: 8 * n + 28),
        Kind(short, lambda n: n + 7),
    )
}
OFTEN = [name for name in KINDS if name != "by_process"] * 4 + ["by_process"]


def kind_of(number: int) -> Kind:
    return KINDS[random.Random(number).choice(OFTEN)]


def warm_up() -> None:
    """Have loaded what is loaded at the first use, so that a forked life need not."""
    for kind in KINDS.values():
        kind.workflow.signature.decode('{"number":1}')
        kind.workflow.signature.input_schema()


# -- one life ---------------------------------------------------------------------------------------------------------


async def live(url: str, say: Callable[[str], None], *, first: int, last: int, evict_after: str | int) -> None:
    """Own the store, start runs `first` to `last` so that `ACTIVE` are under way; until killed."""
    say("opening")
    config = {"processes": 1, "threads": 4, "lease_s": 1.0}
    async with App(
        url, workflows=[kind.workflow for kind in KINDS.values()], evict_after=evict_after, config=config
    ) as app:
        say("up")
        for number in range(first, last):
            while await _active(app) >= ACTIVE:  # noqa: ASYNC110 - nobody tells of runs that end
                await asyncio.sleep(0.005)
            name = kind_of(number).workflow
            run = await app.start(name, number, id=f"started-{number}")
            ledger.note("ack", run=run.uuid, id=run.id, number=number)
        while True:
            await asyncio.sleep(0.05)
            if app.engine.failure is not None:
                raise app.engine.failure


async def _active(app: App) -> int:
    counts = await app.store.count_runs()
    return sum(n for status, n in counts.items() if status not in {"succeeded", "failed", "cancelled"})


def main(url: str, pipe: int, first: int, last: int, evict_after: str) -> None:
    """A life that begins in this process."""

    def say(word: str) -> None:
        os.write(pipe, f"{word}\n".encode())

    after = int(evict_after) if evict_after.isdigit() else evict_after
    asyncio.run(live(url, say, first=first, last=last, evict_after=after))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
