"""Iteration: WCP-10, WCP-21, WCP-22."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import child, sleep, step, workflow
from ripresa.testing import app_fixture
from tests.patterns.story import completed, hours

pytestmark = pytest.mark.also_on_postgres


@step
async def draft(version: int) -> str:
    return f"v{version}"


@step
async def edit(text: str) -> str:
    return f"{text}'"


@step
async def judge(text: str) -> str:
    return {"v1'": "rewrite", "v2'": "edit", "v2''": "good"}[text]


# --8<-- [start:wcp-10]
@workflow
async def novel(entry: str, text: str = "") -> str:
    place, version = entry, 0
    while True:
        match place:
            case "draft":
                version += 1
                text = await draft(version)
                place = "edit"
            case "edit":
                text = await edit(text)
                place = "judge"
            case "judge":  # from here back to one of two places, or out
                verdict = await judge(text)
                if verdict == "good":
                    return text
                place = "draft" if verdict == "rewrite" else "edit"


# --8<-- [end:wcp-10]
async def test_wcp_10_arbitrary_cycles_with_more_than_one_way_in_and_out():
    async with app_fixture(novel, evict_after=0) as app:
        run = await app.start(novel, "draft")
        assert await run.result() == "v2''"
        round_ = ["draft", "edit", "judge"]
        assert await completed(app, run) == [*round_, *round_, "edit", "judge"]

        run = await app.start(novel, "judge", "v2'")
        assert await run.result() == "v2''"
        assert await completed(app, run) == ["judge", "edit", "judge"]


@step
async def water(can: int) -> bool:
    return can >= 3


# --8<-- [start:wcp-21]
@workflow
async def flower_bed(cans: int) -> int:
    for can in range(1, cans + 1):  # `while`: asked before each round
        if await water(can):
            break
        await sleep(hours=1)
    while True:  # “repeat until”: asked after each round
        await sleep(hours=12)
        if not await water(0):
            return can


# --8<-- [end:wcp-21]
@pytest.mark.parametrize(("cans", "used"), [(1, 1), (2, 2), (9, 3)])
async def test_wcp_21_structured_loop_it_is_entered_and_left_at_one_place(cans, used):
    async with app_fixture(flower_bed, evict_after=0) as app:
        run = await app.start(flower_bed, cans)

        assert await run.result() == used
        assert await completed(app, run) == ["water"] * (used + 1)
        assert await hours(app, run) == 12 + min(cans, 2)


@step
async def size(name: str) -> int:
    return len(name)


# --8<-- [start:wcp-22]
@workflow
async def total(folder: dict) -> int:
    sizes = [await size(name) for name in folder]
    below = await asyncio.gather(*(child(total, inner) for inner in folder.values() if inner))
    return sum(sizes) + sum(below)


# --8<-- [end:wcp-22]
async def test_wcp_22_recursion_a_workflow_runs_itself_as_a_child():
    async with app_fixture(total, evict_after=0) as app:
        run = await app.start(total, {"a": {"bb": {"ccc": {}}, "dd": {}}, "eeee": {}})

        assert await run.result() == 1 + 4 + 2 + 2 + 3
        assert len(await app.list(workflow="total")) == 3
