"""The program that is tortured: workflows of every kind, whose steps tell the effect ledger what they do.

Each kind has a `Kind` entry, which says how it ends and how many of its steps may be under way at once;
`expected` is the answer, from the input alone.  Outputs are plain functions of inputs, so that a step
done twice, left out, or fed with something else shows.
"""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ripresa import (
    StepFailed,
    StepInterrupted,
    Terminal,
    child,
    continue_as_new,
    map_,
    saga,
    sleep,
    step,
    wait_for_signal,
    workflow,
)
from ripresa.testing.torture import afar, in_store, ledger
from ripresa.testing.torture.telling import AGAIN, begin, effect, end

WIDTH = 4
ITEMS = 10
SHARED_BY = 3


# -- steps ------------------------------------------------------------------------------------------------------------


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


@step(at_most_once=True)
async def just_once(number: int) -> int:
    end(await effect(number, 0))
    return number


@step(effect=lambda group: f"paid-{group}")
async def pay(group: int) -> int:
    end(await effect(group, 0))
    return group


@step
async def marked(code: int, number: int, index: int) -> int:
    told = begin(number, index, code=code)
    await asyncio.sleep(0.01)
    end(told)
    return number + index


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


@workflow
async def once_at_most(number: int) -> list[int | str]:
    told: list[int | str] = [await work(number, 0)]
    try:
        told.append(await just_once(number))
    except StepInterrupted:
        told.append("interrupted")
    return [*told, await work(number, 1)]


@workflow
async def sharing(number: int) -> int:
    """Several runs want the same thing done once."""
    return await work(number, 0) + await pay(number // SHARED_BY)


# -- what is expected -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    workflow: Any
    expected: Callable[[int], Any]
    """The output."""
    status: str = "succeeded"
    at_once: int = 1
    """Steps under way at the same time, at most: so many a kill may repeat."""
    or_else: Callable[[int], Any] | None = None
    """Another output that is as good."""


KINDS = {
    kind.workflow.name: kind
    for kind in (
        Kind(sequence, lambda n: 10 * n + 20),
        Kind(timers, lambda n: 3 * n + 3),
        Kind(signalled, lambda _: [0, 1, 2]),
        Kind(family, lambda n: [n, 3 * n + 3, n + 7]),
        Kind(fan, lambda n: [n + index for index in range(ITEMS)], at_once=WIDTH),
        Kind(undone, lambda _: None, status="failed"),
        Kind(half_undone, lambda n: 2 * n + 3),
        Kind(generations, lambda n: 4 * n + 6),
        Kind(in_line, lambda n: 4 * n + 6),
        Kind(by_process, lambda n: 3 * n + 3),
        Kind(stopped, lambda _: None, status="cancelled"),
        Kind(halting, lambda n: 8 * n + 28),
        Kind(short, lambda n: n + 7),
        Kind(once_at_most, lambda n: [n, n, n + 1], or_else=lambda n: [n, "interrupted", n + 1]),
        Kind(sharing, lambda n: n + n // SHARED_BY),
        Kind(in_store.in_turn, lambda n: [n + index for index in range(in_store.TAKES)], at_once=in_store.TAKES),
    )
}
OFTEN = [name for name in KINDS if name != "by_process"] * 4 + ["by_process", *["versioned"] * 8]


def _afar(kind: str) -> list[Kind]:
    one_by_one, fan_out, until_cancelled = afar.WORKFLOWS[kind]
    return [
        Kind(one_by_one, lambda n: 3 * n + 3),
        Kind(fan_out, lambda n: [n + index for index in range(afar.ITEMS)]),
        Kind(until_cancelled, lambda _: None, status="cancelled"),
    ]


POSTGRESQL = "postgresql"
WITH = {
    **{kind: {one.workflow.name: one for one in _afar(kind)} for kind in afar.WORKFLOWS},
    POSTGRESQL: {"booked": Kind(in_store.booked, lambda n: 3 * n + 3)},
}
"""Kinds of runs that there are only with a broker of that kind, or with that store."""
ALL = KINDS | {name: kind for kinds in WITH.values() for name, kind in kinds.items()}


# -- versions ---------------------------------------------------------------------------------------------------------

VERSIONED = "versioned"


@functools.cache
def versioned(code: int) -> Any:
    """The workflow that has another version in each release; its output names the one that it began with."""

    @workflow(name=VERSIONED, version=str(code))
    async def of_release(number: int) -> list[int]:
        total = 0
        for index in range(4):
            total += await marked(code, number, index)
        return [code, total]

    return of_release


def workflows(code: int) -> list[Any]:
    """What engines of this release of the code know: all kinds, and of one the version before, too."""
    return [*(kind.workflow for kind in ALL.values()), versioned(code - 1), versioned(code)]


def workflow_of(number: int, code: int, having: Iterable[str]) -> Any:
    """What run `number` is to be a run of, where there are these brokers, and this store."""
    name = random.Random(number).choice([*OFTEN, *_often_with(having)])
    return versioned(code) if name == VERSIONED else ALL[name].workflow


def workflow_from_outside(number: int, having: Iterable[str]) -> Any:
    """The same for who knows of no releases."""
    names = [name for name in [*OFTEN, *_often_with(having)] if name != VERSIONED]
    return ALL[random.Random(number).choice(names)].workflow


def _often_with(having: Iterable[str]) -> list[str]:
    return [name for what in having for name in WITH[what]] * 8


def warm_up() -> None:
    """Have loaded what is loaded at the first use, so that a forked life need not."""
    for kind in ALL.values():
        kind.workflow.signature.decode('{"number":1}')
        kind.workflow.signature.input_schema()
