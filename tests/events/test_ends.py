"""Each end of a run is told of, once, whatever brought it about; and nothing that is no end."""

from __future__ import annotations

import asyncio
import json

import pytest

from ripresa import (
    App,
    Quarantine,
    RunBlocked,
    RunCancelled,
    RunFailed,
    RunQuarantined,
    continue_as_new,
    step,
    wait_for_signal,
    workflow,
)
from ripresa.author.graph.definition import Concurrency, GraphDefinition
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.plan import Graph, Node
from ripresa.author.graph.works import Receive
from ripresa.contracts.events import EventSettings, EventTarget
from ripresa.stores.memory import MemoryDatabase, MemoryStore

WITHIN_S = "30s"


class Bus:
    """A place on disk, and Apps on it that tell of what they do to a target that is never reached."""

    def __init__(self):
        self.database = MemoryDatabase()
        self.apps = []

    async def open(self, *workflows, shared=False):
        store = MemoryStore(self.database, shared=shared)
        events = EventSettings(publish=(EventTarget(to="redis://127.0.0.1:1/0"),))
        app = App(store, workflows=workflows, events=events)
        self.apps.append(app)
        return await app.open()

    def told(self, key):
        """What was said of the run of this id, in order."""
        run = self.database.keys[key]
        return [one.type.removeprefix("workflow_") for one in self.database.outbox.values() if one.run == run]

    def kinds(self, key):
        """What its journal holds."""
        return [event.kind for event in self.database.journal[self.database.keys[key]]]


@pytest.fixture
async def bus():
    bus = Bus()
    yield bus
    for app in bus.apps:
        await app.close()


@workflow
async def waits() -> str:
    return await wait_for_signal("go", str)


@workflow
async def fails_unless_told() -> str:
    msg = await wait_for_signal("go", str)
    if msg == "fail":
        raise ValueError(msg)
    return msg


async def test_runs_that_end_by_themselves(bus):
    app = await bus.open(fails_unless_told)
    good, bad = [await app.start(fails_unless_told, id=name) for name in ("good", "bad")]
    await app.signal(good, "go", "on")
    await app.signal(bad, "go", "fail")
    assert await good.result(WITHIN_S) == "on"
    with pytest.raises(RunFailed):
        await bad.result(WITHIN_S)
    assert bus.told("good") == ["created", "completed"]
    assert bus.told("bad") == ["created", "failed"]


async def test_a_run_that_is_tried_again_has_each_of_its_ends_told(bus):
    first = True

    @step
    async def try_it() -> str:
        nonlocal first
        if first:
            first = False
            msg = "not yet"
            raise ValueError(msg)
        return "done"

    @workflow
    async def tries() -> str:
        return await try_it()

    app = await bus.open(tries)
    run = await app.start(tries, id="run")
    with pytest.raises(RunFailed):
        await run.result(WITHIN_S)
    await app.retry(run)
    assert await run.result(WITHIN_S) == "done"
    fork = await app.fork(run, from_step="try_it", id="fork")
    assert await fork.result(WITHIN_S) == "done"
    assert bus.told("run") == ["created", "failed", "completed"]
    assert bus.told("fork") == ["created", "completed"]


async def test_a_run_that_is_cancelled_twice_ends_once(bus):
    app = await bus.open(waits)
    run = await app.start(waits, id="run")
    await asyncio.gather(app.cancel(run), app.cancel(run))
    with pytest.raises(RunCancelled):
        await run.result(WITHIN_S)
    await app.cancel(run)
    assert bus.told("run") == ["created", "cancelled"]


async def test_a_run_that_goes_on_as_new_has_one_end(bus):
    @workflow
    async def rounds(left: int) -> str:
        if left:
            continue_as_new(left - 1)
        return "done"

    app = await bus.open(rounds)
    run = await app.start(rounds, 3, id="run")
    assert await run.result(WITHIN_S) == "done"
    assert bus.told("run") == ["created", "completed"]


@pytest.mark.parametrize(("how", "then"), [("release", "completed"), ("discard", "failed"), ("cancel", "cancelled")])
async def test_a_run_that_is_set_aside_and_what_a_person_makes_of_it(bus, how, then):
    asked = set()

    @step
    async def asks(name: str) -> str:
        if name not in asked:
            asked.add(name)
            msg = "look at it"
            raise Quarantine(msg)
        return name

    @workflow
    async def both() -> list[str]:
        return list(await asyncio.gather(asks("a"), asks("b")))

    app = await bus.open(both)
    run = await app.start(both, id="run")
    with pytest.raises(RunQuarantined):
        await run.result(WITHIN_S)
    await until(lambda: bus.kinds("run").count("quarantined") == 2)
    if how == "cancel":
        await app.cancel(run)
    else:
        await app.release(run, discard=how == "discard")
    with pytest.raises((RunFailed, RunCancelled)) if then != "completed" else nothing():
        await run.result(WITHIN_S)
    assert bus.told("run") == ["created", "quarantined", then]


def code_of(other):
    """The same workflow before and after a deploy: it fits no more."""

    @step
    async def one() -> int:
        return 1

    @step
    async def two() -> int:
        return 2

    @workflow
    async def story() -> int:
        await (two if other else one)()
        await wait_for_signal("go")
        return 0

    return story


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("gone", [False, True])
async def test_a_blocked_run_that_is_cancelled_says_so_once(bus, shared, gone):
    before, after = code_of(other=False), code_of(other=True)
    app = await bus.open(before, shared=shared)
    run = await app.start(before, id="run")
    await until(lambda: "step_completed" in bus.kinds("run"))
    await app.crash()
    app = await bus.open(after, shared=shared)
    await app.signal("run", "go")
    run = await app.get("run")
    with pytest.raises(RunBlocked):
        await run.result(WITHIN_S)
    if gone:
        await app.crash()
        app = await bus.open(waits, shared=shared)
        run = await app.get("run")
        assert not app.engine.held
    assert bus.told("run") == ["created"]
    await asyncio.gather(app.cancel(run), app.cancel(run))
    with pytest.raises(RunCancelled):
        await run.result(WITHIN_S)
    assert bus.told("run") == ["created", "cancelled"]


@pytest.mark.parametrize(("policy", "then"), [("skip", "cancelled"), ("fail", "failed"), ("queue", "cancelled")])
async def test_a_run_that_ends_before_it_began_was_created(bus, policy, then):
    graph = Graph(name="sales", nodes=(Node(name="go", work=Receive()),))
    made = GraphDefinition(graph, signature=GraphInput("sales", {}))
    made.concurrency = Concurrency(lambda _: "one", 1, policy)
    app = await bus.open(made)
    await app.start(made, {}, id="first")
    await until(lambda: bus.told("first") == ["created"])
    second = await app.start(made, {}, id="second")
    if policy == "queue":
        await app.cancel(second)
    with pytest.raises((RunFailed, RunCancelled)):
        await second.result(WITHIN_S)
    assert bus.told("second") == ["created", then]
    assert bus.told("first") == ["created"]


async def test_what_is_told_survives_a_crash_with_what_it_tells_of(bus):
    app = await bus.open(fails_unless_told)
    runs = [await app.start(fails_unless_told, id=f"run-{number}") for number in range(20)]
    for run in runs:
        await app.signal(run, "go", "fail")
    await until(lambda: any(row.status == "failed" for row in bus.database.runs.values()))
    await app.crash()
    ended = {row.key: row.status for row in bus.database.runs.values()}
    for key, status in ended.items():
        assert bus.told(key) == ["created", "failed"][: 1 + (status == "failed")]
    app = await bus.open(fails_unless_told)
    for run in runs:
        with pytest.raises(RunFailed):
            await (await app.get(run.id)).result(WITHIN_S)
        assert bus.told(run.id) == ["created", "failed"]
    for one in bus.database.outbox.values():
        assert json.loads(one.data)["run_id"].startswith("run-")


async def until(is_so):
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - it is in a database
            await asyncio.sleep(0.005)


class nothing:  # noqa: N801 - used like a function
    """In the place of `raises`, where nothing is."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False
