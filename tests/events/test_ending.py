"""What hands on events and takes them ends when it is told to: at each point, and whatever its driver makes of it."""

from __future__ import annotations

import asyncio
import types
import uuid

import pytest

from ripresa import App
from ripresa.buses import open_sink, open_source
from ripresa.contracts.events import CloudEvent, EventSettings, EventSource, EventTarget
from ripresa.engine import hands as hands_module
from ripresa.engine.consuming import Consumer
from ripresa.engine.hands import Hands
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from tests.events import flows

pytestmark = pytest.mark.timeout(400)  # RabbitMQ takes its time to come up
WITHIN_S = 30
BOTH = pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)


@pytest.fixture
def broker(request):
    return request.getfixturevalue(f"{request.param}_server")


class Cut:
    """Drives a coroutine, and at its wait of this number, or at each, does something before it waits."""

    def __init__(self, at, act):
        self.at = at
        self.act = act
        self.waits = 0

    @types.coroutine
    def drive(self, work):
        step, value = work.send, None
        while True:
            try:
                waited = step(value)
            except StopIteration:
                return
            self.waits += 1
            if self.at in (None, self.waits):
                self.act()
            try:
                value, step = (yield waited), work.send
            except BaseException as error:  # noqa: BLE001 - passed on
                value, step = error, work.throw


async def ends(task):
    """The task ends, without being helped."""
    done, _ = await asyncio.wait([task], timeout=WITHIN_S)
    assert done, "it stands still"


@BOTH
@pytest.mark.parametrize("lost", [False, True], ids=["cancelled", "the cancellation is lost"])
async def test_taking_events_ends_at_each_point(broker, lost, monkeypatch):
    """Wherever it waits: on the broker, on its store, on a rest."""
    monkeypatch.setattr("ripresa.buses.redis._WAIT_MS", 20)
    monkeypatch.setattr("ripresa.buses.rabbitmq._WAIT_S", 0.02)
    name = f"t-{uuid.uuid4().hex}"
    rule = EventSource(address=broker.url(), queue=name, stream=name, types=("order",), start="placed")
    sink = open_sink(EventTarget(to=broker.url(), exchange=name, stream=name))
    async with App(MemoryStore(MemoryDatabase()), workflows=flows.ALL) as app:
        for at in range(1, 21):
            await sink.send([CloudEvent(id=f"e{at}", source="/web", type="order", data={"id": at})])
            consumer = Consumer(app, app.engine, [rule], open_source(rule))

            def tell(consumer=consumer):
                consumer.stopping = True
                if not lost:
                    asyncio.current_task().cancel()

            cut = Cut(at, tell)
            task = asyncio.ensure_future(wrapped(cut, consumer))
            await ends(task)
            await asyncio.wait_for(consumer.close(), WITHIN_S)
            assert cut.waits >= at
    await sink.close()


async def wrapped(cut, consumer):
    await cut.drive(consumer.serve())


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_an_app_closes_at_each_point(broker, monkeypatch):
    """Whatever any of its tasks has come to; and nothing is lost by it."""
    monkeypatch.setattr("ripresa.buses.redis._WAIT_MS", 20)
    monkeypatch.setattr("ripresa.buses.redis._ABANDONED_MS", 500)
    name = f"t-{uuid.uuid4().hex}"
    database = MemoryDatabase()
    flows.STARTED.clear()
    out = EventTarget(to=broker.url(), stream=f"{name}-out")
    rule = EventSource(address=broker.url(), stream=name, types=("order",), start="placed")
    sink = open_sink(EventTarget(to=broker.url(), stream=name))

    def opened():
        return App(MemoryStore(database), workflows=flows.ALL, events=EventSettings(publish=(out,), consume=(rule,)))

    points = range(1, 65, 2)
    for at in points:
        app = opened()
        await sink.send([CloudEvent(id=f"e{at}", source="/web", type="order", data={"id": at})])
        waits = Waits(at)
        asyncio.get_running_loop().set_task_factory(waits.task)
        try:
            await app.open()
            async with asyncio.timeout(WITHIN_S):
                await waits.reached.wait()
        finally:
            asyncio.get_running_loop().set_task_factory(None)
            closing = asyncio.ensure_future(app.close())
        await ends(closing)
        closing.result()
    async with opened() as app:
        async with asyncio.timeout(WITHIN_S):
            while len(await app.list(workflow=flows.placed, limit=500)) < len(points) or database.outbox:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(await app.list(workflow=flows.placed, limit=500)) == len(points)
    await sink.close()


class Waits:
    """Makes tasks, and tells when all of them together have waited so often."""

    def __init__(self, at):
        self.left = at
        self.reached = asyncio.Event()

    def task(self, loop, work, **options):
        return asyncio.Task(self.driven(work), loop=loop, **options)

    async def driven(self, work):
        outcome = []

        async def noted():
            outcome.append(await work)

        await Cut(None, self.count).drive(noted())
        return outcome[0]

    def count(self):
        self.left -= 1
        if self.left == 0:
            self.reached.set()


class Deaf:
    """A hand whose driver loses cancellations, the first few or all; and that may not close either."""

    def __init__(self, loses, closes=True):
        self.stopping = False
        self.loses = loses
        self.closes = closes
        self.closed = False
        self.done = asyncio.Event()

    async def serve(self):
        while self.loses:
            try:
                await self.done.wait()
            except asyncio.CancelledError:
                self.loses -= 1
            else:
                return
        await asyncio.sleep(3600)

    async def close(self):
        if not self.closes:
            await asyncio.sleep(3600)
        self.closed = True


class Engine:
    """What hands need of one."""

    def __init__(self):
        self.tasks = []

    def task(self, work, *, name):
        self.tasks.append(asyncio.create_task(work, name=name))
        return self.tasks[-1]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(hands_module, "_AGAIN_S", 0.01)
    monkeypatch.setattr(hands_module, "_END_S", 0.2)
    monkeypatch.setattr(hands_module, "_CLOSE_S", 0.2)


@pytest.mark.parametrize("loses", [0, 1, 5])
@pytest.mark.usefixtures("quick")
async def test_a_driver_that_loses_a_cancellation_is_told_again(loses):
    hands, engine = Hands(), Engine()
    hand = Deaf(loses)
    hands.begin(engine, [hand])
    await asyncio.sleep(0)
    await asyncio.wait_for(hands.end(), WITHIN_S)
    assert engine.tasks[0].done()
    assert hand.closed


@pytest.mark.usefixtures("quick")
async def test_a_driver_that_hears_of_nothing_holds_up_nobody(caplog):
    hands, engine = Hands(), Engine()
    deaf, well = Deaf(10**9, closes=False), Deaf(0)
    hands.begin(engine, [deaf, well])
    await asyncio.sleep(0)
    await asyncio.wait_for(hands.end(), WITHIN_S)
    await asyncio.wait_for(hands.end(), WITHIN_S)
    assert well.closed
    assert deaf.stopping
    assert "left alone" in caplog.text
    deaf.done.set()
    await asyncio.wait_for(engine.tasks[0], WITHIN_S)


async def test_a_server_that_says_nothing_holds_up_nobody():
    """It takes connections, and never answers; so does a webhook."""
    lines = []
    silent = await asyncio.start_server(lambda _, writer: lines.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    publish = (
        EventTarget(to=f"amqp://127.0.0.1:{port}//"),
        EventTarget(to=f"redis://127.0.0.1:{port}/0"),
        EventTarget(to=f"http://127.0.0.1:{port}/hook", private=True),
    )
    consume = (
        EventSource(address=f"amqp://127.0.0.1:{port}//", start="placed"),
        EventSource(address=f"redis://127.0.0.1:{port}/0", start="placed"),
    )
    app = App(
        MemoryStore(MemoryDatabase()), workflows=flows.ALL, events=EventSettings(publish=publish, consume=consume)
    )
    await app.open()
    await (await app.start(flows.tells, 1)).result(f"{WITHIN_S}s")
    await asyncio.sleep(0.05)
    await ends(asyncio.ensure_future(app.close()))
    assert lines
    silent.close()
    for line in lines:
        line.close()
