"""Cancellation and force completion: WCP-19, WCP-20, WCP-25 to WCP-27."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import RunCancelled, map_, on_signal, sleep, step, wait_for_signal, workflow
from ripresa.testing import VirtualClock, app_fixture
from tests.patterns.story import completed, hours

pytestmark = pytest.mark.also_on_postgres

undone: list[str] = []


@step
async def unbook(what: str) -> None:
    undone.append(what)


@step(compensate=unbook)
async def book(what: str) -> str:
    return f"{what} booked"


@step
async def send(letter: str) -> str:
    return letter


# --8<-- [start:wcp-19]
async def wait_for_spring() -> str:
    await sleep(days=90)
    return await send("it is spring")


@workflow
async def holiday() -> str:
    spring = asyncio.create_task(wait_for_spring())

    @on_signal("do_not_wait")
    def stop() -> None:
        spring.cancel()

    try:
        return await spring
    except asyncio.CancelledError:
        return await send("we go now")


# --8<-- [end:wcp-19]
async def test_wcp_19_cancel_activity_it_is_withdrawn_and_the_run_goes_on():
    clock = VirtualClock(autojump=False)
    async with app_fixture(holiday, clock=clock, evict_after=0) as app:
        run = await app.start(holiday)
        await clock.advance(days=1)
        await app.signal(run, "do_not_wait")

        assert await run.result() == "we go now"
        assert await completed(app, run) == ["send"]
        assert await hours(app, run) == 24


# --8<-- [start:wcp-20]
@workflow
async def journey() -> str:
    await book("train")
    await book("hotel")
    await wait_for_signal("departure")
    return await send("have a good trip")


# --8<-- [end:wcp-20]
async def test_wcp_20_cancel_case_the_whole_run_ends_and_what_it_did_is_undone():
    undone.clear()
    clock = VirtualClock(autojump=False)
    async with app_fixture(journey, clock=clock, evict_after=0) as app:
        run = await app.start(journey)
        await clock.advance(hours=1)
        assert await completed(app, run) == ["book", "book"]
        await app.cancel(run)
        with pytest.raises(RunCancelled):
            await run.result()

        assert undone == ["hotel", "train"]


# --8<-- [start:wcp-25]
@workflow
async def wedding() -> list[str]:
    async def outdoors(what: str) -> str:
        await sleep(hours=3)
        return await book(what)

    garden = asyncio.gather(outdoors("tent"), outdoors("lawn"))  # the region
    indoors = asyncio.create_task(outdoors("band"))

    @on_signal("rain")
    def rain() -> None:
        garden.cancel()  # all of the region, and nothing else

    booked = await asyncio.gather(garden, indoors, return_exceptions=True)
    return [one for one in booked if isinstance(one, str)]


# --8<-- [end:wcp-25]
async def test_wcp_25_cancel_region_all_of_it_is_withdrawn_and_nothing_else():
    clock = VirtualClock(autojump=False)
    async with app_fixture(wedding, clock=clock, evict_after=0) as app:
        run = await app.start(wedding)
        await clock.advance(hours=1)
        await app.signal(run, "rain")
        await clock.advance(hours=2)

        assert await run.result() == ["band booked"]
        assert await completed(app, run) == ["book"]


@workflow
async def fly(drone: int) -> str:
    await sleep(hours=drone)
    return await send(f"drone {drone} is back")


# --8<-- [start:wcp-26]
@workflow
async def search_with_drones(drones: int) -> str:
    flights = asyncio.create_task(map_(fly, range(1, drones + 1)))

    @on_signal("found")
    def found() -> None:
        flights.cancel()

    try:
        return await send(f"{len(await flights)} flew")
    except asyncio.CancelledError:
        return await send("found")


# --8<-- [end:wcp-26]
async def test_wcp_26_cancel_multiple_instances_those_under_way_are_cancelled_and_those_that_have_ended_stay_so():
    clock = VirtualClock(autojump=False)
    async with app_fixture(search_with_drones, fly, clock=clock, evict_after=0) as app:
        run = await app.start(search_with_drones, 5)
        await clock.advance(hours=2)
        await app.signal(run, "found")

        assert await run.result() == "found"
        ended = await asyncio.gather(
            *(one.result() for one in await app.list(workflow="fly", parent=run)), return_exceptions=True
        )
        assert sorted(one for one in ended if isinstance(one, str)) == ["drone 1 is back", "drone 2 is back"]
        assert sum(isinstance(one, RunCancelled) for one in ended) == 3


# --8<-- [start:wcp-27]
@workflow
async def collect(fields: list[str]) -> list[str]:
    async def pick(field: str, takes_hours: int) -> str:
        await sleep(hours=takes_hours)
        return await send(f"{field} picked")

    picking = [asyncio.create_task(pick(field, number)) for number, field in enumerate(fields, 1)]
    frost = asyncio.create_task(wait_for_signal("frost"))
    await asyncio.wait([frost, asyncio.gather(*picking, return_exceptions=True)], return_when=asyncio.FIRST_COMPLETED)
    frost.cancel()
    for late in picking:
        late.cancel()
    return [one.result() for one in picking if one.done() and not one.cancelled()]  # and on with what there is


# --8<-- [end:wcp-27]
async def test_wcp_27_complete_multiple_instances_the_rest_is_withdrawn_and_the_run_goes_on_with_what_there_is():
    clock = VirtualClock(autojump=False)
    async with app_fixture(collect, clock=clock, evict_after=0) as app:
        run = await app.start(collect, ["apples", "pears", "plums", "grapes"])
        await clock.advance(hours=2)
        await app.signal(run, "frost")

        assert await run.result() == ["apples picked", "pears picked"]
        assert await completed(app, run) == ["send", "send"]


async def test_wcp_27_complete_multiple_instances_without_force_all_complete():
    async with app_fixture(collect, evict_after=0) as app:
        assert await (await app.start(collect, ["apples", "pears"])).result() == ["apples picked", "pears picked"]
