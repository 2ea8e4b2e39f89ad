"""What callers give: checked before anything is written, so that no value ever stops an engine."""

from __future__ import annotations

from typing import Any

_PRIORITY_MAX = 2**31 - 1
_CHARS_MAX = 255
_SHOWN_MAX = 60


def require_id(value: object, *, what: str = "id") -> None:
    """Raise ValueError unless it is None or 1 to 255 printable characters."""
    if value is not None:
        require_text(value, what=what)


def require_text(value: object, *, what: str) -> None:
    """Raise ValueError unless it is 1 to 255 printable characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= _CHARS_MAX or not value.isprintable():
        shown = repr(value) if len(repr(value)) <= _SHOWN_MAX else f"{repr(value)[:_SHOWN_MAX]}…"
        msg = f"{what}: {shown} is not 1 to 255 printable characters"
        raise ValueError(msg)


def require_priority(value: object, *, what: str = "priority") -> None:
    """Raise ValueError unless it is a whole number of 32 bits."""
    if type(value) is not int or abs(value) > _PRIORITY_MAX:
        msg = f"{what}: {value!r} is not a whole number from -{_PRIORITY_MAX} to {_PRIORITY_MAX}"
        raise ValueError(msg)


def require_tags(value: Any) -> None:
    """Raise ValueError unless it is a dict of texts."""
    if not isinstance(value, dict):
        msg = f"tags: {value!r} is not a dict of texts"
        raise ValueError(msg)  # noqa: TRY004 - one kind of error for all that is given wrong
    for name, text in value.items():
        require_text(name, what="tags")
        require_text(text, what=f"tags[{name!r}]")
