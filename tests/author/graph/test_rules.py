"""What starts, what is skipped, and why: the rules as the manual has them."""

from __future__ import annotations

import contextlib

import pytest

from ripresa import RunFailed, RunQuarantined, Terminal
from tests.author.graph.graphs import call, choice, flow, output_of, statuses, steps


def good(value=1):
    return value


def bad():
    raise Terminal("it is broken")


async def ended(world, definition, params=None):
    """The run, once it has come to a stop, and the statuses of its nodes."""
    app = await world.open(definition)
    run = await app.start(definition, params or {})
    with contextlib.suppress(RunFailed, RunQuarantined):
        await run.result("30s")
    return run, await statuses(app, run)


async def test_nodes_run_in_the_order_of_their_dependencies_and_the_last_ones_output_is_the_runs(world):
    graph = flow(
        call("c", good, "b", with_=lambda v: {"value": v["steps"]["b"]["output"] + 1}, uses=frozenset({"b"})),
        call("b", good, "a", with_=lambda v: {"value": v["steps"]["a"]["output"] + 1}, uses=frozenset({"a"})),
        call("a", good),
    )
    app = await world.open(graph)
    run = await app.start(graph, {})
    assert await run.result("30s") == 3
    assert [event.operation for event in await app.history(run) if event.operation] == ["a", "b", "c"]


async def test_what_depends_on_a_failed_node_does_not_start_and_the_others_go_on(world):
    graph = flow(call("a", bad), call("b", good, "a"), call("c", good, "b"), call("d", good), call("e", good, "d"))
    run, found = await ended(world, graph)
    assert found == {"a": "failed", "b": "skipped", "c": "skipped", "d": "succeeded", "e": "succeeded"}
    assert run.status == "failed"


async def test_a_failed_run_names_the_node_and_its_failure_and_the_skipped_ones_say_why(world):
    graph = flow(call("a", bad), call("b", good, "a"), call("c", good, "b"))
    app = await world.open(graph)
    run = await app.start(graph, {})
    with pytest.raises(RunFailed, match="it is broken") as failed:
        await run.result("30s")
    assert (failed.value.cause.step, failed.value.cause.code) == ("a", "error")
    found = await steps(app, run)
    assert (found["b"].reason, found["c"].reason) == ("a failed", "b was skipped")


async def test_abort_starts_nothing_more(world):
    graph = flow(call("a", bad), call("b", good, "a"), call("c", good), call("d", good, "c"), on_failure="abort")
    run, found = await ended(world, graph)
    assert found["b"] == found["d"] == "skipped"
    assert run.status == "failed"


async def test_continue_starts_all_the_same_and_the_run_has_failed(world):
    graph = flow(call("a", bad), call("b", good, "a"), on_failure="continue")
    run, found = await ended(world, graph)
    assert found == {"a": "failed", "b": "succeeded"}
    assert run.status == "failed"


async def test_a_node_that_may_fail_neither_stops_what_depends_on_it_nor_fails_the_run(world):
    graph = flow(call("a", bad, on_error="continue"), call("b", good, "a"))
    run, found = await ended(world, graph)
    assert found == {"a": "failed", "b": "succeeded"}
    assert run.status == "succeeded"


RUN_IF = [
    # upstreams (success, failure, skip) -> whether the node starts
    ("all_success", "ss", True),
    ("all_success", "sf", False),
    ("all_success", "sk", False),
    ("none_failed", "sk", True),
    ("none_failed", "kk", True),
    ("none_failed", "sf", False),
    ("none_failed", "sb", False),  # skipped since something before it failed
    ("any_success", "sf", True),
    ("any_success", "fk", False),
    ("any_failed", "sf", True),
    ("any_failed", "sb", True),
    ("any_failed", "sk", False),
    ("all_done", "fk", True),
]


@pytest.mark.parametrize(("run_if", "upstreams", "starts"), RUN_IF)
async def test_run_if_looks_at_what_became_of_the_others(world, run_if, upstreams, starts):
    kinds = {
        "s": lambda name: call(name, good),
        "f": lambda name: call(name, bad),
        "k": lambda name: call(name, good, when=lambda _: False),
        "b": lambda name: call(name, good, "broken"),
    }
    nodes = [kinds[kind](f"up{number}") for number, kind in enumerate(upstreams)]
    graph = flow(*nodes, call("broken", bad), call("node", good, *(one.name for one in nodes), run_if=run_if))
    _, found = await ended(world, graph)
    assert found["node"] == ("succeeded" if starts else "skipped")


@pytest.mark.parametrize(
    ("when", "runs_after"),
    [("succeeded", "s"), ("failed", "f"), ("skipped", "k"), ("done", "sfk")],
)
@pytest.mark.parametrize("upstream", "sfk")
async def test_a_dependency_may_say_what_it_wants(world, when, runs_after, upstream):
    options = {"k": {"when": lambda _: False}}.get(upstream, {})
    graph = flow(call("up", bad if upstream == "f" else good, **options), call("node", good, ("up", when)))
    _, found = await ended(world, graph)
    assert found["node"] == ("succeeded" if upstream in runs_after else "skipped")


async def test_a_skip_cascades_unless_run_if_says_otherwise(world):
    graph = flow(
        call("a", good, when=lambda v: v["params"]["wanted"]),
        call("b", good, "a"),
        call("c", good, "b", run_if="none_failed"),
        call("d", good, "b"),
    )
    run, found = await ended(world, graph, {"wanted": False})
    assert found == {"a": "skipped", "b": "skipped", "c": "succeeded", "d": "skipped"}
    assert run.status == "succeeded"


async def test_a_condition_that_is_neither_true_nor_false_fails_the_node(world):
    graph = flow(call("a", good, when=lambda _: "perhaps"))
    run, _ = await ended(world, graph)
    assert "'perhaps' is neither true nor false" in run.row.error


# --- choices ----------------------------------------------------------------------------------


def routed(**options):
    return flow(
        choice(
            "route",
            [
                (lambda v: v["params"]["size"] > 100, ("big",)),
                (lambda v: v["params"]["size"] > 10, ("middle", "extra")),
            ],
            ("small",),
        ),
        call("big", good),
        call("middle", good),
        call("extra", good),
        call("small", good),
        call("after_big", good, "big"),
        call("join", good, "after_big", "middle", "small", run_if="none_failed"),
    )


@pytest.mark.parametrize(("size", "chosen"), [(500, {"big", "after_big"}), (50, {"middle", "extra"}), (5, {"small"})])
async def test_the_branches_that_are_not_chosen_are_skipped(world, size, chosen):
    _, found = await ended(world, routed(), {"size": size})
    assert {name for name, status in found.items() if status == "succeeded"} == {*chosen, "route", "join"}
    assert set(found.values()) == {"succeeded", "skipped"}


async def test_a_skipped_branch_says_what_was_chosen(world):
    app = await world.open(graph := routed())
    run = await app.start(graph, {"size": 5})
    await run.result("30s")
    found = await steps(app, run)
    assert found["big"].reason == "route chose small"
    assert found["route"].output == "small"


async def test_a_choice_that_fails_chooses_nothing(world):
    run, found = await ended(world, routed(), {"size": "large"})
    assert found["route"] == "failed"
    assert {found[name] for name in ("big", "middle", "small", "join")} == {"skipped"}
    assert run.status == "failed"


# --- the output -------------------------------------------------------------------------------


async def test_the_output_is_worked_out_at_the_end(world):
    graph = flow(call("a", good), output=lambda v: {"a": output_of("a")(v), "of": v["params"]["of"]})
    app = await world.open(graph)
    assert await (await app.start(graph, {"of": 7})).result("30s") == {"a": 1, "of": 7}


async def test_an_output_that_cannot_be_worked_out_fails_the_run(world):
    run, found = await ended(world, flow(call("a", good), output=output_of("b")))
    assert (run.status, found) == ("failed", {"a": "succeeded"})
    assert "output" in run.row.error


async def test_several_last_nodes_give_their_outputs_by_name(world):
    graph = flow(call("a", good), call("b", good, "a"), call("c", good, "a"), call("d", good, when=lambda _: False))
    app = await world.open(graph)
    assert await (await app.start(graph, {})).result("30s") == {"b": 1, "c": 1}
