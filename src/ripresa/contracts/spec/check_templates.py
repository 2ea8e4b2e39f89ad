"""Templates: only where the contract takes them, never in code, and naming only what there is.

How templates are written is not known here: whoever loads a definition hands in the function that reads them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from ripresa.contracts.errors import TemplateError
from ripresa.contracts.problems import PROBLEMS_MAX, Problem
from ripresa.contracts.reading.document import Path
from ripresa.contracts.spec.sources import Sources
from ripresa.contracts.spec.strings import String, entries_of, takes_template

MARK = re.compile(r"\{\{|\{%|\{#")
_STRICT_MARK = re.compile(r"\{\{|\{%(?!\w*[}%])")
_PLACES = (
    "templates stand in args, params, env values, pool_key, with, when, if, for_each, idempotency_key, concurrency.key,"
    " output"
)


class ReferenceLike(Protocol):
    """What a template reads: `("steps", "extract", "output")`; `optional`: a default covers it."""

    @property
    def path(self) -> tuple[str, ...]: ...
    @property
    def optional(self) -> bool: ...


class TemplateLike(Protocol):
    """A template that was read."""

    @property
    def references(self) -> Sequence[ReferenceLike]: ...


ReadTemplate = Callable[[str], TemplateLike]
"""Reads a template; raises TemplateError.  `author.templates.Template.parse` is one."""


def misplaced(sources: Sources, strings: list[String]) -> Iterator[Problem]:
    """Templates where none may stand: in names, images, keys, commands."""
    for path, text, is_key in strings:
        if "{" not in text or path[-1:] == ("description",):
            continue
        if (is_key or not takes_template(path)) and _STRICT_MARK.search(text):
            yield sources.problem("template_misplaced", "no template may stand here", _PLACES, path, key=is_key)


def templates_of(
    sources: Sources, strings: list[String], read: ReadTemplate
) -> Iterator[tuple[Path, TemplateLike | Problem]]:
    """Every template with its path: what it was read as, or the Problem that it is; after many problems, no more."""
    left = PROBLEMS_MAX
    for path, text, is_key in strings:
        if is_key or not takes_template(path) or not MARK.search(text):
            continue
        try:
            yield path, read(text)
        except TemplateError as error:
            place = f" (line {error.line}, column {error.column} of the text)" if error.line is not None else ""
            yield path, sources.problem(error.code, f"{error.problem}{place}", error.remedy, path)
            left -= 1
            if not left:
                return


# --- templates in code -------------------------------------------------------------------------------

_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "rbash", "busybox"))
_LANGUAGES = {"python": "-c", "perl": "-e", "ruby": "-e", "node": "-e", "nodejs": "-e", "php": "-r", "pwsh": "-c"}
_VERSIONED = re.compile(r"(?P<name>[a-z]+)[0-9.]*\Z")


def in_code(sources: Sources) -> Iterator[Problem]:
    """Templates within the script of `sh -c` and its kind, where a value would become code."""
    places = list(entries_of(sources.value))
    jobs = [((*path, "job"), entry.get("job")) for path, entry in places]
    if isinstance(sources.value, dict):
        jobs.append((("job",), sources.value.get("job")))
    for path, job in jobs:
        if isinstance(job, dict):
            for field, index, program in _scripts(job):
                yield sources.problem(
                    "shell_interpolation",
                    f"a template within the script of {program} would make code of a value",
                    'pass the value in env: as NAME: "{{ … }}", and write "$NAME" in the script',
                    (*path, field, index),
                )


def _scripts(job: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    """Script arguments that hold templates: field, index, program."""
    words = [
        (field, index, word)
        for field in ("command", "args")
        for index, word in enumerate(_list(job.get(field)))
        if isinstance(word, str)
    ]
    program = ""
    after_flag = False
    for field, index, word in words:
        if after_flag and not word.startswith("-"):
            if MARK.search(word):
                yield field, index, program
            program, after_flag = "", False
        elif program and word.startswith("-"):
            after_flag = after_flag or _begins_script(program, word)
        else:
            program = _program(word) or program


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _program(word: str) -> str:
    name = posixpath.basename(word)
    found = _VERSIONED.match(name)
    return name if found and (found["name"] in _SHELLS or found["name"] in _LANGUAGES) else ""


def _begins_script(program: str, flag: str) -> bool:
    found = _VERSIONED.match(program)
    wanted = _LANGUAGES.get(found["name"] if found else "", "-c")
    short = flag.startswith("-") and not flag.startswith("--") and wanted[1] in flag[1:]
    return short or flag in {"--eval", "--command", "-Command"}
