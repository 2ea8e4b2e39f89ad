"""Portability: what each target makes of each feature of the contract, as one table.

Our own engine is the reference.  `exact`: the target does the same.  `emulated`: what we compile does the same there,
by other means of the target.  `approximate`: nearly the same, and the note says where not.  `refused`: it cannot be
had there, and compiling says so.  The table drives the documentation, `validate --portable` and `portability:`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

Fit = Literal["exact", "emulated", "approximate", "refused"]
FITS: Final[tuple[Fit, ...]] = ("exact", "emulated", "approximate", "refused")
TARGETS: Final = ("airflow", "dagster", "prefect", "temporal", "argo", "stepfunctions")

_SHORT: Final[dict[str, Fit]] = {"=": "exact", "e": "emulated", "~": "approximate", "x": "refused"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: how each target fits, in the order of TARGETS, and what to know about it."""

    name: str
    says: str
    fits: tuple[Fit, ...]
    note: str = ""

    def on(self, target: str) -> Fit:
        """How the target fits."""
        return self.fits[TARGETS.index(target)]


def _row(name: str, fits: str, says: str, note: str = "") -> Feature:
    return Feature(name, says, tuple(_SHORT[one] for one in fits.split()), note)


# The columns: Airflow, Dagster, Prefect, Temporal, Argo, Step Functions.
FEATURES: Final = {
    feature.name: feature
    for feature in (
        _row("job", "= = = e = =", "a containerised job"),
        _row("job.process", "x x x x x x", "a job of `runtime: process`", "it runs on the machine of the engine"),
        _row("job.celery", "x x x x x x", "a job of `runtime: celery`", "its workers are ours"),
        _row("python", "e e e e x x", "a `python:` entry", "needs its code in the target's own environment"),
        _row("pipeline", "x x x x x x", "a `pipeline:` entry", "registered pipelines live in our engine"),
        _row("choice", "= e e e e =", "a `choice:` entry"),
        _row("wait", "e e e = = =", "a `wait:` entry"),
        _row("signal", "x x e = e e", "a `signal:` entry", "Argo: a suspended node; Step Functions: a task token"),
        _row("workflow", "= e = = = =", "a `workflow:` entry"),
        _row("depends_on", "= = = = = ~", "dependencies in any order",
             "Step Functions has no graphs: levels in Parallel, or a tree"),
        _row("depends_on.when", "e e e e = x", "a dependency on another end than success"),
        _row("when", "= e e e = =", "a condition"),
        _row("run_if", "= e e e = x", "a start on other ends than success"),
        _row("on_error", "e e e e e e", "a failure that lets what follows go on"),
        _row("on_error.quarantine", "~ ~ ~ ~ ~ ~", "setting a run aside", "it fails there, marked"),
        _row("for_each", "~ e = e = ~", "a fan-out",
             "Airflow: 1,024 items; Step Functions: 40 at a time unless distributed"),
        _row("for_each.min_success", "x e e e x =", "a fan-out of which some may fail"),
        _row("compensate", "x x e e x e", "undoing when a run fails"),
        _row("quality", "e e e e e e", "limits on the quality of a result"),
        _row("retry", "= = = = = =", "a number of attempts"),
        _row("retry.backoff", "e e e = = =", "waits that grow", "compiled to a list of waits"),
        _row("retry.jitter", "e e e e x =", "waits drawn by lot"),
        _row("retry.max_elapsed", "e e e = = x", "an end of attempts by time"),
        _row("exit_codes", "e e e e e x", "meanings of exit codes"),
        _row("timeout.attempt", "= e = = ~ =", "a limit of each attempt", "Argo: includes the wait for a node"),
        _row("timeout.total", "e e e = x x", "a limit of all attempts"),
        _row("timeout.queue", "x x x = e x", "a limit of the wait for a worker"),
        _row("timeout.heartbeat", "x x x = x =", "a limit between signs of life"),
        _row("workflow.timeout", "= ~ = = = =", "a limit of the run", "Dagster: needs its run monitoring"),
        _row("resources", "= = = e = ~", "CPU and memory", "Step Functions: as the task definition has them"),
        _row("resources.on_retry", "x x x e x x", "more memory for further attempts"),
        _row("pool", "= = = e = x", "a named capacity"),
        _row("secrets", "e e e e e e", "references to secrets", "mapped to the target's own store"),
        _row("volumes", "= ~ ~ e = x", "folders in the container"),
        _row("outputs", "e e e e ~ ~", "outputs of a job", "Argo: texts up to 1 MB; Step Functions: 256 KiB"),
        _row("templates.steps", "e e e e e e", "templates of step outputs"),
        _row("schedule.cron", "= = = = = ~", "a cron", "Step Functions: of EventBridge, day fields not both"),
        _row("schedule.interval", "= e = = ~ =", "an interval", "Argo: as crons, where it divides a day"),
        _row("schedule.trigger", "e e e e e e", "a start by event", "a listener of ours, or the target's own"),
        _row("schedule.catchup", "~ ~ ~ ~ ~ x", "starts that were missed"),
        _row("schedule.dst", "e e e e ~ ~", "what happens when clocks change", "compiled to UTC, or started from here"),
        _row("schedule.day_match", "e e e = e x", "both day fields must fit"),
        _row("schedule.overlap", "= e e = = x", "what a start does while the last run goes on"),
        _row("dependencies", "~ e e e x e", "a wait for other workflows", "Airflow: same logical date only"),
        _row("idempotency_key", "e e = = x =", "two starts that are one run"),
        _row("concurrency", "~ e = e = x", "a number of runs at a time"),
        _row("on_failure.abort", "= e e e = =", "a failure that ends all that runs"),
        _row("on_failure.continue", "e e e e e e", "a failure that lets downstream go on"),
        _row("finally", "= e e e = e", "entries that run at the end"),
        _row("sla", "~ e e e x x", "telling when a run is late"),
        _row("notifications", "e e e e e e", "telling people how a run ended"),
        _row("priority", "= ~ ~ = = x", "which run goes first"),
    )
}  # fmt: skip
"""All features, in the order of the contract."""


@dataclass(frozen=True, slots=True)
class Use:
    """A feature that a definition uses, and where first."""

    feature: Feature
    path: tuple[str | int, ...]


Spec = Any
"""A `WorkflowSpec` or `JobSpec`; this module looks at them only, so it loads no models."""


def uses(spec: Spec) -> list[Use]:
    """The features that a workflow or job uses, each once, where it is used first."""
    found: dict[str, tuple[str | int, ...]] = {}
    for name, path in _workflow(spec) if hasattr(spec, "jobs") else _job(spec, ("job",), "container"):
        found.setdefault(name, path)
    return [Use(feature, found[name]) for name, feature in FEATURES.items() if name in found]


def is_portable(use: Use) -> bool:
    """Whether a definition with this feature is portable: it is about containerised jobs, and some target has it."""
    kind = use.feature.name.partition(".")[0]
    return kind not in _NOT_JOBS and use.feature.name != "templates.steps" and not _nowhere(use.feature)


_NOT_JOBS = frozenset(("python", "pipeline", "choice", "wait", "signal", "workflow"))


def _nowhere(feature: Feature) -> bool:
    return all(fit == "refused" for fit in feature.fits)


def unfit(spec: Spec, target: str, allow: Fit) -> list[Use]:
    """The features that the target has less well than `allow`."""
    return [use for use in uses(spec) if FITS.index(use.feature.on(target)) > FITS.index(allow)]


# --- what a definition uses --------------------------------------------------------------------------

Uses = Iterator[tuple[str, tuple[str | int, ...]]]


def _workflow(spec: Spec) -> Uses:
    top: tuple[str | int, ...] = ("workflow",)
    for name, used in _OF_WORKFLOW.items():
        if used(spec):
            yield name, (*top, *name.split(".")[:1]) if name != "workflow.timeout" else (*top, "timeout")
    if spec.schedule is not None:
        yield from _schedule(spec.schedule, (*top, "schedule"))
    for field in ("jobs", "finally"):
        for index, entry in enumerate(spec.jobs if field == "jobs" else spec.finally_):
            yield from _entry(spec, entry, (*top, field, index))


_OF_WORKFLOW: Final[dict[str, Callable[[Spec], Any]]] = {
    "workflow.timeout": lambda spec: spec.timeout,
    "dependencies": lambda spec: spec.dependencies,
    "idempotency_key": lambda spec: spec.idempotency_key,
    "concurrency": lambda spec: spec.concurrency,
    "on_failure.abort": lambda spec: spec.on_failure == "abort",
    "on_failure.continue": lambda spec: spec.on_failure == "continue",
    "finally": lambda spec: spec.finally_,
    "sla": lambda spec: spec.sla,
    "notifications": lambda spec: spec.notifications.written(),
    "priority": lambda spec: spec.priority,
}


def _schedule(schedule: Spec, path: tuple[str | int, ...]) -> Uses:
    for kind in ("cron", "interval", "trigger"):
        if getattr(schedule, kind) is not None:
            yield f"schedule.{kind}", (*path, kind)
    if schedule.catchup is not False:
        yield "schedule.catchup", (*path, "catchup")
    if "dst" in schedule.model_fields_set:
        yield "schedule.dst", (*path, "dst")
    if schedule.day_match == "and":
        yield "schedule.day_match", (*path, "day_match")
    if schedule.overlap != "skip":
        yield "schedule.overlap", (*path, "overlap")


def _entry(spec: Spec, entry: Spec, path: tuple[str | int, ...]) -> Uses:
    within = (*path, entry.kind)
    if entry.kind == "job":
        yield from _job(entry.job, within, spec.runtime_of(entry.job))
    else:
        yield entry.kind, within
    yield from _policies(spec.retry_of(entry), spec.timeout_of(entry), within)
    for name, used in _OF_ENTRY.items():
        if used(entry):
            yield name, (*path, name.partition(".")[0])
    if "{{" in str(entry.written()) and "steps" in str(entry.written()):
        yield from _step_templates(entry.written(), path)


_OF_ENTRY: Final[dict[str, Callable[[Spec], Any]]] = {
    "depends_on": lambda entry: entry.depends_on,
    "depends_on.when": lambda entry: any(one.when not in (None, "succeeded") for one in entry.depends_on),
    "when": lambda entry: entry.when is not None,
    "run_if": lambda entry: entry.run_if != "all_success",
    "on_error": lambda entry: entry.on_error == "continue",
    "on_error.quarantine": lambda entry: entry.on_error == "quarantine",
    "for_each": lambda entry: entry.for_each is not None,
    "for_each.min_success": lambda entry: entry.min_success is not None,
    "compensate": lambda entry: entry.compensate,
    "quality": lambda entry: entry.quality,
}


def _step_templates(value: Any, path: tuple[str | int, ...]) -> Uses:
    if isinstance(value, str):
        if "{{" in value and "steps" in value.partition("{{")[2]:
            yield "templates.steps", path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _step_templates(item, (*path, key))


def _job(job: Spec, path: tuple[str | int, ...], runtime: str) -> Uses:
    if runtime in ("process", "celery"):
        yield f"job.{runtime}", (*path, "runtime")
    else:
        yield "job", path
    if job.resources.cpu or job.resources.memory:
        yield "resources", (*path, "resources")
    if job.resources.on_retry:
        yield "resources.on_retry", (*path, "resources", "on_retry")
    for field in ("pool", "secrets", "volumes", "outputs"):
        if getattr(job, field):
            yield field, (*path, field)
    if job.exit_codes.written():
        yield "exit_codes", (*path, "exit_codes")
    if path == ("job",):
        yield from _policies(job.retry, job.timeout, path)


def _policies(retry: Spec, timeout: Spec, path: tuple[str | int, ...]) -> Uses:
    if retry is not None:
        yield "retry", (*path, "retry")
        if retry.multiplier != 1:
            yield "retry.backoff", (*path, "retry")
        if retry.jitter != "none":
            yield "retry.jitter", (*path, "retry", "jitter")
        if retry.max_elapsed is not None:
            yield "retry.max_elapsed", (*path, "retry", "max_elapsed")
    for limit in ("attempt", "total", "queue", "heartbeat"):
        if timeout is not None and getattr(timeout, limit) is not None:
            yield f"timeout.{limit}", (*path, "timeout")
