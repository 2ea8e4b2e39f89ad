"""Printable: what jobs and steps wrote, made safe to show on a terminal."""

from __future__ import annotations

import re

_OWN_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


def printable(text: str) -> str:
    """The text without colours of its own, and without what would move the cursor or rename the terminal.

    Tabs stay; other control characters, and those that change the direction of writing, are shown by their code.
    """
    plain = _OWN_COLOURS.sub("", text).rstrip("\r")
    if plain.isprintable():
        return plain
    return "".join(one if one.isprintable() or one == "\t" else _code(one) for one in plain)


def _code(character: str) -> str:
    return character.encode("unicode_escape").decode()
