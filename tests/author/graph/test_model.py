"""Random graphs against a model of the rules: the status of every node, with the code kept and evicted."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from ripresa import Quarantine, Terminal
from ripresa.contracts.payload import load
from ripresa.testing import run_both_ways
from tests.author.graph.graphs import call, flow
from tests.support.elsewhere import some

KINDS = ("good", "good", "good", "bad", "unwanted", "sick")
WHENS = (None, None, "succeeded", "failed", "skipped", "done", "quarantined")
RUN_IFS = ("all_success", "all_done", "any_failed", "none_failed", "any_success")


async def good():
    return 1


async def bad():
    raise Terminal("bad")


async def sick():
    raise Quarantine("sick")


@st.composite
def graphs(draw):
    """Nodes as (kind, on_error, run_if, {upstream: when}), each after those before it, and `on_failure`."""
    nodes = []
    for number in range(draw(st.integers(1, 8))):
        upstream = (
            draw(st.dictionaries(st.integers(0, number - 1), st.sampled_from(WHENS), max_size=4)) if number else {}
        )
        allowed = RUN_IFS if None in upstream.values() else ("all_success", "all_done", "none_failed")
        nodes.append(
            (
                draw(st.sampled_from(KINDS)),
                draw(st.sampled_from(("stop", "stop", "continue"))),
                draw(st.sampled_from(allowed)),
                upstream,
            )
        )
    return nodes, draw(st.sampled_from(("stop", "continue")))


def model(nodes, on_failure):
    """What becomes of each node, in the manual's words; None: it waits for one that is set aside."""
    became, hurts = {}, {}
    for number, (kind, on_error, run_if, upstream) in enumerate(nodes):
        tolerated = on_error == "continue" or on_failure == "continue"
        if any(became[one] is None or (became[one] == "quarantined" != when) for one, when in upstream.items()):
            became[number], hurts[number] = None, False
        elif starts(run_if, upstream, became, hurts):
            became[number] = {"good": "succeeded", "bad": "failed", "unwanted": "skipped", "sick": "quarantined"}[kind]
            hurts[number] = kind == "sick" or (kind == "bad" and not tolerated)
        else:
            became[number], hurts[number] = "skipped", any(hurts[one] for one in upstream)
    return became


def starts(run_if, upstream, became, hurts):
    if any(when not in (None, "done", became[one]) for one, when in upstream.items()):
        return False
    plain = [one for one, when in upstream.items() if when is None]
    good = [one for one in plain if became[one] == "succeeded"]
    passed = [one for one in plain if became[one] == "failed" and not hurts[one]]
    failed = [one for one in plain if hurts[one] or became[one] == "failed"]
    hurt = [one for one in plain if hurts[one]]
    if not plain or run_if == "all_done":
        return True
    if run_if == "all_success":
        return len(good) + len(passed) == len(plain)
    return bool({"none_failed": not hurt, "any_success": good, "any_failed": failed}[run_if])


def graph_of(nodes, on_failure):
    work = {"good": good, "bad": bad, "unwanted": good, "sick": sick}
    made = [
        call(
            f"n{number}",
            work[kind],
            *((f"n{one}", when) for one, when in upstream.items()),
            run_if=run_if,
            on_error=on_error,
            **({"when": lambda _: False} if kind == "unwanted" else {}),
        )
        for number, (kind, on_error, run_if, upstream) in enumerate(nodes)
    ]
    return flow(*made, on_failure=on_failure)


def seen(history):
    """The status of each node, as the journal tells it."""
    found = {}
    for event in history:
        if event.kind == "step_completed":
            found[event.operation] = "succeeded"
        elif event.kind == "step_failed":
            found[event.operation] = "failed"
        elif event.kind == "node_settled":
            found[event.operation] = load(event.data)["status"]
    return found


@given(graphs())
@settings(max_examples=some(150))
def test_every_node_becomes_what_the_rules_say(drawn):
    nodes, on_failure = drawn
    became = model(nodes, on_failure)
    outcome = asyncio.run(run_both_ways(graph_of(nodes, on_failure)))
    aside = {number for number, status in became.items() if status == "quarantined"}
    wanted = {f"n{number}": status for number, status in became.items() if status is not None and number not in aside}
    (history,) = outcome.histories.values()
    found = seen(history)
    assert {name: status for name, status in found.items() if int(name[1:]) not in aside} == wanted
    failed = any(status == "failed" and nodes[number][1] != "continue" for number, status in became.items())
    assert outcome.status == ("quarantined" if aside else "failed" if failed else "succeeded")
