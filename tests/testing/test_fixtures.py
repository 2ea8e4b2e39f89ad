"""Fixtures: an App for one test, and the comparison of a run in memory with the same run evicted."""

import asyncio
import contextvars
from itertools import count

import pytest

import ripresa
from ripresa import child, on_update, sleep, step, wait_for_signal, workflow
from ripresa.testing import VirtualClock, app_fixture, run_both_ways
from ripresa.testing.clock import EPOCH_US


@step
async def echo(value: str) -> str:
    return value


@step
def plain(value: str) -> str:
    return value


@workflow
async def month() -> str:
    await sleep(days=30)
    return await echo("over")


@workflow
async def grandchild(value: str) -> str:
    return await echo(value)


# --- app_fixture ------------------------------------------------------------------------------


async def test_an_app_with_a_store_of_its_own_in_virtual_time():
    async with app_fixture(month) as app, app_fixture(month) as other:
        assert await (await app.start(month, id="a")).result("10s") == "over"
        assert [run.id for run in await app.list()] == ["a"]
        assert await other.list() == []


async def test_its_settings_are_those_of_an_app():
    clock = VirtualClock()
    async with app_fixture(month, evict_after=0, clock=clock, threads=3) as app:
        await (await app.start(month)).result("10s")
        assert app.opened().config.threads == 3
        assert app.opened().evict_after_us == 0
    assert clock.now() == EPOCH_US + 30 * 86_400_000_000
    with pytest.raises(TypeError, match="thraeds"):
        async with app_fixture(month, thraeds=3):
            pass


# --- run_both_ways ----------------------------------------------------------------------------


async def test_it_gives_what_the_run_gave_and_what_its_journals_say():
    @workflow
    async def parent(value: str) -> str:
        return await child(grandchild, value)

    outcome = await run_both_ways(parent, "hello", others=(grandchild,))
    assert (outcome.status, outcome.output, outcome.error) == ("succeeded", '"hello"', None)
    own, of_child = outcome.histories.values()
    assert [(event.kind, event.operation) for event in own] == [
        ("run_started", None),
        ("child_finished", "grandchild"),
        ("finished", None),
    ]
    assert [event.data for event in of_child][1:] == ['"hello"', '"hello"']


async def test_a_run_that_fails_fails_both_ways():
    @workflow
    async def fails() -> None:
        await echo("a")
        raise ValueError("no")

    outcome = await run_both_ways(fails)
    assert (outcome.status, outcome.output, outcome.error) == ("failed", None, "ValueError: no")


async def test_what_is_drawn_and_what_time_it_is_are_the_same_both_ways():
    @workflow
    async def dice() -> list[str]:
        await echo("a")
        return [str(ripresa.random()), str(ripresa.uuid4()), ripresa.now().isoformat()]

    one, again, other = [(await run_both_ways(dice, seed=seed)).output for seed in (1, 1, 2)]
    assert one == again != other


async def test_the_seed_decides_the_order_of_steps_and_time_limits_see_how_long_they_take():
    @workflow
    async def race() -> str:
        tasks = [asyncio.ensure_future(one) for one in (echo("a"), echo("b"), echo("c"))]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    @workflow
    async def limited() -> str:
        try:
            async with asyncio.timeout(1):
                return await echo("in time")
        except TimeoutError:
            return "late"

    assert {(await run_both_ways(race, seed=seed)).output for seed in range(20)} == {'"a"', '"b"', '"c"'}
    limits = {(await run_both_ways(limited, seed=seed, steps_take="2s")).output for seed in range(20)}
    assert limits == {'"in time"', '"late"'}
    assert {(await run_both_ways(limited, seed=seed)).output for seed in range(5)} == {'"in time"'}


async def test_plain_calls_of_steps_go_both_ways():
    @workflow
    def plainly() -> list[str]:
        return [plain(word) for word in "abc"]

    assert (await run_both_ways(plainly)).output == '["a","b","c"]'


async def test_somebody_may_speak_to_the_run_at_given_moments():
    @workflow
    async def patient() -> list[str]:
        heard: list[str] = []

        @on_update("whisper")
        async def _whisper(word: str) -> int:
            heard.append(await echo(word))
            return len(heard)

        heard.append(await wait_for_signal("word", str, timeout="2d"))
        await sleep(days=1)
        return heard

    async def drive(app, run, clock):
        await clock.advance(days=1)
        await app.signal(run, "word", "hello")
        answer = await app.update(run, "whisper", "hush")
        return answer, clock.now()

    outcome = await run_both_ways(patient, drive=drive)
    assert outcome.output == '["hello","hush"]'
    assert outcome.told == (2, EPOCH_US + 86_400_000_000)


async def test_what_the_speaker_is_told_is_compared():
    answers = count()

    async def drive(app, run, clock):
        return next(answers)

    with pytest.raises(AssertionError, match="told: 0, then 1"):
        await run_both_ways(month, drive=drive)


async def test_code_that_looks_at_something_outside_of_its_journal_is_found_out():
    visits = count()

    @workflow
    async def leaky() -> str:
        await sleep(days=1)
        return await echo(f"visit {next(visits)}")

    with pytest.raises(AssertionError, match=r"leaky\(\): eviction made a difference") as caught:
        await run_both_ways(leaky)
    assert "event 3 of leaky" in str(caught.value)


async def test_what_code_keeps_in_a_context_variable_is_part_of_its_state():
    kept = contextvars.ContextVar("kept", default="nothing")

    @workflow
    async def remembers() -> str:
        kept.set(await echo("something"))
        await sleep(days=1)
        return kept.get()

    assert (await run_both_ways(remembers)).output == '"something"'
