"""Dry run: what a definition would do, as far as that is known before it does anything.

Everything is rendered as for a run; what reads an output that is not there yet stays as it was written.  Secrets
are named, never read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ripresa.author.templates import Template, is_template
from ripresa.author.yaml.entries import limits_of, retry_of
from ripresa.contracts.errors import TemplateError
from ripresa.contracts.job_order import JobOrder

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Node, Values
    from ripresa.author.yaml.definition import FileDefinition
    from ripresa.contracts.spec import Entry, JobSpec

HIDDEN = "•••"
_LATER = "<set by the run>"


def planned(definition: FileDefinition, text: str, *, run_id: str, now_us: int) -> dict[str, Any]:
    """What a run of this input would do, in order, as data.  `now_us` stands for its start."""
    values = {**definition.values(text, now_us), "run_id": run_id, "steps": {}}
    spec, graph = definition.spec, definition.graph
    entries = {entry.name: entry for entry in (*spec.jobs, *spec.finally_)}

    def step(name: str) -> dict[str, Any]:
        return _step(definition, entries[name], graph.by_name[name], values)

    return {
        "workflow": definition.name,
        "version": definition.version,
        "file": definition.file,
        "params": values["params"],
        "config": values["config"],
        "dates": values["date_texts"],
        "on_failure": spec.on_failure,
        "timeout": spec.timeout,
        "steps": [step(name) for name in graph.main.order],
        "undoing": [step(name) for name in entries if name in graph.undoing],
        "finally": [step(name) for name in graph.last.order],
        "output": lenient(spec.output, values),
    }


def _step(definition: FileDefinition, entry: Entry, node: Node, values: Values) -> dict[str, Any]:
    told = {
        "name": entry.name,
        "kind": entry.kind,
        "depends_on": [f"{one.node} ({one.when})" if one.when else one.node for one in node.depends_on],
        "run_if": None if entry.run_if == "all_success" else entry.run_if,
        "when": None if entry.when is None else _condition(entry.when, values),
        "on_error": None if entry.on_error == "stop" else entry.on_error,
        "compensate": entry.compensate,
        "for_each": lenient(entry.for_each, values),
        **_policies(definition, entry),
        **_work(definition, entry, values),
    }
    return {name: value for name, value in told.items() if value not in (None, [], {}, "")}


def _policies(definition: FileDefinition, entry: Entry) -> dict[str, Any]:
    retry = retry_of(definition.spec.retry_of(entry))
    limits = definition.spec.timeout_of(entry)
    delays = [] if retry is None else [retry.wait_us(n, jitter=1.0) / 1e6 for n in range(1, retry.max_attempts)]
    return {
        "attempts": 1 if retry is None else retry.max_attempts,
        "waits_seconds": delays[:20],
        "timeout": None if limits is None else limits.written(),
    }


def _work(definition: FileDefinition, entry: Entry, values: Values) -> dict[str, Any]:
    if entry.job is not None:
        return _job(definition, entry, entry.job, values)
    work = entry.work.written()
    return {name: lenient(value, values) for name, value in work.items() if name not in _ELSEWHERE}


_ELSEWHERE = ("name", "description", "retry", "timeout")


def _job(definition: FileDefinition, entry: Entry, job: JobSpec, values: Values) -> dict[str, Any]:
    limits = limits_of(definition.spec.timeout_of(entry))
    order = JobOrder(
        name=job.name,
        image=job.image,
        command=None if job.command is None else tuple(job.command),
        args=tuple(_text(one, values) for one in job.args),
        params=lenient(dict(job.params), values),
        env={name: _text(one, values) for name, one in job.env.items()},
        secrets=dict(job.secrets),
        volumes=tuple(job.volumes),
        resources=job.resources.written(),
        outputs=dict(job.outputs),
        dates=values["date_texts"],
    )
    environment = order.environment(
        run_id=values["run_id"], attempt=1, idempotency_key=_LATER, correlation_id=_LATER, job_output=_LATER
    )
    return {
        "image": job.image,
        "runtime": definition.spec.runtime_of(job),
        "command": None if order.command is None else list(order.command),
        "args": list(order.args),
        "environment": environment,
        "secrets": {name: f"{HIDDEN} ({reference})" for name, reference in job.secrets.items()},
        "volumes": list(order.volumes),
        "resources": order.resources.to_json(),
        "exit_codes": job.exit_codes.written(),
        "grace_seconds": None if limits.grace_us is None else limits.grace_us / 1e6,
    }


def lenient(value: Any, values: Values) -> Any:
    """The value rendered; a template that reads what is not there yet stays as it was written."""
    if isinstance(value, str):
        return _rendered(value, values)
    if isinstance(value, Mapping):
        return {key: lenient(one, values) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [lenient(one, values) for one in value]
    return value


def _rendered(text: str, values: Values) -> Any:
    if not is_template(text):
        return text
    try:
        return Template.parse(text).render(values)
    except TemplateError:
        return text


def _text(text: str, values: Values) -> str:
    rendered = _rendered(text, values)
    return rendered if isinstance(rendered, str) else str(rendered)


def _condition(condition: str | bool, values: Values) -> Any:  # noqa: FBT001 - a value of the contract
    if isinstance(condition, bool):
        return condition
    try:
        return Template.parse(condition).holds(values)
    except TemplateError:
        return condition
