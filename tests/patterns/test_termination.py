"""Termination: WCP-11, WCP-43."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import DAG, RunFailed, Terminal, sleep, step, task, workflow
from ripresa.testing import app_fixture
from tests.patterns.story import completed, hours, statuses

pytestmark = pytest.mark.also_on_postgres


@step
async def announce(what: str = "news") -> str:
    return what


@step
async def by_post(announce: str) -> str:
    return f"{announce} posted"


@step
async def by_mail(announce: str) -> str:
    return f"{announce} mailed"


# --8<-- [start:wcp-11]
with DAG("newsletter") as newsletter:  # no end is drawn: it ends when nothing is left to be done
    task(announce) >> [task(by_post), task(by_mail)]


@workflow
async def newsletter_in_code() -> None:
    async def later(hours: int) -> None:
        await sleep(hours=hours)
        await announce()

    async with asyncio.TaskGroup() as all_of_it:
        for hours in (1, 5, 2):
            all_of_it.create_task(later(hours))


# --8<-- [end:wcp-11]
async def test_wcp_11_implicit_termination_the_run_ends_when_nothing_is_left_to_be_done():
    async with app_fixture(newsletter, newsletter_in_code, evict_after=0) as app:
        run = await app.start(newsletter)
        assert await run.result() == {"by_post": "news posted", "by_mail": "news mailed"}

        run = await app.start(newsletter_in_code)
        await run.result()
        assert await hours(app, run) == 5
        assert await completed(app, run) == ["announce"] * 3


# --8<-- [start:wcp-43]
@workflow
async def treasure_hunt(teams: int) -> str:
    async def dig(team: int) -> str:
        await sleep(hours=team)
        return await announce(f"team {team} found it")

    digging = [asyncio.create_task(dig(team)) for team in range(1, teams + 1)]
    return await next(asyncio.as_completed(digging))  # to return ends the run, whatever is still under way


# --8<-- [end:wcp-43]
async def test_wcp_43_explicit_termination_the_end_ends_all_that_is_under_way():
    async with app_fixture(treasure_hunt, evict_after=0) as app:
        run = await app.start(treasure_hunt, 3)

        assert await run.result() == "team 1 found it"
        assert await completed(app, run) == ["announce"]
        assert await hours(app, run) == 1


@step
async def break_down() -> None:
    raise Terminal("flat tyre")


rider = asyncio.Event()


@step
async def ride() -> str:
    await rider.wait()
    return "there"


@step
async def celebrate(ride: str) -> str:
    return "hooray"


# --8<-- [start:wcp-43-dag]
with DAG("race", on_failure="abort") as race:  # the first failure ends all of it
    task(break_down)
    task(ride) >> task(celebrate)


# --8<-- [end:wcp-43-dag]
async def test_wcp_43_explicit_termination_by_a_failure_cancels_what_runs_and_starts_nothing_more():
    async with app_fixture(race, evict_after=0) as app:
        run = await app.start(race)
        with pytest.raises(RunFailed, match="flat tyre"):
            await run.result()

        assert await statuses(app, run) == {"break_down": "failed", "ride": "cancelled", "celebrate": "skipped"}
