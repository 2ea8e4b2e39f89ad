"""Signals, updates, queries and conditions: what a run is told, and asked."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from pydantic import BaseModel

import ripresa
from ripresa import (
    PayloadError,
    RunError,
    RunFailed,
    RunFinished,
    RunNotFound,
    UnknownHandler,
    UpdateRejected,
    on_query,
    on_signal,
    on_update,
    sleep,
    step,
    wait_for_signal,
    wait_until,
    workflow,
)


class Label(BaseModel):
    text: str
    weight: float = 0.0


@step
async def echo(value: int) -> int:
    return value


@step
def plain(value: int) -> int:
    return value


# --- signals ----------------------------------------------------------------------------------


@workflow
async def one_label() -> str:
    label = await wait_for_signal("label", Label)
    return f"{type(label).__name__} {label.text} {label.weight}"


async def test_a_typed_signal_arrives_as_its_type(world):
    app = await world.open(one_label)
    run = await app.start(one_label)
    await app.signal(run, "label", Label(text="fragile", weight=1.5))
    assert await run.result("10s") == "Label fragile 1.5"


async def test_a_signal_may_be_sent_as_plain_data(world):
    app = await world.open(one_label)
    run = await app.start(one_label)
    await app.signal(run, "label", {"text": "x"})
    assert await run.result("10s") == "Label x 0.0"


async def test_a_signal_of_another_shape_is_refused_to_its_sender(world):
    app = await world.open(one_label)
    run = await app.start(one_label)
    with pytest.raises(PayloadError, match=r"signal 'label'\.text: field required"):
        await app.signal(run, "label", {"txt": "x"})
    await app.signal(run, "label", {"text": "x"})
    assert await run.result("10s") == "Label x 0.0"


async def test_an_untyped_signal_is_whatever_was_sent(world):
    @workflow
    async def takes() -> list[object]:
        return [await wait_for_signal("any"), await wait_for_signal("any"), await wait_for_signal("any")]

    app = await world.open(takes)
    run = await app.start(takes)
    for value in ({"a": [1, None]}, "text", None):
        await app.signal(run, "any", value)
    assert await run.result("10s") == [{"a": [1, None]}, "text", None]


async def test_signals_that_come_early_wait_in_order(world):
    @workflow
    async def late() -> list[int]:
        await sleep(days=1)
        return [await wait_for_signal("n", int) for _ in range(5)]

    app = await world.open(late, clock=world.clock_that_stands())
    run = await app.start(late)
    for value in range(5):
        await app.signal(run, "n", value)
    await app.engine.clock.advance(days=1)
    assert await run.result("10s") == [0, 1, 2, 3, 4]


async def test_every_signal_is_taken_once_however_alike(world):
    @workflow
    async def counts() -> int:
        count = 0
        while await wait_for_signal("n", int):
            count += 1
        return count

    app = await world.open(counts)
    run = await app.start(counts)
    for value in (7, 7, 7, 0):
        await app.signal(run, "n", value)
    assert await run.result("10s") == 3


async def test_many_signals_at_once_take_few_commits_and_each_is_taken_once(every_world):
    @workflow
    async def gathers(number: int) -> list[int]:
        return [await wait_for_signal("n", int) for _ in range(number)]

    app = await every_world.open(gathers)
    run = await app.start(gathers, 300)
    commits, commit = [], app.store.commit

    async def counted(lease, batch, **options):
        commits.append(batch)
        return await commit(lease, batch, **options)

    app.store.commit = counted
    await asyncio.gather(*(app.signal(run, "n", value) for value in range(300)))
    assert sorted(await run.result("60s")) == list(range(300))
    assert len(commits) < 150


async def test_of_signals_sent_at_once_the_wrong_one_is_refused_and_the_others_are_kept(world):
    @workflow
    async def gathers() -> list[int]:
        return [await wait_for_signal("n", int) for _ in range(3)]

    app = await world.open(gathers)
    run = await app.start(gathers)
    sent = [app.signal(run, "n", value) for value in (1, "two", 3)]  # a server may have them come in any order
    told = await asyncio.gather(*sent, return_exceptions=True)
    assert [type(one) for one in told] == [type(None), PayloadError, type(None)]
    await app.signal(run, "n", 4)
    assert sorted(await run.result("60s")) == [1, 3, 4]


async def test_each_signal_goes_to_one_waiter_first_come_first_served(world):
    @workflow
    async def two() -> list[str]:
        async def waiter(name: str) -> str:
            return name + await wait_for_signal("s", str)

        return await asyncio.gather(waiter("first "), waiter("second "))

    app = await world.open(two)
    run = await app.start(two)
    await app.signal(run, "s", "a")
    await app.signal(run, "s", "b")
    assert await run.result("10s") == ["first a", "second b"]


async def test_signals_of_different_names_do_not_mix(world):
    @workflow
    async def two() -> list[str]:
        return [await wait_for_signal("b", str), await wait_for_signal("a", str)]

    app = await world.open(two)
    run = await app.start(two)
    await app.signal(run, "a", "A")
    await app.signal(run, "b", "B")
    assert await run.result("10s") == ["B", "A"]


@pytest.mark.parametrize("timeout", ["7d", 604_800])
async def test_a_wait_that_runs_out_raises_timeout_error(world, timeout):
    @workflow
    async def waits() -> list[object]:
        begin = ripresa.now()
        try:
            await wait_for_signal("never", str, timeout=timeout)
        except TimeoutError as error:
            return [str(error), (ripresa.now() - begin).days]
        return []

    assert await world.run(waits) == [f"signal 'never': nothing came within {timeout}", 7]


async def test_a_signal_in_time_stops_the_clock_of_its_wait(world):
    @workflow
    async def waits() -> list[object]:
        begin = ripresa.now()
        value = await wait_for_signal("s", int, timeout="7d")
        await sleep(1)
        return [value, (ripresa.now() - begin).total_seconds()]

    app = await world.open(waits, clock=world.clock_that_stands())
    run = await app.start(waits)
    await app.signal(run, "s", 3)
    await app.engine.clock.advance(seconds=1)
    assert await run.result("10s") == [3, 1]


async def test_a_wait_that_ran_out_takes_no_signal(world):
    """Neither the signal itself, nor by its type: the next waiter's type counts."""

    @workflow
    async def waits() -> str:
        with contextlib.suppress(TimeoutError):
            await wait_for_signal("s", int, timeout=1)
        return await wait_for_signal("s", str)

    app = await world.open(waits, clock=world.clock_that_stands())
    run = await app.start(waits)
    await app.engine.clock.advance(seconds=2)
    await app.signal(run, "s", "text")
    assert await run.result("10s") == "text"


async def test_a_zero_timeout_takes_what_is_there(world):
    @workflow
    async def looks() -> list[object]:
        seen: list[object] = []
        for _ in range(2):
            try:
                seen.append(await wait_for_signal("s", int, timeout=0))
            except TimeoutError:
                seen.append("nothing")
            await wait_for_signal("go")
        return seen

    app = await world.open(looks)
    run = await app.start(looks)
    await app.signal(run, "s", 1)
    await app.signal(run, "go")
    await app.signal(run, "go")
    assert await run.result("10s") == ["nothing", 1]


@pytest.mark.parametrize("kind", ["def", "async"])
async def test_handlers_get_each_signal_early_ones_first(world, kind):
    @workflow
    async def collects() -> list[int]:
        got: list[int] = []
        await sleep(days=1)

        if kind == "def":

            @on_signal("n")
            def take(value: int) -> None:
                got.append(plain(value))
        else:

            @on_signal("n")
            async def take_async(value: int) -> None:
                got.append(await echo(value))

        await wait_until(lambda: len(got) == 4)
        return got

    app = await world.open(collects, clock=world.clock_that_stands())
    run = await app.start(collects)
    await app.signal(run, "n", 1)
    await app.signal(run, "n", 2)
    await app.engine.clock.advance(days=1)
    await app.signal(run, "n", 3)
    await app.signal(run, "n", 4)
    assert await run.result("10s") == [1, 2, 3, 4]


async def test_a_handler_without_a_parameter_only_hears_that_it_came(world):
    @workflow
    async def hears() -> int:
        count = 0

        @on_signal("ping")
        def ping() -> None:
            nonlocal count
            count += 1

        await wait_until(lambda: count >= 2)
        return count

    app = await world.open(hears)
    run = await app.start(hears)
    await app.signal(run, "ping")
    await app.signal(run, "ping", {"ignored": True})
    assert await run.result("10s") == 2


async def test_a_handler_that_raises_fails_the_run(world):
    @workflow
    async def hears() -> None:
        @on_signal("bad")
        async def bad() -> None:
            await echo(1)
            raise ValueError("handler")

        await sleep(days=1)

    app = await world.open(hears, clock=world.clock_that_stands())
    run = await app.start(hears)
    await app.signal(run, "bad")
    with pytest.raises(RunFailed, match="ValueError: handler"):
        await run.result("10s")


async def test_a_signal_to_a_run_that_ended_or_never_was_is_an_error(world):
    @workflow
    async def quick() -> None: ...

    app = await world.open(quick)
    run = await app.start(quick, id="quick")
    await run.result()
    with pytest.raises(RunFinished, match="signal 'x': run 'quick' has succeeded"):
        await app.signal("quick", "x")
    with pytest.raises(RunNotFound, match="no run 'nobody'"):
        await app.signal("nobody", "x")


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": {1, object()}}])
async def test_a_signal_that_json_cannot_hold_is_refused(memory, value):
    app = await memory.open(one_label)
    run = await app.start(one_label)
    with pytest.raises(PayloadError, match="signal 'label'"):
        await app.signal(run, "label", value)


async def test_a_signal_is_on_disk_when_its_sending_returns(every_world):
    world = every_world
    app = await world.open(one_label)
    run = await app.start(one_label, id="r")
    await app.signal(run, "label", {"text": "kept"})
    app = await world.crash(app)
    assert await (await app.get("r")).result("10s") == "Label kept 0.0"


async def test_runs_signal_each_other_exactly_once(every_world):
    world = every_world

    @workflow
    async def sender(to: str) -> None:
        for value in range(3):
            await ripresa.send_signal(to, "n", value)

    @workflow
    async def receiver() -> list[int]:
        return [await wait_for_signal("n", int) for _ in range(3)]

    app = await world.open(sender, receiver)
    there = await app.start(receiver, id="there")
    await (await app.start(sender, "there")).result("10s")
    assert await there.result("10s") == [0, 1, 2]
    received = [event for event in await app.history(there) if event.kind == "signal_received"]
    assert len(received) == 3


async def test_a_signal_to_nobody_is_an_error_in_the_sender(world):
    @workflow
    async def sender() -> str:
        try:
            await ripresa.send_signal("nobody", "n")
        except ripresa.RipresaError as error:
            return str(error)
        return ""

    assert "run 'nobody' cannot take signal 'n': there is no such run" in await world.run(sender)


# --- updates ----------------------------------------------------------------------------------


@workflow
async def account(balance: int) -> int:
    closed = False

    def not_negative(amount: int) -> None:
        if amount < 0:
            raise ValueError("below zero")

    @on_update("deposit", validator=not_negative)
    async def deposit(amount: int) -> int:
        nonlocal balance
        await echo(amount)
        balance += plain(amount)
        return balance

    @on_update("close")
    def close() -> None:
        nonlocal closed
        closed = True

    @on_update("refuse")
    def refuse() -> None:
        raise RuntimeError("inside")

    @on_query("balance")
    def look() -> int:
        return balance

    await wait_until(lambda: closed)
    return balance


async def test_an_update_returns_its_handlers_value(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    assert await app.update(run, "deposit", 5) == 15
    assert await app.update(run, "deposit", amount=1) == 16
    assert await app.update(run, "close") is None
    assert await run.result("10s") == 16


async def test_an_updates_value_is_durable_when_it_is_returned(every_world):
    world = every_world
    app = await world.open(account)
    run = await app.start(account, 10, id="a")
    assert await app.update(run, "deposit", 5) == 15
    app = await world.crash(app)
    assert await app.query("a", "balance") == 15
    await app.update("a", "close")
    assert await (await app.get("a")).result("10s") == 15


async def test_a_rejected_update_leaves_no_trace(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    before = await app.history(run)
    with pytest.raises(UpdateRejected, match="update 'deposit' was refused: below zero"):
        await app.update(run, "deposit", -1)
    for wrong in (("many",), (1, 2), ()):
        with pytest.raises(PayloadError, match="deposit"):
            await app.update(run, "deposit", *wrong)
    with pytest.raises(PayloadError, match="deposit"):
        await app.update(run, "deposit", amounts=3)
    assert await app.history(run) == before
    assert await app.update(run, "deposit", 0) == 10


async def test_an_unknown_update_names_those_there_are(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    with pytest.raises(UnknownHandler, match=r"no update handler 'depposit' \(it has: close, deposit, refuse\)"):
        await app.update(run, "depposit", 1)


async def test_an_update_whose_handler_raises_tells_its_caller_and_the_run_goes_on(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    with pytest.raises(RunError, match="update 'refuse' failed: RuntimeError: inside") as caught:
        await app.update(run, "refuse")
    assert caught.value.cause.type == "RuntimeError"
    assert await app.update(run, "deposit", 1) == 11


async def test_many_updates_at_once_are_answered_each(world):
    app = await world.open(account)
    run = await app.start(account, 0)
    answers = await asyncio.gather(*(app.update(run, "deposit", 1) for _ in range(20)))
    assert sorted(answers) == list(range(1, 21))


@pytest.mark.parametrize("end", ["return", "fail", "cancel", "continue"])
async def test_an_update_under_way_when_its_run_ends_is_an_error_not_a_hang(world, end):
    @workflow
    async def ends(again: bool = True) -> None:
        @on_update("slow")
        async def slow() -> None:
            await sleep(days=1)

        await wait_for_signal("go")
        if end == "fail":
            raise ValueError("failed")
        if end == "continue" and again:
            ripresa.continue_as_new(False)

    app = await world.open(ends, clock=world.clock_that_stands())
    run = await app.start(ends)
    asked = asyncio.create_task(app.update(run, "slow"))
    while "update_received" not in [event.kind for event in await app.history(run)]:  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0)
    if end == "cancel":
        await app.cancel(run)
    else:
        await app.signal(run, "go")
    with pytest.raises(RunError, match="update 'slow'"):
        await asyncio.wait_for(asked, 10)


async def test_an_update_handler_that_exits_or_begins_anew_does_not_hang_its_caller(world):
    @workflow
    async def odd() -> None:
        @on_update("exit")
        def leave() -> None:
            raise SystemExit(3)

        @on_update("cancelled")
        async def cancelled() -> None:
            raise asyncio.CancelledError

        await wait_for_signal("go")

    app = await world.open(odd)
    run = await app.start(odd)
    for name in ("exit", "cancelled"):
        with pytest.raises(RunError, match=f"update '{name}'"):
            await asyncio.wait_for(app.update(run, name), 10)
    await app.signal(run, "go")
    await run.result("10s")


async def test_an_update_of_an_ended_run_is_an_error(world):
    app = await world.open(account)
    run = await app.start(account, 1, id="a")
    await app.update(run, "close")
    await run.result("10s")
    with pytest.raises(RunFinished, match="update 'deposit': run 'a' has succeeded"):
        await app.update(run, "deposit", 1)


async def test_an_update_before_its_handler_is_declared_waits_for_it_to_be(world):
    """An update right after the start does not race with the code that declares its handler."""
    app = await world.open(account)
    run = await app.start(account, 1)
    assert await app.update(run, "deposit", 1) == 2


# --- queries ----------------------------------------------------------------------------------


async def test_a_query_sees_the_state_as_it_is(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    assert await app.query(run, "balance") == 10
    await app.update(run, "deposit", 5)
    assert await app.query(run, "balance") == 15


async def test_a_query_is_answered_for_parked_paused_ended_and_reopened_runs(every_world):
    world = every_world
    app = await world.open(account)
    run = await app.start(account, 10, id="a")
    await app.update(run, "deposit", 5)
    await app.pause(run)
    assert await app.query("a", "balance") == 15
    await app.resume(run)
    app = await world.crash(app)
    assert await app.query("a", "balance") == 15
    await app.update("a", "close")
    await (await app.get("a")).result("10s")
    assert await app.query("a", "balance") == 15
    app = await world.crash(app)
    assert await app.query("a", "balance") == 15


async def test_a_query_leaves_no_trace(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    await app.query(run, "balance")
    before = await app.history(run)
    await app.query(run, "balance")
    assert await app.history(run) == before


async def test_an_ended_run_that_knows_its_name_can_be_asked(world):
    """Replaying it sees the same id and correlation id as the run itself did."""

    @workflow
    async def named() -> str:
        @on_query("name")
        def name() -> str:
            return ripresa.context().run_id + ripresa.context().correlation_id

        return await join(ripresa.context().run_id, ripresa.context().correlation_id)

    @step
    async def join(one: str, other: str) -> str:
        return one + other

    app = await world.open(named)
    run = await app.start(named, id="order-7", correlation_id="-c")
    assert await run.result("10s") == "order-7-c"
    assert await app.query(run, "name") == "order-7-c"


async def test_an_unknown_query_names_those_there_are(world):
    app = await world.open(account)
    run = await app.start(account, 10)
    with pytest.raises(UnknownHandler, match=r"no query handler 'x' \(it has: balance\)"):
        await app.query(run, "x")


@pytest.mark.parametrize("what", ["step", "plain", "sleep", "signal", "task", "child"])
async def test_a_query_can_only_look(world, what):
    @workflow
    async def looked_at() -> str:
        @on_query("try")
        def attempt() -> object:
            match what:
                case "step":
                    return echo.start(1)
                case "plain":
                    return plain(1)
                case "sleep":
                    return ripresa.blocking.sleep(1)
                case "signal":
                    return ripresa.blocking.wait_for_signal("x")
                case "task":
                    return asyncio.get_running_loop().call_later(5, print)
                case _:
                    return ripresa.start_child(account, 1)

        return await wait_for_signal("go", str)

    app = await world.open(looked_at, account)
    run = await app.start(looked_at)
    before = await app.history(run)
    with pytest.raises(ripresa.ForbiddenInWorkflow, match="only look"):
        await app.query(run, "try")
    assert await app.history(run) == before
    await app.signal(run, "go", "on")
    assert await run.result("10s") == "on"


async def test_a_query_that_raises_raises_to_its_caller_alone(world):
    @workflow
    async def looked_at() -> str:
        @on_query("try")
        def attempt(value: int) -> float:
            return 1 / value

        return await wait_for_signal("go", str)

    app = await world.open(looked_at)
    run = await app.start(looked_at)
    with pytest.raises(ZeroDivisionError):
        await app.query(run, "try", 0)
    assert await app.query(run, "try", 2) == 0.5
    await app.signal(run, "go", "on")
    assert await run.result("10s") == "on"


# --- conditions -------------------------------------------------------------------------------


async def test_wait_until_goes_on_when_its_condition_is_true(world):
    @workflow
    async def waits() -> list[str]:
        seen: list[str] = []

        async def other() -> None:
            await sleep(5)
            seen.append("other")

        task = asyncio.create_task(other())
        await wait_until(lambda: "other" in seen)
        await wait_until(lambda: True)
        await task
        return [*seen, "main"]

    assert await world.run(waits) == ["other", "main"]


async def test_wait_until_runs_out(world):
    @workflow
    async def waits() -> str:
        try:
            await wait_until(lambda: False, timeout="2h")
        except TimeoutError as error:
            return str(error)
        return ""

    assert await world.run(waits) == "wait_until: nothing came within 2h"


async def test_an_error_in_a_condition_is_the_waiters(world):
    @workflow
    async def waits() -> str:
        boxes: list[int] = []

        async def other() -> None:
            await sleep(1)
            boxes.append(0)

        task = asyncio.create_task(other())
        try:
            await wait_until(lambda: boxes and 1 / boxes[0])
        except ZeroDivisionError:
            await task
            return "caught"
        return ""

    assert await world.run(waits) == "caught"


async def test_a_condition_may_only_look(world):
    @workflow
    async def waits() -> None:
        await wait_until(lambda: plain(1))

    with pytest.raises(RunFailed, match="only look"):
        await world.run(waits)
