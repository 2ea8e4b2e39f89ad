"""Labels: what an engine has, and what a step needs of the engine that carries it out.

    Config(labels={"gpu": "a100", "eu": None})  ── has gpu=a100, gpu, eu
    @step(labels={"gpu"})                       ── needs gpu, whatever its value

A label is a name, or a name with a value, written `gpu=a100`.  Who needs `gpu` is content with any value; who needs
`gpu=a100` is not.  Pure; what engines and stores compare are sets of texts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

Labels = Mapping[str, str | None] | Collection[str]
"""As people write them: a mapping of names to values, or texts `name` and `name=value`."""

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,127}"
LABEL_PATTERN: Final = rf"^{_PART}(={_PART})?$"
_LABEL: Final = re.compile(LABEL_PATTERN[1:-1])
_MAX: Final = 100


def labels_of(given: Any, *, where: str) -> tuple[str, ...]:
    """The labels as texts, in order, each once.

    Raises TypeError for what is neither a mapping nor texts, ValueError for a text that is no label.
    """
    if given is None:
        return ()
    found = sorted({_label(one, where) for one in _texts(given, where)})
    if len(found) > _MAX:
        msg = f"{where}: {len(found)} labels are more than {_MAX}"
        raise ValueError(msg)
    return tuple(found)


def offered(labels: Collection[str]) -> frozenset[str]:
    """All that an engine with these labels has for those who need something: each name, with its value and without."""
    return frozenset(labels) | {label.partition("=")[0] for label in labels}


def shown(labels: Collection[str]) -> str:
    """Labels for people."""
    return ", ".join(sorted(labels)) or "no labels"


def needed(labels: Collection[str]) -> str:
    """`label gpu=a100`, `labels eu, gpu`."""
    return f"label{'s'[: len(labels) != 1]} {shown(labels)}"


def _texts(given: Any, where: str) -> list[Any]:
    if isinstance(given, Mapping):
        return [name if value in (None, "") else f"{name}={value}" for name, value in given.items()]
    if isinstance(given, str):
        return [text for one in given.split(",") if (text := one.strip())]
    if isinstance(given, Collection):
        return list(given)
    msg = f"{where}: {given!r} are no labels; write {{'gpu': 'a100'}}, or a set of texts such as 'gpu=a100'"
    raise TypeError(msg)


def _label(text: Any, where: str) -> str:
    if not isinstance(text, str):
        msg = f"{where}: {text!r} is not a text such as 'gpu' or 'gpu=a100'"
        raise TypeError(msg)
    if _LABEL.fullmatch(text) is None:
        msg = f"{where}: {text!r} is not a label; a name or name=value is, of letters, digits and _.:/@+-"
        raise ValueError(msg)
    return text
