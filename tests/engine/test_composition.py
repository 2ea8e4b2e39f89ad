"""Children, fan-out and sagas: runs and steps that belong together."""

from __future__ import annotations

import asyncio

import pytest

import ripresa
from ripresa import (
    ChildFailed,
    Failure,
    Quarantine,
    Retry,
    RunCancelled,
    RunFailed,
    RunQuarantined,
    StepFailed,
    Terminal,
    child,
    map_,
    saga,
    sleep,
    start_child,
    step,
    wait_for_signal,
    workflow,
)


@step
async def echo(value: int) -> int:
    return value


@workflow
async def double(value: int) -> int:
    return 2 * await echo(value)


@workflow
def plain_double(value: int) -> int:
    return 2 * value


@workflow
async def picky(value: int) -> int:
    if value % 2:
        raise ValueError(f"{value} is odd")
    return value


@workflow
async def sleeper() -> None:
    await sleep(days=365)


# --- children ---------------------------------------------------------------------------------


async def test_a_child_gives_its_output(world):
    @workflow
    async def parent() -> list[int]:
        handle = start_child(double, 3)
        return [await child(double, 1), await child(plain_double, value=2), await handle]

    assert await world.run(parent, with_=(double, plain_double)) == [2, 4, 6]


async def test_a_childs_failure_is_raised_in_its_parent(world):
    @workflow
    async def parent() -> list[str]:
        try:
            await child(picky, 3)
        except ChildFailed as error:
            return [error.status, error.cause.type, error.cause.message]
        return []

    assert await world.run(parent, with_=(picky,)) == ["failed", "ValueError", "3 is odd"]


async def test_a_childs_failure_that_nobody_catches_fails_its_parent(world):
    @workflow
    async def parent() -> int:
        return await child(picky, 3)

    with pytest.raises(RunFailed, match="3 is odd"):
        await world.run(parent, with_=(picky,))


async def test_a_child_has_the_id_that_its_parent_gives_it(world):
    @workflow
    async def parent() -> str:
        handle = start_child(double, 3, id="the-child")
        await handle
        return handle.id

    app = await world.open(parent, double)
    run = await app.start(parent)
    assert await run.result("10s") == "the-child"
    found = await app.get("the-child")
    assert [one.id for one in await app.list(parent=run)] == ["the-child"]
    assert (await found.result(), found.definition) == (6, "double")


async def test_a_childs_id_that_is_taken_is_a_conflict(world):
    @workflow
    async def parent() -> list[str]:
        try:
            await child(double, 3, id="taken")
        except ChildFailed as error:
            return [error.cause.code, error.cause.type]
        return []

    app = await world.open(parent, double)
    await (await app.start(double, 1, id="taken")).result("10s")
    assert await (await app.start(parent)).result("10s") == ["conflict", "ripresa.RunConflict"]


async def test_cancelling_a_parent_cancels_the_child_it_awaits(world):
    @workflow
    async def parent() -> None:
        await child(sleeper, id="asleep")

    app = await world.open(parent, sleeper, clock=world.clock_that_stands())
    run = await app.start(parent)
    asleep = await until_found(app, "asleep")
    await app.cancel(run)
    for one in (run, asleep):
        with pytest.raises(RunCancelled):
            await one.result("10s")


async def test_a_cancelled_child_is_a_failure_of_the_child(world):
    @workflow
    async def parent() -> str:
        try:
            await child(sleeper, id="asleep")
        except ChildFailed as error:
            return error.status
        return ""

    app = await world.open(parent, sleeper, clock=world.clock_that_stands())
    run = await app.start(parent)
    await until_found(app, "asleep")
    await app.cancel("asleep")
    assert await run.result("10s") == "cancelled"


async def test_a_started_child_goes_on_when_its_parent_ends(world):
    @workflow
    async def slow() -> str:
        await sleep(days=2)
        return "done"

    @workflow
    async def parent() -> str:
        return start_child(slow, id="slow").id

    app = await world.open(parent, slow)
    await (await app.start(parent)).result("10s")
    assert await (await app.get("slow")).result("10s") == "done"


async def test_many_children_at_once(world):
    @workflow
    async def parent(count: int) -> list[int]:
        return await asyncio.gather(*(child(double, value) for value in range(count)))

    assert await world.run(parent, 30, with_=(double,)) == [value * 2 for value in range(30)]


async def test_children_have_children(world):
    @workflow
    async def tree(depth: int) -> int:
        if depth == 0:
            return 1
        return sum(await asyncio.gather(child(tree, depth - 1), child(tree, depth - 1)))

    assert await world.run(tree, 4) == 16


async def test_a_workflow_is_not_called_from_a_workflow(memory):
    @workflow
    async def parent() -> int:
        return await double(1)

    with pytest.raises(RunFailed, match=r"start a workflow from a workflow with child\(double, …\)"):
        await memory.run(parent, with_=(double,))


async def test_a_child_that_its_app_does_not_know_of_runs_all_the_same(memory):
    """The parent's code names it: that is as good as App(workflows=[…])."""

    @workflow
    async def parent() -> int:
        return await child(double, 4)

    assert await memory.run(parent) == 8


async def test_a_child_is_started_once_whatever_crashes(every_world):
    world = every_world

    @step
    async def effect(value: int) -> int:
        world.did("effect")
        return value

    @workflow
    async def inner(value: int) -> int:
        await effect(value)
        return value + await wait_for_signal("go", int)

    @workflow
    async def outer() -> int:
        return await child(inner, 1, id="inner")

    app = await world.open(outer, inner)
    await app.start(outer, id="outer")
    await until_found(app, "inner")
    while world.count("effect") == 0:  # noqa: ASYNC110 - the ledger is no event
        await asyncio.sleep(0)
    while "step_completed" not in [event.kind for event in await app.history("inner")]:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    app = await world.crash(app)
    await app.signal("inner", "go", 10)
    app = await world.crash(app)
    assert await (await app.get("outer")).result("10s") == 11
    assert world.count("effect") == 1
    assert len(await app.list(workflow=inner)) == 1


async def test_retrying_a_parent_retries_the_child_that_failed(world):
    broken = [True]

    @step
    async def first() -> int:
        world.did("first")
        return 1

    @step
    async def second() -> int:
        world.did("second")
        if broken[0]:
            raise Terminal("broken")
        return 2

    @workflow
    async def inner() -> int:
        return await first() + await second()

    @workflow
    async def outer() -> int:
        return await child(inner)

    app = await world.open(outer, inner)
    run = await app.start(outer)
    with pytest.raises(RunFailed, match="broken"):
        await run.result("10s")
    broken[0] = False
    await app.retry(run)
    assert await run.result("10s") == 3
    assert (world.count("first"), world.count("second")) == (1, 2)


# --- fan-out ----------------------------------------------------------------------------------


async def test_map_gives_outputs_in_the_order_of_the_items(world):
    @step
    async def later(value: int) -> int:
        for _ in range(5 - value):
            await asyncio.sleep(0)
        return value * 10

    @workflow
    async def maps() -> list[int]:
        return await map_(later, range(5))

    assert await world.run(maps) == [0, 10, 20, 30, 40]


async def test_map_runs_steps_and_workflows_of_either_kind(world):
    @step
    def negate(value: int) -> int:
        return -value

    @workflow
    async def maps() -> list[list[int]]:
        return [
            await map_(echo, [1, 2]),
            await map_(negate, [1, 2]),
            await map_(double, [1, 2]),
            await map_(plain_double, [1, 2]),
            await map_(echo, []),
        ]

    assert await world.run(maps, with_=(double, plain_double)) == [[1, 2], [-1, -2], [2, 4], [2, 4], []]


@pytest.mark.parametrize("width", [1, 2, 5, 100])
async def test_map_runs_at_most_max_parallel_at_once(world, width):
    inside = most = 0

    @step
    async def counted(value: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(3):
            await asyncio.sleep(0)
        inside -= 1
        return value

    @workflow
    async def maps() -> list[int]:
        return await map_(counted, range(12), max_parallel=width)

    assert await world.run(maps) == list(range(12))
    assert most <= width
    assert most == 1 or width > 1


async def test_map_raises_the_first_failure_and_stops_the_rest(world):
    @workflow
    async def maps() -> str:
        try:
            await map_(odd_fails, [0, 1, 2], max_parallel=1)
        except StepFailed as error:
            return error.cause.message
        return ""

    @step
    async def odd_fails(value: int) -> int:
        world.did(value)
        if value % 2:
            raise Terminal(f"{value} is odd")
        return value

    assert await world.run(maps) == "1 is odd"
    assert world.ledger == [0, 1]


async def test_map_with_min_success_puts_a_failure_in_place_of_each_failed_one(world):
    @step
    async def odd_fails(value: int) -> int:
        if value % 2:
            raise Terminal(f"{value} is odd")
        return value

    @workflow
    async def maps() -> list[object]:
        steps = await map_(odd_fails, range(4), min_success=2)
        runs = await map_(picky, range(4), min_success=2)
        return [one.message if isinstance(one, Failure) else one for one in [*steps, *runs]]

    assert await world.run(maps, with_=(picky,)) == [0, "1 is odd", 2, "3 is odd"] * 2


async def test_map_with_too_few_successes_fails(world):
    @workflow
    async def maps() -> str:
        try:
            await map_(picky, range(4), min_success=3)
        except ChildFailed as error:
            return error.cause.message
        return ""

    assert await world.run(maps, with_=(picky,)) == "1 is odd"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_parallel": 0}, "max_parallel=0 would never start"),
        ({"min_success": 3}, "min_success=3 of 2 items"),
        ({"min_success": -1}, "min_success=-1"),
    ],
)
async def test_map_refuses_what_cannot_be(memory, options, message):
    @workflow
    async def maps() -> None:
        await map_(echo, [1, 2], **options)

    with pytest.raises(RunFailed, match=message):
        await memory.run(maps)


async def test_map_takes_a_step_or_a_workflow(memory):
    @workflow
    async def maps() -> None:
        await map_(len, [[1]])

    with pytest.raises(RunFailed, match="is neither a @step nor a @workflow"):
        await memory.run(maps)


@pytest.mark.parametrize("width", [None, 1])
async def test_an_item_that_does_not_fit_fails_the_map_whenever_its_turn_comes(world, width):
    @workflow
    async def maps() -> str:
        try:
            await map_(echo, [1, "two", 3], max_parallel=width)
        except ripresa.PayloadError as error:
            return str(error)
        return ""

    assert "echo(value): input should be a valid integer" in await world.run(maps)


async def test_a_wide_map_is_whole(world):
    @workflow
    async def maps(count: int) -> int:
        return sum(await map_(echo, range(count), max_parallel=50))

    count = 300 if world.evict_after else 100
    assert await world.run(maps, count) == sum(range(count))


# --- sagas ------------------------------------------------------------------------------------


class Shop:
    """Steps that are undone, and a ledger of what was done and undone."""

    def __init__(self, world):
        self.world = world

        def undo_def(name: str, result: str) -> None:
            world.did(f"undo {name} {result}")

        async def undo_async(name: str) -> None:
            world.did(f"undo {name}")

        @step(compensate=undo_def)
        async def book(name: str) -> str:
            world.did(f"do {name}")
            return name.upper()

        @step(compensate=undo_async)
        def reserve(name: str) -> None:
            world.did(f"do {name}")

        @step
        async def explode() -> None:
            raise Terminal("explosion")

        self.book, self.reserve, self.explode = book, reserve, explode


async def test_what_was_done_is_undone_in_reverse_when_the_run_fails(world):
    shop = Shop(world)

    @workflow
    async def trip() -> None:
        await shop.book("hotel")
        shop.reserve("car")
        await shop.book("flight")
        await shop.explode()

    with pytest.raises(RunFailed, match="explosion"):
        await world.run(trip)
    assert world.ledger == [
        *("do hotel", "do car", "do flight"),
        *("undo flight FLIGHT", "undo car", "undo hotel HOTEL"),
    ]


async def test_the_order_is_that_of_completion(world):
    gate = asyncio.Event()

    async def undo(name: str) -> None:
        world.did(f"undo {name}")

    @step(compensate=undo)
    async def book(name: str) -> None:
        if name == "slow":
            await gate.wait()
        else:
            gate.set()

    @workflow
    async def trip() -> None:
        await asyncio.gather(book("slow"), book("quick"))
        raise ValueError

    with pytest.raises(RunFailed):
        await world.run(trip)
    assert world.ledger == ["undo slow", "undo quick"]


async def test_nothing_is_undone_when_the_run_succeeds(world):
    shop = Shop(world)

    @workflow
    async def trip() -> str:
        return await shop.book("hotel")

    assert await world.run(trip) == "HOTEL"
    assert world.ledger == ["do hotel"]


async def test_a_caught_failure_undoes_nothing(world):
    shop = Shop(world)

    @workflow
    async def trip() -> str:
        await shop.book("hotel")
        try:
            await shop.explode()
        except StepFailed:
            return "stays home"
        return "goes"

    assert await world.run(trip) == "stays home"
    assert world.ledger == ["do hotel"]


async def test_a_cancelled_run_is_undone_and_then_cancelled(world):
    shop = Shop(world)

    @workflow
    async def trip() -> None:
        await shop.book("hotel")
        await sleep(days=9)

    app = await world.open(trip, clock=world.clock_that_stands())
    run = await app.start(trip)
    await until(lambda: world.count("do hotel") == 1)
    await app.cancel(run)
    with pytest.raises(RunCancelled):
        await run.result("10s")
    assert world.ledger == ["do hotel", "undo hotel HOTEL"]


async def test_cancelling_during_the_undoing_does_not_cut_it_short(world):
    going, gate = asyncio.Event(), asyncio.Event()

    async def undo(name: str) -> None:
        going.set()
        await gate.wait()
        world.did(f"undo {name}")

    @step(compensate=undo)
    async def book(name: str) -> None: ...

    @workflow
    async def trip() -> None:
        await book("one")
        await book("two")
        raise ValueError("off")

    app = await world.open(trip)
    run = await app.start(trip)
    await going.wait()
    await app.cancel(run)
    gate.set()
    with pytest.raises((RunFailed, RunCancelled)):
        await run.result("10s")
    assert world.ledger == ["undo two", "undo one"]


async def test_a_saga_block_is_undone_alone(world):
    shop = Shop(world)

    @workflow
    async def trip() -> str:
        await shop.book("before")
        try:
            async with saga():
                await shop.book("inside")
                await shop.explode()
        except StepFailed:
            pass
        await shop.book("after")
        return "done"

    assert await world.run(trip) == "done"
    assert world.ledger == ["do before", "do inside", "undo inside INSIDE", "do after"]


async def test_a_saga_block_that_succeeds_leaves_its_steps_alone_even_if_the_run_fails(world):
    """The block narrows what is undone together: what it finished is final."""
    shop = Shop(world)

    @workflow
    async def trip() -> None:
        await shop.book("outer")
        async with saga():
            await shop.book("inner")
        raise ValueError("late")

    with pytest.raises(RunFailed, match="late"):
        await world.run(trip)
    assert world.ledger == ["do outer", "do inner", "undo outer OUTER"]


async def test_undoings_are_added_by_hand(world):
    @step
    async def cancel_hotel(name: str, fee: int) -> None:
        world.did(f"cancelled {name} for {fee}")

    def call_back(name: str) -> None:
        world.did(f"called {name}")

    @workflow
    async def trip() -> None:
        async with saga() as undo:
            undo.add(cancel_hotel, "Ritz", fee=5)
            undo.add(call_back, "Anna")
            raise ValueError("off")

    with pytest.raises(RunFailed, match="off"):
        await world.run(trip)
    assert world.ledger == ["called Anna", "cancelled Ritz for 5"]


async def test_saga_blocks_nest_and_tasks_in_them_belong_to_them(world):
    shop = Shop(world)

    @workflow
    async def trip() -> None:
        async with saga():
            await shop.book("outer")
            try:
                async with saga(), asyncio.TaskGroup() as group:
                    group.create_task(shop.book("a"))
                    group.create_task(shop.book("b"))
                    group.create_task(sleep(1)).add_done_callback(lambda _: None)
                raise ValueError("after")  # noqa: TRY301 - it ends the block
            except ValueError:
                pass
            raise RuntimeError("end")

    with pytest.raises(RunFailed, match="end"):
        await world.run(trip)
    assert world.ledger == ["do outer", "do a", "do b", "undo outer OUTER"]


async def test_an_undoing_that_fails_for_good_is_set_aside_for_a_person(world):
    broken = [True]

    @step(retry=Retry(max_attempts=2, delay="1s", on_exhausted="quarantine"))
    async def undo(name: str) -> None:
        world.did(f"try {name}")
        if broken[0]:
            raise OSError("bank is closed")

    @step(compensate=undo)
    async def pay(name: str) -> None: ...

    @workflow
    async def trip() -> None:
        await pay("one")
        await pay("two")
        raise ValueError("off")

    app = await world.open(trip)
    run = await app.start(trip)
    with pytest.raises(RunQuarantined, match="bank is closed"):
        await run.result("10s")
    assert world.ledger == ["try two", "try two"]
    broken[0] = False
    await app.release(run)
    with pytest.raises(RunFailed, match="off"):
        await run.result("10s")
    assert world.ledger == ["try two", "try two", "try two", "try one"]


@pytest.mark.parametrize("how", ["terminal", "plain"])
async def test_an_undoing_that_cannot_succeed_is_set_aside_too(world, how):
    async def undo(name: str) -> None:
        world.did(name)
        if name == "two":
            raise Terminal("no") if how == "terminal" else ValueError("no")

    @step(compensate=undo)
    async def pay(name: str) -> None: ...

    @workflow
    async def trip() -> None:
        await pay("one")
        await pay("two")
        raise ValueError("off")

    with pytest.raises(RunQuarantined, match="no"):
        await world.run(trip)
    assert "one" not in world.ledger


async def test_a_crash_in_the_middle_of_the_undoing_goes_on_where_it_was(every_world):
    world = every_world
    gate = asyncio.Event()

    async def undo(name: str) -> None:
        world.did(f"undo {name}")
        if name == "two" and world.count("undo two") == 1:
            await gate.wait()

    @step(compensate=undo)
    async def pay(name: str) -> None:
        world.did(f"do {name}")

    @workflow
    async def trip() -> None:
        for name in ("one", "two", "three"):
            await pay(name)
        raise ValueError("off")

    app = await world.open(trip)
    await app.start(trip, id="trip")
    await until(lambda: world.count("undo two") == 1)
    app = await world.crash(app)
    with pytest.raises(RunFailed, match="off"):
        await (await app.get("trip")).result("10s")
    assert world.ledger == [
        *("do one", "do two", "do three"),
        *("undo three", "undo two", "undo two", "undo one"),
    ]


async def test_beginning_anew_is_neither_failure_nor_cancellation(world):
    shop = Shop(world)

    @workflow
    async def trip(left: int) -> str:
        async with saga():
            await shop.book(f"{left}")
            if left:
                ripresa.continue_as_new(left - 1)
        return "done"

    assert await world.run(trip, 1) == "done"
    assert world.ledger == ["do 1", "do 0"]


async def test_retrying_a_run_that_was_undone_does_again_what_was_undone(world):
    """What was compensated is not done any more: going on as if it were would ship without paying."""
    broken = [True]

    async def undo(name: str) -> None:
        world.did(f"undo {name}")

    @step(compensate=undo)
    async def pay(name: str) -> None:
        world.did(f"do {name}")

    @step
    async def ship() -> None:
        if broken[0]:
            raise Terminal("truck")
        world.did("ship")

    @workflow
    async def order() -> None:
        await pay("one")
        await ship()

    app = await world.open(order)
    run = await app.start(order)
    with pytest.raises(RunFailed, match="truck"):
        await run.result("10s")
    await app.retry(run)
    with pytest.raises(RunFailed, match="truck"):
        await run.result("10s")
    broken[0] = False
    await app.retry(run)
    await run.result("10s")
    assert world.ledger == ["do one", "undo one", "do one", "undo one", "do one", "ship"]


async def test_what_is_done_again_after_it_was_undone_has_a_key_of_its_own(world):
    """With the old key a service would take the new charge for the one that it has refunded."""
    keys: dict[str, list[str]] = {"pay": [], "refund": [], "other": []}

    def note(name: str) -> None:
        keys[name].append(ripresa.context().idempotency_key)

    async def refund() -> None:
        note("refund")

    @step(compensate=refund)
    async def pay() -> None:
        note("pay")

    @step(retry=Retry(max_attempts=2))
    async def other() -> None:
        note("other")
        raise ValueError("no")

    @workflow
    async def order() -> None:
        await pay()
        await other()

    app = await world.open(order)
    run = await app.start(order)
    for again in (True, False):
        with pytest.raises(RunFailed, match="no"):
            await run.result("10s")
        if again:
            await app.retry(run)
    assert len(set(keys["pay"])) == len(set(keys["refund"])) == 2
    assert len(set(keys["other"])) == 1


async def test_a_workflow_may_set_itself_aside(world):
    @workflow
    async def odd() -> str:
        raise Quarantine("look at this")

    app = await world.open(odd)
    run = await app.start(odd)
    with pytest.raises(RunQuarantined, match="look at this"):
        await run.result("10s")
    assert (await run.refresh()).status == "quarantined"


# --- waiting in tests -------------------------------------------------------------------------


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a ledger is no event
            await asyncio.sleep(0.001)


async def until_found(app, key):
    async with asyncio.timeout(10):
        while True:
            try:
                return await app.get(key)
            except ripresa.RunNotFound:
                await asyncio.sleep(0.001)
