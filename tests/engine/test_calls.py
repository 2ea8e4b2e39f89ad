"""A step is called the way its function is, in `async def` and in `def` workflows alike."""

from __future__ import annotations

import asyncio
import threading

import pytest

import ripresa
from ripresa import StepFailed, Terminal, blocking, step, workflow


@step
async def double(value: int) -> int:
    await asyncio.sleep(0)
    return value * 2


@step
def triple(value: int) -> int:
    return value * 3


@step
async def where_async() -> int:
    return threading.get_ident()


@step
def where_def() -> int:
    return threading.get_ident()


@workflow
async def both_in_async(value: int) -> list[int]:
    return [await double(value), triple(value), await double(triple(value))]


@workflow
def both_in_def(value: int) -> list[int]:
    return [double.start(value).result(), triple(value), triple.start(triple(value)).result()]


async def test_an_async_workflow_awaits_async_steps_and_simply_calls_def_steps(world):
    assert await world.run(both_in_async, 5) == [10, 15, 30]


async def test_a_def_workflow_calls_def_steps_and_starts_async_ones(world):
    assert await world.run(both_in_def, 5) == [10, 15, 45]


async def test_def_steps_are_called_plainly_in_gathered_coroutines(world):
    async def branch(value: int) -> int:
        first = triple(value)
        second = await double(first)
        return triple(second)

    @workflow
    async def fan(count: int) -> list[int]:
        return await asyncio.gather(*(branch(value) for value in range(count)))

    assert await world.run(fan, 6) == [value * 18 for value in range(6)]


async def test_handles_of_either_kind_are_awaited_or_asked_for_their_result(world):
    @workflow
    async def handles() -> list[int]:
        started = [double.start(1), triple.start(1), double.start(2), triple.start(2)]
        return [await started[0], await started[1], started[2].result(), started[3].result()]

    assert await world.run(handles) == [2, 3, 4, 6]


async def test_started_steps_run_at_the_same_time(world):
    """Each of the two ends only when it has seen the other."""
    met = threading.Barrier(2, timeout=20)

    @step
    def meet(name: str) -> str:
        met.wait()
        return name

    @workflow
    def together() -> list[str]:
        handles = [meet.start("a"), meet.start("b")]
        return [handle.result() for handle in handles]

    assert await world.run(together) == ["a", "b"]


async def test_a_handle_says_whether_its_step_is_done(world):
    @workflow
    async def asks() -> list[bool]:
        handle = double.start(1)
        before = handle.done()
        await handle
        return [before, handle.done(), handle.cancel()]

    assert await world.run(asks) == [False, True, False]


async def test_a_plain_call_blocks_its_own_run_and_never_the_engine(world):
    """The first run's step ends only when the second run, started later, has let it."""
    gate = threading.Event()

    @step
    def wait_for_the_other() -> str:
        assert gate.wait(20)
        return "waited"

    @step
    def open_the_gate() -> str:
        gate.set()
        return "opened"

    @workflow
    async def first() -> str:
        return wait_for_the_other()

    @workflow
    def second() -> str:
        return open_the_gate()

    app = await world.open(first, second)
    one = await app.start(first)
    two = await app.start(second)
    assert [await two.result(), await one.result()] == ["opened", "waited"]


async def test_between_two_awaits_a_plain_call_lets_nothing_else_of_the_run_in(world):
    """The code between two awaits stays atomic, as an asyncio author expects."""

    @workflow
    async def counter() -> int:
        state = {"count": 0}

        async def add() -> None:
            before = state["count"]
            triple(before)
            state["count"] = before + 1

        await asyncio.gather(*(add() for _ in range(5)))
        return state["count"]

    assert await world.run(counter) == 5


async def test_async_steps_run_on_the_loop_and_def_steps_in_threads(world):
    @workflow
    async def places() -> list[int]:
        return [await where_async(), where_def()]

    on_loop, in_thread = await world.run(places)
    assert on_loop == threading.get_ident()
    assert in_thread != threading.get_ident()


async def test_a_failure_is_raised_at_the_call_whatever_its_kind(world):
    @step
    async def fail_async() -> None:
        raise Terminal("async")

    @step
    def fail_def() -> None:
        raise Terminal("def")

    @workflow
    async def catches() -> list[str]:
        seen = []
        try:
            await fail_async()
        except StepFailed as error:
            seen.append(error.cause.message)
        try:
            fail_def()
        except StepFailed as error:
            seen.append(error.cause.message)
        for handle in (fail_async.start(), fail_def.start()):
            try:
                handle.result()
            except StepFailed as error:
                seen.append(error.cause.message)
        return seen

    assert await world.run(catches) == ["async", "def", "async", "def"]


async def test_outside_of_a_workflow_a_step_is_a_plain_function():
    assert triple(2) == 6
    assert await double(2) == 4
    with pytest.raises(ripresa.RipresaError, match="only inside a workflow"):
        triple.start(2)


async def test_outside_of_an_app_a_workflow_is_a_plain_function():
    assert await both_in_async(1) == [2, 3, 6]
    assert both_in_async.__name__ == "both_in_async"


async def test_inside_a_step_another_step_is_a_plain_function(world):
    @step
    async def outer(value: int) -> int:
        return await double(value) + triple(value)

    @workflow
    async def nested(value: int) -> int:
        return await outer(value)

    app = await world.open(nested)
    run = await app.start(nested, 1)
    assert await run.result() == 5
    assert [event.operation for event in await app.history(run) if event.kind == "step_completed"] == ["outer"]


async def test_blocking_waits_let_the_runs_other_tasks_and_handlers_go_on(world):
    @workflow
    def waits() -> list[str]:
        seen: list[str] = []

        @ripresa.on_signal("note")
        def note(text: str) -> None:
            seen.append(text)

        blocking.wait_until(lambda: len(seen) == 2)
        blocking.sleep(days=1)
        seen.append(blocking.wait_for_signal("last", str))
        return seen

    app = await world.open(waits)
    run = await app.start(waits)
    for text in ("a", "b"):
        await app.signal(run, "note", text)
    await app.signal(run, "last", "c")
    assert await run.result() == ["a", "b", "c"]


async def test_blocking_has_every_durable_wait(world):
    @workflow
    def part(value: int) -> int:
        return triple(value)

    @workflow
    def whole(other: str) -> list[object]:
        blocking.sleep("1h")
        blocking.sleep_until(ripresa.now())
        blocking.send_signal(other, "hello", 1)
        blocking.publish("thing.done", {"n": 1})
        handle = blocking.start_child(part, 1)
        return [
            handle.result(),
            blocking.child(part, 2),
            blocking.map_(double, [1, 2, 3], max_parallel=2),
            blocking.map_(part, [1, 2]),
        ]

    @workflow
    async def listener() -> int:
        return await ripresa.wait_for_signal("hello", int)

    app = await world.open(part, whole, listener)
    heard = await app.start(listener, id="listener")
    run = await app.start(whole, "listener")
    assert await run.result() == [3, 6, [2, 4, 6], [3, 6]]
    assert await heard.result() == 1


async def test_blocking_waits_run_out(world):
    @workflow
    def impatient() -> list[str]:
        seen = []
        for wait in (
            lambda: blocking.wait_for_signal("never", timeout="2d"),
            lambda: blocking.wait_until(lambda: False, timeout="1h"),
        ):
            try:
                wait()
            except TimeoutError as error:
                seen.append(str(error))
        return seen

    assert await world.run(impatient) == [
        "signal 'never': nothing came within 2d",
        "wait_until: nothing came within 1h",
    ]


async def test_a_step_calls_steps_of_the_same_name_apart(world):
    @workflow
    async def twice() -> list[int]:
        return [await double(1), await double(2), triple(1), triple(2), await double.using(key="x")(3)]

    app = await world.open(twice)
    run = await app.start(twice)
    assert await run.result() == [2, 4, 3, 6, 6]
    done = [event.operation for event in await app.history(run) if event.kind == "step_completed"]
    assert done == ["double", "double#2", "triple", "triple#2", "double[x]"]


async def test_a_key_serves_once(world):
    @workflow
    async def twice() -> None:
        await double.using(key="x")(1)
        await double.using(key="x")(1)

    with pytest.raises(ripresa.RunFailed, match="key 'x' of 'double' is used twice"):
        await world.run(twice)


async def test_an_async_step_that_is_never_awaited_is_never_done(world):
    @workflow
    async def forgets() -> str:
        double(1)
        return "done"

    app = await world.open(forgets)
    run = await app.start(forgets)
    assert await run.result() == "done"
    assert [event.kind for event in await app.history(run)] == ["run_started", "finished"]


async def test_an_awaited_call_is_used_up(world):
    @workflow
    async def greedy() -> None:
        call = double(1)
        await call
        await call

    with pytest.raises(ripresa.RunFailed, match="cannot reuse already awaited coroutine"):
        await world.run(greedy)


async def test_arguments_and_outputs_are_values_of_their_own(world):
    """A step cannot change its workflow's values behind the journal's back."""

    @step
    async def spoil(items: list[int]) -> list[int]:
        items.append(99)
        return items

    @workflow
    async def careful() -> list[list[int]]:
        mine = [1, 2]
        theirs = await spoil(mine)
        return [mine, theirs]

    assert await world.run(careful) == [[1, 2], [1, 2, 99]]


@pytest.mark.parametrize("how", ["inline", "thread", "process"])
async def test_a_step_names_its_runtime(how):
    if how == "inline":
        with pytest.raises(ValueError, match='runtime="inline" needs an async def'):
            step(runtime=how)(triple.function)
    elif how == "thread":
        with pytest.raises(ValueError, match="an async def function runs inline"):
            step(runtime=how)(double.function)
    else:
        assert step(runtime=how)(triple.function).runtime == "process"


def test_an_unknown_option_is_refused_with_the_one_that_was_meant():
    with pytest.raises(TypeError, match=r"""@step: unknown option 'retries'; did you mean "retry"?"""):
        step(retries=3)
    with pytest.raises(TypeError, match=r"""unknown option 'time_out'; did you mean "timeout"?"""):
        step(time_out="3s")
    with pytest.raises(TypeError, match=r"unknown option 'zzz' \(there are: name, retry"):
        step(zzz=3)
    with pytest.raises(TypeError, match=r"""using\(\): unknown option 'timeouts'; did you mean "timeout"?"""):
        triple.using(timeouts=3)


@pytest.mark.parametrize("what", [step, workflow])
def test_only_functions_are_decorated(what):
    with pytest.raises(TypeError, match="is not a function"):
        what(42)


def test_a_step_is_not_a_method():
    class Shop:
        @step
        def charge(self) -> None: ...

    with pytest.raises(TypeError, match="declare it outside of the class"):
        Shop().charge  # noqa: B018 - asking for it is what is refused


def test_the_waits_say_that_they_belong_in_a_workflow():
    for call in (
        lambda: ripresa.wait_for_signal("x"),
        ripresa.now,
        ripresa.uuid4,
        ripresa.random,
        lambda: ripresa.patched("x"),
        lambda: blocking.sleep("1s"),
        ripresa.saga,
        lambda: ripresa.on_signal("x"),
        ripresa.continue_as_new,
        ripresa.context,
    ):
        with pytest.raises(ripresa.RipresaError, match="only inside a"):
            call()
