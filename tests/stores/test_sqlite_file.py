import os
import re
import shutil
import sqlite3
from contextlib import closing
from importlib.resources import files

import pytest

from ripresa.contracts.errors import StoreCorrupt, StoreTooNew, StoreUnavailable
from ripresa.ports.rows import Message
from ripresa.stores.sqlite import SqliteStore, schema
from ripresa.testing.store_contract import A, Engine, event, new_run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


async def opened(path):
    """Open a store there and close it again."""
    store = SqliteStore(path, heartbeat_thread=False)
    await store.open()
    await store.close()


def tables(connection):
    """What the database holds, without comments and blanks."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name").fetchall()
    return [(*row[:3], "".join(re.sub("--.*", "", row[3] or "").split())) for row in rows]


def at_rest(path):
    """The state of the directory, to be compared later; nobody has written the file for long."""
    os.utime(path, (0, 0))
    return unchanged(path)


def unchanged(path):
    """The state of the directory."""
    return {entry.name: entry.read_bytes() for entry in path.parent.iterdir()}


def foreign(path, *statements):
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


# -- the schema -------------------------------------------------------------------------------------------------------


async def test_migrations_add_up_to_the_schema(path):
    await opened(path)
    with closing(sqlite3.connect(path)) as migrated, closing(sqlite3.connect(":memory:")) as whole:
        whole.executescript(files("ripresa.stores.sqlite").joinpath("schema.sql").read_text("utf-8"))
        assert tables(migrated) == tables(whole)


def test_migrations_are_numbered_without_a_gap():
    names = [step.name for step in files("ripresa.stores.sqlite").joinpath("migrations").iterdir()]
    numbers = sorted(int(re.fullmatch(r"(\d{4})_\w+\.sql", name)[1]) for name in names)
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_migration_that_is_cut_off_at_any_statement_is_taken_up_again(path, monkeypatch):
    class Cut(sqlite3.Connection):
        left = 0

        def execute(self, *args):
            Cut.left -= 1
            if Cut.left < 0 and args[0] != "ROLLBACK":
                raise KeyboardInterrupt
            return super().execute(*args)

    connect, cuts = sqlite3.connect, 0
    while True:
        target = path.with_name(f"{cuts}.db")
        Cut.left = cuts
        monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **kwargs, factory=Cut))
        try:
            schema.prepare(target)
            break
        except KeyboardInterrupt:
            cuts += 1
        finally:
            monkeypatch.undo()
        schema.prepare(target)
        with closing(connect(target)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.migrations()),)
            assert connection.execute("SELECT count(*) FROM run").fetchone() == (0,)
    assert cuts > 20


async def test_a_file_of_the_first_schema_is_brought_up_to_date(path, monkeypatch):
    large = '"' + "x" * 300_000 + '"'
    steps = schema.migrations()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: steps[:1])
        schema.prepare(path)
    columns = "id, definition, version, status, priority, correlation_id, base_seq, created_at, input"
    run = f"INSERT INTO run ({columns}) VALUES"
    foreign(
        path,
        f"{run} ('a', 'd', 'v', 'running', 0, 'c', 2, 1, '{{}}'), ('b', 'd', 'v', 'running', 0, 'c', 0, 1, '{{}}')",
        "INSERT INTO history (run, seq, kind, at) VALUES ('a', 1, 'run_started', 10), ('a', 2, 'x', 15)",
        "INSERT INTO history (run, seq, kind, at) VALUES ('a', 3, 'continued', 20), ('b', 1, 'run_started', 10)",
        "INSERT INTO attempt VALUES ('a', 'x', 1, 'x', 1, 12, 'failed', 13, NULL, NULL)",
        "INSERT INTO attempt VALUES ('a', 'x', 2, 'x', 1, 25, 'running', NULL, NULL, NULL)",
        "INSERT INTO attempt VALUES ('b', 'x', 1, 'x', 1, 12, 'running', NULL, NULL, NULL)",
        f"INSERT INTO blob VALUES ('0123', '{large}')",
        "INSERT INTO inbox (id, run, kind, at, taken, data) VALUES ('m1', 'a', 'signal', 1, 1, NULL)",
        "INSERT INTO inbox (id, run, kind, at, data) VALUES ('m2', 'a', 'signal', 2, '@blob:0123')",
        "INSERT INTO inbox (id, run, kind, at, data) VALUES ('m3', 'b', 'signal', 3, '1')",
    )
    store = SqliteStore(path, heartbeat_thread=False)
    await store.open()
    assert [(tried.number, tried.generation) for tried in await store.attempts("a")] == [(1, 0), (2, 2)]
    assert [(tried.number, tried.generation) for tried in await store.attempts("b")] == [(1, 0)]
    (loaded,) = await store.load(["a"])
    assert [tried.number for tried in loaded.attempts] == [2]
    await store.send(Message("m1", "a", "signal", None, None, 9))  # known
    assert await store.messages("a") == [Message("m2", "a", "signal", None, large, 2)]
    assert await store.messages("b") == [Message("m3", "b", "signal", None, "1", 3)]
    await store.close()


async def test_the_header_tells_whose_file_it_is(path):
    await opened(path)
    header = path.read_bytes()[:100]
    assert int.from_bytes(header[68:72]) == schema.APPLICATION_ID
    assert int.from_bytes(header[60:64]) == len(schema.migrations())


async def test_missing_directories_are_made(tmp_path):
    await opened(tmp_path / "a" / "b" / "runs.db")
    assert [entry.name for entry in (tmp_path / "a" / "b").iterdir()] == ["runs.db"]


@pytest.mark.parametrize(
    "name", ["with blank.db", "per%20cent.db", "what?mode=ro.db", "ha#sh.db", "süß.db", "x;y&z.db"]
)
async def test_a_path_may_hold_any_character(tmp_path, name):
    await opened(tmp_path / name)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


async def test_a_relative_path_stays_where_it_was_when_the_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    store = SqliteStore("sqlite:///runs.db", heartbeat_thread=False)
    await store.open()
    monkeypatch.chdir(tmp_path / "elsewhere")
    engine = await Engine.start(store)
    await engine.commit(runs=[new_run(A)])
    assert len(await store.load([A])) == 1
    assert await store.count_runs() == {"running": 1}  # the reading thread opens its connection only now
    await store.close()
    assert not list((tmp_path / "elsewhere").iterdir())


async def test_an_empty_file_becomes_a_store(path):
    path.touch()
    await opened(path)
    await opened(path)


async def test_a_store_keeps_what_it_has_when_it_is_opened_again(path):
    store = SqliteStore(path, heartbeat_thread=False)
    await store.open()
    engine = await Engine.start(store)
    await engine.commit(runs=[new_run(A)], history=[event(A, 1)])
    await store.release(engine.lease)
    await store.close()
    await store.open()
    assert await store.history(A) == [event(A, 1)]
    await store.close()


# -- files that are not ours to change --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_another_programs_database_is_refused_and_left_alone(path, mode):
    foreign(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE customer (id)", "PRAGMA user_version = 1")
    before = at_rest(path)
    with pytest.raises(StoreCorrupt, match=r"is not a ripresa database .*tables: customer.*name another file"):
        await opened(path)
    assert unchanged(path) == before


async def test_an_empty_database_of_another_program_is_refused(path):
    foreign(path, "PRAGMA application_id = 7", "PRAGMA user_version = 1")
    with pytest.raises(StoreCorrupt, match="application id 0x7, tables: none"):
        await opened(path)


@pytest.mark.parametrize(
    "content", [b"not a database", b"x" * 4096, b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 4096]
)
async def test_a_file_that_is_no_database_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    before = at_rest(path)
    with pytest.raises(StoreCorrupt, match="restore a backup, or name another file"):
        await opened(path)
    assert unchanged(path) == before


@pytest.mark.parametrize("left", [50, 99, 4096, 3 * 4096, 3 * 4096 + 17])
async def test_a_file_that_was_cut_off_is_refused_and_left_alone(path, left):
    await opened(path)
    path.write_bytes(path.read_bytes()[:left])
    before = at_rest(path)
    with pytest.raises(StoreCorrupt, match=f"{path}.*restore a backup"):
        await opened(path)
    assert unchanged(path) == before


async def test_a_damaged_header_is_refused_and_left_alone(path):
    await opened(path)
    content = bytearray(path.read_bytes())
    content[:16] = b"SQLite format 4\0"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="it was not changed"):
        await opened(path)
    assert path.read_bytes() == content


async def test_a_newer_schema_is_refused_and_left_alone(path):
    await opened(path)
    foreign(path, f"PRAGMA user_version = {len(schema.migrations()) + 1}")
    before = at_rest(path)
    with pytest.raises(StoreTooNew, match=r"of a newer ripresa.*: upgrade ripresa"):
        await opened(path)
    assert unchanged(path) == before


async def test_a_directory_is_no_file(tmp_path):
    with pytest.raises(StoreUnavailable, match="is a directory"):
        await opened(tmp_path)


async def test_a_path_through_a_file_cannot_be_opened(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be created"):
        await opened(tmp_path / "file" / "runs.db")


async def test_a_store_that_is_not_open_says_so(path):
    store = SqliteStore(path)
    with pytest.raises(StoreUnavailable, match=r"call open\(\) first"):
        await store.count_runs()
    with pytest.raises(StoreUnavailable, match=r"call open\(\) first"):
        await store.changed()


# -- check ------------------------------------------------------------------------------------------------------------


async def test_rows_that_belong_to_nothing_are_reported(path):
    await opened(path)
    foreign(
        path,
        "INSERT INTO history (run, seq, kind, at, data) VALUES ('a', 1, 'x', 1, '@blob:0123'), ('a', 3, 'x', 1, NULL)",
        "INSERT INTO ready VALUES ('b', 1, 1)",
        "INSERT INTO tag VALUES ('c', 'n', 'v')",
        "INSERT INTO inbox (id, run, kind, at) VALUES ('m', 'd', 'signal', 1)",
        "INSERT INTO attempt VALUES ('e', 0, 'x', 1, 'x', 1, 1, 'running', NULL, NULL, NULL)",
    )
    store = SqliteStore(path)
    await store.open()
    assert await store.check() == [
        "1 events of a run that does not exist, the first of a",
        "1 attempts of a run that does not exist, the first of e",
        "1 ready rows of a run that does not exist, the first of b",
        "1 messages to a run that does not exist, the first of d",
        "1 tags of a run that does not exist, the first of c",
        "1 payloads that are missing, the first of a",
        "1 runs whose events are not numbered without a gap, the first of a",
    ]
    await store.close()


async def test_a_damaged_page_is_reported(path):
    store = SqliteStore(path, heartbeat_thread=False)
    await store.open()
    engine = await Engine.start(store)
    await engine.commit(history=[event(A, seq) for seq in range(1, 2_000)])
    await store.close()
    content = bytearray(path.read_bytes())
    content[-8192:-4096] = b"\xaa" * 4096
    path.write_bytes(content)
    await store.open()
    assert await store.check()
    await store.close()


async def test_a_copy_of_the_file_is_a_store(path):
    await opened(path)
    shutil.copy(path, path.with_name("copy.db"))
    await opened(path.with_name("copy.db"))
