"""Graphs for tests: nodes made of plain functions, and what became of them."""

from __future__ import annotations

import json

from ripresa.author.graph.definition import GraphDefinition
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.plan import Dependency, ForEach, Graph, Node
from ripresa.author.graph.works import Call, Choose, Pause, Receive, Start
from ripresa.author.step import as_step
from ripresa.contracts.step_records import steps_of


def call(name, function, *after, with_=None, **options):
    """A node that calls a function; `with_` works out its arguments by name."""
    step = options.pop("step", None) or as_step(function)
    for key in ("retry", "timeout", "runtime"):
        if key in options:
            step = step.using(**{key: options.pop(key)})
    work = Call.of(
        name,
        step,
        lambda values: ((), with_(values) if with_ else {}),
        quarantine=options.get("on_error") == "quarantine",
    )
    return node(name, work, *after, **options)


def node(name, work, *after, **options):
    """A node; `after` are names, or pairs of name and `when`."""
    depends_on = tuple(Dependency(*one) if isinstance(one, tuple) else Dependency(one) for one in after)
    return Node(name=name, work=work, depends_on=depends_on, **options)


def choice(name, cases, otherwise=(), *after, **options):
    return node(name, Choose(tuple(cases), tuple(otherwise)), *after, **options)


def wait(name, seconds, *after, **options):
    return node(name, Pause(for_us=lambda _: round(seconds * 1e6)), *after, **options)


def signal(name, *after, **options):
    return node(name, Receive(), *after, **options)


def sub(name, workflow, *after, params=None, **options):
    return node(name, Start(workflow, params or (lambda _: {})), *after, **options)


def each(items, **options):
    return ForEach(items=items if callable(items) else lambda _: items, **options)


def flow(*nodes, name="flow", **options):
    finally_ = tuple(options.pop("finally_", ()))
    schema = options.pop("schema", {})
    graph = Graph(name=name, nodes=tuple(nodes), finally_=finally_, **options)
    return GraphDefinition(graph, signature=GraphInput(name, schema))


def output_of(name):
    return lambda values: values["steps"][name]["output"]


async def steps(app, run):
    """What `runs show` would show of the run's steps, by operation."""
    await run.refresh()
    store = app.engine.store
    rows = await store.history(run.row.id), await store.attempts(run.row.id)
    return {step.operation: step for step in steps_of(run.row, *rows)}


async def statuses(app, run):
    return {name: step.status for name, step in (await steps(app, run)).items()}


def notes(events):
    """What the journal says of nodes that are no steps."""
    return {event.operation: json.loads(event.data) for event in events if event.kind == "node_settled"}
