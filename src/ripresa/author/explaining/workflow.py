"""The whole of a definition: layers, the longest way through them, secrets, and everything that its entries tell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any

from ripresa.author.explaining.jobs import Around, JobTold, entry_told, job_told
from ripresa.author.explaining.schedule import ScheduleTold, explain_schedule
from ripresa.author.explaining.starting import listed
from ripresa.author.explaining.targets import TargetTold, explain_targets
from ripresa.contracts.durations import micros
from ripresa.contracts.spec import Entry, JobSpec, WorkflowSpec
from ripresa.contracts.spec.graph import in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """The longest that a run can take, waits for a slot and repeats after a crash of ours aside.

    `us` None: nobody can say, because of what `open` names.  `way`: the entries that make it so long, in order;
    empty if the run's own limit does.
    """

    us: int | None
    way: tuple[str, ...]
    open: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretTold:
    """A secret by its reference, and who gets it as what."""

    reference: str
    used_by: str
    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowTold:
    """All that a workflow file comes to.  `layers`: what is in one may run at the same time.

    `params`, `rules` and `notices` are in words: what it may be given, how its runs get along, and who is told what.
    """

    name: str
    label: str | None
    description: str
    schedule: ScheduleTold | None
    layers: tuple[tuple[str, ...], ...]
    finally_layers: tuple[tuple[str, ...], ...]
    undoing: tuple[str, ...]
    jobs: tuple[JobTold, ...]
    longest: Longest
    timeout_us: int | None
    params: tuple[str, ...]
    rules: tuple[str, ...]
    notices: tuple[str, ...]
    secrets: tuple[SecretTold, ...]
    targets: tuple[TargetTold, ...]


def explain_workflow(spec: WorkflowSpec, *, now: datetime) -> WorkflowTold:
    """A workflow, at the moment `now`, which has a zone."""
    undone_by: dict[str, list[str]] = {}
    for entry in spec.jobs:
        if entry.compensate is not None:
            undone_by.setdefault(entry.compensate, []).append(entry.name)
    main = _Part("jobs", [entry for entry in spec.jobs if entry.name not in undone_by])
    last = _Part("finally", spec.finally_)
    told = {name: one for part in (main, last) for name, one in part.told(spec).items()}
    for entry in spec.jobs:
        if entry.name in undone_by:
            around = Around(place="jobs", layer=None, after=(), choosers=(), undoes=tuple(undone_by[entry.name]))
            told[entry.name] = entry_told(spec, entry, around)
    in_file_order = tuple(told[entry.name] for entry in (*spec.jobs, *spec.finally_))
    return WorkflowTold(
        name=spec.name,
        label=spec.version,
        description=spec.description.strip(),
        schedule=None if spec.schedule is None else explain_schedule(spec.schedule, now=now),
        layers=main.layers,
        finally_layers=last.layers,
        undoing=tuple(name for name in told if name in undone_by),
        jobs=in_file_order,
        longest=_longest(spec, main, last, told),
        timeout_us=None if spec.timeout is None else micros(spec.timeout),
        params=tuple(_params(spec.input)),
        rules=tuple(_rules(spec)),
        notices=tuple(_notices(spec)),
        secrets=(*_secrets(in_file_order), *_secrets_of_notices(spec)),
        targets=explain_targets(spec),
    )


def explain_job(spec: JobSpec) -> WorkflowTold:
    """A job that stands alone, as a workflow of one."""
    told = job_told(spec)
    return WorkflowTold(
        name=spec.name,
        label=None,
        description=spec.description.strip(),
        schedule=None,
        layers=((spec.name,),),
        finally_layers=(),
        undoing=(),
        jobs=(told,),
        longest=Longest(us=told.longest_us, way=(spec.name,), open=() if told.longest_us is not None else (spec.name,)),
        timeout_us=None,
        params=(),
        rules=(),
        notices=(),
        secrets=tuple(_secrets((told,))),
        targets=explain_targets(spec),
    )


# --- order -------------------------------------------------------------------------------------


class _Part:
    """Entries that are walked together: those of jobs, or those of finally."""

    def __init__(self, place: str, entries: Sequence[Entry]) -> None:
        self.place = place
        self.entries = {entry.name: entry for entry in entries}
        self.choosers: dict[str, list[str]] = {name: [] for name in self.entries}
        for entry in entries:
            for target in entry.choice.targets if entry.choice is not None else ():
                self.choosers[target].append(entry.name)
        self.before: Mapping[str, Sequence[str]] = {
            name: list(dict.fromkeys([*(one.job for one in entry.depends_on), *self.choosers[name]]))
            for name, entry in self.entries.items()
        }
        self.order, _ = in_order(self.before)
        self.layer: dict[str, int] = {}
        for name in self.order:
            self.layer[name] = 1 + max((self.layer[other] for other in self.before[name]), default=0)

    @property
    def layers(self) -> tuple[tuple[str, ...], ...]:
        """Names by the length of the longest way to them, each layer in the order of writing."""
        count = max(self.layer.values(), default=0)
        found: list[list[str]] = [[] for _ in range(count)]
        for name in self.entries:
            found[self.layer[name] - 1].append(name)
        return tuple(map(tuple, found))

    def told(self, spec: WorkflowSpec) -> dict[str, JobTold]:
        """All entries."""
        return {
            name: entry_told(
                spec,
                entry,
                Around(
                    place=self.place,
                    layer=self.layer[name],
                    after=tuple(self.before[name]),
                    choosers=tuple(self.choosers[name]),
                    undoes=(),
                ),
            )
            for name, entry in self.entries.items()
        }


# --- the longest way ---------------------------------------------------------------------------


def _longest(spec: WorkflowSpec, main: _Part, last: _Part, told: Mapping[str, JobTold]) -> Longest:
    """What the jobs take at the most, within the run's own limit, and then what stands in finally."""
    whole_us, way = _way(main, told)
    no_limit = [name for name in main.order if told[name].longest_us is None]
    limit = None if spec.timeout is None else micros(spec.timeout)
    if limit is not None and (no_limit or whole_us > limit):
        whole_us, way, no_limit = limit, [], []
    last_us, last_way = _way(last, told)
    no_limit += [name for name in last.order if told[name].longest_us is None]
    us = None if no_limit else whole_us + last_us
    return Longest(us=us, way=() if no_limit else (*way, *last_way), open=tuple(no_limit))


def _way(part: _Part, told: Mapping[str, JobTold]) -> tuple[int, list[str]]:
    """The way that takes longest, and how long it takes; what has no limit counts for nothing."""
    until: dict[str, int] = {}
    came_from: dict[str, str | None] = {}
    for name in part.order:
        came_from[name] = max(part.before[name], key=lambda other: until[other], default=None)
        before = came_from[name]
        until[name] = (until[before] if before is not None else 0) + (told[name].longest_us or 0)
    end = max(until, key=lambda name: until[name], default=None)
    if end is None:
        return 0, []
    way, step = [], end
    while step is not None:
        way.append(step)
        step = came_from[step]  # type: ignore[assignment]  # None ends it
    return until[end], way[::-1]


# --- the rest ----------------------------------------------------------------------------------

_POLICY = {
    "queue": "one more waits for its turn",
    "skip": "one more is left out",
    "cancel_running": "one more cancels the oldest",
    "fail": "one more fails at once",
}


def _rules(spec: WorkflowSpec) -> Iterable[str]:
    if spec.concurrency is not None:
        given = spec.concurrency
        of = f" with the same {given.key}" if given.key else ""
        yield f"{given.limit} run{'s'[: given.limit != 1]}{of} at a time; {_POLICY[given.policy]}"
    if spec.idempotency_key is not None:
        yield f"two starts with the same {spec.idempotency_key} are one run"
    if spec.priority:
        yield f"priority {spec.priority}: {'before' if spec.priority > 0 else 'after'} runs of priority 0"
    for one in spec.dependencies:
        until = "has succeeded" if one.wait_for_completion else "has started"
        yield f"starts when the run of {one.workflow} for the same logical date {until}"
    if spec.sla is not None:
        within = f"{spec.sla.finish_within} after its start" if spec.sla.finish_within else ""
        by = f"at {spec.sla.by}" if spec.sla.by else ""
        yield f"late if it has not ended {' or '.join(filter(None, (within, by)))}"


def _params(schema: Mapping[str, Any]) -> Iterable[str]:
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        given = one if isinstance(one, dict) else {}
        kind = " or ".join(map(str, given.get("enum") or _listing(given.get("type", "anything"))))
        default = f", default {json.dumps(given['default'], ensure_ascii=False)}" if "default" in given else ""
        yield f"{name}: {kind}{default}" + (", required" if name in required and not default else "")


def _listing(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


_NOTICES = {
    "on_failure": "a run fails",
    "on_success": "a run succeeds",
    "on_quarantine": "a run is set aside",
    "on_late": "a run is late",
}


def _notices(spec: WorkflowSpec) -> Iterable[str]:
    for when, means in _NOTICES.items():
        found = [_notice(one) for one in getattr(spec.notifications, when)]
        if found:
            yield f"when {means}: {listed(found)}"


def _notice(one: Any) -> str:
    match one.type:
        case "email":
            return f"a mail to {listed(one.recipients)}"
        case "slack":
            return f"{one.channel} in Slack"
        case _:
            return f"a request to the address in {one.url_from}"


def _secrets(jobs: Iterable[JobTold]) -> Iterable[SecretTold]:
    for job in jobs:
        for variable, reference in (job.environment.secrets if job.environment else {}).items():
            yield SecretTold(reference=reference, used_by=job.name, variable=variable)


def _secrets_of_notices(spec: WorkflowSpec) -> Iterable[SecretTold]:
    for when in type(spec.notifications).model_fields:
        for notice in getattr(spec.notifications, when):
            if getattr(notice, "url_from", None):
                yield SecretTold(reference=notice.url_from, used_by=f"notifications.{when}", variable="")


def to_json(value: Any) -> Any:
    """What was told as JSON data: times in ISO 8601, and spans in seconds (`longest_us` becomes `longest_s`)."""
    if is_dataclass(value):
        return {_named(one.name): _seconds(one.name, to_json(getattr(value, one.name))) for one in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, tuple | list) else value


def _named(name: str) -> str:
    return f"{name.removesuffix('us')}s" if name == "us" or name.endswith("_us") else name


def _seconds(name: str, value: Any) -> Any:
    if name != "us" and not name.endswith("_us"):
        return value
    if isinstance(value, list):
        return [one / 1e6 for one in value]
    return None if value is None else value / 1e6
