"""What a step sees of the run it belongs to: the value behind `ripresa.context()`.

The runtime sets `STEP_CONTEXT` around the call, wherever that is (loop, thread, process).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class StepContext:
    """One attempt, as its code may know it.  Plain text and numbers, so that it travels anywhere.

    `idempotency_key` is the same in every attempt of the step: hand it to services that deduplicate.
    `attempt` starts at 1.  `execution_date` is the run's logical date, ISO 8601.
    """

    run_id: str
    run_uuid: str
    workflow: str
    step: str
    operation: str
    attempt: int
    idempotency_key: str
    correlation_id: str
    execution_date: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote; unknown fields of a newer version are left out."""
        return cls(**{key: data[key] for key in cls.__slots__ if key in data})


STEP_CONTEXT: ContextVar[StepContext | Callable[[], StepContext] | None] = ContextVar(
    "ripresa_step_context", default=None
)
"""The context, or what makes it when somebody asks: most steps never do."""


def step_context() -> StepContext | None:
    """The context of the step whose code is calling, or None outside of a step."""
    found = STEP_CONTEXT.get()
    return found() if callable(found) else found
