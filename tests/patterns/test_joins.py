"""Discriminators and partial joins: WCP-9 and WCP-28 to WCP-32."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import on_signal, sleep, step, wait_until, workflow
from ripresa.testing import app_fixture
from tests.patterns.story import completed, hours, hours_of

pytestmark = pytest.mark.also_on_postgres


@step
async def ask(expert: str) -> str:
    return f"{expert} says yes"


@step
async def decide(answers: list[str]) -> str:
    return f"decided, since {' and '.join(answers)}"


EXPERTS = {"Ada": 6, "Ben": 2, "Cy": 4}
"""By expert: the hours after which the answer comes."""


# --8<-- [start:answer]
async def answer(expert: str) -> str:
    await sleep(hours=EXPERTS[expert])
    return await ask(expert)


# --8<-- [end:answer]


# --8<-- [start:wcp-9]
@workflow
async def first_answer_counts() -> str:
    answers = [asyncio.create_task(answer(expert)) for expert in EXPERTS]
    first = await next(asyncio.as_completed(answers))
    decision = await decide([first])
    await asyncio.gather(*answers)  # the others end too, and start nothing
    return decision


# --8<-- [end:wcp-9]
async def test_wcp_09_structured_discriminator_the_first_branch_goes_on_and_the_later_ones_do_not():
    async with app_fixture(first_answer_counts, evict_after=0) as app:
        run = await app.start(first_answer_counts)

        assert await run.result() == "decided, since Ben says yes"
        assert await completed(app, run) == ["ask", "decide", "ask", "ask"]
        assert (await hours_of(app, run, "decide"), await hours(app, run)) == ([2], 6)


# --8<-- [start:wcp-28]
@workflow
async def one_question_at_a_time(questions: int) -> list[str]:
    decisions: list[str] = []
    asked = 0

    @on_signal("question")
    async def question() -> None:
        nonlocal asked
        asked += 1

    while len(decisions) < questions:
        await wait_until(lambda: asked > len(decisions))
        answers = [asyncio.create_task(answer(expert)) for expert in EXPERTS]
        decisions.append(await decide([await next(asyncio.as_completed(answers))]))
        await asyncio.gather(*answers)  # blocked for the next question until all have answered this one
    return decisions


# --8<-- [end:wcp-28]
async def test_wcp_28_blocking_discriminator_it_is_open_again_when_all_branches_of_the_last_time_have_come():
    async with app_fixture(one_question_at_a_time, evict_after=0) as app:
        run = await app.start(one_question_at_a_time, 2)
        await app.signal(run, "question")
        await app.signal(run, "question")

        assert await run.result() == ["decided, since Ben says yes"] * 2
        assert await hours_of(app, run, "decide") == [2, 6 + 2]


# --8<-- [start:wcp-29]
@workflow
async def first_answer_is_enough() -> str:
    answers = [asyncio.create_task(answer(expert)) for expert in EXPERTS]
    first = await next(asyncio.as_completed(answers))
    for late in answers:
        late.cancel()  # one that has ended stays as it is
    return await decide([first])


# --8<-- [end:wcp-29]
async def test_wcp_29_cancelling_discriminator_the_branches_that_are_late_are_cancelled():
    async with app_fixture(first_answer_is_enough, evict_after=0) as app:
        run = await app.start(first_answer_is_enough)

        assert await run.result() == "decided, since Ben says yes"
        assert await completed(app, run) == ["ask", "decide"]
        assert await hours(app, run) == 2


# --8<-- [start:wcp-30]
async def first_of(answers: list[asyncio.Task[str]], count: int) -> list[str]:
    coming = asyncio.as_completed(answers)
    return [await next(coming) for _ in range(count)]


@workflow
async def two_answers_count() -> str:
    answers = [asyncio.create_task(answer(expert)) for expert in EXPERTS]
    decision = await decide(await first_of(answers, 2))
    await asyncio.gather(*answers)
    return decision


# --8<-- [end:wcp-30]
async def test_wcp_30_structured_partial_join_so_many_branches_go_on_and_the_rest_start_nothing():
    async with app_fixture(two_answers_count, evict_after=0) as app:
        run = await app.start(two_answers_count)

        assert await run.result() == "decided, since Ben says yes and Cy says yes"
        assert await completed(app, run) == ["ask", "ask", "decide", "ask"]
        assert (await hours_of(app, run, "decide"), await hours(app, run)) == ([4], 6)


# --8<-- [start:wcp-31]
@workflow
async def two_answers_each_time(questions: int) -> list[str]:
    turn = asyncio.Lock()

    async def question() -> str:
        async with turn:  # who asks meanwhile waits until the join is free again
            answers = [asyncio.create_task(answer(expert)) for expert in EXPERTS]
            decision = await decide(await first_of(answers, 2))
            await asyncio.gather(*answers)
            return decision

    return await asyncio.gather(*(question() for _ in range(questions)))


# --8<-- [end:wcp-31]
async def test_wcp_31_blocking_partial_join_a_second_thread_waits_until_the_join_is_free():
    async with app_fixture(two_answers_each_time, evict_after=0) as app:
        run = await app.start(two_answers_each_time, 2)

        assert await run.result() == ["decided, since Ben says yes and Cy says yes"] * 2
        assert await hours_of(app, run, "decide") == [4, 6 + 4]


# --8<-- [start:wcp-32]
@workflow
async def two_answers_are_enough() -> str:
    answers = [asyncio.create_task(answer(expert)) for expert in EXPERTS]
    enough = await first_of(answers, 2)
    for late in answers:
        late.cancel()
    return await decide(enough)


# --8<-- [end:wcp-32]
async def test_wcp_32_cancelling_partial_join_the_rest_is_cancelled():
    async with app_fixture(two_answers_are_enough, evict_after=0) as app:
        run = await app.start(two_answers_are_enough)

        assert await run.result() == "decided, since Ben says yes and Cy says yes"
        assert await completed(app, run) == ["ask", "ask", "decide"]
        assert await hours(app, run) == 4
