"""Quality: what a step measured of its data, and the limits that it must keep.

Owns the values and the judgement of one set of measurements; how a step's quality compares with that
of earlier runs is in `quality_trend`.  Truth it keeps: a gate never passes what was not measured – a
limit on a number that is missing is a breach, except a rate of no records at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from annotated_types import Ge, Le

Rate = Annotated[float, Ge(0), Le(1)]
"""A share, from 0 to 1."""
Count = Annotated[int, Ge(0)]
"""A number of records, 0 or more."""

OnBreach = Literal["fail", "warn", "quarantine"]
"""What becomes of a step whose data does not keep its limits."""
_ON_BREACH: tuple[OnBreach, ...] = ("fail", "warn", "quarantine")

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityMetrics:
    """What a step measured of its data; what was not measured is None.

    `record_count`, `valid_count`, `null_count` are numbers of records; `valid_rate`, `null_rate` are shares from 0 to
    1, derived from the counts if they are left out.  `passed` is the step's own verdict.  `custom_metrics` holds
    numbers of any other name.  Raises ValueError for a number out of its range, or counts and rates that disagree.
    """

    record_count: Count | None = None
    valid_count: Count | None = None
    null_count: Count | None = None
    valid_rate: Rate | None = None
    null_rate: Rate | None = None
    passed: bool = True
    custom_metrics: Mapping[str, float] = field(default_factory=lambda: _NONE)

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        for name in ("record_count", "valid_count", "null_count"):
            require_count(f"QualityMetrics.{name}", getattr(self, name))
        for name in ("valid_rate", "null_rate"):
            require_rate(f"QualityMetrics.{name}", getattr(self, name))
        for name, value in self.custom_metrics.items():
            if name in _OWN:
                msg = f"QualityMetrics.custom_metrics: {name!r} has a field of its own; write {name}={value!r}"
                raise ValueError(msg)
            _require_number(f"QualityMetrics.custom_metrics[{name!r}]", value)
        object.__setattr__(self, "custom_metrics", MappingProxyType(dict(self.custom_metrics)))
        object.__setattr__(self, "valid_rate", self._rate("valid"))
        object.__setattr__(self, "null_rate", self._rate("null"))

    def _rate(self, what: str) -> float | None:
        """The rate as given, or as the counts have it."""
        given: float | None = getattr(self, f"{what}_rate")
        count: int | None = getattr(self, f"{what}_count")
        if count is None or self.record_count is None:
            return given
        if count > self.record_count:
            msg = f"QualityMetrics.{what}_count: {count} is more than record_count={self.record_count}"
            raise ValueError(msg)
        if self.record_count == 0:
            return given
        derived = count / self.record_count
        if given is not None and not math.isclose(given, derived, abs_tol=1e-6):
            msg = f"QualityMetrics.{what}_rate: {given} is not {what}_count / record_count = {derived:.6g}; give one"
            raise ValueError(msg)
        return derived

    @classmethod
    def of(cls, numbers: Mapping[str, Any]) -> Self:
        """From names and values: the known names are its fields, other numbers its `custom_metrics`.

        Values that are not numbers are left out, so that a pipeline's metrics may hold texts too.
        """
        given = numbers.get("custom_metrics") or {}
        if not isinstance(given, Mapping):
            msg = f"QualityMetrics.custom_metrics: {given!r:.80} is no mapping of names to numbers"
            raise ValueError(msg)  # noqa: TRY004 - as for all that does not fit
        custom = dict(given)
        custom |= {name: value for name, value in numbers.items() if name not in _OWN and _is_number(value)}
        known = {name: numbers[name] for name in _OWN - {"custom_metrics"} if numbers.get(name) is not None}
        return cls(**known, custom_metrics=custom)

    @property
    def numbers(self) -> dict[str, float]:
        """All that was measured, by name."""
        own = {name: getattr(self, name) for name in NUMBERS}
        return {**{name: value for name, value in own.items() if value is not None}, **self.custom_metrics}

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        data: dict[str, Any] = {name: getattr(self, name) for name in NUMBERS if getattr(self, name) is not None}
        if not self.passed:
            data["passed"] = False
        if self.custom_metrics:
            data["custom_metrics"] = dict(self.custom_metrics)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; unknown fields of a newer version are left out."""
        return cls(**{name: value for name, value in data.items() if name in _OWN})


NUMBERS = ("record_count", "valid_count", "null_count", "valid_rate", "null_rate")
_OWN = frozenset(one.name for one in fields(QualityMetrics))


@dataclass(frozen=True, slots=True)
class QualityBreach:
    """A limit that was not kept.  `value` is None if the number was not measured."""

    limit: str
    metric: str
    bound: float | None
    value: float | None

    def __str__(self) -> str:
        if self.bound is None:
            return f"{self.metric}: the step itself says that its data did not pass"
        if self.value is None:
            return f"{self.metric} was not measured, and {self.limit} is {self.bound:g}"
        return f"{self.metric} is {self.value:g}, and {self.limit} is {self.bound:g}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"limit": self.limit, "metric": self.metric, "bound": self.bound, "value": self.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityThresholds:
    """The limits that a step's data must keep, and what becomes of the step if it does not.

    `on_breach`: "fail" – the step fails for good; "warn" – it succeeds, and an event and a log line say so;
    "quarantine" – the run is set aside for a person.  Rates are shares from 0 to 1.  A limit left out limits nothing.
    Raises ValueError for a value out of its range.
    """

    min_valid_rate: Rate | None = None
    max_null_rate: Rate | None = None
    min_record_count: Count | None = None
    on_breach: OnBreach = "fail"

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        require_rate("QualityThresholds.min_valid_rate", self.min_valid_rate)
        require_rate("QualityThresholds.max_null_rate", self.max_null_rate)
        require_count("QualityThresholds.min_record_count", self.min_record_count)
        if self.on_breach not in _ON_BREACH:
            msg = f"QualityThresholds.on_breach: {self.on_breach!r} is not one of {', '.join(_ON_BREACH)}"
            raise ValueError(msg)

    def judge(self, metrics: QualityMetrics | None) -> tuple[QualityBreach, ...]:
        """The limits that `metrics` does not keep, in the order of the fields; none: it passes."""
        metrics = metrics or QualityMetrics()
        breaches = [] if metrics.passed else [QualityBreach("passed", "passed", None, None)]
        for limit, metric in _LIMITS:
            bound = getattr(self, limit)
            value = getattr(metrics, metric)
            if bound is not None and _breaks(limit, bound, value, metrics):
                breaches.append(QualityBreach(limit, metric, bound, value))
        return tuple(breaches)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        data = {name: getattr(self, name) for name, _ in _LIMITS if getattr(self, name) is not None}
        return {**data, "on_breach": self.on_breach}


_LIMITS = (("min_valid_rate", "valid_rate"), ("max_null_rate", "null_rate"), ("min_record_count", "record_count"))


def _breaks(limit: str, bound: float, value: float | None, metrics: QualityMetrics) -> bool:
    if value is None:
        return metrics.record_count != 0  # of no records there is no rate to judge
    return value > bound if limit.startswith("max") else value < bound


def require_rate(where: str, value: object) -> None:
    """Raise ValueError unless it is None or a share from 0 to 1."""
    if value is not None and (not _is_number(value) or not 0 <= value <= 1):  # type: ignore[operator]  # a number
        msg = f"{where}: {value!r} is not a share from 0 to 1"
        raise ValueError(msg)


def require_count(where: str, value: object) -> None:
    """Raise ValueError unless it is None or a whole number, 0 or more."""
    if value is not None and (type(value) is not int or value < 0):
        msg = f"{where}: {value!r} is not a whole number of 0 or more"
        raise ValueError(msg)


def _require_number(where: str, value: object) -> None:
    if not _is_number(value):
        msg = f"{where}: {value!r} is not a finite number"
        raise ValueError(msg)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
