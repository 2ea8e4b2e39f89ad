"""Names: the variables that a template may use, and the end of a message about one that it may not."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

DATES = ("execution_date", "prev_execution_date", "next_execution_date", "data_interval_start", "data_interval_end")
"""Moments: `| date("…")` writes them in any other form."""
TEXTS = ("ds", "ts", "run_id")
VARIABLES = (*DATES, *TEXTS, "params", "config", "steps", "item", "index")
"""All names that a template may begin with."""

_LISTED_MAX = 20
_CONSIDERED_MAX = 1_000


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """`did you mean "x"?`, or the names there are."""
    from difflib import get_close_matches  # noqa: PLC0415 - only for a message

    names = sorted(map(str, islice(known, _CONSIDERED_MAX)))
    near = get_close_matches(str(name)[:100], names, 1)
    if near:
        return f'did you mean "{near[0]}"?'
    more = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    return f"there are: {', '.join(names[:_LISTED_MAX]) or 'none'}{more}"
