"""Multiple instances of one activity: WCP-12 to WCP-15 and WCP-34 to WCP-36."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import (
    DAG,
    Failure,
    Terminal,
    map_,
    on_signal,
    sleep,
    start_child,
    step,
    task,
    wait_for_signal,
    wait_until,
    workflow,
)
from ripresa.testing import VirtualClock, app_fixture
from tests.patterns.story import completed, hours, hours_of

pytestmark = pytest.mark.also_on_postgres


# --8<-- [start:wcp-12]
@workflow
async def remind(reader: str) -> str:
    await sleep(days=14)
    return f"{reader} reminded"


@workflow
async def lend(readers: list[str]) -> str:
    for reader in readers:
        start_child(remind, reader, id=f"remind-{reader}")  # nobody waits for it
    return f"{len(readers)} books lent"


# --8<-- [end:wcp-12]
async def test_wcp_12_without_synchronization_nobody_waits_for_the_instances_and_they_go_on():
    async with app_fixture(lend, remind, evict_after=0) as app:
        run = await app.start(lend, ["Ada", "Ben"])

        assert await run.result() == "2 books lent"
        assert await hours(app, run) == 0
        for reader in ("Ada", "Ben"):
            reminder = await app.get(f"remind-{reader}")
            assert await reminder.result() == f"{reader} reminded"
            assert await hours(app, reminder) == 14 * 24


@step
async def review(article: str, item: int) -> str:
    return f"{article}: review {item}"


@step
async def publish(review: list[str]) -> int:
    return len(review)


# --8<-- [start:wcp-13]
with DAG("peer_review") as peer_review:
    task(review).map([1, 2, 3]) >> task(publish)


# --8<-- [end:wcp-13]
async def test_wcp_13_known_at_design_time_so_many_instances_and_then_what_follows():
    async with app_fixture(peer_review, evict_after=0) as app:
        run = await app.start(peer_review, {"article": "cats"})

        assert await run.result() == 3
        assert await completed(app, run) == ["review"] * 3 + ["publish"]


@step
async def open_boxes(boxes: int) -> list[int]:
    return list(range(boxes))


@step
async def check(box: int) -> int:
    return box * box


@step
async def enter(check: list[int]) -> list[int]:
    return check


# --8<-- [start:wcp-14]
with DAG("delivery") as delivery:
    opened = task(open_boxes)
    task(check).map(opened, max_parallel=10) >> task(enter)


@workflow
async def delivery_in_code(boxes: int) -> list[int]:
    opened = await open_boxes(boxes)
    return await enter(await map_(check, opened, max_parallel=10))


# --8<-- [end:wcp-14]
@pytest.mark.parametrize("boxes", [0, 1, 25])
@pytest.mark.parametrize("form", [delivery, delivery_in_code])
async def test_wcp_14_known_at_run_time_their_number_is_an_outcome_of_the_run(form, boxes):
    async with app_fixture(form, evict_after=0) as app:
        run = await app.start(form, {"boxes": boxes} if form is delivery else boxes)

        assert await run.result() == [number * number for number in range(boxes)]
        assert await completed(app, run) == ["open_boxes"] + ["check"] * boxes + ["enter"]


@step
async def interview(witness: str) -> str:
    return f"{witness} heard"


@step
async def close_file(statements: list[str]) -> str:
    return ", ".join(statements)


# --8<-- [start:wcp-15]
@workflow
async def investigate(witnesses: list[str]) -> str:
    hearings: list[asyncio.Task[str]] = []

    async def hear(witness: str) -> str:
        await sleep(hours=1)
        return await interview(witness)

    @on_signal("witness")
    async def another(witness: str) -> None:  # they may come forward while others are heard
        hearings.append(asyncio.create_task(hear(witness)))

    hearings += [asyncio.create_task(hear(witness)) for witness in witnesses]
    await wait_for_signal("enough")
    return await close_file([await hearing for hearing in hearings])


# --8<-- [end:wcp-15]
async def test_wcp_15_not_known_beforehand_instances_are_added_while_others_run():
    async with app_fixture(investigate, evict_after=0) as app:
        run = await app.start(investigate, ["butler"])
        await app.signal(run, "witness", "gardener")
        await app.signal(run, "witness", "cook")
        await app.signal(run, "enough")

        assert await run.result() == "butler heard, gardener heard, cook heard"
        assert await completed(app, run) == ["interview"] * 3 + ["close_file"]


@step
async def vote(member: int) -> bool:
    return member != 2


@step
async def announce(yes: int) -> str:
    return f"passed with {yes}"


# --8<-- [start:ballot]
async def ballot(member: int) -> bool:
    await sleep(hours=member)
    return await vote(member)


# --8<-- [end:ballot]


# --8<-- [start:wcp-34]
@workflow
async def council(members: int, quorum: int) -> str:
    votes = [asyncio.create_task(ballot(member)) for member in range(members)]
    coming = asyncio.as_completed(votes)
    enough = [await next(coming) for _ in range(quorum)]
    result = await announce(sum(enough))
    await asyncio.gather(*votes)  # the others vote too; it changes nothing
    return result


# --8<-- [end:wcp-34]
async def test_wcp_34_static_partial_join_what_follows_begins_after_so_many_of_them_and_the_rest_runs_to_its_end():
    async with app_fixture(council, evict_after=0) as app:
        run = await app.start(council, 7, 4)

        assert await run.result() == "passed with 3"
        assert await hours_of(app, run, "announce") == [3]
        assert await hours(app, run) == 6
        assert (await completed(app, run)).count("vote") == 7


# --8<-- [start:wcp-35]
@workflow
async def council_in_a_hurry(members: int, quorum: int) -> str:
    votes = [asyncio.create_task(ballot(member)) for member in range(members)]
    coming = asyncio.as_completed(votes)
    enough = [await next(coming) for _ in range(quorum)]
    for late in votes:
        late.cancel()
    return await announce(sum(enough))


# --8<-- [end:wcp-35]
async def test_wcp_35_cancelling_partial_join_the_rest_is_cancelled():
    async with app_fixture(council_in_a_hurry, evict_after=0) as app:
        run = await app.start(council_in_a_hurry, 7, 4)

        assert await run.result() == "passed with 3"
        assert await hours(app, run) == 3
        assert await completed(app, run) == ["vote"] * 4 + ["announce"]


# --8<-- [start:wcp-36]
@workflow
async def petition(needed: int) -> str:
    signed = 0

    async def sign(citizen: str) -> None:
        nonlocal signed
        await sleep(hours=1)
        await interview(citizen)
        signed += 1

    @on_signal("citizen")
    async def citizen(name: str) -> None:  # their number is open …
        await sign(name)

    @on_signal("needed")
    def change(number: int) -> None:  # … and so is how many are enough
        nonlocal needed
        needed = number

    await wait_until(lambda: signed >= needed)
    return await announce(signed)


# --8<-- [end:wcp-36]
async def test_wcp_36_dynamic_partial_join_how_many_there_are_and_how_many_suffice_is_settled_on_the_way():
    clock = VirtualClock(autojump=False)
    async with app_fixture(petition, clock=clock, evict_after=0) as app:
        run = await app.start(petition, 1000)
        await app.signal(run, "citizen", "Ada")
        await clock.advance(minutes=30)
        await app.signal(run, "citizen", "Ben")
        await app.signal(run, "citizen", "Cy")
        await app.signal(run, "needed", 1)
        await clock.advance(minutes=30)

        assert await run.result() == "passed with 1"
        assert await completed(app, run) == ["interview", "announce"]


# --8<-- [start:wcp-36-map]
@step
async def fetch(mirror: str) -> str:
    if "broken" in mirror:
        raise Terminal(f"{mirror} does not answer")
    return mirror


@workflow
async def mirrored(mirrors: list[str]) -> list[str]:
    copies = await map_(fetch, mirrors, min_success=len(mirrors) // 2 + 1)  # how many suffice is worked out here
    return [copy for copy in copies if not isinstance(copy, Failure)]


# --8<-- [end:wcp-36-map]
async def test_wcp_36_with_map_a_majority_suffices_and_less_is_a_failure():
    async with app_fixture(mirrored, evict_after=0) as app:
        run = await app.start(mirrored, ["a", "broken-b", "c"])
        assert await run.result() == ["a", "c"]

        run = await app.start(mirrored, ["a", "broken-b", "broken-c"])
        with pytest.raises(Exception, match="broken-b does not answer"):
            await run.result()
