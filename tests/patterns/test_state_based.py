"""Patterns about states: WCP-16 to WCP-18, WCP-39, WCP-40."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import (
    DAG,
    UpdateRejected,
    map_,
    now,
    on_update,
    sleep,
    step,
    task,
    wait_for_signal,
    workflow,
)
from ripresa.testing import VirtualClock, app_fixture
from tests.patterns.story import completed, hours

pytestmark = pytest.mark.also_on_postgres


@step
async def hand_over(keys: str) -> str:
    return f"{keys} handed over"


@step
async def give_back(reason: str) -> str:
    return f"money back: {reason}"


# --8<-- [start:wcp-16]
@workflow
async def sale() -> str:
    paid = asyncio.create_task(wait_for_signal("paid", str))
    withdrawn = asyncio.create_task(wait_for_signal("withdrawn", str))
    await asyncio.wait([paid, withdrawn], return_when=asyncio.FIRST_COMPLETED)
    if paid.done():
        withdrawn.cancel()
        return await hand_over(paid.result())
    paid.cancel()
    return await give_back(withdrawn.result())


# --8<-- [end:wcp-16]
@pytest.mark.parametrize(
    ("signals", "output", "did"),
    [
        ([("paid", "keys"), ("withdrawn", "dear")], "keys handed over", "hand_over"),
        ([("withdrawn", "dear"), ("paid", "keys")], "money back: dear", "give_back"),
    ],
)
async def test_wcp_16_deferred_choice_what_comes_first_decides_and_the_other_way_is_closed(signals, output, did):
    async with app_fixture(sale, evict_after=0) as app:
        run = await app.start(sale)
        await app.pause(run)  # both are there when it looks
        for name, data in signals:
            await app.signal(run, name, data)
        await app.resume(run)

        assert await run.result() == output
        assert await completed(app, run) == [did]


@step
async def use(machine: str) -> str:
    return machine


# --8<-- [start:at-work]
async def at_work(name: str, diary: list[str], *, takes_hours: int) -> None:
    begun = now()
    await sleep(hours=takes_hours)
    await use(name)
    diary.append(f"{name} {begun.hour}-{now().hour}")


# --8<-- [end:at-work]


# --8<-- [start:wcp-17]
@workflow
async def one_pair_of_hands() -> list[str]:
    hands = asyncio.Lock()
    diary: list[str] = []

    async def in_turn(*chores: str) -> None:  # each sequence keeps its order
        for chore in chores:
            async with hands:  # and of all of them one goes on at a time
                await at_work(chore, diary, takes_hours=1)

    await asyncio.gather(in_turn("wash", "iron"), in_turn("chop", "cook", "eat"))
    return diary


# --8<-- [end:wcp-17]
async def test_wcp_17_interleaved_parallel_routing_one_at_a_time_and_each_sequence_in_its_order():
    async with app_fixture(one_pair_of_hands, evict_after=0) as app:
        run = await app.start(one_pair_of_hands)
        diary = await run.result()

        order = [one.split()[0] for one in diary]
        assert [one.split()[1] for one in diary] == ["0-1", "1-2", "2-3", "3-4", "4-5"]
        assert order.index("wash") < order.index("iron")
        assert order.index("chop") < order.index("cook") < order.index("eat")
        assert order.index("chop") < order.index("iron"), "the sequences are interleaved, not one after the other"


# --8<-- [start:wcp-18]
@workflow
async def parcel(address: str) -> str:
    sealed = False

    def not_sealed_yet(_: str) -> None:
        if sealed:
            raise ValueError("the parcel is sealed")

    @on_update("address", validator=not_sealed_yet)
    def change(new: str) -> str:
        nonlocal address
        address = new
        return f"it goes to {address}"

    await sleep(hours=2)  # the milestone: until here the address may be changed, as often as one likes
    sealed = True
    await sleep(hours=1)
    return await hand_over(address)


# --8<-- [end:wcp-18]
async def test_wcp_18_milestone_something_may_be_done_until_the_run_has_come_so_far():
    clock = VirtualClock(autojump=False)
    async with app_fixture(parcel, clock=clock, evict_after=0) as app:
        run = await app.start(parcel, "Rome")
        assert await app.update(run, "address", "Bari") == "it goes to Bari"
        await clock.advance(hours=1)
        assert await app.update(run, "address", "Pisa") == "it goes to Pisa"
        await clock.advance(hours=1)
        with pytest.raises(UpdateRejected, match="the parcel is sealed"):
            await app.update(run, "address", "Como")
        await clock.advance(hours=1)

        assert await run.result() == "Pisa handed over"


# --8<-- [start:wcp-39]
@workflow
async def two_teams() -> list[str]:
    crane = asyncio.Lock()
    diary: list[str] = []

    async def team(name: str) -> None:
        await at_work(f"{name}-prepares", diary, takes_hours=1)
        async with crane:  # all of this by one team at a time
            await at_work(f"{name}-lifts", diary, takes_hours=2)
            await at_work(f"{name}-lowers", diary, takes_hours=2)

    await asyncio.gather(team("red"), team("blue"))
    return diary


# --8<-- [end:wcp-39]
async def test_wcp_39_critical_section_of_the_sections_one_is_under_way_at_a_time():
    async with app_fixture(two_teams, evict_after=0) as app:
        run = await app.start(two_teams)

        assert await run.result() == [
            *("red-prepares 0-1", "blue-prepares 0-1"),  # side by side
            *("red-lifts 1-3", "red-lowers 3-5"),
            *("blue-lifts 5-7", "blue-lowers 7-9"),
        ]


@workflow
async def check_up(item: str) -> str:
    await sleep(hours=1)
    return await use(item)


# --8<-- [start:wcp-40]
with DAG("service") as service:
    task(use).map(["brakes", "lights", "tyres"], max_parallel=1)


@workflow
async def service_in_code() -> list[str]:
    return await map_(check_up, ["brakes", "lights", "tyres"], max_parallel=1)


# --8<-- [end:wcp-40]
async def test_wcp_40_interleaved_routing_each_is_done_once_and_never_two_at_a_time():
    async with app_fixture(service, service_in_code, check_up, evict_after=0) as app:
        run = await app.start(service)
        assert await run.result() == ["brakes", "lights", "tyres"]
        assert await completed(app, run) == ["use"] * 3

        run = await app.start(service_in_code)
        assert await run.result() == ["brakes", "lights", "tyres"]
        assert await hours(app, run) == 3
