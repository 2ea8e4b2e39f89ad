"""1,000 random programs: one outcome and one history, whether their code stays in memory or leaves it at every await.

What is compared is all of it – status, output, error, what outsiders were told, and of each event of the run and of its
children kind, operation, name, payload, failure and virtual moment – but for two things.  Ids of updates are drawn by
the engine, and how many it draws depends on what it holds in memory.  Numbers of attempts depend on real time if a
person has the run tried again: one that was under way for a while before counts.
"""

from collections import Counter
from itertools import count

import pytest

from ripresa import step, workflow
from ripresa.testing import run_both_ways
from tests.simulation import drawing
from tests.simulation.both_ways import both_ways
from tests.simulation.programs import STEPS, Interpreter

SEEDS = 1_000
CHUNK = 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
async def test_eviction_makes_no_difference_to_a_random_program(first):
    for seed in range(first, first + CHUNK):
        await both_ways(seed)


async def test_the_order_of_steps_makes_a_difference_to_a_program_so_that_it_is_worth_comparing():
    @workflow
    async def race() -> list[str]:
        return await Interpreter({}).run(
            {"kind": "completed", "parts": [{"kind": "step", "step": "work", "name": name} for name in "abcd"]}
        )

    outputs = {(await run_both_ways(race, seed=seed)).output for seed in range(20)}
    assert len(outputs) > 5


def test_the_population_holds_every_construct():
    found = sum((drawing.constructs(drawing.generate(seed)) for seed in range(SEEDS)), Counter())
    expected = {
        *drawing.LEAVES,
        *drawing.BRANCHES,
        *(f"outside:{verb}" for verb in drawing.OUTSIDE),
        *(f"step:{name}" for name in STEPS),
    }
    assert set(found) == expected
    assert min(found.values()) >= 50, found.most_common()[-5:]
    named = {name[1:] for name in vars(Interpreter) if name.startswith("_") and not name.startswith("__")}
    assert {*drawing.LEAVES, *drawing.BRANCHES} <= named


async def test_what_happens_in_the_population():
    kinds: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    for seed in range(0, SEEDS, 10):
        outcome = await both_ways(seed)
        statuses[outcome.status] += 1
        kinds.update({event.kind for events in outcome.histories.values() for event in events})
    assert {"succeeded", "failed", "cancelled"} <= set(statuses)
    assert {
        *("step_completed", "step_failed", "timer_fired", "signal_received", "signal_sent", "child_finished"),
        *("update_received", "update_completed", "event_published", "patch_taken", "cancel_requested"),
        *("pause_requested", "resume_requested", "retried", "continued_as_new"),
    } <= set(kinds)


executions = count(1)
"""What no workflow may look at: it is not the same on replay."""


async def test_a_program_that_is_not_deterministic_is_told_apart():
    """The evicted code asks for another step than the history holds."""

    @step
    async def say(word: str) -> str:
        return word

    @workflow
    async def counting() -> str:
        return await say(f"execution {next(executions)}")

    with pytest.raises(AssertionError, match="eviction made a difference") as caught:
        await run_both_ways(counting)
    assert "status: 'succeeded', then 'blocked'" in str(caught.value)
    assert "no longer fits its code" in str(caught.value)


async def test_a_program_whose_output_alone_differs_is_told_apart():
    @step
    async def say(word: str) -> str:
        return word

    @workflow
    async def counting() -> int:
        execution = next(executions)
        await say("hello")
        return execution

    with pytest.raises(AssertionError, match=r"output: '\d+', then '\d+'"):
        await run_both_ways(counting)


async def test_a_difference_names_the_seed_and_how_to_see_it_again(monkeypatch):
    async def differs(*_, **__):
        raise AssertionError("here it parts")

    monkeypatch.setattr("tests.simulation.both_ways.run_both_ways", differs)
    with pytest.raises(AssertionError, match=r"here it parts\nrerun: python -m tests.simulation.both_ways --seed 7$"):
        await both_ways(7)
