"""Checkpoints: the fold of a history, and enough to go on elsewhere."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ripresa import App, CheckpointState, ErrorPolicy, RunFailed, Step, StepResult, Terminal, Workflow
from ripresa.author.steps.fold import checkpoint_of
from ripresa.contracts.step_context import step_context
from ripresa.kernel import history as h
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from ripresa.testing import VirtualClock
from tests.support.elsewhere import some


def states(flow, events, row):
    """The checkpoint after each event."""
    told = {"run_id": row.key or row.id, "trace_id": row.correlation_id}
    return [checkpoint_of(flow, events[: n + 1], row.input, **told) for n in range(len(events))]


def bump(context):
    n = context.get_param("n", 0) + 1
    return StepResult.ok(n, context_updates={"n": n})


async def square(context):
    return context.item**2


STEPS = [
    Step.lambda_("a", bump),
    Step.choice("route", "params.n < 3", then_step="a", else_step="cool"),
    Step.wait("cool", "10m"),
    Step.map("all", [1, 2, 3], square, max_parallel=1),
    Step.lambda_("b", bump),
]


async def test_a_checkpoint_says_what_comes_next_and_what_it_sees(every_world):
    flow = Workflow("w", STEPS)
    app = await every_world.open(flow)
    run = await app.start(flow, {"n": 1}, id="r")
    context = await run.result("30s")
    found = states(flow, await app.history(run), run.row)
    assert [state.next_step for state in found] == [
        "a",
        "route",
        "a",
        "route",
        "cool",
        "all",
        *["all"] * 3,
        "b",
        None,
        None,
    ]
    assert found[-1].context == context
    assert found[-1].completed_steps == ("a", "route", "a", "route", "cool", "all", "b")
    assert {index: one.output for index, one in found[8].item_results.items()} == {0: 1, 1: 4}


@pytest.mark.parametrize("after", range(11))
async def test_any_checkpoint_goes_on_elsewhere_to_the_same_end(memory, after):
    flow = Workflow("w", STEPS)
    app = await memory.open(flow)
    run = await app.start(flow, {"n": 1}, id="r")
    context = await run.result("30s")
    state = states(flow, await app.history(run), run.row)[after]
    state = CheckpointState.from_json(json.loads(json.dumps(state.to_json())))
    async with App("memory://", [flow], clock=VirtualClock()) as other:
        again = await other.start_text(other.opened(), flow, flow.encode((), {"checkpoint": state}), id="r")
        assert (await again.result("30s")).to_json() == context.to_json()
        done = [event.operation for event in await other.history(again) if event.kind in h.OUTCOMES]
        assert len(done) == len([e for e in (await app.history(run))[after + 1 :] if e.kind in h.OUTCOMES])


async def test_a_failed_step_is_what_comes_next(memory):
    def bad(_):
        raise Terminal("no")

    flow = Workflow("w", [Step.lambda_("a", bump), Step.lambda_("bad", bad), Step.lambda_("b", bump)])
    app = await memory.open(flow)
    run = await app.start(flow, {})
    with pytest.raises(RunFailed):
        await run.result("30s")
    state = states(flow, await app.history(run), run.row)[-1]
    assert (state.next_step, state.completed_steps, state.context.params) == ("bad", ("a",), {"n": 1})


async def test_a_step_that_was_passed_over_is_done_and_failed(memory):
    def bad(_):
        return StepResult.fail("no", "validation", context_updates={"seen": 1})

    flow = Workflow("w", [Step.lambda_("bad", bad, on_error=ErrorPolicy.CONTINUE), Step.lambda_("b", bump)])
    app = await memory.open(flow)
    run = await app.start(flow, {})
    await run.result("30s")
    state = states(flow, await app.history(run), run.row)[1]
    assert (state.next_step, state.failed_steps, state.context.params) == ("b", ("bad",), {"seen": 1})


async def test_what_a_retry_has_made_void_does_not_count(memory):
    values = iter([1, 2])

    def passed_over(_):
        value = next(values)
        return StepResult.fail("no", "validation", output=value) if value == 1 else StepResult.ok(value)

    fails = iter([True, False])

    def bad(context):
        if next(fails):
            raise Terminal("no")
        return context.get_output("over")

    flow = Workflow(
        "w",
        [Step.lambda_("over", passed_over, on_error="continue"), Step.lambda_("a", bump), Step.lambda_("bad", bad)],
    )
    app = await memory.open(flow)
    run = await app.start(flow, {})
    with pytest.raises(RunFailed):
        await run.result("30s")
    await app.retry(run)
    context = await run.result("30s")
    assert context.outputs == {"over": 2, "a": 1, "bad": 2}
    assert states(flow, await app.history(run), run.row)[-1].context == context


def test_a_checkpoint_of_another_workflow_is_refused():
    state = checkpoint_of(Workflow("w", STEPS), [], "{}", run_id="r", trace_id="t")
    with pytest.raises(Terminal, match="one of workflow 'w', and this is 'v'"):
        checkpoint_of(Workflow("v", STEPS), [], json.dumps({"checkpoint": state.to_json()}), run_id="r", trace_id="t")


def test_a_checkpoint_may_be_given_other_params():
    state = checkpoint_of(Workflow("w", STEPS), [], '{"params": {"a": 1}}', run_id="r", trace_id="t")
    assert state.with_params({"a": 2, "b": 3}).context.params == {"a": 2, "b": 3}


# --- purity: I9 --------------------------------------------------------------------------------

VALUES = st.integers(0, 9) | st.text(max_size=3)
PLANS = st.lists(
    st.fixed_dictionaries(
        {
            "output": VALUES,
            "updates": st.dictionaries(st.sampled_from("abc"), VALUES, max_size=2),
            "fails": st.integers(0, 2),
            "fate": st.sampled_from(["ok", "ok", "ok", "passed over"]),
            "kind": st.sampled_from(["lambda", "lambda", "map", "wait"]),
        }
    ),
    min_size=1,
    max_size=5,
)


def flow_of(plan, seen):
    """A workflow as planned, whose steps note the context of each attempt."""
    steps = []
    for place, part in enumerate(plan):
        name = f"s{place}"

        def work(context, part=part):
            told = step_context()
            seen.setdefault(told.operation, []).append(context.to_json())
            if told.attempt <= part["fails"]:
                raise OSError("not yet")
            if context.index is not None:
                return part["output"]
            if part["fate"] == "ok":
                return StepResult.ok(part["output"], context_updates=part["updates"])
            return StepResult.fail("no", "validation", output=part["output"], context_updates=part["updates"])

        if part["kind"] == "wait":
            steps.append(Step.wait(name, "1m"))
        elif part["kind"] == "map":
            steps.append(Step.map(name, [1, 2], Step.lambda_("each", work, on_error="retry")))
        else:
            policy = {"on_error": "continue", "retry": None} if part["fate"] != "ok" else {"on_error": "retry"}
            if policy["on_error"] == "continue":
                part["fails"] = 0
            steps.append(Step.lambda_(name, work, **policy))
    return Workflow("w", steps)


@given(PLANS, st.integers(0, 12))
@settings(max_examples=some(40), suppress_health_check=[HealthCheck.too_slow])
async def test_what_a_step_sees_is_the_fold_of_what_was_recorded_whatever_happens(plan, crash_after):
    seen = {}
    flow = flow_of(plan, seen)
    database = MemoryDatabase()
    clock = VirtualClock()
    first = App(MemoryStore(database), [flow], clock=clock, evict_after=0)
    await first.open()
    run = await first.start(flow, {"n": 0}, id="r")
    journal = await first.history(run)
    while len(journal) <= crash_after and journal[-1].kind != h.FINISHED:
        await asyncio.sleep(0)
        journal = await first.history(run)
    await first.crash()
    async with App(MemoryStore(database), [flow], clock=clock, evict_after="30s") as app:
        run = await app.get("r")
        context = await run.result("30s")
        events = await app.history(run)
    for contexts in seen.values():
        assert all(one == contexts[0] for one in contexts)
    for place, event in enumerate(events):
        if event.kind in {h.STEP_COMPLETED, h.STEP_FAILED} and event.operation in seen:
            before = checkpoint_of(flow, events[:place], run.row.input, run_id="r", trace_id=run.row.correlation_id)
            given_ = {k: v for k, v in seen[event.operation][0].items() if k not in {"item", "index"}}
            assert before.context.to_json() == given_
    last = checkpoint_of(flow, events, run.row.input, run_id="r", trace_id=run.row.correlation_id)
    assert last.context == context
