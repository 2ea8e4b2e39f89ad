"""What is wrong with a graph is told at once, all of it, in linear time and without recursion."""

from __future__ import annotations

import random
import sys

import pytest

from ripresa import GraphError
from ripresa.author.graph.plan import Graph
from tests.author.graph.graphs import call, choice, each, flow, node, signal


def nothing():
    return None


def refused(*nodes, **options):
    with pytest.raises(GraphError) as error:
        flow(*nodes, **options)
    return "\n".join(error.value.problems)


def test_two_nodes_of_one_name_are_refused():
    assert "a: 2 nodes have this name" in refused(call("a", nothing), call("a", nothing))


def test_a_name_that_could_be_mistaken_for_an_item_is_refused():
    assert "'a[1]'" in refused(call("a[1]", nothing))


def test_an_unknown_dependency_is_told_with_the_nearest_name():
    said = refused(call("extract", nothing), call("load", nothing, "extrct"))
    assert said == "load: depends_on: there is no node 'extrct'; did you mean \"extract\"?"


def test_a_node_that_depends_on_itself_is_refused():
    assert "it depends on itself" in refused(call("a", nothing, "a"))


def test_every_problem_is_told_at_once():
    said = refused(call("a", nothing, "x"), call("b", nothing, "y"), call("c", nothing, ("a", "sometimes")))
    assert "sometimes" in said
    said = refused(call("a", nothing, "x"), call("b", nothing, "y"))
    assert "'x'" in said
    assert "'y'" in said


def test_the_shortest_cycle_is_shown():
    nodes = [call(f"n{i}", nothing, f"n{(i + 1) % 9}") for i in range(9)]
    nodes[4] = call("n4", nothing, "n5", "n3")
    assert "a cycle: n3 -> n4 -> n3;" in refused(*nodes)


def test_nodes_around_a_cycle_are_not_taken_for_it():
    said = refused(
        call("start", nothing), call("a", nothing, "start", "c"), call("b", nothing, "a"), call("c", nothing, "b"),
        call("end", nothing, "c"),
    )  # fmt: skip
    assert ": a cycle: " in said
    assert not {"start", "end"} & set(said.split())


def test_a_node_that_wants_two_branches_of_one_choice_would_never_start():
    said = refused(
        choice("route", [(lambda _: True, ("fast",))], ("full",)),
        call("fast", nothing), call("full", nothing), call("join", nothing, "fast", "full"),
    )  # fmt: skip
    assert "join: it would never start: it wants branches of which 'route' chooses one" in said
    assert "run_if: none_failed" in said


def test_two_branches_of_one_case_may_meet():
    graph = flow(
        choice("route", [(lambda _: True, ("x", "y"))], ("full",)),
        call("x", nothing), call("y", nothing), call("full", nothing), call("join", nothing, "x", "y"),
    )  # fmt: skip
    assert graph.graph.main.order[-1] == "join"


def test_run_if_that_looks_at_nothing_is_refused():
    said = refused(call("a", nothing), call("b", nothing, ("a", "failed"), run_if="any_success"))
    assert "it would never start" in said


def test_a_value_of_a_node_that_need_not_have_ended_is_refused():
    said = refused(call("a", nothing), call("b", nothing, uses=frozenset({"a"})))
    assert said == "b: it uses steps.a, which need not have ended by then: add 'a' to its depends_on"


def test_a_value_of_a_node_far_before_is_fine():
    nodes = [call("n0", nothing), *(call(f"n{i}", nothing, f"n{i - 1}", uses=frozenset({"n0"})) for i in range(1, 50))]
    assert flow(*nodes).graph.main.order[0] == "n0"


def test_only_work_can_be_done_for_each_item():
    assert "a signal is done once" in refused(signal("a", for_each=each([1])))


@pytest.mark.parametrize(("option", "value"), [("max_parallel", 0), ("batch", 0), ("min_success", -1)])
def test_a_fan_out_that_cannot_be_is_refused(option, value):
    assert option in refused(call("a", nothing, for_each=each([1], **{option: value})))


def test_what_undoes_a_node_is_not_in_the_course():
    graph = flow(call("a", nothing, compensate="undo_a"), call("undo_a", nothing)).graph
    assert list(graph.main.nodes) == ["a"]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([call("a", nothing, compensate="b")], "there is no node 'b'"),
        ([call("a", nothing, compensate="a")], "cannot undo itself"),
        ([call("a", nothing, compensate="b"), signal("b")], "only a step can undo"),
        ([signal("a", compensate="b"), call("b", nothing)], "does nothing that could be undone"),
        ([call("a", nothing, compensate="b"), call("b", nothing), call("c", nothing, "b")], "only runs to undo"),
        ([call("a", nothing, compensate="b"), call("b", nothing, "a")], "takes no depends_on"),
    ],
)
def test_undoing_that_makes_no_sense_is_refused(nodes, said):
    assert said in refused(*nodes)


def test_a_node_of_the_course_cannot_wait_for_one_of_finally():
    said = refused(call("a", nothing, "last"), finally_=[call("last", nothing)])
    assert "'last' is in `finally`, and this is in `jobs`" in said


def test_a_graph_without_nodes_is_refused():
    assert "it has no nodes" in refused()


@pytest.mark.parametrize(("option", "value"), [("run_if", "all_sucess"), ("on_error", "ignore")])
def test_an_option_that_is_none_is_refused(option, value):
    assert repr(value) in refused(call("a", nothing, **{option: value}))


def test_on_failure_that_is_none_is_refused():
    assert "'panic'" in refused(call("a", nothing), on_failure="panic")


# --- large graphs -----------------------------------------------------------------------------


class _Counting:
    """Work that counts how often it is looked at: checking must not grow faster than the graph."""

    kind, repeatable, recorded, branches = "python", True, True, ()

    def __init__(self):
        self.looks = 0

    @property
    def targets(self):
        self.looks += 1
        return ()


def wide(count, edges):
    dice = random.Random(7)
    work = _Counting()
    nodes = []
    for number in range(count):
        before = {dice.randrange(number) for _ in range(min(number, edges // count))} if number else set()
        nodes.append(node(f"n{number}", work, *(f"n{one}" for one in sorted(before))))
    return nodes, work


def test_ten_thousand_nodes_and_a_hundred_thousand_edges_are_looked_at_a_few_times_each():
    nodes, work = wide(10_000, 100_000)
    graph = Graph(name="wide", nodes=tuple(nodes))
    assert len(graph.main.order) == 10_000
    assert work.looks <= 5 * 10_000


def test_a_chain_deeper_than_the_stack_is_checked():
    depth = sys.getrecursionlimit() * 5
    nodes = [call("n0", nothing), *(call(f"n{i}", nothing, f"n{i - 1}") for i in range(1, depth))]
    assert flow(*nodes).graph.main.order[-1] == f"n{depth - 1}"


def test_a_cycle_through_ten_thousand_nodes_is_found():
    nodes = [call(f"n{i}", nothing, f"n{(i + 1) % 10_000}") for i in range(10_000)]
    assert "a cycle: " in refused(*nodes)


def test_layers_are_the_longest_ways():
    graph = flow(call("d", nothing, "a", "c"), call("c", nothing, "b"), call("b", nothing, "a"), call("a", nothing))
    assert graph.graph.main.layers == [["a"], ["b"], ["c"], ["d"]]
