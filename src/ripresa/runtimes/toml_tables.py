"""Tables of `ripresa.toml`, read strictly: an unknown field is an error that names the nearest known one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def table(told: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """The table of this name, empty if there is none.  Raises ValueError if it is something else."""
    value = told.get(name, {})
    if not isinstance(value, Mapping):
        place = f"{where}.{name}" if where else name
        raise ValueError(  # noqa: TRY004 - a value in a file, not an argument
            f"{place}: {value!r} is not a table; write [{place}]"
        )
    return dict(value)


def only(told: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raise ValueError for a field that is not known, with the nearest that is."""
    for name in told:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(known)})"
            raise ValueError(f"{where}.{name}: unknown field{hint}")
