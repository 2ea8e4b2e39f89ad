"""Advice: what a definition may say, and hardly means; it is told, and refuses nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ripresa.contracts.problems import Problem
from ripresa.contracts.spec.loading import Loaded
from ripresa.contracts.spec.strings import strings_of, within_work

_OF_OTHERS = re.compile(r"\s{0,9}\{\{[^}]{0,4096}\b(?:params|steps|item|config)\b")
"""A template at the beginning of a text, whose value somebody else gives: who starts the run, or a job before."""


def advice_of(loaded: Loaded[Any]) -> Iterator[Problem]:
    """What is worth another look, with its place."""
    for path, text, is_key in strings_of(loaded.sources.value):
        work = within_work(path)
        if is_key or work is None or work[1][:1] != ("args",) or not _OF_OTHERS.match(text):
            continue
        before = loaded.sources.at(path[:-1])[: path[-1]]
        if "--" not in before:
            yield loaded.sources.problem(
                "may_be_an_option",
                "its value may begin with `-`, and be read as an option",
                "write --name={{ … }} as one argument, or put -- before it",
                path,
            )
