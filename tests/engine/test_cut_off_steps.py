"""A compensable step that was cut off: if the journal says that it was done after all, it is undone."""

import asyncio

import pytest

from ripresa import App, RunCancelled, RunFailed, step, workflow
from ripresa.kernel import history as h


class Shop:
    """A workflow whose step ends when it is told to, and what it has done."""

    def __init__(self):
        self.did = []
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.done = asyncio.Event()

        @step
        async def give_back(item: str) -> None:
            self.did.append(f"give back {item}")

        @step(compensate=give_back)
        async def take(item: str) -> None:
            self.begun.set()
            await self.go_on.wait()
            self.did.append(f"take {item}")
            self.done.set()

        @step
        async def fail() -> None:
            await self.begun.wait()
            raise ValueError

        @workflow
        async def one() -> None:
            await take("hat")

        @workflow
        async def two() -> None:
            await asyncio.gather(take("hat"), fail())

        self.one, self.two = one, two


def kinds(events):
    return [(event.kind, event.operation) for event in events]


@pytest.mark.parametrize("evict_after", ["30s", 0])
async def test_an_outcome_on_its_way_when_the_run_is_cancelled_is_undone(evict_after, tmp_path):
    shop = Shop()
    async with App(tmp_path / "runs.db", [shop.one], evict_after=evict_after) as app:
        run = await app.start(shop.one)
        await shop.begun.wait()
        commit, release = app.store.commit, asyncio.Event()

        async def commit_slowly(*args, **options):
            shop.go_on.set()  # the step ends while the cancellation is being written
            await release.wait()
            return await commit(*args, **options)

        app.store.commit = commit_slowly
        cancelling = asyncio.create_task(app.cancel(run))
        await shop.done.wait()
        await asyncio.sleep(0.01)  # for the engine to take its outcome in
        release.set()
        await cancelling
        with pytest.raises(RunCancelled):
            await run.result("10s")
        assert shop.did == ["take hat", "give back hat"]
        assert kinds(await app.history(run)) == [
            (h.RUN_STARTED, None),
            (h.CANCEL_REQUESTED, None),
            (h.STEP_COMPLETED, "take"),
            (h.STEP_COMPLETED, "undo:take"),
            (h.FINISHED, None),
        ]


@pytest.mark.parametrize("evict_after", ["30s", 0])
async def test_a_step_that_was_cut_off_in_time_is_said_to_be_and_not_undone(evict_after):
    shop = Shop()
    async with App("memory://", [shop.one], evict_after=evict_after) as app:
        run = await app.start(shop.one)
        await shop.begun.wait()
        await app.cancel(run)
        with pytest.raises(RunCancelled):
            await run.result("10s")
        assert shop.did == []
        assert kinds(await app.history(run))[2:] == [(h.STEP_FAILED, "take"), (h.FINISHED, None)]


@pytest.mark.parametrize("evict_after", ["30s", 0])
async def test_a_failing_run_cuts_off_what_it_began_before_it_undoes(evict_after):
    shop = Shop()
    async with App("memory://", [shop.two], evict_after=evict_after) as app:
        run = await app.start(shop.two)
        with pytest.raises(RunFailed):
            await run.result("10s")
        assert shop.did == []
        assert (h.STEP_FAILED, "take") in kinds(await app.history(run))
