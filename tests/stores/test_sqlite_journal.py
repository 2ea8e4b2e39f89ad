"""Room in the journal's file: when it is made, and that the zeros in it are never taken for commits."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from ripresa.stores.sqlite import SqliteStore
from ripresa.stores.sqlite.journal import COMMITS_BEFORE, make_room
from ripresa.testing.store_contract import A, Engine, event, new_run

ROOM = 20 * 1024 * 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
async def store(path):
    store = SqliteStore(path, heartbeat_thread=False)
    await store.open()
    yield store
    await store.close()


def journal_of(path):
    return path.with_name(path.name + "-wal")


async def commit_until(store, engine, seq):
    """Commit events 1 … `seq` one by one, and wait for what the store does besides."""
    for n in range(engine.last, seq + 1):
        await engine.commit(history=[event(A, n)])
    store._writer._checkpoints._thread.submit(lambda: None).result()


async def test_a_store_that_is_written_often_gets_room_and_one_that_is_not_does_not(path, store):
    engine = await Engine.start(store)
    await engine.commit(runs=[new_run(A)])
    await commit_until(store, engine, COMMITS_BEFORE - 5)
    assert journal_of(path).stat().st_size < ROOM / 20
    await commit_until(store, engine, COMMITS_BEFORE)
    assert journal_of(path).stat().st_size == ROOM


async def test_what_is_committed_before_and_after_the_room_was_made_is_there_after_a_crash(path, store, tmp_path):
    engine = await Engine.start(store)
    await engine.commit(runs=[new_run(A)])
    await commit_until(store, engine, COMMITS_BEFORE)
    for last in (COMMITS_BEFORE, COMMITS_BEFORE + 40):
        await commit_until(store, engine, last)
        crashed = tmp_path / f"crashed-{last}" / path.name
        crashed.parent.mkdir()
        shutil.copy(path, crashed)
        shutil.copy(journal_of(path), journal_of(crashed))
        again = SqliteStore(crashed, heartbeat_thread=False)
        await again.open()
        assert [row.seq for row in await again.history(A, after=0)] == list(range(1, last + 1))
        assert await again.check() == []
        await again.close()


def test_a_commit_that_stands_there_already_is_not_written_over(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE t (n)")
        for n in range(200):
            writer.execute("INSERT INTO t VALUES (?)", (n,))
            make_room(path, 8192 * (n + 1))
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
        shutil.copy(journal_of(path), journal_of(copy))
    with closing(sqlite3.connect(copy)) as reader:
        assert reader.execute("SELECT count(*), max(n) FROM t").fetchone() == (200, 199)
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_processes_write_while_room_is_made(path):
    """Zeros appended at any moment of another process's writing leave its commits whole."""
    with closing(sqlite3.connect(path, isolation_level=None)) as keeper:
        keeper.execute("PRAGMA journal_mode = WAL")
        keeper.execute("CREATE TABLE t (n)")
        script = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "for n in range(2000): c.execute('INSERT INTO t VALUES (?)', (n,))"
        )
        other = subprocess.Popen([sys.executable, "-c", script, str(path)])
        length = 0
        while other.poll() is None:
            length = min(length + 24_000, ROOM)
            make_room(path, length)
        assert other.returncode == 0
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
        shutil.copy(journal_of(path), journal_of(copy))
    with closing(sqlite3.connect(copy)) as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (2000,)
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_without_a_journal_or_without_space_nothing_happens(path):
    make_room(path, ROOM)
    assert not journal_of(path).exists()

    journal_of(path).write_bytes(b"")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        make_room(path, ROOM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert journal_of(path).stat().st_size == 100_000
