"""Lines: only so many runs of a key go on at a time; the others wait, are ended, or end the older ones."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import PayloadError, RunCancelled, RunConflict, RunFailed, child, workflow
from ripresa.author.graph.definition import Concurrency, GraphDefinition
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.plan import Dependency, Graph, Node
from ripresa.author.graph.works import Call, Receive
from ripresa.author.step import as_step
from tests.engine.conftest import _quiet


def definition(world, policy="queue", limit=1, key=lambda values: values["params"].get("region", ""), **options):
    """Notes that it has begun, waits for a signal, notes that it has ended."""

    def node(name, work, *after):
        return Node(name=name, work=work, depends_on=tuple(map(Dependency, after)))

    def note(name):
        return Call.of(name, as_step(world.did), lambda values: ((), {"what": [name, values["params"]["n"]]}))

    nodes = (node("begun", note("begun")), node("go", Receive(), "begun"), node("ended", note("ended"), "go"))
    graph = Graph(name="sales", nodes=nodes)
    made = GraphDefinition(graph, signature=GraphInput("sales", {}))
    made.concurrency = Concurrency(key, limit, policy)
    for name, value in options.items():
        setattr(made, name, value)
    return made


async def start(app, made, n, **options):
    params = {"n": n, **{key: options.pop(key) for key in ("region",) if key in options}}
    return await app.start(made, params, id=f"run-{n}", **options)


async def statuses(app):
    await _quiet(app)
    return {run.id: run.status for run in await app.list()}


def begun(world):
    return [n for what, n in world.ledger if what == "begun"]


async def until_begun(world, count):
    """So many have begun; nothing tells of it but their ledger."""
    while len(begun(world)) < count:  # noqa: ASYNC110 - a step in a thread writes it
        await asyncio.sleep(0.001)
    return begun(world)


async def test_one_more_waits_and_starts_when_the_place_is_free(world):
    made = definition(world)
    app = await world.open(made)
    runs = [await start(app, made, n) for n in (1, 2, 3)]
    found = await statuses(app)
    assert (found["run-2"], found["run-3"]) == ("queued", "queued")
    assert await until_begun(world, 1) == [1]
    for n, run in enumerate(runs, 1):
        await app.signal(run, "go")
        await run.result("30s")
        following = min(n + 1, 3)
        assert await until_begun(world, following) == list(range(1, following + 1))
    assert await app.engine.store.line("sales") == []


async def test_runs_of_other_keys_do_not_count(world):
    made = definition(world)
    app = await world.open(made)
    for n, region in ((1, "eu"), (2, "us"), (3, "eu")):
        await start(app, made, n, region=region)
    await _quiet(app)
    assert sorted(await until_begun(world, 2)) == [1, 2]
    eu = [(await app.get(ref)).row.id for ref in ("run-1", "run-3")]
    assert [one.run for one in await app.engine.store.line("sales:eu")] == eu


async def test_as_many_go_on_as_the_limit_says(world):
    made = definition(world, limit=2)
    app = await world.open(made)
    for n in (1, 2, 3):
        await start(app, made, n)
    await _quiet(app)
    assert sorted(await until_begun(world, 2)) == [1, 2]


async def test_a_higher_priority_goes_first(world):
    made = definition(world)
    app = await world.open(made)
    first = await start(app, made, 1)
    await start(app, made, 2)
    await start(app, made, 3, priority=9)
    await _quiet(app)
    await app.signal(first, "go")
    await first.result("30s")
    assert await until_begun(world, 2) == [1, 3]


async def test_a_run_that_was_cancelled_makes_room_too(world):
    made = definition(world)
    app = await world.open(made)
    first, second = await start(app, made, 1), await start(app, made, 2)
    assert await until_begun(world, 1) == [1]
    await app.cancel(first)
    with pytest.raises(RunCancelled):
        await first.result("30s")
    await app.signal(second, "go")
    await second.result("30s")
    assert begun(world) == [1, 2]


async def test_who_waits_can_be_cancelled_and_the_next_moves_up(world):
    made = definition(world)
    app = await world.open(made)
    first, second, third = [await start(app, made, n) for n in (1, 2, 3)]
    await _quiet(app)
    await app.cancel(second)
    with pytest.raises(RunCancelled):
        await second.result("30s")
    await app.signal(first, "go")
    await app.signal(third, "go")  # kept until it begins
    await third.result("30s")
    assert begun(world) == [1, 3]


async def test_the_line_outlives_a_crash(world):
    made = definition(world)
    app = await world.open(made)
    for n in (1, 2, 3):
        await start(app, made, n)
    await _quiet(app)
    app = await world.crash(app)
    assert (await statuses(app))["run-2"] == "queued"
    assert await until_begun(world, 1) == [1]
    await app.signal("run-1", "go")
    await (await app.get("run-1")).result("30s")
    app = await world.crash(app)
    assert set(await until_begun(world, 2)) == {1, 2}  # the crash may have come when it had begun, and it begins again
    assert (await statuses(app))["run-3"] == "queued"


async def test_skip_cancels_one_more_and_says_why(world):
    made = definition(world, "skip")
    app = await world.open(made)
    await start(app, made, 1)
    await _quiet(app)
    second = await start(app, made, 2)
    with pytest.raises(RunCancelled, match="1 run of sales goes on already") as cancelled:
        await second.result("30s")
    assert cancelled.value.cause.code == "concurrency"
    await app.signal("run-1", "go")
    await (await app.get("run-1")).result("30s")
    third = await start(app, made, 3)
    await app.signal(third, "go")
    await third.result("30s")
    assert begun(world) == [1, 3]


async def test_fail_fails_one_more(world):
    made = definition(world, "fail")
    app = await world.open(made)
    await start(app, made, 1)
    await _quiet(app)
    second = await start(app, made, 2)
    with pytest.raises(RunFailed, match="goes on already"):
        await second.result("30s")
    assert await until_begun(world, 1) == [1]


async def test_cancel_running_ends_the_older_ones(world):
    made = definition(world, "cancel_running")
    app = await world.open(made)
    runs = [await start(app, made, n) for n in (1, 2, 3)]
    await app.signal(runs[2], "go")
    await runs[2].result("30s")
    found = await statuses(app)
    assert found == {"run-1": "cancelled", "run-2": "cancelled", "run-3": "succeeded"}


async def test_who_is_ended_while_it_looks_for_its_turn_is_not_in_the_way(memory, monkeypatch):
    made = definition(memory)
    app = await memory.open(made)
    first, second, third = [await start(app, made, n) for n in (1, 2, 3)]
    await _quiet(app)
    engine, admit = app.engine, app.engine.store.admit
    held = await engine.loading.hold(second.row)
    held.visitors += 1  # so that it is not let go of

    async def cancelled_meanwhile(lease, wanted, **options):
        monkeypatch.undo()
        engine.control.cancel_held(held)
        await engine.verbs.on_disk()
        return await admit(lease, wanted, **options)

    monkeypatch.setattr(engine.store, "admit", cancelled_meanwhile)
    await engine.lines.again(held)
    await app.signal(first, "go")
    await app.signal(third, "go")
    await third.result("30s")
    assert begun(memory) == [1, 3]
    assert await engine.store.line("sales") == []


async def test_a_fork_stands_in_line_with_what_it_has_learnt(world):
    made = definition(world)
    app = await world.open(made)
    first = await start(app, made, 1)
    await app.signal(first, "go")
    await first.result("30s")
    second = await start(app, made, 2)
    fork = await app.fork(first, from_step="ended", id="run-1b")
    assert fork.status == "queued"
    await _quiet(app)
    assert (await statuses(app))["run-1b"] == "queued"
    await app.signal(second, "go")
    await second.result("30s")
    await fork.result("30s")
    assert world.ledger.count(["begun", 1]) == 1
    assert world.ledger.count(["ended", 1]) == 2
    assert await app.engine.store.line("sales") == []


async def test_a_run_that_is_tried_again_does_not_wait(world):
    made = definition(world)
    app = await world.open(made)
    first = await start(app, made, 1)
    await _quiet(app)
    await app.cancel(first)
    with pytest.raises(RunCancelled):
        await first.result("30s")
    await start(app, made, 2)
    await _quiet(app)
    await app.retry(first)
    await app.signal(first, "go")
    await first.result("30s")
    assert (await statuses(app))["run-2"] in ("running", "waiting")


async def test_children_stand_in_line_too(world):
    made = definition(world)

    @workflow
    async def parent(n: int) -> None:
        await child(made, {"n": n})

    app = await world.open(parent, made)
    parents = [await app.start(parent, n) for n in (1, 2)]
    for count, _ in enumerate(parents, 1):
        assert len(await until_begun(world, count)) == count
        while not (going := [run for run in await app.list(workflow=made) if run.status in ("running", "waiting")]):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert len(going) == 1
        await app.signal(going[0], "go")
        await going[0].result("30s")
    for run in parents:
        await run.result("30s")
    assert sorted(begun(world)) == [1, 2]


async def test_a_key_that_cannot_be_worked_out_is_told_at_start(world):
    def key(values):
        raise PayloadError("no region")

    made = definition(world, key=key)
    app = await world.open(made)
    with pytest.raises(PayloadError, match="no region"):
        await start(app, made, 1)
    assert await app.list() == []


# --- keys that make two starts one run -----------------------------------------------------------


async def test_two_starts_with_one_idempotency_key_are_one_run(world):
    made = definition(world, limit=9, idempotency_key=lambda values: values["params"]["region"])
    app = await world.open(made)
    first = await app.start(made, {"n": 1, "region": "eu"})
    second = await app.start(made, {"n": 2, "region": "eu"})
    other = await app.start(made, {"n": 3, "region": "us"})
    assert (first.id, second.id, other.id) == ("sales:eu", "sales:eu", "sales:us")
    assert first.row.id == second.row.id
    with pytest.raises(RunConflict):
        await app.start(made, {"n": 9}, id="sales:eu")


async def test_a_definitions_priority_is_that_of_its_runs(world):
    made = definition(world, limit=9, priority=7)
    app = await world.open(made)
    assert (await start(app, made, 1)).row.priority == 7
    assert (await start(app, made, 2, priority=3)).row.priority == 3
