"""A failure as it is recorded: plain data, so that every process and language can read it."""

from __future__ import annotations

import sys
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ripresa.contracts.errors import Retryable, StepResultFailed
from ripresa.contracts.status import FailureClass

TRACEBACK_CHARS_MAX = 16_384
MESSAGE_CHARS_MAX = 65_536
_SAID = "ripresa.StepResultFailed"
"""Type of a failure that a step's own result tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong.  `type` is the exception's qualified name, `code` a stable word for programs.

    `details` is what the step had to say beside it, JSON.
    """

    type: str
    message: str
    failure_class: FailureClass = FailureClass.RETRYABLE
    code: str = "error"
    traceback: str | None = None
    step: str | None = None
    attempts: int | None = None
    details: Any = field(default=None, compare=False)
    retry_after_us: int | None = None
    """How long to wait before another attempt, as whoever refused this one has said."""

    def __str__(self) -> str:
        if self.type == _SAID:
            return f"{self.message} ({self.code})"
        return f"{self.type}: {self.message}" if self.message else self.type

    @classmethod
    def of(cls, error: BaseException, failure_class: FailureClass, *, code: str = "error") -> Self:
        """Record `error`; the traceback keeps its tail, where the cause stands."""
        kind = type(error)
        module = kind.__module__.partition(".")[0] if kind.__module__.startswith("ripresa.") else kind.__module__
        name = kind.__qualname__ if module in {"builtins", "__main__"} else f"{module}.{kind.__qualname__}"
        if isinstance(error, StepResultFailed):  # said by the step's result: there is no line where it went wrong
            return cls(
                type=name,
                message=_message(error),
                failure_class=failure_class,
                code=error.code,
                details=error.details,
            )
        text = _encodable("".join(traceback.format_exception(error))[-TRACEBACK_CHARS_MAX:])
        return cls(
            type=name,
            message=_message(error),
            failure_class=failure_class,
            code=code,
            traceback=text,
            retry_after_us=error.retry_after_us if isinstance(error, Retryable) else None,
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object without empty fields."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what `to_json` wrote; unknown fields of a newer version are left out."""
        known = {key: data[key] for key in cls.__slots__ if key in data}
        known["failure_class"] = FailureClass(known.get("failure_class", "retryable"))
        return cls(**known)


def type_named(name: str) -> type[BaseException] | None:
    """The exception that a failure's `type` names, as far as its module is loaded here."""
    module, _, qualname = name.rpartition(".")
    homes = ("ripresa.contracts.errors", "ripresa.runtimes") if module == "ripresa" else (module or "builtins",)
    for home in homes:
        found = getattr(sys.modules.get(home), qualname, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None


def _message(error: BaseException) -> str:
    """What the exception says of itself, as far as it can be kept."""
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - an exception that cannot even say what it is has happened all the same
        return f"<no text: its __str__ raised {type(second).__name__}>"
    if len(text) > MESSAGE_CHARS_MAX:
        text = f"{text[:MESSAGE_CHARS_MAX]}… ({len(text):,} characters)"
    return _encodable(text)


def _encodable(text: str) -> str:
    """The text with each half of a surrogate pair, which UTF-8 has no form for, as `?`."""
    return text.encode("utf-8", "replace").decode()
