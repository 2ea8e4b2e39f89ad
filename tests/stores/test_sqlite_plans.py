"""No list of runs gets slower as runs get more: shown by what SQLite plans to do, and by how much it does."""

import sqlite3
from contextlib import closing

import pytest

from ripresa.ports.reading import RunFilter
from ripresa.stores.sqlite import SqliteStore, lists, loading, owner

RUNS = 200_000

FILL = f"""
WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < {RUNS} - 1)
INSERT INTO run (id, key, definition, version, status, priority, parent, correlation_id, owner, created_at, input)
SELECT printf('%08x-0000-7000-8000-000000000000', n), 'order-' || n, 'd' || (n % 5), 'v',
  CASE n % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'waiting' WHEN 2 THEN 'running' ELSE 'succeeded' END, n % 3,
  CASE n % 4 WHEN 0 THEN printf('%08x-0000-7000-8000-000000000000', 7) END, 'c',
  CASE n % 10 WHEN 2 THEN 1 END, n, '{{}}'
FROM number;
INSERT INTO tag SELECT id, 'region', CASE rowid % 2 WHEN 0 THEN 'eu' ELSE 'us' END FROM run;
INSERT INTO tag SELECT id, 'rare', 'yes' FROM run WHERE rowid % 50000 = 0;
INSERT INTO ready SELECT id, created_at, priority FROM run WHERE status = 'waiting';
INSERT INTO inbox (id, run, kind, at) SELECT id, id, 'signal', 1 FROM run WHERE rowid % 100 = 0;
INSERT INTO history (run, seq, kind, at) SELECT id, 1, 'started', 1 FROM run;
INSERT INTO quality SELECT id, 1, definition, 's' || (created_at % 3), 's', created_at, 'succeeded', '{{}}' FROM run;
"""


class Watched(sqlite3.Connection):
    """Notes what it is asked."""

    def execute(self, query, params=()):
        self.asked.append((query, params))
        return super().execute(query, params)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    import asyncio

    path = tmp_path_factory.mktemp("plans") / "runs.db"

    async def create():
        store = SqliteStore(path)
        await store.open()
        await store.close()

    asyncio.run(create())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(f"BEGIN; {FILL}; COMMIT")
    return path


@pytest.fixture
def connection(path):
    with closing(sqlite3.connect(path, factory=Watched, isolation_level=None)) as connection:
        connection.asked = []
        connection.steps = 0

        def count():
            connection.steps += 100

        connection.set_progress_handler(count, 100)
        yield connection


def plan(connection, query, params):
    if query in {"BEGIN", "COMMIT"}:
        return []
    return [row[3] for row in sqlite3.Connection.execute(connection, f"EXPLAIN QUERY PLAN {query}", params)]


def assert_no_scan(connection):
    for query, params in list(connection.asked):
        for step in plan(connection, query, params):
            packed = step.startswith("SCAN (subquery") or step in {"SCAN level", "SCAN json_each", "SCAN wanted"}
            virtual = "VIRTUAL TABLE" in step
            assert packed or virtual or not step.startswith("SCAN"), (query, step)
            assert "TEMP B-TREE" not in step, (query, step)
            assert "AUTOMATIC" not in step, (query, step)


FILTERS = [
    RunFilter(),
    RunFilter(status=("failed",)),
    RunFilter(status=("failed", "waiting", "succeeded")),
    RunFilter(definition="d1"),
    RunFilter(parent=f"{7:08x}-0000-7000-8000-000000000000"),
    RunFilter(tags=(("region", "eu"),)),
    RunFilter(tags=(("region", "eu"), ("rare", "yes"))),
    RunFilter(key_prefix="order-1"),
    RunFilter(definition="d1", status=("succeeded",)),
    RunFilter(definition="unknown", status=("waiting",)),
    RunFilter(definition="d0", status=("failed",), tags=(("rare", "yes"),)),
    RunFilter(definition="d1", tags=(("region", "us"),), key_prefix="order-"),
]


@pytest.mark.parametrize("where", FILTERS, ids=lambda where: "+".join(k for k, v in where._asdict().items() if v))
def test_no_page_of_a_list_scans_or_sorts(connection, where):
    cursor = None
    for _ in range(3):
        page = lists.list_runs(connection, where, limit=50, cursor=cursor)
        cursor = page.cursor
        if cursor is None:
            break
    assert_no_scan(connection)
    assert connection.steps < 3 * 50_000  # of SQLite's machine, for a table of 200,000 rows


@pytest.mark.parametrize(
    ("queries", "name", "params"),
    [
        (owner.SQL, "next_due", {"after": -1}),
        (owner.SQL, "own", {"run": "x", "engine": 1}),
        (owner.SQL, "no_longer_ready", {"runs": '["x"]'}),
        (owner.SQL, "own_all", {"runs": '["x"]', "engine": 1}),
        (owner.SQL, "lose_attempts", {"runs": '["x"]', "now": 1}),
        (loading.SQL, "statuses", {"runs": '["x"]'}),
        (loading.SQL, "history", {"run": "x", "after": 0, "limit": 9}),
        (loading.SQL, "loaded_history", {"runs": '["x"]', "span": 9}),
        (loading.SQL, "loaded_messages", {"runs": '["x"]', "span": 9}),
        (loading.SQL, "messages", {"run": "x"}),
        (loading.SQL, "logs", {"run": "x", "after": 0, "operation": None}),
        (loading.SQL, "children", {"run": "x"}),
        (loading.SQL, "outgoing", {"limit": 9}),
        (loading.SQL, "run_by_key", ("x",)),
        (loading.SQL, "quality", {"definition": "d1", "not_of": None, "limit": 9}),
        (loading.SQL, "quality_of_step", {"definition": "d1", "step": "s1", "not_of": "x", "limit": 9}),
    ],
)
def test_no_look_up_scans(connection, queries, name, params):
    connection.execute(queries[name], params)
    for step in plan(connection, *connection.asked[0]):
        assert not step.startswith("SCAN") or "VIRTUAL TABLE" in step or step in {"SCAN level", "SCAN outbox"}, step


@pytest.mark.parametrize("name", ["quality", "quality_of_step"])
def test_the_trail_of_a_steps_quality_is_read_from_its_index_as_far_as_it_is_asked_for(connection, name):
    connection.execute(loading.SQL[name], {"definition": "d1", "step": "s1", "not_of": None, "limit": 50}).fetchall()
    assert_no_scan(connection)
    assert connection.steps < 5_000


def test_claiming_looks_at_no_more_runs_than_it_takes(connection):
    for limit, now in ((10, RUNS), (10, 100), (100, RUNS)):
        connection.steps = 0
        found = connection.execute(owner.SQL["due"], {"now": now, "limit": limit, "engine": 1}).fetchall()
        assert len(found) == limit
        assert connection.steps < 500 + 100 * limit


def test_adopting_goes_through_the_open_runs_alone(connection):
    connection.execute(owner.SQL["orphans"], {"engine": None, "limit": -1})
    steps = plan(connection, *connection.asked[0])
    assert not [step for step in steps if step.startswith("SCAN") and "run" in step.split()]
    assert any("COVERING INDEX run_by_status (status=?)" in step for step in steps)
