"""Labels: a step is carried out by an engine that has what it needs, wherever its run was."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import App, RunFailed, map_, sleep, step, wait_for_signal, workflow
from ripresa.author.graph.dag import DAG, task
from ripresa.kernel.retry import Retry


def where(fleet, name="work", **options):
    """A step that notes which engine does it."""

    @step(name=name, **options)
    async def work(n: int = 0) -> int:
        fleet.did.append((name, current(fleet)))
        return n

    return work


def current(fleet):
    """The engine that carries out the step that asks; each App of the fleet has a runtime of its own."""
    return fleet.current.get()


@pytest.fixture(autouse=True)
def _engines_that_are_told_apart(fleet, monkeypatch):
    from contextvars import ContextVar

    from ripresa.engine.attempts import Attempts

    fleet.current = ContextVar("current")
    run = Attempts.run

    async def noted(self, flight):
        token = fleet.current.set(self._engine.number)
        try:
            await run(self, flight)
        finally:
            fleet.current.reset(token)

    monkeypatch.setattr(Attempts, "run", noted)


def number(app):
    return app.engine.number


async def test_a_step_is_carried_out_where_its_labels_are_and_the_run_goes_there(fleet):
    pack, train, report = where(fleet, "pack"), where(fleet, "train", labels={"gpu": "a100"}), where(fleet, "report")

    @workflow
    async def learn() -> int:
        return await pack(1) + await train(2) + await report(3)

    plain = await fleet.open(learn)
    other = await fleet.open(learn, config={"labels": {"gpu": "t4"}})
    fitting = await fleet.open(learn, config={"labels": {"gpu": "a100", "eu": None}})
    run = await plain.start(learn)
    assert await run.result() == 6
    assert fleet.did[0] == ("pack", number(plain))
    assert fleet.did[1:] == [("train", number(fitting)), ("report", number(fitting))]
    assert number(other) not in {engine for _, engine in fleet.did}
    assert await fleet.apps[0].store.needs([run.uuid]) == []


async def test_a_label_without_a_value_is_had_with_any(fleet):
    train = where(fleet, "train", labels="gpu")

    @workflow
    async def learn() -> int:
        return await train(1)

    plain, fitting = await fleet.open(learn), await fleet.open(learn, config={"labels": ["gpu=t4"]})
    assert await (await plain.start(learn)).result() == 1
    assert fleet.did == [("train", number(fitting))]


async def test_a_run_waits_for_an_engine_that_is_still_to_come_and_is_nobodys_meanwhile(fleet):
    train = where(fleet, "train", labels="gpu")

    @workflow
    async def learn() -> int:
        return await train(1)

    plain = await fleet.open(learn)
    run = await plain.start(learn)
    await fleet.until(lambda: fleet.owner(run) is None)
    assert (await plain.get(run)).status == "waiting"
    assert [(one.step, one.labels) for one in await plain.store.needs([run.uuid])] == [("train", '["gpu"]')]
    await fleet.look_around()
    assert fleet.did == []
    fitting = await fleet.open(learn, config={"labels": {"gpu"}})
    assert await run.result() == 1
    assert fleet.did == [("train", number(fitting))]


async def test_a_run_that_waits_for_labels_is_cancelled_paused_and_resumed_by_any_engine(fleet):
    train = where(fleet, "train", labels="gpu")

    @workflow
    async def learn() -> int:
        return await train(1)

    plain, second = await fleet.open(learn), await fleet.open(learn)
    cancelled, paused = await plain.start(learn), await plain.start(learn)
    await fleet.until(lambda: fleet.owner(cancelled) is None and fleet.owner(paused) is None)
    await second.cancel(cancelled)
    await fleet.until_status(plain, cancelled, "cancelled")
    assert await plain.store.needs([cancelled.uuid]) == []
    await second.pause(paused)
    assert (await plain.get(paused)).status == "paused"
    fitting = await fleet.open(learn, config={"labels": {"gpu"}})
    await fleet.look_around()
    assert fleet.did == []
    await second.resume(paused)
    assert await paused.result() == 1
    assert fleet.did == [("train", number(fitting))]


async def test_timers_and_signals_go_on_while_a_step_waits_for_labels(fleet):
    train, note = where(fleet, "train", labels="gpu"), where(fleet, "note")

    @workflow
    async def learn() -> int:
        training = train.start(1)
        await sleep(seconds=0.05)
        await note(2)
        told = await wait_for_signal("go", int)
        await note(told)
        return told + await training

    plain = await fleet.open(learn)
    run = await plain.start(learn)
    await fleet.until(lambda: fleet.count(("note", number(plain))) == 1)
    await fleet.until(lambda: fleet.owner(run) is None)
    await plain.signal(run, "go", 5)
    await fleet.until(lambda: fleet.count(("note", number(plain))) == 2)
    await fleet.until(lambda: fleet.owner(run) is None)
    fitting = await fleet.open(learn, config={"labels": {"gpu"}})
    assert await run.result() == 6
    assert fleet.did[-1] == ("train", number(fitting))


async def test_steps_side_by_side_with_other_needs_are_each_carried_out_where_they_fit(fleet):
    steps = [where(fleet, name, labels=labels) for name, labels in (("a", "one"), ("b", "two"), ("c", None))]

    @workflow
    async def mixed() -> list[int]:
        return list(await asyncio.gather(*(one(n) for n, one in enumerate(steps))))

    plain = await fleet.open(mixed)
    one = await fleet.open(mixed, config={"labels": {"one"}})
    two = await fleet.open(mixed, config={"labels": {"two"}})
    runs = [await plain.start(mixed) for _ in range(5)]
    assert [await run.result() for run in runs] == [[0, 1, 2]] * 5
    assert fleet.count(("a", number(one))) == fleet.count(("b", number(two))) == 5
    assert len(fleet.did) == 15


async def test_the_run_goes_when_what_is_under_way_of_it_has_ended(fleet):
    train, let_through = where(fleet, "train", labels="gpu"), asyncio.Event()

    @step
    async def slow() -> int:
        fleet.did.append("slow")
        await let_through.wait()
        return 1

    @workflow
    async def learn() -> int:
        return sum(await asyncio.gather(slow(), train(2)))

    plain, fitting = await fleet.open(learn), await fleet.open(learn, config={"labels": {"gpu"}})
    run = await plain.start(learn)
    await fleet.until(lambda: run.uuid in fleet.database.needs)
    await fleet.look_around()
    assert (fleet.owner(run), fleet.did) == (number(plain), ["slow"])
    let_through.set()
    assert await run.result() == 3
    assert fleet.did == ["slow", ("train", number(fitting))]


async def test_a_step_that_fails_is_tried_again_where_its_labels_are(fleet):
    failures = iter([True, True, False])

    @step(labels="gpu", retry=Retry(max_attempts=3, delay="10ms"))
    async def train() -> int:
        fleet.did.append(current(fleet))
        if next(failures):
            raise RuntimeError("out of memory")
        return 1

    @workflow
    async def learn() -> int:
        return await train()

    plain, fitting = await fleet.open(learn), await fleet.open(learn, config={"labels": {"gpu"}})
    assert await (await plain.start(learn)).result() == 1
    assert fleet.did == [number(fitting)] * 3


async def test_what_a_workflow_needs_all_its_steps_need_and_what_undoes_them_too(fleet):
    undo = where(fleet, "undo")
    do = where(fleet, "do", compensate=undo)

    @workflow(labels={"eu"})
    async def sell() -> None:
        await do(1)
        raise RuntimeError("no")

    plain, fitting = await fleet.open(sell), await fleet.open(sell, config={"labels": {"eu"}})
    with pytest.raises(RunFailed):
        await (await plain.start(sell)).result()
    assert fleet.did == [("do", number(fitting)), ("undo", number(fitting))]


async def test_tasks_of_a_graph_have_labels(fleet):
    fetch, train = where(fleet, "fetch"), where(fleet, "train")
    with DAG("learn", labels=["eu"]) as dag:
        task(fetch) >> task(train, labels={"gpu": "a100"})
    plain = await fleet.open(dag)
    eu = await fleet.open(dag, config={"labels": {"eu"}})
    run = await plain.start(dag)
    await fleet.until(lambda: fleet.did == [("fetch", number(eu))] and fleet.owner(run) is None)
    both = await fleet.open(dag, config={"labels": {"eu": None, "gpu": "a100"}})
    await run.result()
    assert fleet.did == [("fetch", number(eu)), ("train", number(both))]


async def test_a_run_that_was_passed_on_outlives_each_engine(fleet):
    train = where(fleet, "train", labels="gpu")
    began, let_through = asyncio.Event(), asyncio.Event()

    @step(labels="gpu")
    async def slow() -> int:
        fleet.did.append(current(fleet))
        began.set()
        await let_through.wait()
        return 1

    @workflow
    async def learn() -> int:
        return await slow() + await train(1)

    plain, first = await fleet.open(learn), await fleet.open(learn, config={"labels": {"gpu"}})
    run = await plain.start(learn)
    await began.wait()
    dead = number(first)
    await fleet.crash(first)
    await fleet.until(lambda: fleet.owner(run) is None and run.uuid in fleet.database.needs)
    let_through.set()
    second = await fleet.open(learn, config={"labels": {"gpu"}})
    assert await run.result() == 2
    assert fleet.did == [dead, number(second), ("train", number(second))]


async def test_a_wait_for_labels_may_be_limited(fleet, tmp_path):
    (tmp_path / "learn.yaml").write_text(
        """
workflow:
  name: learn
  jobs:
    - job: {name: train, image: lakehouse/train:1.0, labels: [gpu], timeout: {queue: 1s}}
""",
        "utf-8",
    )
    plain = await fleet.open(tmp_path / "learn.yaml")
    run = await plain.start("learn")
    with pytest.raises(RunFailed, match="waited for an engine with label gpu for more than 1 s"):
        await run.result()
    assert await plain.store.needs([run.uuid]) == []


async def test_many_runs_that_wait_for_labels_are_in_nobodys_memory(fleet):
    train = where(fleet, "train", labels="gpu")

    @workflow
    async def learn(n: int) -> int:
        return sum(await map_(train, [n, 1]))

    plain = await fleet.open(learn)
    runs = [await plain.start(learn, n) for n in range(50)]
    await fleet.until(lambda: not plain.engine.held)
    fitting = await fleet.open(learn, config={"labels": {"gpu"}})
    assert [await run.result() for run in runs] == [n + 1 for n in range(50)]
    assert fleet.count(("train", number(fitting))) == len(fleet.did) == 100


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/runs.db"])
async def test_on_one_engine_a_run_waits_until_it_is_opened_with_the_labels(fleet, tmp_path, url):
    train = where(fleet, "train", labels="gpu")

    @workflow
    async def learn() -> int:
        return await train(1)

    from ripresa.stores.memory import MemoryDatabase, MemoryStore

    database = MemoryDatabase()
    store = (lambda: MemoryStore(database)) if url == "memory://" else (lambda: url.format(tmp_path))
    async with App(store(), [learn]) as app:
        run = await app.start(learn, id="one")
        async with asyncio.timeout(60):
            while not await app.store.needs([run.uuid]) or app.engine.held:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)
        assert fleet.did == []
    async with App(store(), [learn], config={"labels": {"gpu": "a100"}}) as app:
        assert await (await app.get("one")).result() == 1


@pytest.mark.parametrize("given", [{"gpu": "a 100"}, ["=x"], "a,b c", ["-x"], [""]])
def test_what_is_no_label_is_refused(given):
    with pytest.raises(ValueError, match="is not a label"):
        App("memory://", config={"labels": given})
    with pytest.raises(ValueError, match="step work: labels"):

        @step(labels=given)
        def work() -> None: ...


def test_what_are_no_labels_is_refused():
    with pytest.raises(TypeError, match="labels"):

        @step(labels=5)
        def work() -> None: ...
