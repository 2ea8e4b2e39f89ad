"""Tasks for workers elsewhere, with a carrier that carries nothing: what an engine takes for lost, and when."""

import asyncio

import ripresa
from ripresa import step, workflow
from ripresa.engine import tasks
from ripresa.ports.clock import SystemClock
from ripresa.runtimes.inline import InlineRuntime
from ripresa.runtimes.thread import ThreadRuntime


class Carrier:
    queue, lease_us, resend_us = "queue", 3_000_000, 60_000_000

    def __init__(self):
        self.carried = []

    def carry(self, queue, ids):
        self.carried += ids

    waiting = 0

    async def depth(self, queue):
        return self.waiting

    async def close(self):
        pass


@step(runtime="celery")
def works(number: int) -> int:
    return number


@workflow
async def both() -> list[int]:
    return await ripresa.map_(works, [1, 2], max_parallel=2)


async def test_a_task_that_is_not_on_disk_yet_is_not_taken_for_gone(world, monkeypatch):
    """However slow the store is: another attempt would begin beside it."""
    monkeypatch.setattr(tasks, "_LOOK_S", 0.01)
    carrier = Carrier()
    runtimes = {"inline": InlineRuntime(), "thread": ThreadRuntime(1), "celery": carrier}
    app = await world.open(both, clock=SystemClock(), runtimes=runtimes)
    commit, gate, slow = app.store.commit, asyncio.Event(), asyncio.Event()
    looks = []

    async def held_up(lease, batch, **more):
        if batch.tasks and len(carrier.carried) >= 2:
            slow.set()
            await gate.wait()
        return await commit(lease, batch, **more)

    monkeypatch.setattr(app.store, "commit", held_up)
    look = app.store.tasks

    async def looked(ids=None):
        looks.append(ids)
        return await look(ids)

    monkeypatch.setattr(app.store, "tasks", looked)
    first = await app.start(both, id="first")
    async with asyncio.timeout(30):
        while len(carrier.carried) < 2:  # noqa: ASYNC110 - a list is no event
            await asyncio.sleep(0.001)
        second = await app.start(both, id="second")
        await slow.wait()
        seen = len(looks)
        while len(looks) < seen + 3:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        gate.set()
        while len(carrier.carried) < 4:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    for run in (first, second):
        assert {one.status for one in await app.store.attempts(run.uuid)} == {"running"}


@workflow
async def many() -> list[int]:
    return await ripresa.map_(works, list(range(20)), max_parallel=20)


async def test_as_many_tasks_are_sent_again_as_are_missing_and_a_few_at_a_time(world, monkeypatch):
    """A broker that lost a few of a long queue is not told of all, and new tasks need not wait for all old ones."""
    monkeypatch.setattr(tasks, "_LOOK_S", 0.01)
    monkeypatch.setattr(tasks, "_AGAIN_MAX", 4)
    monkeypatch.setattr(Carrier, "resend_us", 1)
    carrier = Carrier()
    carrier.waiting = 20
    again, carry = [], carrier.carry

    def carried(queue, ids):
        carry(queue, ids)
        if len(carrier.carried) > 20:
            again.append(ids)
            carrier.waiting += len(ids)

    monkeypatch.setattr(carrier, "carry", carried)
    runtimes = {"inline": InlineRuntime(), "thread": ThreadRuntime(1), "celery": carrier}
    app = await world.open(many, clock=SystemClock(), runtimes=runtimes)
    looks, look = [], app.store.tasks

    async def looked(ids=None):
        looks.append(ids)
        return await look(ids)

    monkeypatch.setattr(app.store, "tasks", looked)

    async def some_looks():
        seen = len(looks)
        while len(looks) < seen + 3:  # noqa: ASYNC110 - a list is no event
            await asyncio.sleep(0.001)

    async with asyncio.timeout(30):
        await app.start(many)
        while len(carrier.carried) < 20:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        await some_looks()
        assert again == []
        carrier.waiting = 17
        await some_looks()
        assert [len(ids) for ids in again] == [3]
        carrier.waiting = 10  # ten are gone
        await some_looks()
        await some_looks()
        await some_looks()
    assert [len(ids) for ids in again] == [3, 4, 4, 2]
    first = carrier.carried[:20]
    assert {*again[0], *again[1], *again[2], *again[3]} <= set(first)
    assert len({*again[0], *again[1], *again[2], *again[3]}) == 13  # those that were sent longest ago
