"""Dry runs: what `ripresa run --dry-run` says a run would do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import UsageProblem
from ripresa.cli.output import write
from ripresa.cli.process import now_us

if TYPE_CHECKING:
    from ripresa.cli.executing import Order


def planned(order: Order) -> dict[str, Any]:
    """What the run would do, as data.  Raises UsageProblem for a workflow that is code."""
    chosen, text = order.found.chosen, order.text or "{}"
    if getattr(chosen, "spec", None) is not None:
        from ripresa.author.yaml.dry_run import planned as of_file

        return of_file(chosen, text, run_id=order.id or "<given at start>", now_us=now_us())
    graph = getattr(chosen, "graph", None)
    if graph is None:
        raise UsageProblem(f"--dry-run: {chosen.name} is code: what it does is known when it has run")
    return {
        "workflow": chosen.name,
        "version": chosen.version,
        "params": chosen.signature.decode(text).params,
        "steps": [_node(graph.by_name[name]) for name in graph.main.order],
        "finally": [_node(graph.by_name[name]) for name in graph.last.order],
    }


def _node(node: Any) -> dict[str, Any]:
    step = getattr(node.work, "step", None)
    told = {
        "name": node.name,
        "kind": node.work.kind,
        "depends_on": [f"{one.node} ({one.when})" if one.when else one.node for one in node.depends_on],
        "run_if": None if node.run_if == "all_success" else node.run_if,
        "on_error": None if node.on_error == "stop" else node.on_error,
        "call": getattr(step, "target", None),
        "attempts": None if step is None else step.retry.max_attempts if step.retry else 1,
    }
    return {name: value for name, value in told.items() if value not in (None, [], "")}


def write_plan(plan: dict[str, Any]) -> None:
    """The plan for people."""
    dates = plan.get("dates", {})
    write(f"{plan['workflow']} (version {plan['version']}) would do this; nothing was done")
    for name in ("params", "config"):
        if plan.get(name):
            write(f"  {name}: {_json(plan[name])}")
    if dates:
        write(f"  execution_date: {dates['execution_date']}  ds: {dates['ds']}")
    number = 0
    for title, steps in (("", plan["steps"]), ("undone by", plan.get("undoing", [])), ("finally", plan["finally"])):
        if title and steps:
            write(f"\n{title}:")
        for step in steps:
            number += 1
            _write_step(number, step)
    if plan.get("output") is not None:
        write(f"\noutput: {_json(plan['output'])}")


def _write_step(number: int, step: dict[str, Any]) -> None:
    after = f"  after {', '.join(step['depends_on'])}" if step.get("depends_on") else ""
    write(f"\n{number:>3}. {step['name']} ({step['kind']}){after}")
    for name, value in step.items():
        if name in {"name", "kind", "depends_on"} or (name == "attempts" and value == 1):
            continue
        if isinstance(value, dict) and value:
            write(f"     {name}:")
            for key, one in value.items():
                write(f"       {key}: {one if isinstance(one, str) else _json(one)}")
        else:
            write(f"     {name}: {value if isinstance(value, str) else _json(value)}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
