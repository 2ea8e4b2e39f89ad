"""`did you mean`: the end of a message about a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or the names there are."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(name, names, 1)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f" (there are: {', '.join(sorted(names)) or 'none'})"
