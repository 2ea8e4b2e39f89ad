"""The context: what a step sees of its run – parameters, the outputs so far, and who and when.

Immutable, however deep: each `with_…` gives a new one.  The context of a step is a fold over the outputs
recorded before it, so it is the same in every attempt and after every crash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime
from hashlib import blake2b
from typing import Any, Self

from ripresa.author.steps.frozen import NOTHING, FrozenDict, freeze, frozen
from ripresa.contracts.errors import PayloadError
from ripresa.contracts.payload import dump

RESERVED = frozenset(
    [
        "run_id",
        "workflow_name",
        "params",
        "outputs",
        "steps",
        "config",
        "batch_id",
        "trace_id",
        "partition",
        "as_of_date",
        "capture_id",
        "item",
        "index",
    ]
)
"""Names that `with_updates` and `context_updates` may not write: the context's own."""

Scalar = str | int | float | bool | None


class PartitionKey(Mapping[str, Scalar]):
    """Which part of the data a run is about, by named coordinates: `PartitionKey(region="eu", day=date(2026, 1, 31))`.

    A mapping that cannot be changed; equal keys hash alike, in whatever order they were written.  Dates become ISO 8601
    texts.  Raises TypeError for a coordinate that is not text, number, bool, None or date.
    """

    __slots__ = ("_coordinates",)

    def __init__(self, **coordinates: Scalar | date) -> None:
        made: dict[str, Scalar] = {}
        for name, value in sorted(coordinates.items()):
            if isinstance(value, date):
                made[name] = value.isoformat()
            elif value is None or isinstance(value, str | int | float | bool):
                made[name] = value
            else:
                msg = f"PartitionKey({name}={value!r}): a coordinate is text, a number, a bool, None or a date"
                raise TypeError(msg)
        self._coordinates = FrozenDict(made)

    def __getitem__(self, name: str) -> Scalar:
        return self._coordinates[name]

    def __iter__(self) -> Any:
        return iter(self._coordinates)

    def __len__(self) -> int:
        return len(self._coordinates)

    def __hash__(self) -> int:
        return hash(tuple(self._coordinates.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PartitionKey) and self._coordinates == other._coordinates

    def __str__(self) -> str:
        return "/".join(f"{name}={value}" for name, value in self._coordinates.items())

    def __repr__(self) -> str:
        return f"PartitionKey({', '.join(f'{name}={value!r}' for name, value in self._coordinates.items())})"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowContext:
    """What a step sees.  `params` holds the run's parameters and all updates since; `outputs` each step's output.

    `batch_id` and `trace_id` are the run's id and correlation id, if none were given; `partition`, `as_of_date` and
    `capture_id` say which data the run is about.  `item` and `index` are set in the steps of a map.
    """

    run_id: str = ""
    workflow_name: str = ""
    params: FrozenDict[str, Any] = NOTHING
    outputs: FrozenDict[str, Any] = NOTHING
    batch_id: str | None = None
    trace_id: str | None = None
    partition: PartitionKey | None = None
    as_of_date: date | None = None
    capture_id: str | None = None
    item: Any = None
    index: int | None = None
    _shared: str | None = field(default=None, init=False, repr=False, compare=False)
    """Hash of all but `item` and `index`, once somebody has asked."""

    @classmethod
    def new(
        cls,
        params: Mapping[str, Any] | None = None,
        *,
        batch_id: str | None = None,
        trace_id: str | None = None,
        partition: PartitionKey | Mapping[str, Any] | None = None,
        as_of_date: date | str | None = None,
        capture_id: str | None = None,
        run_id: str = "",
        workflow_name: str = "",
    ) -> Self:
        """A context before any step.  Raises PayloadError for params that JSON cannot hold, ValueError for a date."""
        return cls(
            params=_mapping(params, "WorkflowContext.params"),
            batch_id=batch_id,
            trace_id=trace_id,
            partition=_partition(partition),
            as_of_date=_date(as_of_date),
            capture_id=capture_id,
            run_id=run_id,
            workflow_name=workflow_name,
        )

    def get_param(self, name: str, default: Any = None) -> Any:
        """A parameter, or `default` if there is none of this name."""
        return self.params.get(name, default)

    def get_output(self, step: str, key: str | None = None, default: Any = None) -> Any:
        """A step's output, or `key` of it; `default` if the step has none."""
        output = self.outputs.get(step, default)
        if key is None or step not in self.outputs:
            return output
        return output.get(key, default) if isinstance(output, dict) else default

    def with_step_output(self, step: str, output: Any) -> Self:
        """With this output of a step.  Raises PayloadError for a value that JSON cannot hold."""
        value = freeze(output, f"output of step {step}")
        return replace(self, outputs=FrozenDict({**self.outputs, step: value}))

    def with_updates(self, updates: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """With these parameters set.  Raises PayloadError for a reserved name, or a value that JSON cannot hold."""
        made = checked_updates({**(updates or {}), **more}, "with_updates")
        return replace(self, params=FrozenDict({**self.params, **made}))

    def with_partition(self, partition: PartitionKey | Mapping[str, Any] | None = None, /, **coordinates: Any) -> Self:
        """With this partition (a key, or a mapping) in place of its own, if given; and with these coordinates in it."""
        base = (self.partition or {}) if partition is None else partition
        return replace(self, partition=PartitionKey(**{**base, **coordinates}))

    def with_item(self, item: Any, index: int) -> Self:
        """As the step of a map sees it that works on this item."""
        made = replace(self, item=freeze(item, f"item {index}"), index=index)
        object.__setattr__(made, "_shared", self._shared_hash())
        return made

    def fingerprint_text(self) -> str:
        """JSON text that tells this context from every other; that of a long one is short."""
        told: dict[str, Any] = {"context": self._shared_hash()}
        if self.index is not None:
            told |= {"item": self.item, "index": self.index}
        return dump(told, where="context")

    def _shared_hash(self) -> str:
        if self._shared is None:
            told = {name: value for name, value in self.to_json().items() if name not in {"item", "index"}}
            text = dump(told, where="context").encode("utf-8", "surrogatepass")
            object.__setattr__(self, "_shared", blake2b(text, digest_size=16).hexdigest())
        assert self._shared is not None  # noqa: S101 - just set
        return self._shared

    def of_run(self, run_id: str, trace_id: str, workflow_name: str) -> Self:
        """As the steps of this run see it: the run's own ids stand in for those that were not given."""
        return replace(
            self,
            run_id=run_id,
            workflow_name=workflow_name,
            batch_id=self.batch_id or run_id,
            trace_id=self.trace_id or trace_id or run_id,
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        data = {
            "run_id": self.run_id or None,
            "workflow_name": self.workflow_name or None,
            "params": self.params,
            "outputs": self.outputs,
            "batch_id": self.batch_id,
            "trace_id": self.trace_id,
            "partition": None if self.partition is None else dict(self.partition),
            "as_of_date": None if self.as_of_date is None else self.as_of_date.isoformat(),
            "capture_id": self.capture_id,
            "item": self.item,
            "index": self.index,
        }
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; unknown fields of a newer version are left out."""
        known = {name: frozen(data[name]) for name in _FIELDS if name in data}
        return cls(
            **{**known, "partition": _partition(data.get("partition")), "as_of_date": _date(data.get("as_of_date"))}
        )


_FIELDS = tuple(one.name for one in fields(WorkflowContext) if one.init)


def checked_updates(updates: Any, where: str) -> FrozenDict[str, Any]:
    """Updates of the context, frozen.  Raises PayloadError for a name that is reserved or no text."""
    if not isinstance(updates, Mapping):
        msg = f"{where}: {updates!r} is no mapping of names to values"
        raise PayloadError(msg)
    for name in updates:
        if not isinstance(name, str) or not name:
            msg = f"{where}: {name!r} is not a name"
            raise PayloadError(msg)
        if name in RESERVED or name.startswith("$"):
            msg = f"{where}: {name!r} is a name of the context itself and cannot be written; choose another"
            raise PayloadError(msg)
    return _mapping(updates, where)


def _mapping(given: Mapping[str, Any] | None, where: str) -> FrozenDict[str, Any]:
    made = freeze(dict(given or {}), where)
    assert isinstance(made, FrozenDict)  # noqa: S101 - a dict stays one
    return made


def _partition(given: PartitionKey | Mapping[str, Any] | None) -> PartitionKey | None:
    if given is None or isinstance(given, PartitionKey):
        return given
    return PartitionKey(**given)


def _date(given: date | str | None) -> date | None:
    if isinstance(given, datetime):
        return given.date()
    if given is None or isinstance(given, date):
        return given
    try:
        return date.fromisoformat(given)
    except (TypeError, ValueError):
        msg = f"as_of_date: {given!r} is not a date; write 2026-01-31"
        raise ValueError(msg) from None
