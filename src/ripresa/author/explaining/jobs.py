"""One entry of a definition: what it does, when it starts, how often and how long, and what its work is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from ripresa.author.explaining.attempts import Attempts, attempts_of, longest_us
from ripresa.author.explaining.starting import ALONE, listed, starts, when_it_fails
from ripresa.author.yaml.entries import limits_of
from ripresa.contracts.durations import micros, spelled
from ripresa.contracts.job_order import CANNOT_START, DATE_NAMES, RUN_NAMES, param_variable
from ripresa.contracts.resources import Resources
from ripresa.contracts.spec import Entry, JobSpec, RetrySpec, WorkflowSpec
from ripresa.contracts.time_limits import TimeLimits

ATTEMPTED = ("job", "python", "pipeline")
"""Kinds that make attempts: the others are the program's own, and each is done once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Names of the variables that a job gets, by where they come from; `secrets` with the reference of each."""

    run: tuple[str, ...]
    dates: tuple[str, ...]
    params: tuple[str, ...]
    env: tuple[str, ...]
    secrets: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTold:
    """One entry.  `layer` counts from 1 and is None for what only undoes; `place` is jobs or finally.

    `longest_us`: all of it at the most; None: it has no limit, and `no_limit` says why.  `fan_out`, `resources`,
    `exit_codes`, `quality`, `undone_by` and `notes` are in words, empty where there is nothing to say.
    """

    name: str
    kind: str
    does: str
    description: str
    place: str
    layer: int | None
    after: tuple[str, ...]
    starts: str
    on_failure: str
    attempts: Attempts
    limits: TimeLimits
    longest_us: int | None
    no_limit: str = ""
    fan_out: str = ""
    resources: str = ""
    exit_codes: str = ""
    quality: str = ""
    undone_by: str = ""
    pool: str = ""
    environment: Environment | None = None
    outputs: dict[str, str] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Where an entry stands in its graph."""

    place: str
    layer: int | None
    after: tuple[str, ...]
    choosers: tuple[str, ...]
    undoes: tuple[str, ...]


def entry_told(spec: WorkflowSpec, entry: Entry, around: Around) -> JobTold:
    """An entry of a workflow."""
    attempts, limits = _policies(spec, entry)
    longest, no_limit = _longest(entry, attempts, limits)
    job = entry.job
    return JobTold(
        name=entry.name,
        kind=entry.kind,
        does=_DOES[entry.kind](entry.work) if job is None else _job_does(job, spec.runtime_of(job)),
        description=entry.work.description.strip(),
        place=around.place,
        layer=around.layer,
        after=around.after,
        starts=starts(entry, around.choosers, place=around.place, undoes=around.undoes),
        on_failure=when_it_fails(spec, entry, place="undoing" if around.undoes else around.place),
        attempts=attempts,
        limits=limits,
        longest_us=longest,
        no_limit=no_limit,
        fan_out=_fan_out(entry),
        quality=_quality(entry),
        undone_by=entry.compensate or "",
        pool=_pool(entry.work),
        notes=tuple(_notes(spec, entry)),
        **(_of_job(job) if job is not None else {}),
    )


def job_told(job: JobSpec) -> JobTold:
    """A job that stands alone."""
    attempts, limits = attempts_of(job.retry, _memory(job, job.retry)), limits_of(job.timeout)
    longest = longest_us(attempts, limits)
    return JobTold(
        name=job.name,
        kind="job",
        does=_job_does(job, job.runtime or "container"),
        description=job.description.strip(),
        place="jobs",
        layer=1,
        after=(),
        starts="at once",
        on_failure=ALONE,
        attempts=attempts,
        limits=limits,
        longest_us=longest,
        no_limit="" if longest is not None else "its attempts have no limit",
        pool=_pool(job),
        **_of_job(job),
    )


def _pool(work: Any) -> str:
    """The pool that it waits for, and whose turn it is in it."""
    pool, key = getattr(work, "pool", None) or "", getattr(work, "pool_key", None)
    return f"{pool}, in turns by {key}" if key else pool


# --- policies ----------------------------------------------------------------------------------


def _policies(spec: WorkflowSpec, entry: Entry) -> tuple[Attempts, TimeLimits]:
    limits = limits_of(spec.timeout_of(entry))
    if entry.job is not None:
        retry = spec.retry_of(entry)
        return attempts_of(retry, _memory(entry.job, retry)), limits
    if entry.kind in ATTEMPTED:
        return attempts_of(spec.retry_of(entry)), replace(limits, grace_us=None)
    total = limits.total_us if limits.total_us is not None else limits.attempt_us
    if entry.signal is not None and entry.signal.timeout is not None:
        total = micros(entry.signal.timeout)
    return attempts_of(entry.own_retry if entry.workflow is not None else None), TimeLimits(total_us=total)


def _memory(job: JobSpec, retry: RetrySpec | None) -> tuple[int, ...]:
    """The memory of each attempt, if it grows."""
    if job.resources.on_retry is None:
        return ()
    read = Resources.of(job.resources.written())
    attempts = 1 if retry is None else retry.attempts
    return tuple(read.memory_bytes(number) or 0 for number in range(1, attempts + 1))


def _longest(entry: Entry, attempts: Attempts, limits: TimeLimits) -> tuple[int | None, str]:
    """The longest that the entry takes as a whole, or why nobody can say."""
    one = _longest_of_one(entry, attempts, limits)
    if limits.total_us is not None or entry.for_each is None or one is None:
        return one, "" if one is not None else _NO_LIMIT.get(entry.kind, "its attempts have no limit")
    if isinstance(entry.for_each, str):
        if entry.max_parallel is not None:
            return None, f"as many items as there are, {entry.max_parallel} at a time"
        return one, ""
    instances = ceil(len(entry.for_each) / (entry.batch or 1))
    return one * ceil(instances / (entry.max_parallel or max(1, instances))), ""


_NO_LIMIT = {
    "wait": "it waits until a moment",
    "signal": "it waits for a signal without a limit",
    "workflow": "the other workflow has its own limits",
}


def _longest_of_one(entry: Entry, attempts: Attempts, limits: TimeLimits) -> int | None:
    if entry.kind == "choice":
        return 0
    if entry.wait is not None:
        return None if entry.wait.for_ is None else micros(entry.wait.for_)
    return longest_us(attempts, limits)


# --- words -------------------------------------------------------------------------------------


def _job_does(job: JobSpec, runtime: str) -> str:
    where = {"container": "in a container", "process": "as a process", "kubernetes": "on Kubernetes"}.get(
        runtime, f"on {runtime}"
    )
    return f"{job.image} {where}"


def _choice(work: Any) -> str:
    cases = [f"{case.then} if {case.if_}" for case in work.cases]
    return f"chooses {'; '.join(cases)}; else {work.else_ or 'nothing'}"


_DOES: dict[str, Callable[[Any], str]] = {
    "python": lambda work: f"calls {work.call}",
    "pipeline": lambda work: f"runs the pipeline {work.pipeline}",
    "choice": _choice,
    "wait": lambda work: f"waits for {spelled(micros(work.for_))}" if work.for_ else f"waits until {work.until}",
    "signal": lambda work: f"waits for the signal {work.name}",
    "workflow": lambda work: f"runs the workflow {work.definition}",
}


def _fan_out(entry: Entry) -> str:
    if entry.for_each is None:
        return ""
    items = entry.for_each if isinstance(entry.for_each, str) else f"{len(entry.for_each)} items"
    told = [f"once for each of {items}" if entry.batch is None else f"once for every {entry.batch} of {items}"]
    told.append(f"{entry.max_parallel} at a time" if entry.max_parallel else "all at once")
    if entry.min_success is not None:
        told.append(f"{entry.min_success} must succeed")
    else:
        told.append("each must succeed")
    return ", ".join(told)


def _quality(entry: Entry) -> str:
    given = entry.quality
    if given is None:
        return ""
    told = [
        f"{share:.4g} of records or more valid" if (share := given.min_valid_rate) is not None else "",
        f"{share:.4g} of values or fewer null" if (share := given.max_null_rate) is not None else "",
        f"{count:,} records or more" if (count := given.min_record_count) is not None else "",
    ]
    breach = {"fail": "it fails", "warn": "that is only said", "quarantine": "the run is set aside"}[given.on_breach]
    return f"{listed([one for one in told if one] or ['no limits'])}; else {breach}"


def _notes(spec: WorkflowSpec, entry: Entry) -> list[str]:
    told = []
    if entry.own_retry is not None and entry.workflow is not None:
        told.append("each attempt is a run of its own, and the time limit is for all of them together")
    elif entry.own_retry is not None and entry.kind not in ATTEMPTED:
        told.append(f"retry has no effect: a {entry.kind} is done once")
    if entry.python is not None and spec.retry_of(entry) is None:
        told.append("a retry policy of the function's own counts, since the file gives none")
    return told


# --- of a job ----------------------------------------------------------------------------------


def _of_job(job: JobSpec) -> dict[str, Any]:
    return {
        "resources": _resources(job),
        "exit_codes": _exit_codes(job),
        "environment": _environment(job),
        "outputs": dict(job.outputs),
    }


def _resources(job: JobSpec) -> str:
    told = [f"{job.resources.cpu} CPU" if job.resources.cpu else "", f"{job.resources.memory or 'any'} memory"]
    return ", ".join(one for one in told if one) if job.resources.cpu or job.resources.memory else ""


def _exit_codes(job: JobSpec) -> str:
    codes = job.exit_codes
    meanings: Sequence[tuple[str, Sequence[int]]] = (
        ("fails for good", sorted({*codes.terminal, *CANNOT_START})),
        ("sets the run aside", codes.quarantine),
        ("skips", codes.skip),
    )
    told = [f"{listed(map(str, found), 'or')} {means}" for means, found in meanings if found]
    return "; ".join(["0 succeeds", *told, "any other is tried again"])


def _environment(job: JobSpec) -> Environment:
    return Environment(
        run=RUN_NAMES,
        dates=DATE_NAMES,
        params=tuple(param_variable(name) for name in job.params),
        env=tuple(job.env),
        secrets=dict(job.secrets),
    )
