"""What cannot be taken is kept with the reason, holds up nothing, and goes on when somebody says so."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from ripresa import App
from ripresa.buses import open_sink
from ripresa.contracts.events import CloudEvent, EventSettings, EventSource, EventTarget
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from tests.events import flows
from tests.events.test_events import BOTH, app_on, broker, database, hook, line, send_raw, until  # noqa: F401

pytestmark = pytest.mark.timeout(400)  # RabbitMQ takes its time to come up


def order(number, **data):
    return CloudEvent(id=f"e{number}", source="/web", type="order", data={"id": number, **data})


def by_code(database):  # noqa: F811 - a fixture's name
    return {one.code: one for one in database.dead.values()}


@pytest.fixture
def quick(monkeypatch):
    """Rests are short."""
    monkeypatch.setattr("ripresa.engine.consuming._AGAIN_S", 0.01)
    monkeypatch.setattr("ripresa.engine.consuming._LOOK_S", 0.01)
    monkeypatch.setattr("ripresa.engine.publishing._LOOK_S", 0.05)
    monkeypatch.setattr("ripresa.engine.publishing._REST_S", 0.01)
    monkeypatch.setattr("ripresa.engine.publishing._REST_S_MAX", 0.02)
    monkeypatch.setattr("ripresa.engine.publishing._EVENT_REST_S", 0.01)
    monkeypatch.setattr("ripresa.engine.publishing._EVENT_REST_S_MAX", 0.02)
    monkeypatch.setattr("ripresa.buses.redis._WAIT_MS", 20)
    monkeypatch.setattr("ripresa.buses.rabbitmq._WAIT_S", 0.02)


@BOTH
@pytest.mark.usefixtures("quick")
async def test_poison_is_kept_and_what_comes_after_it_is_taken(line, database):  # noqa: F811
    sink = open_sink(line.target())
    await send_raw(line, b"[1,")
    await send_raw(line, b"[" * 5_000)
    await sink.send([CloudEvent(id="bad", source="/web", type="order", data="no order"), order(1)])
    await sink.send([CloudEvent(id="nobody", source="/web", type="unknown", data={}), order(2)])
    rules = [line.source(types=("order",), start="placed"), line.source(types=("unknown",), start="no_such")]
    async with app_on(database, consume=rules) as app:
        await until(lambda: len(flows.STARTED) == 2 and len(database.dead) == 4)
        assert [one["id"] for one in flows.STARTED] == [1, 2]
        assert sorted(one.code for one in database.dead.values()) == ["contract", "no_event", "no_event", "no_workflow"]
        found = by_code(database)
        assert found["contract"].event == "bad"
        assert "placed" in found["contract"].reason
        assert CloudEvent.from_json(found["contract"].body).data == "no order"
        assert "no_such" in found["no_workflow"].reason
        assert all(one.due is None and one.attempts == 1 for one in database.dead.values())
        await until(lambda: {one.what for _, one in database.noted} == {"started", "dead"})
        assert len(await app.list(workflow=flows.placed, limit=9)) == 2
    if line.server.name == "rabbitmq":
        assert line.server.waiting(line.name) == 0
    await sink.close()


@BOTH
@pytest.mark.usefixtures("quick")
async def test_the_same_poison_is_one_dead_letter_and_a_discarded_one_is_gone(line, database):  # noqa: F811
    await send_raw(line, b"poison")
    await send_raw(line, b"poison")
    async with app_on(database, consume=[line.source(start="placed")]) as app:
        await until(lambda: len(database.dead) == 1)
        (letter,) = await app.store.dead_letters(limit=9)
        assert letter.body == b"poison"
        await open_and_send(line, order(1))
        await until(lambda: len(flows.STARTED) == 1)
        assert len(database.dead) == 1
        assert await app.store.forget_dead([letter.id]) == 1
    assert database.dead == {}


async def open_and_send(line, event):  # noqa: F811
    sink = open_sink(line.target())
    await sink.send([event])
    await sink.close()


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.usefixtures("quick")
async def test_a_handler_that_raises_is_asked_five_times_and_then_a_person(line, database, monkeypatch):  # noqa: F811
    async with app_on(database, consume=[line.source(types=("order",), start="placed")]) as app:
        asked = []
        start = app.start

        async def refuses(workflow, data, **options):
            if data["id"] == 1:
                asked.append(options["id"])
                msg = "out of stock"
                raise KeyError(msg)
            return await start(workflow, data, **options)

        monkeypatch.setattr(app, "start", refuses)
        await open_and_send(line, order(1))
        await open_and_send(line, order(2))
        await until(lambda: [one["id"] for one in flows.STARTED] == [2])
        await until(lambda: database.dead and next(iter(database.dead.values())).attempts == 5)
        (letter,) = database.dead.values()
        assert (letter.due, letter.code) == (None, "refused")
        assert "KeyError: 'out of stock'" in letter.reason
        assert len(asked) == 5
        assert len(set(asked)) == 1
        monkeypatch.setattr(app, "start", start)
        assert await app.store.retry_dead([letter.id], now=app.engine.now()) == 1
        await until(lambda: not database.dead)
        assert [one["id"] for one in flows.STARTED] == [2, 1]


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.usefixtures("quick")
async def test_a_signal_that_comes_before_its_run_is_tried_again(line, database, monkeypatch):  # noqa: F811
    monkeypatch.setattr("ripresa.engine.consuming._AGAIN_S", 3600)
    rule = line.source(types=("label",), signal="label", run="data.order")
    labels = [CloudEvent(id=f"l{n}", source="/w", type="label", data={"order": "order-7", "n": n}) for n in (1, 2)]
    lost = CloudEvent(id="l3", source="/w", type="label", data={"n": 3})
    async with app_on(database, consume=[rule]) as app:
        for event in (*labels, lost):
            await open_and_send(line, event)
        await until(lambda: len(database.dead) == 3)
        assert sorted((one.code, one.due is None) for one in database.dead.values()) == [
            ("contract", True),
            ("no_run", False),
            ("no_run", False),
        ]
        run = await app.start(flows.waits, id="order-7")
        await app.store.retry_dead([one.id for one in database.dead.values()], now=app.engine.now())
        assert sorted(one["n"] for one in await run.result("60s")) == [1, 2]
        await until(lambda: [one.attempts for one in database.dead.values()] == [2])


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
@pytest.mark.usefixtures("quick")
async def test_a_kill_before_the_message_is_acknowledged_leaves_one_dead_letter(line, database, monkeypatch):  # noqa: F811
    monkeypatch.setattr("ripresa.buses.redis._ABANDONED_MS", 50)

    async def never(self, received):
        msg = "the line is cut"
        raise OSError(msg)

    await send_raw(line, b"poison")
    with monkeypatch.context() as patch:
        patch.setattr("ripresa.buses.redis.RedisSource.done", never)
        app = await app_on(database, consume=[line.source(start="placed")]).open()
        await until(lambda: len(database.dead) == 1)
        await app.crash()
    async with app_on(database, consume=[line.source(start="placed")]):
        await open_and_send(line, order(1))
        await until(lambda: len(flows.STARTED) == 1)
        await until(lambda: line.server._ask(f"XPENDING {line.name} ripresa").startswith("*4\r\n:0"))
    assert len(database.dead) == 1


# --- what goes out ----------------------------------------------------------------------------------------------------


def told(calls):
    return [CloudEvent.from_json(body).type for _, body in calls]


@pytest.mark.usefixtures("quick")
async def test_what_a_webhook_refuses_is_a_dead_letter_at_once(database):  # noqa: F811
    answers = itertools.chain([200, 404], itertools.repeat(200))
    with hook(lambda: next(answers)) as (url, calls):
        async with app_on(database, publish=[EventTarget(to=url, private=True)]) as app:
            run = await app.start(flows.tells, 1, id="order-7")
            await run.result("30s")
            await until(lambda: not database.outbox)
            (letter,) = database.dead.values()
            assert (letter.code, letter.way, letter.attempts, letter.due) == ("refused", "out", 1, None)
            assert letter.type == "order.placed"
            assert letter.subject == database.keys["order-7"]
            assert "404" in letter.reason
            assert told(calls) == ["workflow_created", "order.placed", "workflow_completed"]
            assert await app.store.retry_dead([letter.id], now=app.engine.now()) == 1
            await until(lambda: not database.dead)
    assert told(calls)[3:] == ["order.placed"]
    assert calls[1][0]["webhook-id"] == calls[3][0]["webhook-id"]


@pytest.mark.parametrize("trouble", [500, 503, 429])
@pytest.mark.usefixtures("quick")
async def test_what_fails_too_often_is_a_dead_letter_and_its_run_goes_on(database, trouble):  # noqa: F811
    def answer():
        return trouble if told(calls)[-1] == "order.placed" else 200

    with hook(answer) as (url, calls):
        async with app_on(database, publish=[EventTarget(to=url, private=True, attempts=3)]) as app:
            await (await app.start(flows.tells, 1)).result("30s")
            await until(lambda: not database.outbox)
    (letter,) = database.dead.values()
    assert (letter.code, letter.attempts) == ("failed", 3)
    assert told(calls) == ["workflow_created", *["order.placed"] * 3, "workflow_completed"]


@pytest.mark.usefixtures("quick")
async def test_how_often_an_event_was_tried_outlasts_its_publisher(database):  # noqa: F811
    """Another target holds the event in the outbox all the time."""
    held_up = EventTarget(to="http://127.0.0.1:1/hook", private=True, attempts=10**6, types=("order.*",))

    def answer():
        return 500 if told(calls)[-1] == "order.placed" else 200

    def placed():
        return told(calls).count("order.placed")

    with hook(answer) as (url, calls):
        hooked = EventTarget(to=url, private=True, attempts=4)
        async with app_on(database, publish=[hooked, held_up]) as app:
            await (await app.start(flows.tells, 1)).result("30s")
            await until(lambda: any(one.tries >= 2 for one in database.deliveries.values() if one.place == url))
        async with app_on(database, publish=[hooked, held_up]):
            await until(lambda: database.dead)
        assert 4 <= placed() <= 5  # one may have been cut off before it was counted
        (letter,) = database.dead.values()
        assert (letter.code, letter.place, letter.attempts) == ("failed", url, 4)
        again = placed()
        database.dead.clear()  # somebody has discarded it
        async with app_on(database, publish=[hooked, held_up]) as app:
            await (await app.start(flows.waits, id="after")).refresh()
            await until(lambda: told(calls).count("workflow_created") == 2)
        assert placed() == again
    assert database.dead == {}


@pytest.mark.usefixtures("quick")
async def test_one_event_that_fails_holds_up_no_other_run(database):  # noqa: F811
    failing = []

    def answer():
        event = CloudEvent.from_json(calls[-1][1])
        return 500 if event.subject in failing else 200

    with hook(answer) as (url, calls):
        async with app_on(database, publish=[EventTarget(to=url, private=True, attempts=10**6)]) as app:
            bad = await app.start(flows.waits, id="bad")
            failing.append(database.keys["bad"])
            await app.signal(bad, "label", 1)
            await app.signal(bad, "label", 1)
            await bad.result("30s")
            for number in range(5):
                await (await app.start(flows.tells, 1, id=f"good-{number}")).result("30s")
            await until(lambda: {one.run for one in database.outbox.values()} <= set(failing))
            failing.clear()
            await until(lambda: not database.outbox)
    assert database.dead == {}


@pytest.mark.usefixtures("quick")
async def test_a_webhook_that_is_down_is_asked_with_one_event_at_a_time(database):  # noqa: F811
    """A breaker: whoever is down is not hammered, and what waits for it is not used up."""
    answers = itertools.chain([500] * 12, itertools.repeat(200))
    with hook(lambda: next(answers)) as (url, calls):
        async with app_on(database, publish=[EventTarget(to=url, private=True, attempts=100)]) as app:
            runs = [await app.start(flows.tells, 1) for _ in range(10)]
            for run in runs:
                await run.result("30s")
            await until(lambda: not database.outbox)
    assert database.dead == {}
    kinds = [CloudEvent.from_json(body).id for _, body in calls[12:]]
    assert len(kinds) == len(set(kinds)) == 30


@pytest.mark.usefixtures("quick")
async def test_a_webhook_that_is_down_for_long_holds_up_no_other_target(monkeypatch):
    monkeypatch.setattr("ripresa.engine.publishing._AHEAD", 20)
    memory = MemoryDatabase()
    down = EventTarget(to="http://127.0.0.1:1/hook", private=True, attempts=10**6)
    with hook(lambda: 200) as (url, calls):
        async with app_on(memory, publish=[down, EventTarget(to=url, private=True)]) as app:
            for number in range(20):
                await (await app.start(flows.tells, 1, id=f"run-{number}")).result("30s")
            await until(lambda: len(calls) == 60)
        assert {one.code for one in memory.dead.values()} == {"crowded"}
        waiting = {one.id for one in memory.outbox.values()}
        assert len(waiting | {one.event for one in memory.dead.values()}) == 60


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_rules_for_one_queue_are_one_consumer_s(line, database):  # noqa: F811
    """Else one would take, and pass over, what is the other's."""
    rules = [line.source(types=("order",), start="placed"), line.source(types=("label",), signal="label", run="data.o")]
    async with app_on(database, consume=rules) as app:
        run = await app.start(flows.waits, id="order-7")
        for number in range(20):
            await open_and_send(line, order(number))
        for number in (1, 2):
            await open_and_send(line, CloudEvent(id=f"l{number}", source="/w", type="label", data={"o": "order-7"}))
        await open_and_send(line, CloudEvent(id="x", source="/w", type="else"))
        await run.result("60s")
        await until(lambda: len(flows.STARTED) == 20)
        await until(lambda: any(one.what == "passed" for _, one in database.noted))
    assert database.dead == {}


def test_a_source_of_two_rules_is_opened_once():
    rules = tuple(EventSource(address="redis://127.0.0.1:1/0", types=(kind,), start="placed") for kind in "ab")
    app = App(MemoryStore(MemoryDatabase()), workflows=flows.ALL, events=EventSettings(consume=rules))

    async def opened():
        async with app:
            return len(app._opening._hands._hands)

    assert asyncio.run(opened()) == 1
