"""A step that must not be done twice: cut off, it is not attempted again, and its workflow is told."""

import asyncio
import os
from pathlib import Path

import pytest

from ripresa import Retry, RunFailed, StepFailed, StepInterrupted, step, workflow


class Letters:
    """A step that sends a letter and then waits to be told that it may end."""

    def __init__(self, world):
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

        @step(at_most_once=True)
        async def send(to: str) -> str:
            world.did("sent")
            self.begun.set()
            await self.go_on.wait()
            return to

        @workflow
        async def post(to: str) -> str:
            try:
                return await send(to)
            except StepInterrupted as cut_off:
                return f"perhaps: {cut_off.cause.code} in attempt {cut_off.attempts}"

        @workflow
        async def careless(to: str) -> str:
            return await send(to)

        self.post, self.careless = post, careless


async def test_it_is_done_once_like_any_other(world):
    letters = Letters(world)
    letters.go_on.set()
    assert await world.run(letters.post, "Ada") == "Ada"
    assert world.ledger == ["sent"]


async def test_after_a_crash_it_is_not_done_again(world):
    letters = Letters(world)
    app = await world.open(letters.post)
    run = await app.start(letters.post, "Ada", id="r")
    await letters.begun.wait()
    app = await world.crash(app)
    run = await app.get("r")
    assert await run.result("30s") == "perhaps: interrupted in attempt 1"
    assert world.ledger == ["sent"]
    app = await world.crash(app)
    assert await (await app.get("r")).result("30s") == "perhaps: interrupted in attempt 1"


async def test_nor_when_its_engine_closed_under_it(world):
    letters = Letters(world)
    app = await world.open(letters.post)
    await app.start(letters.post, "Ada", id="r")
    await letters.begun.wait()
    await app.close()
    app = await world.open(letters.post)
    assert await (await app.get("r")).result("30s") == "perhaps: interrupted in attempt 1"
    assert world.ledger == ["sent"]


@step(at_most_once=True, runtime="process")
def die(ledger: str) -> None:
    with Path(ledger).open("a") as file:
        file.write("begun\n")
    os._exit(9)


@workflow
async def deadly(ledger: str) -> str:
    try:
        await die.start(ledger)
    except StepInterrupted as cut_off:
        return str(cut_off.cause)
    return "done"


async def test_a_process_that_dies_under_it_is_not_started_again(world, tmp_path):
    ledger = tmp_path / "ledger"
    told = await world.run(deadly, str(ledger))
    assert "step 'die' was started and cut off (" in told
    assert ledger.read_text() == "begun\n"


async def test_a_person_who_has_looked_may_have_it_done_once_more(world):
    letters = Letters(world)
    app = await world.open(letters.careless)
    run = await app.start(letters.careless, "Ada", id="r")
    await letters.begun.wait()
    app = await world.crash(app)
    run = await app.get("r")
    with pytest.raises(RunFailed, match="started and cut off") as failed:
        await run.result("30s")
    assert failed.value.cause.code == "interrupted"
    letters.go_on.set()
    await app.retry(run)
    assert await run.result("30s") == "Ada"
    assert world.ledger == ["sent", "sent"]


async def test_a_failure_of_its_own_is_a_failure(world):
    @step(at_most_once=True)
    async def refuse() -> None:
        world.did("refused")
        raise ConnectionError("engaged")

    @workflow
    async def call() -> str:
        try:
            await refuse()
        except StepInterrupted:
            return "interrupted"
        except StepFailed as failed:
            return str(failed.cause)
        return "done"

    assert await world.run(call) == "ConnectionError: engaged"
    assert world.ledger == ["refused"]


def test_code_that_minds_failures_minds_this_one():
    assert issubclass(StepInterrupted, StepFailed)


def test_it_cannot_have_a_retry_too():
    with pytest.raises(ValueError, match="step send: at_most_once and a retry contradict each other"):

        @step(at_most_once=True, retry=Retry(max_attempts=3))
        async def send() -> None: ...


def test_one_attempt_is_no_contradiction():
    @step(at_most_once=True, retry=Retry(max_attempts=1))
    async def send() -> None: ...

    assert send.using(timeout="5s").at_most_once
