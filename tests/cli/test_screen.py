"""The screen of an engine of this process: what it shows of a run that was under way before anybody looked."""

import asyncio

from ripresa import App, step, wait_for_signal, workflow
from ripresa.cli.progress import RunView
from ripresa.cli.screen import Audience


class Drawn:
    """A screen that draws nothing."""

    def heard(self, notice, run, label):
        pass

    def draw(self, root):
        pass

    def close(self, root):
        pass


class Begun:
    """A run whose step has begun; it ends when told, and then waits for a signal."""

    def __init__(self):
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

        @step
        async def charge() -> None:
            self.begun.set()
            await self.go_on.wait()

        @workflow
        async def approval() -> str:
            await charge()
            return await wait_for_signal("label", str)

        self.workflow = approval


def held_up(store):
    """The store's commits wait until this is set."""
    commit, free = store.commit, asyncio.Event()

    async def commit_slowly(*args, **options):
        await free.wait()
        return await commit(*args, **options)

    free.set()
    store.commit = commit_slowly
    return free


async def test_a_step_whose_end_is_on_its_way_to_the_disk_is_shown(tmp_path):
    shop = Begun()
    async with App(tmp_path / "runs.db", [shop.workflow]) as app:
        run = await app.start(shop.workflow)
        await shop.begun.wait()
        free = held_up(app.store)
        free.clear()
        other = asyncio.create_task(app.start(shop.workflow))
        while not app.engine.committer._writing:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        shop.go_on.set()
        while not app.engine.committer.batch.history:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        # The step's end waits for the commit that is under way, and nobody listens yet.
        audience = Audience(app.engine, Drawn())
        following = asyncio.create_task(audience.follow(run.row))
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(following, other)
        assert [(item.operation, item.status) for item in audience.root.items.values()] == [("charge", "succeeded")]


async def test_a_step_that_has_only_just_begun_is_shown(tmp_path):
    shop = Begun()
    async with App(tmp_path / "runs.db", [shop.workflow]) as app:
        run = await app.start(shop.workflow)
        await shop.begun.wait()
        audience = Audience(app.engine, Drawn())
        await audience.follow(run.row)
        assert [(item.operation, item.status) for item in audience.root.items.values()] == [("charge", "running")]


def test_what_had_not_begun_when_its_run_is_left_is_not_said_to_be_cut_off():
    view = RunView("u", "r", "flow", "running", 0)
    view.attempt_started("pack", 0, 1, 1)
    view.step_waits("load", 0, "pool lake: 0 ahead, 1 of 1 slots in use")
    view.leave(1_000_000)
    assert {name: (step.status, step.why) for name, step in view.items.items()} == {
        "pack": ("left", ""),
        "load": ("pending", ""),
    }
