"""Output: one value to stdout, in the format that was asked for.

Text is for people and may change; json, yaml and jsonl are for programs and hold the same data.  With
jsonl a list is one line an item.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

from ripresa.cli.options import Format
from ripresa.cli.settings import GIVEN


def chosen(given: Format | None) -> Format:
    """The format asked for, behind the command or before it."""
    return given or GIVEN.format or Format.TEXT


def emit(value: Any, given: Format | None, text: Callable[[], None]) -> None:
    """Write `value`; `text()` writes it for people."""
    ascii_only = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    match chosen(given):
        case Format.TEXT:
            text()
        case Format.JSON:
            write(json.dumps(value, indent=2, ensure_ascii=ascii_only))
        case Format.YAML:
            from ripresa.cli.yaml import to_yaml

            sys.stdout.write(to_yaml(value))
        case Format.JSONL:
            for line in value if isinstance(value, list) else [value]:
                write(json.dumps(line, ensure_ascii=ascii_only, separators=(",", ":")))


def write(text: str) -> None:
    """A line to stdout."""
    sys.stdout.write(f"{text}\n")


def write_lines(lines: Iterable[str]) -> None:
    """Lines to stdout."""
    for line in lines:
        write(line)
