"""Events as they travel: CloudEvents 1.0, in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from ripresa.contracts.payload import dump, load

MEDIA_TYPE: Final = "application/cloudevents+json"
CREATED: Final = "workflow_created"
ENDED: Final = {
    "succeeded": "workflow_completed",
    "failed": "workflow_failed",
    "cancelled": "workflow_cancelled",
    "quarantined": "workflow_quarantined",
}
"""What is published when a run comes to such a status."""
ASSIGNED: Final = "task_assigned"
_TEXT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEvent:
    """One event.  `source` and `id` together are unique; `subject` is the run that it is of, if it is of one."""

    id: str
    source: str
    type: str
    time: str | None = None
    subject: str | None = None
    data: Any = None

    def to_json(self) -> str:
        """As JSON text, without empty fields."""
        told = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "subject": self.subject,
            "time": self.time,
            "datacontenttype": None if self.data is None else "application/json",
            "data": self.data,
        }
        return dump({name: value for name, value in told.items() if value is not None})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read one; unknown fields are left out.  Raises ValueError."""
        try:
            told = load(text if isinstance(text, str) else text.decode())
        except ValueError as error:
            raise ValueError(f"it is no JSON text: {error}") from None
        if not isinstance(told, dict) or told.get("specversion") != "1.0":
            raise ValueError("it is no CloudEvent 1.0: there is no specversion 1.0")
        for name in ("id", "source", "type"):
            value = told.get(name)
            if not isinstance(value, str) or not 0 < len(value) <= _TEXT_MAX:
                raise ValueError(f"it is no CloudEvent 1.0: {name} is no text of 1 to {_TEXT_MAX} characters")
        return cls(**{name: told[name] for name in cls.__slots__ if name in told})

    @classmethod
    def of(cls, row: Any, source: str) -> Self:
        """From a store's `Outgoing`."""
        moment = datetime.fromtimestamp(row.at // 1_000_000, UTC).replace(microsecond=row.at % 1_000_000)
        return cls(
            id=row.id,
            source=source,
            type=row.type,
            time=moment.isoformat().replace("+00:00", "Z"),
            subject=row.run or None,
            data=load(row.data),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTarget:
    """Where events go.

    `to`: `amqp://…` (the topic `exchange`), `redis://…` (the `stream`, cut at about `length_max` entries), or a
    webhook's `https://…`, signed with the `secret` that this refers to (`env:NAME`, `file:/path`).  `types`: patterns
    such as `order.*` of those that go there.  `private`: the webhook may be on a private network, or plain http.
    `attempts`: how often a webhook is tried with an event, until that is a dead letter.
    """

    to: str
    exchange: str = "ripresa"
    stream: str = "ripresa:events"
    length_max: int = 1_000_000
    secret: str | None = None
    types: tuple[str, ...] = ("*",)
    private: bool = False
    attempts: int = 10

    def wants(self, kind: str) -> bool:
        """Whether events of this type go there."""
        return any(fnmatchcase(kind, pattern) for pattern in self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSource:
    """Where events come from, and what they do.

    `address`: `amqp://…` (the `queue`) or `redis://…` (the `stream`, read as `group`).  An event of one of the `types`
    starts a run of the workflow `start` with its data, or sends it as the signal `signal` to the run whose id is at the
    path `run` of the event (`data.order`, `subject`).
    """

    address: str
    queue: str = "ripresa"
    stream: str = "ripresa:in"
    group: str = "ripresa"
    types: tuple[str, ...] = ("*",)
    start: str | None = None
    signal: str | None = None
    run: str | None = None

    def __post_init__(self) -> None:
        if (self.start is None) == (self.signal is None):
            raise ValueError("events.consume: one of start and signal is needed")
        if (self.signal is None) != (self.run is None):
            raise ValueError("events.consume: signal and run go together")

    def wants(self, kind: str) -> bool:
        """Whether it does something for events of this type."""
        return any(fnmatchcase(kind, pattern) for pattern in self.types)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """What an App publishes and consumes.  `source` is that of its CloudEvents, a URI reference.

    Beside what workflows publish themselves, it tells of runs that were created and that ended, and of tasks that were
    put out for workers.
    """

    source: str = "/ripresa"
    publish: tuple[EventTarget, ...] = ()
    consume: tuple[EventSource, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the table `events` of `ripresa.toml`.  Raises ValueError naming the field."""
        _only(told, cls, "events")
        publish = tuple(_made(EventTarget, one, "events.publish", {}) for one in told.get("publish", ()))
        names = {"from": "address"}
        consume = tuple(_made(EventSource, one, "events.consume", names) for one in told.get("consume", ()))
        source = told.get("source", cls().source)
        if not isinstance(source, str) or not source:
            raise ValueError(f"events.source: {source!r} is no URI reference")
        return cls(source=source, publish=publish, consume=consume)


def _made(kind: Any, told: Any, where: str, renamed: Mapping[str, str]) -> Any:
    if not isinstance(told, Mapping):
        raise ValueError(f"{where}: {told!r} is not a table; write [[{where}]]")  # noqa: TRY004 - a value in a file
    given = {renamed.get(name, name): value for name, value in told.items()}
    _only(given, kind, where)
    if isinstance(given.get("types"), str):
        given["types"] = [given["types"]]
    if "types" in given:
        given["types"] = tuple(given["types"])
    missing = [one.name for one in fields(kind) if one.default is MISSING and one.name not in given]
    if missing:
        shown = {new: old for old, new in renamed.items()}.get(missing[0], missing[0])
        raise ValueError(f"{where}: {shown} is needed")
    return kind(**given)


def _only(told: Mapping[str, Any], kind: Any, where: str) -> None:
    known = [one.name for one in fields(kind)]
    for name in told:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(known)})"
            raise ValueError(f"{where}.{name}: unknown field{hint}")
