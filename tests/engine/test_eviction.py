"""What leaves memory and comes back is what it was: finds of the random programs, each by itself."""

from __future__ import annotations

import asyncio
import contextvars

import pytest

from ripresa import (
    RunCancelled,
    RunError,
    RunFailed,
    Terminal,
    child,
    continue_as_new,
    on_update,
    saga,
    send_signal,
    sleep,
    start_child,
    step,
    wait_for_signal,
    workflow,
)
from ripresa.kernel import history as h


@step
async def echo(value: int) -> int:
    return value


@workflow
async def listener() -> str:
    return await wait_for_signal("word", str)


@workflow
async def sleeper() -> None:
    await sleep(days=365)


async def _kinds(app, run):
    return [event.kind for event in await app.history(run)]


# --- sets -------------------------------------------------------------------------------------


async def test_a_set_of_shields_and_gatherings_lies_in_the_same_order_on_replay(world):
    @workflow
    async def waits() -> list[int]:
        async def one(value: int) -> int:
            return await echo(value)

        shields = [asyncio.shield(one(value)) for value in range(20)]
        gatherings = [asyncio.gather(one(value)) for value in range(20, 40)]
        done, _ = await asyncio.wait([*shields, *gatherings])
        order = []
        for future in done:
            result = future.result()
            order.append(await echo(result[0] if isinstance(result, list) else result))
        return order

    assert sorted(await world.run(waits)) == list(range(40))


async def test_a_set_of_handles_lies_in_the_same_order_on_replay(world):
    @workflow
    async def waits() -> int:
        handles = {echo.start(value) for value in range(40)}
        return sum([await echo(await handle) for handle in handles])

    assert await world.run(waits) == sum(range(40))


# --- leaving memory ---------------------------------------------------------------------------


async def test_code_that_leaves_memory_inside_a_saga_block_notices_nothing(world):
    @workflow
    async def patient() -> str:
        try:
            async with saga():
                await echo(1)
                await sleep(days=1)
        except Exception as error:
            world.did(f"noticed {error!r}")
            raise
        return "done"

    assert await world.run(patient) == "done"
    assert world.ledger == []


async def test_code_that_leaves_memory_resets_its_context_variables_in_its_own_context(world):
    depth = contextvars.ContextVar("depth", default=0)

    @workflow
    async def patient() -> int:
        token = depth.set(1)
        try:
            await sleep(days=1)
            return depth.get()
        except Exception as error:
            world.did(f"noticed {error!r}")
            raise
        finally:
            depth.reset(token)

    assert await world.run(patient) == 1
    assert world.ledger == []


# --- children ---------------------------------------------------------------------------------


async def test_a_child_may_be_told_something_as_soon_as_it_is_started(every_world):
    @workflow
    async def parent() -> str:
        await sleep(days=1)  # what children there are has to be looked up if the run has left memory
        handle = start_child(listener)
        await send_signal(handle, "word", "hello")
        return await handle

    assert await every_world.run(parent, with_=[listener]) == "hello"


async def test_a_child_that_is_called_off_is_told_once(every_world):
    @workflow
    async def child_of_many_words() -> None:
        try:
            await sleep(days=365)
        finally:
            await sleep(days=30)

    @workflow
    async def parent() -> int:
        await sleep(days=1)
        handle = start_child(child_of_many_words, id="the-child")
        await sleep(days=1)
        handle.cancel()
        for _ in range(5):
            await sleep(days=1)
        return await echo(1)

    app = await every_world.open(parent, child_of_many_words)
    assert await (await app.start(parent)).result("30s") == 1
    with pytest.raises(RunCancelled):
        await (await app.get("the-child")).result("30s")
    assert (await _kinds(app, "the-child")).count(h.CANCEL_REQUESTED) == 1


async def test_a_child_that_a_retry_has_opened_again_is_called_off_again(every_world):
    @step
    async def fails_at_first() -> None:
        every_world.did("try")
        if every_world.count("try") == 1:
            raise Terminal("not yet")

    @workflow
    async def parent() -> str:
        handle = start_child(sleeper, id="the-child")
        await sleep(days=1)
        handle.cancel()
        await sleep(days=1)
        await fails_at_first()
        return "done"

    clock = every_world.clock_that_stands()
    app = await every_world.open(parent, sleeper, clock=clock)
    run = await app.start(parent)
    await clock.advance(days=3)
    assert str((await run.refresh()).status) == "failed"
    assert str((await app.get("the-child")).status) == "cancelled"
    await app.retry("the-child")
    await app.retry(run)
    assert await run.result("30s") == "done"
    with pytest.raises(RunCancelled):
        await (await app.get("the-child")).result("30s")


async def test_a_child_that_is_called_off_before_it_is_started_never_is(every_world):
    """The message that calls it off would wait for ever, and the engine would look for its run without a pause."""

    @workflow
    async def parent() -> str:
        await sleep(days=1)
        start_child(sleeper).cancel()
        await sleep(days=1)
        return "done"

    app = await every_world.open(parent, sleeper)
    assert await (await app.start(parent)).result("30s") == "done"
    assert await app.list(workflow=sleeper) == []
    assert await app.store.next_due() is None


async def test_a_child_that_is_started_last_of_all_is_started(every_world):
    @workflow
    async def parent() -> str:
        await sleep(days=1)
        start_child(listener, id="heir")
        return "done"

    app = await every_world.open(parent, listener)
    assert await (await app.start(parent)).result("30s") == "done"
    await app.signal("heir", "word", "hello")
    assert await (await app.get("heir")).result("30s") == "hello"


async def test_a_child_of_the_last_generation_is_none_of_the_next(every_world):
    @workflow
    async def quick() -> str:
        return "quick"

    @workflow
    async def parent(left: int) -> str:
        await sleep(days=1)
        if left:
            start_child(quick)
            continue_as_new(left - 1)
        await sleep(days=1)
        return await child(quick)

    app = await every_world.open(parent, quick)
    run = await app.start(parent, 3)
    assert await run.result("30s") == "quick"
    assert len(await app.list(workflow=quick)) == 4
    assert (await _kinds(app, run)).count(h.CHILD_FINISHED) == 1


# --- updates ----------------------------------------------------------------------------------


async def test_an_update_that_a_retried_run_hears_again_is_answered_once(every_world):
    @step
    async def fails_at_first() -> None:
        every_world.did("try")
        if every_world.count("try") == 1:
            raise Terminal("not yet")

    @workflow
    async def parent() -> str:
        @on_update("tell")
        async def _tell(value: int) -> int:
            await sleep(minutes=1)
            return value

        await wait_for_signal("go")
        await fails_at_first()
        await sleep(days=1)
        return "done"

    clock = every_world.clock_that_stands()
    app = await every_world.open(parent, clock=clock)
    run = await app.start(parent)
    told = asyncio.ensure_future(app.update(run, "tell", 3))
    while h.UPDATE_RECEIVED not in await _kinds(app, run):  # noqa: ASYNC110 - there is none
        await asyncio.sleep(0)
    await app.signal(run, "go")
    with pytest.raises(RunFailed):
        await run.result("30s")
    with pytest.raises(RunError, match="the run ended before it had answered"):
        await told
    await app.retry(run)
    clock.run_free()
    assert await run.result("30s") == "done"
    assert (await _kinds(app, run)).count(h.UPDATE_COMPLETED) == 1


# --- time -------------------------------------------------------------------------------------


async def test_virtual_time_goes_on_after_a_step_that_was_cut_off_and_took_its_time_to_end(world):
    ended = asyncio.Event()

    @step
    async def slow_to_stop() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.3)  # longer than it takes until a waiting run is shown as such
            ended.set()
        return 0

    @workflow
    async def race() -> str:
        tasks = [asyncio.ensure_future(slow_to_stop()), asyncio.ensure_future(echo(1))]
        _, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await sleep(days=1)
        return "done"

    assert await world.run(race) == "done"
    assert ended.is_set()
