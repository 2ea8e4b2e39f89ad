"""What the SQLite store does when something is in its way; the process itself lives on."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, contextmanager

import pytest

from ripresa.contracts.errors import (
    CommitUnknown,
    EngineFenced,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from ripresa.ports.rows import LogLine
from ripresa.stores.sqlite import SqliteStore, heartbeat
from ripresa.stores.sqlite.checkpoint import PAGES
from ripresa.testing.store_contract import LARGE, LEASE, A, B, Engine, T, event, message, new_run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
async def store(path):
    store = SqliteStore(path, heartbeat_thread=False, lock_timeout=10)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def engine(store):
    return await Engine.start(store)


@pytest.fixture
def other(path):
    """Another program's connection."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
        yield other


async def until(condition):
    while not condition():  # noqa: ASYNC110 - it is another thread's doing, or deep inside the store
        await asyncio.sleep(0)


def connection_of(store):
    return store._writer._connection


# -- locked -----------------------------------------------------------------------------------------------------------


async def test_a_commit_waits_for_another_programs_transaction(store, engine, other):
    other.execute("BEGIN IMMEDIATE")
    commit = asyncio.create_task(engine.commit(runs=[new_run(A)], history=[event(A, 1)]))
    await until(store._writer._turn.locked)
    assert await store.get_run(A) is None  # reading goes on meanwhile
    assert await store.changed() is False
    assert not commit.done()
    other.execute("COMMIT")
    assert await commit == frozenset()
    assert await store.history(A) == [event(A, 1)]


async def test_a_lock_that_is_not_let_go_of_is_reported_and_nothing_is_written(store, engine, other):
    store._writer._lock_timeout = 0.02
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"runs\.db is locked by another process: end its transaction"):
        await engine.commit(runs=[new_run(A)])
    other.execute("ROLLBACK")
    assert await store.get_run(A) is None
    await engine.commit(runs=[new_run(A)])
    assert await store.get_run(A) is not None


async def test_a_store_may_be_opened_and_read_while_another_program_writes(path, store, engine, other):
    await engine.commit(runs=[new_run(A)])
    other.execute("BEGIN EXCLUSIVE")
    second = SqliteStore(path, heartbeat_thread=False)
    await second.open()
    assert await second.get_run(A) is not None
    assert await second.count_runs() == {"running": 1}
    await second.close()
    other.execute("ROLLBACK")


async def test_opening_waits_for_the_program_that_creates_the_file(path):
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as creator:
        creator.execute("BEGIN EXCLUSIVE")
        creator.execute("CREATE TABLE run (id)")
        store = SqliteStore(path)
        opening = asyncio.create_task(store.open())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not opening.done()
        creator.execute("ROLLBACK")
    await opening
    await store.close()


async def test_opening_gives_up_on_a_file_that_stays_locked(path):
    path.touch()
    with closing(sqlite3.connect(path, isolation_level=None)) as creator:
        creator.execute("BEGIN EXCLUSIVE")
        store = SqliteStore(path, lock_timeout=0.02)
        with pytest.raises(StoreBusy):
            await store.open()
    await store.close()


async def test_two_stores_may_create_one_file_at_once(path):
    stores = [SqliteStore(path, heartbeat_thread=False) for _ in range(5)]
    await asyncio.gather(*(asyncio.to_thread(asyncio.run, opened_and_closed(store)) for store in stores))
    assert path.exists()


async def opened_and_closed(store):
    await store.open()
    await store.close()


# -- full, read-only, broken ------------------------------------------------------------------------------------------


async def test_a_full_disk_is_reported_and_nothing_is_written(store, engine):
    await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
    connection = connection_of(store)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFull, match=r"no space left to write .*runs\.db .*: free some"):
        await engine.commit(history=[event(A, 2)], logs=[LogLine(A, None, None, T, "stdout", None, "x" * 9_000)])
    assert await store.history(A) == [event(A, 1)]
    assert await store.last_batch(engine.lease) == 1
    connection.execute("PRAGMA max_page_count = 1000000")
    await engine.commit(history=[event(A, 2)])
    assert len(await store.history(A)) == 2


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(tmp_path)], check=False, stderr=-3)
    if mounted.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("may not mount a small disk here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(small_disk):
    store = SqliteStore(small_disk / "runs.db", heartbeat_thread=False)
    await store.open()
    engine = await Engine.start(store)
    await engine.commit(runs=[new_run(A)])
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1024 * 1024)
    acknowledged = failed = 0
    while failed < 3:
        try:
            await engine.commit(history=[event(A, acknowledged + 1, data='"' + "x" * 60_000 + '"')])
            acknowledged += 1
        except StoreFull:
            failed += 1
            assert await store.last_batch(engine.lease) == acknowledged + 1
    assert acknowledged > 2
    assert len(await store.history(A)) == acknowledged
    ballast.unlink()
    await engine.commit(history=[event(A, acknowledged + 1)])
    await store.close()
    await store.open()
    assert len(await store.history(A)) == acknowledged + 1
    assert await store.check() == []
    await store.close()


@contextmanager
def files_no_longer_than(size):
    """Let writing past this size fail, as on a broken disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_commit_that_breaks_off_is_unknown_until_the_last_batch_is_asked(path, store, engine):
    await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
    journal = path.with_name(path.name + "-wal")
    with files_no_longer_than(journal.stat().st_size + 100), pytest.raises(CommitUnknown, match=r"is not known"):
        await engine.commit(history=[event(A, 2)])
    assert await store.last_batch(engine.lease) == 1
    assert await store.history(A) == [event(A, 1)]
    await engine.commit(history=[event(A, 2)])
    assert await store.history(A) == [event(A, 1), event(A, 2)]


async def test_a_file_that_may_not_be_written_is_reported(store, engine):
    connection_of(store).execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match=r"runs\.db cannot be written .*give this process the right"):
        await engine.commit(runs=[new_run(A)])


async def test_a_page_that_is_damaged_is_reported(path, store, engine):
    await engine.commit(runs=[new_run(A)], history=[event(A, seq) for seq in range(1, 2_000)])
    await store.close()
    content = bytearray(path.read_bytes())
    half = len(content) // 8192 * 4096  # the schema lies in the first
    content[half:] = b"\xaa" * (len(content) - half)
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"runs\.db is damaged .*restore"):
        await history_of(store)


async def history_of(store):
    await store.open()
    return await store.history(A)


async def test_text_that_utf8_has_no_form_for_does_not_stop_the_engine(store, engine):
    await engine.commit(
        runs=[new_run(A)],
        history=[event(A, 1)],
        logs=[LogLine(A, "x", 1, T, "stdout", None, "half a pair: \ud83d, whole: 😀")],
    )
    assert [line.text for _, line in await store.logs(A)] == ["half a pair: ?, whole: 😀"]
    assert await store.history(A) == [event(A, 1)]


async def test_a_number_that_no_column_holds_is_refused_and_nothing_is_written(store, engine):
    for wrong in (2**63, "text", [1]):
        with pytest.raises((StoreError, OverflowError)):
            await engine.commit(runs=[new_run(A)], history=[event(A, 1, fingerprint=wrong)])
    assert await store.get_run(A) is None
    await engine.commit(runs=[new_run(A)])


async def test_a_commit_while_another_is_under_way_is_a_mistake(store, engine, other):
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.create_task(engine.commit(runs=[new_run(A)]))
    await until(store._writer._turn.locked)
    with pytest.raises(AssertionError, match="one commit at a time"):
        await engine.commit(runs=[new_run(B)])
    other.execute("ROLLBACK")
    await first


async def test_verbs_that_wait_while_the_store_is_closed_write_nothing(path, other, store, engine):
    await engine.commit(runs=[new_run(A)])
    other.execute("BEGIN IMMEDIATE")
    first = asyncio.create_task(store.send(message("m1", A)))
    await until(store._writer._turn.locked)
    second = asyncio.create_task(store.send(message("m2", A)))
    closing = asyncio.create_task(store.close())
    third = None
    for _ in range(5):
        await asyncio.sleep(0)
    other.execute("ROLLBACK")
    await first
    await second
    await closing
    with pytest.raises(StoreUnavailable, match=r"call open\(\) first"):
        third = await store.send(message("m3", A))
    assert third is None
    assert other.execute("SELECT count(*) FROM inbox").fetchone() == (2,)


# -- a slow disk ------------------------------------------------------------------------------------------------------


class SlowDisk:
    """Holds a COMMIT up until it is told to go on, and notes which thread it ran on."""

    def __init__(self, store):
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.thread = None
        connection_of(store).set_trace_callback(self.traced)
        store._writer.pace.average_s = 1.0

    def traced(self, statement):
        if statement == "COMMIT":
            self.thread = threading.current_thread()
            self.reached.set()
            assert self.go_on.wait(20)


async def test_a_slow_fsync_does_not_stall_the_loop(store, engine):
    await engine.commit(runs=[new_run(A)])
    disk = SlowDisk(store)
    commit = asyncio.create_task(engine.commit(history=[event(A, 1)]))
    await until(disk.reached.is_set)
    assert disk.thread is not threading.current_thread()
    assert disk.thread.name.startswith("ripresa-commit")
    # Looking up, reading and asking for changes go on; writing waits its turn.
    assert (await store.load([A]))[0].history == []
    assert await store.count_runs() == {"running": 1}
    assert await store.changed() is False
    sent = asyncio.create_task(store.send(message("m1", A)))
    await asyncio.sleep(0)
    assert not commit.done()
    assert not sent.done()
    disk.go_on.set()
    await commit
    await sent
    (loaded,) = await store.load([A])
    assert (loaded.history, loaded.messages) == ([event(A, 1)], [message("m1", A)])


async def test_a_quick_commit_stays_on_the_loop(store, engine):
    disk = SlowDisk(store)
    store._writer.pace.average_s = 0.0
    disk.go_on.set()
    await engine.commit(runs=[new_run(A)])
    assert disk.thread is threading.current_thread()


async def test_a_commit_that_is_cancelled_ends_before_the_next_begins(store, engine):
    await engine.commit(runs=[new_run(A)])
    disk = SlowDisk(store)
    commit = asyncio.create_task(engine.commit(history=[event(A, 1)]))
    await until(disk.reached.is_set)
    for _ in range(3):
        commit.cancel()
        await asyncio.sleep(0)
    assert not commit.done()
    disk.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await commit
    assert await store.last_batch(engine.lease) == 2  # it took effect
    await engine.commit(history=[event(A, 2)])
    assert len(await store.history(A)) == 2


# -- heartbeats -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def beating(path):
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


def wait_until(condition):
    """Wait without letting the event loop run."""
    tick = threading.Event()
    for _ in range(12_000):
        if condition():
            return
        tick.wait(0.005)
    raise AssertionError("it never came true")


def lease_until(connection):
    return connection.execute("SELECT lease_until FROM engine").fetchone()[0]


async def test_a_lease_is_renewed_while_the_loop_stands_still(beating, other):
    await beating.acquire(now=T, lease_us=60_000, who="contract")
    wait_until(lambda: lease_until(other) > T + 150_000)


async def test_a_heartbeat_begins_though_the_file_is_locked_when_it_is_opened(beating, other, monkeypatch):
    opened, connect = [], heartbeat.connect

    def locked_at_first(path):
        opened.append(path)
        if len(opened) < 3:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return connect(path)

    monkeypatch.setattr(heartbeat, "connect", locked_at_first)
    await beating.acquire(now=T, lease_us=60_000, who="contract")
    wait_until(lambda: lease_until(other) > T + 150_000)


async def test_nothing_is_renewed_while_commits_do_it(beating, other):
    lease = await beating.acquire(now=T, lease_us=LEASE, who="contract")
    engine = Engine(beating, lease)
    await engine.commit(at=T + 7)
    beating._heartbeat._prolong(other)
    assert lease_until(other) == T + 7 + LEASE


async def test_a_heartbeat_takes_nothing_back(beating, other):
    """A commit's time may be ahead of what the thread can guess."""
    lease = await beating.acquire(now=T, lease_us=LEASE, who="contract")
    await beating.renew(lease, now=T + 9 * LEASE, lease_us=LEASE)
    beating._heartbeat.renewed(T, LEASE, time.monotonic() - LEASE / 1e6)
    beating._heartbeat._prolong(other)
    assert lease_until(other) == T + 10 * LEASE


async def test_a_heartbeat_that_finds_another_owner_stops_the_next_commit(beating, path):
    lease = await beating.acquire(now=T, lease_us=60_000, who="contract")
    second = SqliteStore(path, heartbeat_thread=False)
    await second.open()
    await second.acquire(now=T + 10**9, lease_us=LEASE, who="second")
    wait_until(lambda: beating._heartbeat.fenced)
    with pytest.raises(EngineFenced):
        await Engine(beating, lease).commit()
    await second.close()


async def test_a_lease_that_was_released_stays_released(beating, other):
    lease = await beating.acquire(now=T, lease_us=30_000, who="contract")
    thread = beating._heartbeat._thread
    await beating.release(lease)
    assert not thread.is_alive()
    assert lease_until(other) == 0


async def test_the_thread_ends_with_the_store(path):
    store = SqliteStore(path)
    await store.open()
    await store.acquire(now=T, lease_us=LEASE, who="contract")
    thread = store._heartbeat._thread
    await store.close()
    assert not thread.is_alive()
    assert [entry.name for entry in path.parent.iterdir()] == ["runs.db"]


# -- checkpoints ------------------------------------------------------------------------------------------------------


async def test_the_journal_starts_over_while_commits_go_on(path, store, engine):
    journal = path.with_name(path.name + "-wal")
    await engine.commit(runs=[new_run(A)])
    for batch in range(60):
        data = f'"{"x" * 400}"'
        await engine.commit(history=[event(A, 1_000 * batch + n, data=data) for n in range(1, 1_001)])
        running = store._writer._checkpoints._running
        if running is not None:
            await asyncio.wrap_future(running)
    assert journal.stat().st_size < 1.5 * PAGES * 4096 < path.stat().st_size
    assert (await store.history(A, after=59_999))[0].seq == 60_000
    await store.close()
    assert not journal.exists()
    await store.open()
    assert await store.check() == []


async def test_no_checkpoint_runs_on_the_loop(store, engine):
    seen = []
    connection_of(store).set_trace_callback(
        lambda statement: seen.append(threading.current_thread()) if "checkpoint" in statement else None
    )
    store._writer._checkpoints.rest_is_due = True
    await engine.commit(runs=[new_run(A)])
    assert len(seen) == 1
    assert threading.current_thread() not in seen
    assert connection_of(store).execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


async def test_large_payloads_of_one_content_are_kept_once_for_each_run(store, engine, other):
    await engine.commit(
        runs=[new_run(A, input=LARGE), new_run(B, input=LARGE)],
        history=[event(A, 1, data=LARGE), event(A, 2, data=LARGE)],
    )
    await store.send(message("m1", A, data=LARGE))
    assert other.execute("SELECT count(*) FROM blob").fetchone() == (2,)
    assert other.execute("SELECT max(length(input)) < 200 FROM run").fetchall() == [(1,)]


async def test_a_message_that_was_taken_leaves_its_id_alone(store, engine, other):
    await engine.commit(runs=[new_run(A)], messages=[message("m1", A, data=LARGE)])
    await store.send(message("m2", A, data=LARGE))
    await engine.commit(taken=["m1", "m2"], history=[event(A, 1)])
    assert other.execute("SELECT run, id FROM seen").fetchall() == [(A, "m1"), (A, "m2")]
    assert other.execute("SELECT count(*) FROM inbox").fetchone() == (0,)
    assert other.execute("SELECT count(*) FROM blob").fetchone() == (0,)
