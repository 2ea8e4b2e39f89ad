"""Dockerfile: what ENTRYPOINT and CMD say that a container starts – nothing else is read of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_WORD = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_ESCAPE = re.compile(r"#\s*escape\s*=\s*([`\\])\s*", re.IGNORECASE)
SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, slots=True)
class Start:
    """What a container of the last stage starts.  An entry point in shell form takes no arguments."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    entrypoint_is_shell: bool = False

    def argv(self, args: tuple[str, ...]) -> tuple[str, ...]:
        """What to execute: the entry point with `args`, else with CMD, as Docker puts them together."""
        if self.entrypoint_is_shell:
            return self.entrypoint
        return self.entrypoint + (args or self.cmd)


def start_of(text: str) -> Start:
    """The start that a Dockerfile's text describes.  Raises ValueError for JSON that is no list of texts."""
    shell: tuple[str, ...] = SHELL
    start = Start()
    for word, rest in _instructions(text):
        if word == "FROM":
            shell, start = SHELL, Start()
        elif word == "SHELL":
            shell = _exec_form(rest) or shell
        elif word == "CMD":
            start = Start(start.entrypoint, _exec_form(rest) or (*shell, rest), start.entrypoint_is_shell)
        elif word == "ENTRYPOINT":
            listed = _exec_form(rest)
            start = Start(listed or (*shell, rest), start.cmd, entrypoint_is_shell=listed is None)
    return start


def _exec_form(rest: str) -> tuple[str, ...] | None:
    """The texts of `["a", "b"]`; None: it is in shell form."""
    if not rest.startswith("["):
        return None
    try:
        listed = json.loads(rest)
    except ValueError:
        return None  # as Docker has it: what is no JSON is for the shell
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise ValueError(f"Dockerfile: {rest!r} is not a list of texts")
    return tuple(listed)


def _instructions(text: str) -> list[tuple[str, str]]:
    """Words and their rests; comments left out, continued lines joined."""
    found: list[tuple[str, str]] = []
    escape = "\\"
    if directive := _ESCAPE.match(text.partition("\n")[0]):
        escape = directive[1]
    joined = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or (joined and not line.strip()):
            continue
        joined += line
        if line.rstrip().endswith(escape):
            joined = joined.rstrip().removesuffix(escape)
            continue
        if instruction := _WORD.fullmatch(joined):
            found.append((instruction[1].upper(), instruction[2].strip()))
        joined = ""
    return found
