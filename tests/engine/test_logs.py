"""What steps log is kept with their run, however many Apps there are in a process, closed or not."""

import asyncio
import logging
import threading

import pytest

from ripresa import App, step, workflow

logger = logging.getLogger("shop")


@step
def talk(what: str) -> str:
    logger.warning("it is %s", what)
    return what


@workflow
async def talks(what: str) -> str:
    return talk(what)


async def told(app):
    return [line.text for run in await app.list() for _, line in await app.engine.store.logs(run.row.id)]


async def test_each_app_keeps_what_its_own_steps_log(tmp_path):
    async with App(tmp_path / "a.db", [talks]) as one, App(tmp_path / "b.db", [talks]) as two:
        runs = [await one.start(talks, "red"), await two.start(talks, "blue")]
        assert [await run.result("30s") for run in runs] == ["red", "blue"]
        await asyncio.gather(one.engine.verbs.on_disk(), two.engine.verbs.on_disk())
        assert (await told(one), await told(two)) == (["it is red"], ["it is blue"])


@pytest.mark.own_store  # connections that nobody closed would be told as leaks
async def test_an_app_that_nobody_closed_does_not_disturb_another(tmp_path):
    left = []

    def leave():
        async def opened():
            left.append(await App("memory://", [talks], config={"lease_s": 60}).open())

        asyncio.run(opened())

    thread = threading.Thread(target=leave)
    thread.start()
    await asyncio.to_thread(thread.join)
    async with App(tmp_path / "b.db", [talks]) as app:
        run = await app.start(talks, "green")
        left[0].engine.held[run.row.id] = None  # so that it wants to keep what this run logs
        assert await run.result("30s") == "green"
        await app.engine.verbs.on_disk()
        assert await told(app) == ["it is green"]
    left[0]._opening._logs.detach()
