"""Results: what a step says of itself.

A result is recorded as it stands: `StepResult.fail` with its output, quality and updates goes into the
journal beside the failure, so that what a failed step had to say is not lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

from ripresa.author.steps.context import checked_updates
from ripresa.author.steps.frozen import NOTHING, FrozenDict, freeze
from ripresa.contracts.errors import PayloadError, StepResultFailed
from ripresa.contracts.payload import dump
from ripresa.contracts.quality import QualityMetrics
from ripresa.contracts.status import FailureClass

FAILED_CHARS_MAX = 8 * 1024 * 1024
"""What a step that fails may have to say, as JSON."""


class ErrorCategory(StrEnum):
    """Why a step failed; it says whether another attempt can help."""

    INTERNAL = "internal"
    TRANSIENT = "transient"
    TIMEOUT = "timeout"
    DEPENDENCY = "dependency"
    RATE_LIMIT = "rate_limit"
    RESOURCE = "resource"
    VALIDATION = "validation"
    CONFIGURATION = "configuration"
    PERMISSION = "permission"
    NOT_FOUND = "not_found"
    DATA_QUALITY = "data_quality"
    QUARANTINE = "quarantine"


_TERMINAL = frozenset(
    {
        ErrorCategory.VALIDATION,
        ErrorCategory.CONFIGURATION,
        ErrorCategory.PERMISSION,
        ErrorCategory.NOT_FOUND,
        ErrorCategory.DATA_QUALITY,
        FailureClass.TERMINAL,
    }
)


def class_of(category: str) -> FailureClass:
    """The failure class of an error category; one that is not known may be tried again, as unknown exceptions are."""
    word = category.lower()
    if word == ErrorCategory.QUARANTINE:
        return FailureClass.QUARANTINE
    return FailureClass.TERMINAL if word in _TERMINAL else FailureClass.RETRYABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step did: made by `StepResult.ok` or `StepResult.fail`.

    `output` is what `context.get_output(step)` gives later steps; `context_updates` set parameters for them;
    `quality` is what the step measured of its data; `events` are published once the result is on disk;
    `next_step` names the step that follows, if not the next in the list.  All values are JSON and cannot be changed.
    """

    success: bool
    output: Any = None
    context_updates: FrozenDict[str, Any] = NOTHING
    error: str | None = None
    error_category: str | None = None
    quality: QualityMetrics | None = None
    events: tuple[FrozenDict[str, Any], ...] = ()
    next_step: str | None = None

    @classmethod
    def ok(
        cls,
        output: Any = None,
        *,
        context_updates: Mapping[str, Any] | None = None,
        quality: QualityMetrics | Mapping[str, Any] | None = None,
        events: Iterable[Mapping[str, Any] | str] = (),
        next_step: str | None = None,
    ) -> Self:
        """The step did what it is for.

        `events`: types, or mappings `{"type": …, "data": …}`.  Raises PayloadError for a value that JSON cannot hold,
        or an update of a reserved name.
        """
        return cls(
            success=True,
            output=freeze(output, "StepResult.output"),
            context_updates=checked_updates(context_updates or {}, "StepResult.context_updates"),
            quality=_quality(quality),
            events=tuple(_event(one) for one in events),
            next_step=next_step,
        )

    @classmethod
    def fail(
        cls,
        error: str | BaseException,
        error_category: str = ErrorCategory.INTERNAL,
        *,
        output: Any = None,
        context_updates: Mapping[str, Any] | None = None,
        quality: QualityMetrics | Mapping[str, Any] | None = None,
        events: Iterable[Mapping[str, Any] | str] = (),
    ) -> Self:
        """The step did not.  The category (an `ErrorCategory`, or a word of yours) says whether to try again.

        Output, updates and events count only if the workflow goes on all the same (`on_error=ErrorPolicy.CONTINUE`).
        Raises PayloadError as `ok` does.
        """
        made = cls.ok(output, context_updates=context_updates, quality=quality, events=events)
        return replace(
            made, success=False, error=str(error) or type(error).__name__, error_category=str(error_category)
        )

    @property
    def failure_class(self) -> FailureClass | None:
        """Whether another attempt can help; None for a success."""
        return None if self.success else class_of(self.error_category or "")

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        data: dict[str, Any] = {
            "success": self.success,
            "output": self.output,
            "context_updates": self.context_updates or None,
            "error": self.error,
            "error_category": self.error_category,
            "quality": None if self.quality is None else self.quality.to_json(),
            "events": list(self.events) or None,
            "next_step": self.next_step,
        }
        return {name: value for name, value in data.items() if value is not None}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what `to_json` wrote; any other value is the output of a step that did what it is for.

        That is what a person gives who overrides a quarantined step.  Raises PayloadError.
        """
        if not isinstance(data, Mapping) or type(data.get("success")) is not bool or set(data) - _FIELDS:
            return cls.ok(data)
        made = cls.ok(
            data.get("output"),
            context_updates=data.get("context_updates"),
            quality=data.get("quality"),
            events=data.get("events", ()),
            next_step=data.get("next_step"),
        )
        return replace(
            made, success=data["success"], error=data.get("error"), error_category=data.get("error_category")
        )

    def raise_if_failed(self) -> None:
        """Raise StepResultFailed, which records it, if it is a failure."""
        if self.success:
            return
        category = self.error_category or ErrorCategory.INTERNAL
        raise failure_with(self, class_of(category), category.lower())


def failure_with(result: StepResult, failure_class: FailureClass, code: str) -> StepResultFailed:
    """The exception that records a failed result.  Raises PayloadError for one that is too large to be recorded."""
    details = result.to_json()
    size = len(dump(details, where="StepResult"))
    if size > FAILED_CHARS_MAX:
        msg = (
            f"StepResult of a failure: {size:,} characters of JSON, and the limit is {FAILED_CHARS_MAX:,};"
            " keep its output in a file or object store and pass its address"
        )
        raise PayloadError(msg)
    return StepResultFailed(result.error or "failed", failure_class=failure_class, code=code, details=details)


_FIELDS = frozenset(StepResult.__slots__)


def result_of(returned: Any) -> StepResult:
    """What a step's function returned as a result: itself, or the output of a success."""
    return returned if isinstance(returned, StepResult) else StepResult.ok(returned)


def _quality(given: QualityMetrics | Mapping[str, Any] | None) -> QualityMetrics | None:
    return given if given is None or isinstance(given, QualityMetrics) else QualityMetrics.of(given)


def _event(given: Mapping[str, Any] | str) -> FrozenDict[str, Any]:
    event = {"type": given} if isinstance(given, str) else dict(given)
    kind = event.get("type")
    if not isinstance(kind, str) or not kind or set(event) - {"type", "data"}:
        msg = f'StepResult.events: {given!r} is no event; write {{"type": "rows_loaded", "data": …}}'
        raise PayloadError(msg)
    made: FrozenDict[str, Any] = freeze(event, f"StepResult.events: {kind}")
    return made
