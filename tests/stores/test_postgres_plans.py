"""No list of runs gets slower as runs get more: shown by PostgreSQL's plans, and by how many pages it reads."""

import re
from time import monotonic

import asyncpg
import pytest

from ripresa.ports.batch import Batch
from ripresa.ports.reading import RunFilter
from ripresa.stores import open_store
from ripresa.stores.postgres import lists, outbox
from ripresa.stores.postgres.address import address_of
from ripresa.stores.postgres.connection import _SETTINGS
from ripresa.stores.postgres.events import SQL as EVENT_SQL
from ripresa.stores.postgres.loading import SQL
from ripresa.stores.postgres.outbox import Outbox
from ripresa.testing.store_contract import new_run
from ripresa.testing.store_contract.needs import need

RUNS = 50_000

FILL = f"""
INSERT INTO engine (lease_until, since, who, host, boot, namespace, pid, started)
SELECT n * 1000000000000, 1, 'e', 'h', '', '', 1, 1 FROM generate_series(1, 2) AS n;
INSERT INTO run (id, key, definition, version, status, priority, parent, correlation_id, owner, created_at, input)
SELECT lpad(to_hex(n), 8, '0') || '-0000-7000-8000-000000000000', 'order-' || n, 'd' || (n % 5), 'v',
  CASE n % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'waiting' WHEN 2 THEN 'running' ELSE 'succeeded' END, n % 3,
  CASE n % 4 WHEN 0 THEN lpad('7', 8, '0') || '-0000-7000-8000-000000000000' END, 'c',
  CASE n % 10 WHEN 2 THEN 1 END, n, '{{}}'
FROM generate_series(0, {RUNS} - 1) AS n;
INSERT INTO tag SELECT id, 'region', CASE created_at % 2 WHEN 0 THEN 'eu' ELSE 'us' END FROM run;
INSERT INTO tag SELECT id, 'rare', 'yes' FROM run WHERE created_at % 10000 = 0;
INSERT INTO ready SELECT id, created_at, priority, NULL FROM run WHERE status = 'waiting';
INSERT INTO inbox (id, run, kind, at) SELECT id, id, 'signal', 1 FROM run WHERE created_at % 100 = 0;
INSERT INTO history (run, seq, kind, at) SELECT id, 1, 'started', 1 FROM run;
INSERT INTO quality SELECT id, 1, definition, 's' || (created_at % 3), 's', created_at, 'succeeded', '{{}}' FROM run;
"""

A = f"{7:08x}-0000-7000-8000-000000000000"


class Watched:
    """Notes what it is asked."""

    def __init__(self, connection):
        self._connection = connection
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._connection, name)

    async def fetch(self, query, *params):
        self.asked.append((query, params))
        return await self._connection.fetch(query, *params)

    async def fetchval(self, query, *params):
        self.asked.append((query, params))
        return await self._connection.fetchval(query, *params)

    async def plan(self, query, *params):
        return [row[0] for row in await self._connection.fetch(f"EXPLAIN (COSTS OFF) {query}", *params)]

    async def pages(self, query, *params):
        """How many pages it reads, within functions too."""
        told = await self._connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {query}", *params)
        first = next(row[0] for row in told if "Buffers:" in row[0])  # the outermost step's, which has all in it
        pages = sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", first))
        assert pages > 0
        return pages


@pytest.fixture(scope="module")
def filled(postgres):
    url = postgres.database()
    postgres.sql(f"SET search_path = ripresa; {FILL}", url.rpartition("/")[2])
    postgres.sql("VACUUM ANALYZE", url.rpartition("/")[2])
    yield url
    postgres.drop(url)


@pytest.fixture
async def connection(filled):
    settings = {**_SETTINGS, "search_path": address_of(filled).schema}
    connection = await asyncpg.connect(filled, server_settings=settings)
    yield Watched(connection)
    await connection.close()


def assert_index_alone(plan):
    for step in plan:
        assert "Seq Scan" not in step, plan
        assert "Sort" not in step, plan
        assert "Bitmap" not in step, plan


FILTERS = [
    RunFilter(),
    RunFilter(status=("failed",)),
    RunFilter(status=("failed", "waiting", "succeeded")),
    RunFilter(definition="d1"),
    RunFilter(parent=A),
    RunFilter(tags=(("region", "eu"),)),
    RunFilter(tags=(("region", "eu"), ("rare", "yes"))),
    RunFilter(key_prefix="order-1"),
    RunFilter(definition="d1", status=("succeeded",)),
    RunFilter(definition="d0", status=("failed",), tags=(("rare", "yes"),)),
    RunFilter(definition="d1", tags=(("region", "us"),), key_prefix="order-"),
]


@pytest.mark.parametrize("where", FILTERS, ids=lambda where: "+".join(k for k, v in where._asdict().items() if v))
async def test_no_page_of_a_list_scans_or_sorts(connection, where):
    cursor = None
    for _ in range(3):
        page = await lists.list_runs(connection, where, limit=50, cursor=cursor)
        cursor = page.cursor
        if cursor is None:
            break
    for query, params in connection.asked:
        assert_index_alone(await connection.plan(query, *params))
        assert await connection.pages(query, *params) < 4_000


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("next_due", (1, -1)),
        ("statuses", (["x"],)),
        ("history", ("x", 0, 9)),
        ("messages", ("x",)),
        ("logs", ("x", 0, None)),
        ("children", ("x",)),
        ("outgoing", (9, 0)),
        ("outgoing_of", ([1, 2],)),
        ("run_by_key", ("x",)),
        ("quality", ("d1", None, 9)),
        ("quality_of_step", ("d1", "x", 9, "s1")),
        ("ended", ("succeeded", "", "~", 9, 9)),
        ("place", ("x",)),
        ("effect", ("x",)),
    ],
)
async def test_no_look_up_scans(connection, name, params):
    assert_index_alone(await connection.plan(SQL[name], *params))


async def test_what_an_engine_loads_is_found_by_keys(connection):
    plan = await connection.plan(SQL["loaded"], [A])
    assert not [step for step in plan if "Seq Scan" in step]
    assert await connection.pages(SQL["loaded"], [A]) < 60


@pytest.mark.parametrize(("limit", "now"), [(10, RUNS), (10, 200), (100, RUNS)])
async def test_claiming_looks_at_no_more_runs_than_it_takes(connection, limit, now):
    transaction = connection.transaction()
    await transaction.start()
    call = "SELECT claim_due_1(1, $1, $2, NULL, NULL, 1, 0, true)"
    pages = await connection.pages(call, now, limit)
    await transaction.rollback()
    found = connection.transaction()
    await found.start()
    assert len(await connection.fetchval(call, now, limit)) == limit
    await found.rollback()
    assert pages < 2_000 + 100 * limit


async def test_runs_that_others_were_sent_something_for_are_passed_over_without_a_look_at_them(connection):
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("UPDATE ready SET owner = 2")
    call = "SELECT claim_due_1(1, $1, $2, NULL, NULL, 1, 0, true)"
    assert await connection.fetchval(call, RUNS, 10) == []
    ready = await connection.fetchval("SELECT count(*) FROM ready")
    assert await connection.pages(call, RUNS, 10) < 6 * ready  # some for each row and its versions, none for its run
    await transaction.rollback()


NOW, DEAD = 1_700_000_000_000_000, 20_000


@pytest.fixture
async def beside_an_old_snapshot(postgres_url):
    """A store, its lease, and a connection to its tables, while somebody holds a snapshot of all of them empty."""
    store = open_store(postgres_url)
    await store.open()
    lease = await store.acquire(now=NOW, lease_us=600_000_000, who="e")
    settings = {**_SETTINGS, "search_path": address_of(postgres_url).schema}
    reader, writer = [await asyncpg.connect(postgres_url, server_settings=settings) for _ in range(2)]
    old = reader.transaction(isolation="repeatable_read")
    await old.start()
    assert await reader.fetchval("SELECT count(*) FROM ready") == 0
    yield store, lease, Watched(writer)
    await old.rollback()
    for one in (reader, writer, store):
        await one.close()


async def pages_twice(watched, *calls):
    """How many pages each reads, the second time: the first time it is planned, too."""
    for query, params in calls:
        await watched.pages(query, *params)
    return [await watched.pages(query, *params) for query, params in calls]


async def test_what_was_claimed_since_an_old_snapshot_was_taken_is_not_gone_through_again(beside_an_old_snapshot):
    store, lease, watched = beside_an_old_snapshot
    rows = f"SELECT 'r' || n, {NOW} + n, 0, NULL FROM generate_series(1, {DEAD}) AS n"
    await watched.execute(f"INSERT INTO ready {rows}")
    await watched.execute("INSERT INTO level VALUES (0, 0)")
    await watched.execute("DELETE FROM ready")
    for seconds in range(12, 15):  # the first goes through all that is dead, to know where to begin
        assert await store.claim_due(lease, now=NOW + seconds * 1_000_000, limit=10) == []
    call = f"SELECT claim_due_1({lease.engine}, $1, $2, NULL, NULL, 99, 0, $3)"
    params = (NOW + 15_000_000, 10)
    short, long = await pages_twice(watched, (call, (*params, False)), (call, (*params, True)))
    assert short < 100
    assert long > 3 * short  # it is there to be gone through


async def test_runs_that_needed_labels_since_then_are_not_gone_through_again(beside_an_old_snapshot):
    store, lease, watched = beside_an_old_snapshot
    rows = f"SELECT 'r' || n, 'x', 'x', '[\"gpu\"]', n % 2, {NOW} + n FROM generate_series(1, {DEAD}) AS n"
    await watched.execute(f"INSERT INTO need (run, operation, step, labels, priority, since) {rows}")
    await watched.execute("DELETE FROM need")
    gpu = frozenset({"gpu"})
    for _ in range(2):
        assert await store.claim_fitting(lease, labels=gpu, limit=10) == []
    call = f"SELECT claim_fitting_2({lease.engine}, '[\"gpu\"]', 10, NULL, NULL, 99, 0, $1)"
    short, long = await pages_twice(watched, (call, (False,)), (call, (True,)))
    assert short < 100
    assert long > 3 * short
    new, batch = new_run("0" * 32), need("0" * 32, "gpu", since=NOW + 5)  # as if it had waited for long, elsewhere
    await store.commit(lease, Batch(1, NOW, runs=[new], needs=[batch]), lease_us=600_000_000)
    assert await store.claim_fitting(lease, labels=gpu, limit=10) == [new.id]


@pytest.fixture
def marks_at_once(monkeypatch):
    """The outbox asks each time who writes to it, and goes through all only at first."""
    monkeypatch.setattr(outbox, "_MARK_S", 0.0)
    monkeypatch.setattr(outbox, "_REST_S", 3_600.0)


async def put_out(connection, first, last):
    rows = f"SELECT 'e' || n, 'r', 't', {NOW}, '{{}}' FROM generate_series({first}, {last}) AS n"
    await connection.execute(f"INSERT INTO outbox (id, run, type, at, data) {rows}")


@pytest.mark.usefixtures("marks_at_once")
async def test_events_that_were_handed_on_since_then_are_not_gone_through_again(beside_an_old_snapshot):
    _, _, watched = beside_an_old_snapshot
    await put_out(watched, 1, DEAD)
    await watched.execute("DELETE FROM outbox WHERE id <> 'e1'")  # a target is out of reach
    box = Outbox(monotonic)
    for _ in range(3):
        assert [one.id for one in await box.read(watched, 9)] == ["e1"]
    await put_out(watched, DEAD + 1, DEAD + 2)
    watched.asked.clear()
    assert [one.id for one in await box.read(watched, 9)] == ["e1", f"e{DEAD + 1}", f"e{DEAD + 2}"]
    short = [await watched.pages(query, *params) for query, params in watched.asked if "FROM outbox" in query]
    assert len(short) == 2
    assert sum(short) < 100
    assert await watched.pages(SQL["outgoing"], 9, 0) > 3 * sum(short)
    assert [one.id for one in await box.read(watched, 2)] == ["e1", f"e{DEAD + 1}"]


@pytest.mark.usefixtures("marks_at_once")
async def test_an_event_whose_commit_took_its_time_comes_before_those_that_were_put_out_after_it(postgres_url):
    settings = {**_SETTINGS, "search_path": address_of(postgres_url).schema}
    slow, quick = [await asyncpg.connect(postgres_url, server_settings=settings) for _ in range(2)]
    box = Outbox(monotonic)
    for number in range(1, 4):
        await put_out(quick, number, number)
        await box.read(quick, 9)
    late = slow.transaction()
    await late.start()
    await put_out(slow, 10, 10)
    for number in range(11, 15):
        await put_out(quick, number, number)
        await quick.execute("DELETE FROM outbox WHERE id = $1", f"e{number - 1}")
        assert [one.id for one in await box.read(quick, 9)][-1] == f"e{number}"
    await late.commit()
    for _ in range(3):
        assert [one.id for one in await box.read(quick, 9)] == ["e1", "e2", "e3", "e10", "e14"]
    await slow.close()
    await quick.close()


async def test_dead_letters_that_were_retried_since_then_are_not_gone_through_again(beside_an_old_snapshot):
    store, _, watched = beside_an_old_snapshot
    rows = f"SELECT 'l' || n, 'in', 'p', 'c', 'r', '', 1, 1, 1, {NOW} + n FROM generate_series(1, {DEAD}) AS n"
    await watched.execute(
        f"INSERT INTO dead_letter (id, way, place, code, reason, body, since, at, attempts, due) {rows}"
    )
    await watched.execute("DELETE FROM dead_letter WHERE id <> 'l5'")
    later = NOW + 120_000_000
    assert [one.id for one in await store.dead_due("p", now=later, limit=9)] == ["l5"]
    assert [one.id for one in await store.dead_due("p", now=later, limit=9)] == ["l5"]
    await store.forget_dead(["l5"])
    for seconds in range(3):
        assert await store.dead_due("p", now=later + seconds * 1_000_000, limit=9) == []
    _, low = store._due["p"]
    query = EVENT_SQL["dead_due"]
    short, long = await pages_twice(watched, (query, ("p", later, 9, low)), (query, ("p", later, 9, 0)))
    assert short < 100
    assert long > 3 * short


@pytest.mark.parametrize(
    "call",
    [
        "SELECT adopt_1({0}, $1, 10, NULL, NULL, 1, 0, false)",
        "SELECT adopt_1({0}, $1, 10, NULL, NULL, 1, 0, true)",
        "SELECT claim_due_1({0}, $1, 10, NULL, NULL, 1, 0, true)",
        "SELECT claim_fitting_2({0}, '[\"gpu\"]', 10, NULL, NULL, $1, 0, true)",
    ],
)
async def test_what_was_planned_while_there_was_nothing_goes_through_no_more_than_it_must(postgres_url, call):
    """A new fleet grows quicker than the server counts its rows."""
    store = open_store(postgres_url)
    await store.open()
    lease = await store.acquire(now=NOW, lease_us=600_000_000, who="e")
    settings = {**_SETTINGS, "search_path": address_of(postgres_url).schema}
    watched = Watched(await asyncpg.connect(postgres_url, server_settings=settings))
    query = call.format(lease.engine)
    for _ in range(8):  # the server keeps a plan after five
        assert await watched.fetchval(query, NOW) == []
    await watched.execute(
        "INSERT INTO run (id, definition, version, status, priority, correlation_id, owner, created_at, input)"
        f"SELECT 'r' || n, 'd', 'v', 'waiting', 0, 'c', {lease.engine}, 1, '{{}}' FROM generate_series(1, {DEAD}) AS n"
    )
    assert await watched.pages(query, NOW) < 1_000
    for one in (watched, store):
        await one.close()


async def test_adopting_goes_through_the_runs_of_the_gone_alone(connection):
    transaction = connection.transaction()
    await transaction.start()
    call = "SELECT adopt_1(2, $1, $2, NULL, NULL, 1, 0, true)"
    pages = await connection.pages(call, 1_500_000_000_000, 20)
    adopted = await connection.fetchval("SELECT count(*) FROM run WHERE owner = 2")
    await transaction.rollback()
    assert adopted == 20
    assert pages < 10_000
