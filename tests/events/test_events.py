"""Events go out at least once and in order, and come in once, over real brokers."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ripresa import App, RunFailed
from ripresa.buses import open_sink, open_source
from ripresa.buses.webhook import WebhookSink, is_global
from ripresa.contracts.events import CloudEvent, EventSettings, EventSource, EventTarget
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from tests.events import flows

pytestmark = pytest.mark.timeout(400)  # RabbitMQ takes its time to come up
BOTH = pytest.mark.parametrize("broker", ["redis", "rabbitmq"], indirect=True)
WITHIN_S = 60


class Line:
    """A broker, and names on it that are this test's own."""

    def __init__(self, server):
        self.server = server
        self.name = f"t-{uuid.uuid4().hex}"
        if server.name == "rabbitmq":
            import amqp

            with amqp.Connection(f"127.0.0.1:{server.port}") as connection:
                channel = connection.channel()
                channel.exchange_declare(self.name, "topic", durable=True, auto_delete=False)
                channel.queue_declare(self.name, durable=True, auto_delete=False)
                channel.queue_bind(self.name, self.name, "#")

    def target(self, port=None, **more):
        return EventTarget(to=self.server.url(port), exchange=self.name, stream=self.name, **more)

    def source(self, **more):
        return EventSource(address=self.server.url(), queue=self.name, stream=self.name, **more)

    async def received(self, count):
        """The next events, as somebody else takes them."""
        source = open_source(self.source(start="x"))
        found = []
        async with asyncio.timeout(WITHIN_S):
            while len(found) < count:
                came = await source.receive()
                found += [CloudEvent.from_json(one.body) for one in came]
                await source.done(came)
        await source.close()
        return found


@pytest.fixture
def broker(request):
    return request.getfixturevalue(f"{request.param}_server")


@pytest.fixture
def line(broker):
    return Line(broker)


@pytest.fixture
def database():
    flows.STARTED.clear()
    return MemoryDatabase()


def app_on(database, *, publish=(), consume=(), shared=False):
    events = EventSettings(source="/shop", publish=tuple(publish), consume=tuple(consume))
    return App(MemoryStore(database, shared=shared), workflows=flows.ALL, events=events)


@BOTH
async def test_runs_are_told_of_in_order(line, database):
    async with app_on(database, publish=[line.target()]) as app:
        run = await app.start(flows.tells, 3, id="order-7")
        assert await run.result("30s") == 3
        failed = await app.start(flows.fails)
        with pytest.raises(RunFailed):
            await failed.result("30s")
        events = await line.received(7)
        await until(lambda: not database.outbox)
    of_run = [event for event in events if event.subject == database.keys["order-7"]]
    assert [event.type for event in of_run] == ["workflow_created", *["order.placed"] * 3, "workflow_completed"]
    assert [event.data["number"] for event in of_run[1:4]] == [0, 1, 2]
    assert of_run[0].data["run_id"] == "order-7"
    assert {event.source for event in events} == {"/shop"}
    assert len({event.id for event in events}) == 7
    (why,) = [event.data["error"] for event in events if event.type == "workflow_failed"]
    assert why == {"type": "ValueError", "message": "no stock"}


@BOTH
async def test_after_a_crash_before_an_event_is_marked_it_comes_again_under_its_id(line, database):
    async with app_on(database, publish=[line.target()]) as app:

        async def not_marked(ids):
            return

        app.store.published = not_marked
        run = await app.start(flows.tells, 2)
        await run.result("30s")
        first = await line.received(4)
        await app.crash()
    async with app_on(database, publish=[line.target()]):
        again = await line.received(4)
        await until(lambda: not database.outbox)
    assert [event.id for event in again] == [event.id for event in first]


@BOTH
async def test_while_a_broker_is_out_of_reach_events_wait(line, database):
    gate = await Gate.to(line.server.port)
    try:
        async with app_on(database, publish=[line.target(gate.port)]) as app:
            await (await app.start(flows.tells, 1)).result("30s")
            assert len(await line.received(3)) == 3
            await until(lambda: not database.outbox)
            gate.shut()
            run = await app.start(flows.tells, 2)
            assert await run.result("30s") == 2
            assert len(database.outbox) == 4
            gate.open()
            events = {event.id: event for event in await line.received(4)}
            await until(lambda: not database.outbox)
        kinds = [event.type for event in events.values()]
        assert kinds == ["workflow_created", "order.placed", "order.placed", "workflow_completed"]
    finally:
        await gate.close()


@BOTH
async def test_an_event_that_comes_twice_starts_one_run(line, database):
    sink = open_sink(line.target())
    events = [CloudEvent(id=f"e{number}", source="/web", type="order", data={"id": number}) for number in range(20)]
    await sink.send([*events, *events])
    await send_raw(line, b"no event at all")
    rule = line.source(types=("order",), start="placed")
    async with app_on(database, consume=[rule]) as app:
        await until(lambda: len(flows.STARTED) == 20)
        await sink.send(events)  # and long after
        await sink.send([CloudEvent(id="last", source="/web", type="order", data={"id": "last"})])
        await until(lambda: flows.STARTED[-1] == {"id": "last"})
        assert len(flows.STARTED) == 21
        assert len(await app.list(workflow=flows.placed, limit=100)) == 21
    await sink.close()


@BOTH
async def test_an_event_that_comes_twice_is_one_signal(line, database):
    sink = open_sink(line.target())
    rule = line.source(types=("label",), signal="label", run="data.order")
    first, second = (
        CloudEvent(id=f"e{number}", source="/web", type="label", data={"order": "order-7", "number": number})
        for number in (1, 2)
    )
    async with app_on(database, consume=[rule]) as app:
        run = await app.start(flows.waits, id="order-7")
        await sink.send([first, first, first, second])
        found = await run.result("60s")
    assert [one["number"] for one in found] == [1, 2]
    await sink.close()


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_a_consumer_that_ends_leaves_its_name_only_while_something_is_pending_under_it(line):
    sources = [open_source(line.source(start="x")) for _ in range(2)]
    await sources[0].receive()  # makes the group
    await send_raw(line, b"one")
    came = await received_by(sources[0], 1)
    await sources[1].receive()
    assert len(await consumers(line)) == 2
    await sources[1].close()
    assert len(await consumers(line)) == 1
    again = open_source(line.source(start="x"))
    await again.receive()
    await sources[0].close()  # it has not said that the event was dealt with
    assert sorted((await consumers(line)).values()) == [0, 1]
    assert came[0].body == b"one"
    await again.close()
    assert list((await consumers(line)).values()) == [1]


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_names_of_consumers_that_were_killed_are_taken_away_once_what_they_had_is_claimed(line, monkeypatch):
    monkeypatch.setattr("ripresa.buses.redis._WAIT_MS", 20)
    monkeypatch.setattr("ripresa.buses.redis._TIDY_S", 0.0)
    monkeypatch.setattr("ripresa.buses.redis._GONE_MS", 3_600_000)
    monkeypatch.setattr("ripresa.buses.redis._ABANDONED_MS", 3_600_000)
    killed, somebody = open_source(line.source(start="x")), open_source(line.source(start="x"))
    somebody._who = "somebody-elses"
    await killed.receive()
    await send_raw(line, b"one")
    await received_by(killed, 1)
    await somebody.receive()
    monkeypatch.setattr("ripresa.buses.redis._GONE_MS", 1)
    left = open_source(line.source(start="x"))
    for _ in range(3):
        assert await left.receive() == []
    assert (await consumers(line))[killed._who] == 1  # what is pending would be forgotten with its name
    monkeypatch.setattr("ripresa.buses.redis._ABANDONED_MS", 1)
    came = await received_by(left, 1)
    assert came[0].body == b"one"
    await left.done(came)
    async with asyncio.timeout(WITHIN_S):
        while killed._who in await consumers(line):
            await left.receive()
    assert set(await consumers(line)) >= {"somebody-elses"}
    for one in (killed, somebody, left):
        await one.close()


async def consumers(line):
    """The names in the group, and how much is pending under each."""
    from redis.asyncio import Redis

    client = Redis.from_url(line.server.url())
    found = await client.xinfo_consumers(line.name, line.source(start="x").group)
    await client.aclose()
    return {one["name"].decode(): one["pending"] for one in found}


async def received_by(source, count):
    found = []
    async with asyncio.timeout(WITHIN_S):
        while len(found) < count:
            found += await source.receive()
    return found


@pytest.mark.parametrize("broker", ["redis"], indirect=True)
async def test_of_several_engines_one_publishes_and_another_goes_on(line, database):
    first, second = (app_on(database, publish=[line.target()], shared=True) for _ in range(2))
    async with first, second:
        await (await second.start(flows.tells, 1)).result("30s")
        events = await line.received(3)
        await until(lambda: not database.outbox)
        assert line.server._ask(f"XLEN {line.name}").strip() == ":3"
        await first.close()
        await (await second.start(flows.tells, 1)).result("30s")
        events += await line.received(3)
    assert len({event.id for event in events}) == 6


async def test_a_webhook_is_signed_and_a_refused_event_comes_again(database, monkeypatch):
    key = base64.b64encode(b"k" * 24).decode()
    monkeypatch.setenv("HOOK", f"whsec_{key}")
    answers = iter([200, 500])
    with hook(lambda: next(answers, 204)) as (url, calls):
        target = EventTarget(to=url, secret="env:HOOK", private=True, types=("order.*", "workflow_completed"))
        async with app_on(database, publish=[target]) as app:
            await (await app.start(flows.tells, 2)).result("30s")
            await until(lambda: not database.outbox)
    kinds = [json.loads(body)["type"] for _, body in calls]
    assert kinds == ["order.placed", "order.placed", "order.placed", "workflow_completed"]
    for headers, body in calls:
        told = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
        mark = base64.b64encode(hmac.new(b"k" * 24, told, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{mark}"
        assert headers["webhook-id"] == json.loads(body)["id"]
    assert calls[1][0]["webhook-id"] == calls[2][0]["webhook-id"]


async def test_a_webhook_reaches_no_private_network(monkeypatch):
    with hook(lambda: 200) as (url, calls):
        monkeypatch.setattr(
            "ripresa.buses.webhook.socket.getaddrinfo",
            lambda *_, **__: [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("127.0.0.1", 443))],
        )
        sink = WebhookSink(url.replace("http://127.0.0.1", "https://hooks.example.com"))
        delivered = await sink.send([CloudEvent(id="1", source="/", type="t")])
    assert delivered.taken == frozenset()
    assert "not a public one" in delivered.trouble
    assert calls == []
    with pytest.raises(ValueError, match="https"):
        WebhookSink(url)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::a00:1", False),
    ],
)
def test_which_addresses_are_public(address, public):
    assert is_global(address) is public


def test_settings_are_read_strictly():
    told = {
        "source": "/shop",
        "publish": [{"to": "redis://localhost/0", "types": "order.*"}],
        "consume": [{"from": "amqp://localhost", "types": ["a", "b"], "start": "placed"}],
    }
    settings = EventSettings.of(told)
    assert settings.publish[0].wants("order.placed")
    assert not settings.publish[0].wants("workflow_created")
    assert settings.consume[0].address == "amqp://localhost"
    for wrong, why in (
        ({"publsh": []}, 'did you mean "publish"'),
        ({"publish": [{}]}, "to is needed"),
        ({"consume": [{"from": "amqp://localhost"}]}, "one of start and signal"),
        ({"consume": [{"start": "x"}]}, "from is needed"),
    ):
        with pytest.raises(ValueError, match=why):
            EventSettings.of(wrong)


# --- what they look at ------------------------------------------------------------------------------------------------


async def until(is_so):
    async with asyncio.timeout(WITHIN_S):
        while not is_so():  # noqa: ASYNC110 - it is in a database
            await asyncio.sleep(0.01)


async def send_raw(line, body):
    if line.server.name == "redis":
        line.server._ask(f'XADD {line.name} * event "{body.decode()}"')
        return
    import amqp

    with amqp.Connection(f"127.0.0.1:{line.server.port}") as connection:
        connection.channel().basic_publish(amqp.Message(body), line.name, "order")


class Gate:
    """A way to a server that can be shut."""

    @classmethod
    async def to(cls, port):
        gate = cls()
        gate._target = port
        gate._open = True
        gate._lines = set()
        gate._server = await asyncio.start_server(gate._serve, "127.0.0.1", 0)
        gate.port = gate._server.sockets[0].getsockname()[1]
        return gate

    def shut(self):
        self._open = False
        for writer in list(self._lines):
            writer.transport.abort()

    def open(self):
        self._open = True

    async def _serve(self, reader, writer):
        if not self._open:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._lines |= {writer, back}
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._lines -= {writer, back}

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def close(self):
        self.shut()
        self._server.close()


class hook:  # noqa: N801 - used like a function
    """A web server that notes what it is sent."""

    def __init__(self, answer):
        calls = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    return  # whoever sends was killed in the middle of it
                calls.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(answer())
                self.end_headers()

            def log_message(self, *_):
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._calls = calls

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/hook", self._calls

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
