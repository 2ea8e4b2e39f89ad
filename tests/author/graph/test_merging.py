"""Changes of params: seen by what comes after, in topological order; two parallel ones of a key are an error."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa import RunFailed
from ripresa.author.graph.merging import NONE, UpdateConflict, changed, merged, values_of
from ripresa.author.graph.plan import Node
from ripresa.author.graph.works import Call, Result
from ripresa.author.step import as_step
from tests.author.graph.graphs import call, flow, node


def changes(name, updates, *after, wait_s=0.0, fails=False, **options):
    """A node that changes params; after a while, so that the order in time can be had either way."""

    async def work():
        await asyncio.sleep(wait_s)
        if fails:
            raise ValueError("no")

    read = lambda _: Result(None, updates=updates)  # noqa: E731 - it is one
    return node(name, Call.of(name, as_step(work), lambda _: ((), {}), read=read), *after, **options)


def same(**params):
    return params


def look(*after, name="look", **options):
    return call(name, same, *after, with_=lambda v: v["params"], **options)


async def outcome(world, *nodes, params=None):
    graph = flow(*nodes)
    app = await world.open(graph)
    return await (await app.start(graph, params or {})).result("30s")


async def test_what_comes_after_sees_the_change(world):
    assert await outcome(world, changes("a", {"x": 1}), look("a"), params={"x": 0, "y": 0}) == {"x": 1, "y": 0}


@pytest.mark.parametrize("slow", ["a", "b"])
async def test_of_two_changes_the_later_node_stands(world, slow):
    nodes = (changes("a", {"x": 1}), changes("b", {"x": 2}, "a"), look("a", "b"))
    assert await outcome(world, *nodes) == {"x": 2}


@pytest.mark.parametrize("slow", ["a", "b"])
async def test_two_parallel_changes_of_one_key_are_an_error_whoever_was_quicker(world, slow):
    nodes = [changes(name, {"x": name}, wait_s=0.005 if name == slow else 0) for name in ("a", "b")]
    with pytest.raises(RunFailed, match=r"params\.x: a and b have both changed it") as failed:
        await outcome(world, *nodes, look("a", "b"))
    assert failed.value.cause.code == "update_conflict"


async def test_two_parallel_changes_of_different_keys_are_merged(world):
    nodes = [changes(name, {name: 1}) for name in ("a", "b")]
    assert await outcome(world, *nodes, look("a", "b")) == {"a": 1, "b": 1}


async def test_a_later_node_settles_what_parallel_ones_have_changed(world):
    nodes = (changes("a", {"x": 1}), changes("b", {"y": 2}), changes("c", {"x": 3, "y": 3}, "a", "b"), look("a", "c"))
    assert await outcome(world, *nodes) == {"x": 3, "y": 3}


async def test_a_failed_node_changes_nothing(world):
    nodes = (changes("a", {"x": 1}, fails=True, on_error="continue"), look("a"))
    assert await outcome(world, *nodes, params={"x": 0}) == {"x": 0}


async def test_nodes_beside_see_nothing_of_it(world):
    assert (await outcome(world, changes("a", {"x": 1}), look()))["look"] == {}


@pytest.mark.parametrize("key", ["run_id", "execution_date", "params", "_private"])
async def test_a_reserved_key_is_refused(world, key):
    with pytest.raises(RunFailed, match="the name is reserved"):
        await outcome(world, changes("a", {key: 1}))


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 6)), st.dictionaries(st.sampled_from("xy"), st.integers())), max_size=7),
    st.randoms(),
)
def test_what_is_seen_does_not_depend_on_the_order_of_the_upstreams(nodes, dice):
    known = {}
    for number, (after, updates) in enumerate(nodes):
        upstream = [known[one] for one in after if one in known]
        shuffled = dice.sample(upstream, len(upstream))
        try:
            seen = merged(upstream)
        except UpdateConflict:
            with pytest.raises(UpdateConflict):
                merged(shuffled)
            continue
        assert values_of(merged(shuffled)) == values_of(seen)
        known[number] = changed(seen, updates, f"n{number}") if updates else seen


def test_no_changes_cost_nothing():
    assert merged([NONE, NONE]) is NONE
    one = changed(NONE, {"x": 1}, "a")
    assert merged([one, one, NONE]) is one
    assert isinstance(look(), Node)
