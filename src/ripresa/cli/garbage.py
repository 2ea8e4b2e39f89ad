"""Garbage: none is looked for while a command is loaded, seldom while a short one works, as ever in one that stays.

What is loaded is there to stay, and looking through all of it, time and again as it grows, is a fifth of what a short
command takes.
"""

from __future__ import annotations

import gc

_SELDOM = 200_000
"""New objects between two looks."""
_USUAL = gc.get_threshold()


def do_not_look() -> None:
    """Until one of the others is called."""
    gc.disable()


def look_seldom() -> None:
    """The command begins: it loads what it needs, and may come upon a lot of data."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])
    gc.enable()


def look_as_ever() -> None:
    """The command may stay for long; what is loaded by now is no garbage."""
    gc.freeze()
    gc.set_threshold(*_USUAL)
    gc.enable()
