"""Pools over several engines: a limit holds for all of them together, and nobody's end takes a slot along."""

from __future__ import annotations

import asyncio

from ripresa import Pool, map_, step, workflow


class Inside:
    """Who is inside a step, and how many there were at once."""

    def __init__(self):
        self.now = []
        self.most = 0
        self.done = []
        self.open = asyncio.Event()

    def workflow(self, count=4, **options):
        """A workflow whose steps wait to be let on."""

        @step(pool="lake", **options)
        async def load(name: str) -> None:
            self.now.append(name)
            self.most = max(self.most, len(self.now))
            try:
                await self.open.wait()
                await asyncio.sleep(0)
            finally:
                self.now.remove(name)
            self.done.append(name)

        @workflow
        async def loads(who: str) -> int:
            return len(await map_(load, [f"{who}{n}" for n in range(count)]))

        return loads


async def standing(app):
    found = await app.engine.store.standing()
    held = sum(one.granted_at is not None for one in found)
    return held, len(found) - held


async def until(app, expected):
    async with asyncio.timeout(60):
        while await standing(app) != expected:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.002)


async def test_a_limit_holds_over_all_engines_and_all_get_on(fleet):
    inside = Inside()
    loads = inside.workflow()
    apps = [await fleet.open(loads, pools=[Pool("lake", slots=3)]) for _ in range(3)]
    runs = [await app.start(loads, f"run{number}") for number, app in enumerate(apps)]
    await until(apps[0], (3, 9))
    inside.open.set()
    assert [await run.result("60s") for run in runs] == [4, 4, 4]
    assert inside.most == 3
    await until(apps[0], (0, 0))


async def test_each_engine_has_its_share(fleet):
    inside = Inside()
    loads = inside.workflow()
    apps = [await fleet.open(loads, pools=[Pool("lake", slots=9, slots_per_worker=2)]) for _ in range(2)]
    runs = [await app.start(loads, f"run{number}") for number, app in enumerate(apps)]
    await until(apps[0], (4, 4))
    (state,) = await apps[0].engine.store.pools()
    assert set(state.by_engine.values()) == {2}
    inside.open.set()
    assert [await run.result("60s") for run in runs] == [4, 4]


async def test_a_slot_that_one_engine_frees_goes_to_who_waits_on_another(fleet):
    inside = Inside()
    loads = inside.workflow(count=1)
    one = await fleet.open(loads, pools=[Pool("lake", slots=1)])
    two = await fleet.open(loads)
    first = await one.start(loads, "a")
    await until(one, (1, 0))
    second = await two.start(loads, "b")
    await until(one, (1, 1))
    inside.open.set()
    await first.result("60s")
    await second.result("60s")
    assert inside.done == ["a0", "b0"]


async def test_an_engine_that_dies_takes_no_slot_along(fleet):
    inside = Inside()
    loads = inside.workflow(count=2)
    one = await fleet.open(loads, pools=[Pool("lake", slots=2)])
    two = await fleet.open(loads)
    run = await one.start(loads, "a")
    await until(one, (2, 0))
    other = await two.start(loads, "b")
    await until(one, (2, 2))
    await fleet.crash(one)
    two.engine.pools.look()
    inside.open.set()
    assert await other.result("60s") == 2
    assert await (await two.get(run.id)).result("60s") == 2
    await until(two, (0, 0))


async def test_limits_that_a_person_changes_hold_on_all_engines_at_once(fleet):
    inside = Inside()
    loads = inside.workflow()
    apps = [await fleet.open(loads, pools=[Pool("lake", slots=1)]) for _ in range(2)]
    runs = [await app.start(loads, f"run{number}") for number, app in enumerate(apps)]
    await until(apps[0], (1, 7))
    await apps[1].engine.store.put_pool("lake", '{"slots": 5}')
    await until(apps[0], (5, 3))
    inside.open.set()
    assert [await run.result("60s") for run in runs] == [4, 4]
