"""A whole project moves to another database and back, in mid-flight, and nothing of it is lost."""

import asyncio

import pytest

from ripresa import App, Retry, map_, publish, sleep, step, wait_for_signal, workflow
from ripresa.cli.moving import copied
from ripresa.ports.events import DeadLetter
from ripresa.ports.moving import TABLES, Movable
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
