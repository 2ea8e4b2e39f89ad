"""A whole project moves to another database and back, in mid-flight, and nothing of it is lost."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa import App, Pool, Retry, Terminal, child, map_, publish, sleep, step, wait_for_signal, workflow
from ripresa.cli.exits import UsageProblem
from ripresa.cli.moving import copied
from ripresa.contracts.errors import RunFailed, StoreError, StoreInUse
from ripresa.ports.events import DeadLetter
from ripresa.ports.moving import TABLES, Movable
from ripresa.ports.rows import Message
from ripresa.stores import open_store

done = []


@step
async def work(n: int) -> int:
    done.append(n)
    return n + 1


@step(retry=Retry(max_attempts=3, delay="1h"))
async def fails(n: int) -> int:
    raise ConnectionError(f"no {n} today")


@workflow
async def order(n: int) -> list[int]:
    first = await work(n)
    await publish("order_seen", {"n": n})
    return [first, *await wait_for_signal("go", list[int]), await work(-n)]


@workflow
async def waits() -> int:
    await sleep(days=300)
    return await work(1)


@workflow
async def tries(n: int) -> int:
    return await fails(n)


@workflow
async def wide() -> list[int]:
    return await map_(work, [100, 101, 102])


@pytest.fixture(params=["to sqlite", "to postgres"])
def ways(request, tmp_path):
    """Where it is, and where it goes; and back."""
    sqlite = f"sqlite:///{tmp_path}/a.db"
    if request.param == "to sqlite":
        return sqlite, f"sqlite:///{tmp_path}/b.db"
    return sqlite, request.getfixturevalue("postgres_url")


WORKFLOWS = [order, waits, tries, wide]


async def test_a_project_moves_and_moves_back(ways, tmp_path):
    done.clear()
    source, target = ways
    large = [10**9] * 40_000
    app = await App(source, WORKFLOWS).open()
    for n in range(5):
        await app.start(order, n, id=f"o-{n}", tags={"n": str(n)})
    await app.start(waits, id="waits")
    await app.start(tries, 7, id="tries")
    await (await app.start(wide, id="wide")).result("30s")
    await app.signal("o-0", "go", large)
    await (await app.get("o-0")).result("30s")
    await app.pause("o-1")
    await app.signal("o-1", "go", [5])
    while not await app.store.attempts((await app.get("tries")).uuid):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    poison = DeadLetter("d", "in", "here", "no_event", "why", None, None, None, b"\xff\x00", 1, 1, 1)
    await app.store.bury([poison])
    await app.crash()
    before = sorted(done)

    assert await state(source)
    was = await state(source)
    told = await copied(source, target, keep=False)
    assert told["problems"] == []
    assert told["moved_to"] == f"{tmp_path}/a.db.moved"
    there = await state(target)
    assert {name: rows for name, rows in there.items() if name != "ready"} == {
        name: rows for name, rows in was.items() if name != "ready"
    }

    back = f"sqlite:///{tmp_path}/c.db"
    told = await copied(target, back, keep=True)
    assert told["problems"] == []

    async with App(target, WORKFLOWS) as app:
        await app.resume("o-1")
        for n in range(2, 5):
            await app.signal(f"o-{n}", "go", [n])
        for n in range(1, 5):
            assert (await (await app.get(f"o-{n}")).result("30s"))[0] == n + 1
        assert len(await (await app.get("o-0")).result("30s")) == 40_002
        assert await app.store.dead_letters(limit=9) == [poison]
        tried = (await app.get("tries")).uuid
        assert [attempt.number for attempt in await app.store.attempts(tried)] == [1]
        assert [run.id for run in await app.list(tags={"n": "3"})] == ["o-3"]
    assert sorted(done) == sorted([*before, *[-n for n in range(1, 5)]]), "what was recorded was not done again"


async def state(url):
    """All rows, table by table; of runs not who holds them."""
    store = open_store(url)
    assert isinstance(store, Movable)
    await store.open()
    rows = {table: [] for table in TABLES}
    async for chunk in store.dump():
        for row in chunk.rows:
            named = dict(zip(chunk.columns, row, strict=True))
            if chunk.table == "run":
                del named["owner"]
            if chunk.table == "attempt" and named["status"] == "running":
                named |= {"status": "lost", "finished_at": None}
            if chunk.table == "attempt" and named["status"] == "lost":
                named["finished_at"] = None
            rows[chunk.table].append(sorted((name, value) for name, value in named.items() if value is not None))
    counts = await store.counts()
    await store.close()
    assert counts == {table: len(found) for table, found in rows.items()}
    return {table: sorted(found, key=repr) for table, found in rows.items()}


# -- what may go wrong -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite to postgres", "postgres to sqlite"])
def both(request, tmp_path, postgres):
    """Two empty stores, of which one is in PostgreSQL."""
    file, database = f"sqlite:///{tmp_path}/a.db", postgres.database(empty=True)
    yield (file, database) if request.param == "sqlite to postgres" else (database, file)
    postgres.drop(database)


@step
async def takes(n: int) -> int:
    done.append(n)
    return n


@step(compensate=takes)
async def undoes(n: int) -> int:
    done.append(n)
    return n


@step
async def breaks() -> None:
    raise Terminal("no more")


@step(pool="one")
async def in_pool(n: int) -> int:
    done.append(n)
    await asyncio.Event().wait()
    return n


@workflow
async def rolls_back(n: int) -> int:
    await undoes(n)
    await undoes(n + 1)
    await wait_for_signal("fail", int)
    await breaks()
    return n


@workflow
async def has_child() -> int:
    return await child(order, 50, id="a-child") and 1


@workflow
async def queues(n: int) -> int:
    return await in_pool(n)


async def filled(url):
    """A project in mid-flight: a saga, a child, a queue for a pool; then its engine is gone."""
    done.clear()
    app = await App(
        url, [*WORKFLOWS, rolls_back, has_child, queues], pools=[Pool("one", slots=1)], config={"lease_s": 1}
    ).open()
    await app.start(rolls_back, 10, id="saga")
    await app.start(has_child, id="parent")
    for n in (70, 71):
        await app.start(queues, n, id=f"q-{n}")
    while {10, 11, 50} - set(done) or not {70, 71} & set(done):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    await app.crash()
    store = open_store(url)
    await store.open()
    while any(engine["alive"] for engine in await store.engines()):  # noqa: ASYNC110 - till its lease has ended
        await asyncio.sleep(0.05)
    await store.close()


async def goes_on(url):
    """All that was under way ends there, once."""
    before = sorted(done)

    @step(pool="one")
    async def in_pool(n: int) -> int:
        done.append(-n)
        return n

    @workflow
    async def queues(n: int) -> int:
        return await in_pool(n)

    async with App(url, [*WORKFLOWS, rolls_back, has_child, queues], pools=[Pool("one", slots=1)]) as app:
        await app.signal("saga", "fail", 1)
        await app.signal("a-child", "go", [])
        with pytest.raises(RunFailed):
            await (await app.get("saga")).result("60s")
        assert await (await app.get("parent")).result("60s") == 1
        assert sorted([await (await app.get(f"q-{n}")).result("60s") for n in (70, 71)]) == [70, 71]
        assert await app.store.check() == []
    # The saga is undone, the child's last step and both that queued are done; nothing else is done again.
    assert sorted(done) == sorted([*before, 11, 10, -50, -70, -71])


async def test_runs_of_all_kinds_go_on_where_they_were_copied_to_and_nowhere_else(both, tmp_path):
    source, target = both
    await filled(source)
    told = await copied(source, target, keep=False)
    assert told["problems"] == []
    assert told["moved_to"] == (f"{tmp_path}/a.db.moved" if source.startswith("sqlite") else "schema ripresa_moved")
    async with App(source, [waits]) as app:  # a new one, under the old name
        await app.start(waits, id="another")
    with pytest.raises(UsageProblem, match=r"is not empty \(.* in run.*: copy to a new database"):
        await copied(source, target, keep=False)
    await goes_on(target)


async def test_a_source_with_an_engine_at_work_is_not_copied(both):
    source, target = both
    async with App(source, [waits]) as app:
        await app.start(waits, id="waits")
        with pytest.raises(StoreInUse, match=r"engine"):
            await copied(source, target, keep=False)
        assert app.engine.failure is None
    assert not any((await state(target)).values())


async def test_a_source_that_is_sent_something_meanwhile_leaves_the_target_empty(both, monkeypatch):
    source, target = both
    await filled(source)
    store = open_store(source)
    dump = type(store).dump

    async def while_somebody_sends(self, *, size=1_000):
        async for chunk in dump(self, size=size):
            yield chunk
        await self.send(Message("m-late", (await self.get_run("saga")).id, "signal", "fail", "1", 1))

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "dump", while_somebody_sends)
        with pytest.raises(StoreError, match=r"was changed while it was copied \(.*inbox: 0 of 1\): nothing is in"):
            await copied(source, target, keep=False)
    assert not any((await state(target)).values())
    assert (await copied(source, target, keep=False))["problems"] == []


def test_a_copy_that_is_killed_leaves_nothing_and_is_made_again(both, tmp_path):
    source, target = both
    asyncio.run(filled(source))
    program = (
        "import asyncio, os, signal, sys; from ripresa.cli import counting_up, moving\n"
        "def kill(self, done):\n"
        "    if done > 5: os.kill(os.getpid(), signal.SIGKILL)\n"
        "counting_up.CountingUp.at = kill\n"
        "asyncio.run(moving.copied(*sys.argv[1:], keep=False))"
    )
    killed = subprocess.run([sys.executable, "-c", program, source, target], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    command = [str(Path(sys.executable).with_name("ripresa")), "db", "copy", source, target]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert "5 runs in" in made.stdout
    asyncio.run(goes_on(target))
