"""`did you mean`: the end of a message about a name that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN_MAX = 20


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or the names there are."""
    from difflib import get_close_matches

    names = list(known)
    near = get_close_matches(name, names, 1)
    if near:
        return f'; did you mean "{near[0]}"?'
    shown = sorted(names)[:_SHOWN_MAX]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    return f" (there are: {', '.join(shown) or 'none'}{more})"
