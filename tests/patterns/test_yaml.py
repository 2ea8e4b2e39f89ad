"""The patterns that a definition file can say, and what each file does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ripresa import RunCancelled, RunFailed
from ripresa.engine.definitions import file_definition
from ripresa.testing import VirtualClock, app_fixture
from tests.patterns.story import completed, hours, statuses

FILES = Path(__file__).parent / "yaml"


@pytest.fixture(autouse=True)
def import_path(monkeypatch):
    """A definition finds its modules beside it; not so the tests after this one."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def of(name):
    return file_definition(FILES / f"{name}.yaml")


async def test_wcp_01_02_and_03_in_yaml_branches_go_on_side_by_side_and_the_join_waits_for_both():
    chair = of("chair")
    async with app_fixture(chair, evict_after=0) as app:
        run = await app.start(chair, {})

        assert await run.result() == "chair packed"
        assert await completed(app, run) == ["sketch", "assemble"]
        assert await hours(app, run) == 5


@pytest.mark.parametrize(("parcel", "way"), [(3, "by_bicycle"), (90, "by_lorry")])
async def test_wcp_04_and_05_in_yaml_one_branch_goes_and_the_merge_follows_it(parcel, way):
    deliver = of("deliver")
    async with app_fixture(deliver, evict_after=0) as app:
        run = await app.start(deliver, {"parcel": parcel})

        assert await run.result() == f"sent {parcel} kg {way.replace('_', ' ')}"
        assert await completed(app, run) == ["measure", way, "tell"]


@pytest.mark.parametrize(
    ("call", "went"),
    [("theft", {"police"}), ("fire", {"fire_engine"}), ("theft and fire", {"police", "fire_engine"}), ("cat", set())],
)
async def test_wcp_06_and_07_in_yaml_any_branches_are_chosen_and_the_merge_waits_for_just_these(call, went):
    dispatch = of("dispatch")
    async with app_fixture(dispatch, evict_after=0) as app:
        run = await app.start(dispatch, {"call": call})

        assert await run.result() == "report packed"
        did = await completed(app, run)
        assert (set(did[:-1]), did[-1]) == (went, "report")


@pytest.mark.parametrize(("items", "packed"), [(["cup", "pot"], 2), (["cup", "vase", "pot", "jug"], 3)])
async def test_wcp_14_in_yaml_as_many_instances_as_there_are_items_and_so_many_must_succeed(items, packed):
    pack_all = of("pack_all")
    async with app_fixture(pack_all, evict_after=0) as app:
        run = await app.start(pack_all, {"items": items})

        assert await run.result() == packed


async def test_wcp_14_in_yaml_too_few_succeed():
    pack_all = of("pack_all")
    async with app_fixture(pack_all, evict_after=0) as app:
        run = await app.start(pack_all, {"items": ["cup", "vase"]})
        with pytest.raises(RunFailed, match="it broke"):
            await run.result()


async def test_wcp_20_in_yaml_a_cancelled_run_ends_with_all_that_it_was_about():
    chair = of("chair")
    clock = VirtualClock(autojump=False)
    async with app_fixture(chair, clock=clock, evict_after=0) as app:
        run = await app.start(chair, {})
        await clock.advance(hours=1)
        await app.cancel(run)
        with pytest.raises(RunCancelled):
            await run.result()

        assert await completed(app, run) == ["sketch"]


async def test_wcp_24_in_yaml_a_signal_that_comes_early_is_kept():
    expense = of("expense")
    clock = VirtualClock(autojump=False)
    async with app_fixture(expense, clock=clock, evict_after=0) as app:
        run = await app.start(expense, {})
        await clock.advance(hours=1)
        await app.signal(run, "approval", "12 EUR")
        await clock.advance(days=2)

        assert (await run.result())["pay"] == "sent 12 EUR"
        assert await statuses(app, run) == {
            "month_end": "succeeded",
            "approval": "succeeded",
            "pay": "succeeded",
            "remind": "skipped",
        }


async def test_wcp_19_in_yaml_waiting_is_given_up_when_its_time_is_over_and_another_way_is_taken():
    expense = of("expense")
    async with app_fixture(expense, evict_after=0) as app:
        run = await app.start(expense, {})

        assert await run.result() == {"remind": "sent reminder"}
        became = await statuses(app, run)
        assert (became["approval"], became["pay"], became["remind"]) == ("failed", "skipped", "succeeded")
        assert await hours(app, run) == 9 * 24


async def test_wcp_22_in_yaml_a_workflow_runs_itself():
    boxes = of("boxes")
    async with app_fixture(boxes, evict_after=0) as app:
        run = await app.start(boxes, {"boxes": [[[[]], []], [], [[]]]})

        assert await run.result() == 3
        assert len(await app.list(workflow="boxes")) == 4


async def test_wcp_43_in_yaml_the_first_failure_ends_all_that_is_under_way():
    race = of("race")
    async with app_fixture(race, evict_after=0) as app:
        run = await app.start(race, {})
        with pytest.raises(RunFailed, match="it broke"):
            await run.result()

        assert await statuses(app, run) == {"vase": "failed", "slow": "cancelled", "after": "skipped"}
        assert await hours(app, run) == 0
