"""Basic control flow: WCP-1 to WCP-5."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import DAG, Retry, Terminal, sleep, step, task, workflow
from ripresa.testing import app_fixture
from tests.patterns.story import completed, hours, statuses

pytestmark = pytest.mark.also_on_postgres


@step(retry=Retry(max_attempts=2, delay="1h"))
async def write(title: str) -> str:
    return f"{title}: once upon a time"


@step
async def proofread(write: str) -> str:
    return write.capitalize()


@step
async def print_out(proofread: str) -> str:
    return f"[{proofread}]"


# --8<-- [start:wcp-1]
with DAG("publish") as publish:
    task(write) >> task(proofread) >> task(print_out)


@workflow
async def publish_in_code(title: str) -> str:
    text = await write(title)
    text = await proofread(text)
    return await print_out(text)


# --8<-- [end:wcp-1]


@pytest.mark.parametrize(("form", "given"), [(publish, {"title": "a tale"}), (publish_in_code, "a tale")])
async def test_wcp_01_sequence_each_begins_when_the_one_before_has_ended(form, given):
    async with app_fixture(form, evict_after=0) as app:
        run = await app.start(form, given)

        assert await run.result() == "[A tale: once upon a time]"
        assert await completed(app, run) == ["write", "proofread", "print_out"]


async def test_wcp_01_sequence_nothing_begins_after_one_that_failed():
    @step
    async def write(title: str) -> str:
        raise Terminal("no ideas")

    with DAG("blocked") as blocked:
        task(write) >> task(proofread) >> task(print_out)

    async with app_fixture(blocked, evict_after=0) as app:
        run = await app.start(blocked, {"title": "a tale"})
        with pytest.raises(Exception, match="no ideas"):
            await run.result()

        assert await completed(app, run) == []
        assert await statuses(app, run) == {"write": "failed", "proofread": "skipped", "print_out": "skipped"}


@step
async def paint(part: str) -> str:
    return f"{part} painted"


# --8<-- [start:wcp-2]
async def prepare(part: str, drying_hours: int) -> str:
    painted = await paint(part)
    await sleep(hours=drying_hours)
    return painted


@workflow
async def build_chair() -> list[str]:
    return await asyncio.gather(prepare("seat", 3), prepare("back", 5))


# --8<-- [end:wcp-2]


async def test_wcp_02_parallel_split_both_branches_go_on_side_by_side():
    async with app_fixture(build_chair, evict_after=0) as app:
        run = await app.start(build_chair)

        assert await run.result() == ["seat painted", "back painted"]
        assert await hours(app, run) == 5  # not 3 + 5


@step
async def receive(order: str) -> str:
    return order


@step
async def pack(receive: str) -> str:
    return f"{receive} packed"


@step
async def bill(receive: str) -> str:
    return f"{receive} billed"


@step
async def ship(pack: str, bill: str) -> str:
    return f"{pack} and {bill}"


# --8<-- [start:wcp-3]
with DAG("sell") as sell:
    task(receive) >> [task(pack), task(bill)] >> task(ship)
# --8<-- [end:wcp-3]


async def test_wcp_03_synchronization_the_join_begins_once_when_all_branches_have_ended():
    async with app_fixture(sell, evict_after=0) as app:
        run = await app.start(sell, {"order": "cup"})

        assert await run.result() == "cup packed and cup billed"
        did = await completed(app, run)
        assert sorted(did[1:3]) == ["bill", "pack"]
        assert (did[0], did[3:]) == ("receive", ["ship"])


@step
async def measure(parcel: int) -> int:
    return parcel


@step
async def by_bicycle(measure: int) -> str:
    return f"{measure} kg by bicycle"


@step
async def by_lorry(measure: int) -> str:
    return f"{measure} kg by lorry"


@step
async def tell(by_bicycle: str | None = None, by_lorry: str | None = None) -> str:
    return f"sent {by_bicycle or by_lorry}"


# --8<-- [start:wcp-4-5]
with DAG("deliver") as deliver:
    weighed = task(measure)
    light = task(by_bicycle).when(lambda measure: measure <= 20)
    heavy = task(by_lorry).when(lambda measure: measure > 20)
    weighed >> [light, heavy] >> task(tell, run_if="any_success")


@workflow
async def deliver_in_code(parcel: int) -> str:
    weight = await measure(parcel)
    way = await by_bicycle(weight) if weight <= 20 else await by_lorry(weight)
    return await tell(way)


# --8<-- [end:wcp-4-5]


@pytest.mark.parametrize("form", [deliver, deliver_in_code])
@pytest.mark.parametrize(("parcel", "way"), [(3, "by_bicycle"), (90, "by_lorry")])
async def test_wcp_04_and_05_exclusive_choice_and_simple_merge_one_branch_goes_and_the_merge_follows_it(
    form, parcel, way
):
    async with app_fixture(form, evict_after=0) as app:
        run = await app.start(form, {"parcel": parcel} if form is deliver else parcel)

        assert await run.result() == f"sent {parcel} kg {way.replace('_', ' ')}"
        assert await completed(app, run) == ["measure", way, "tell"]
