"""Bytecode as the scan reads it: names, attributes, imports and calls, told alike by every Python.

Which instructions there are changes with each minor version; only this file knows.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any


@dataclass(slots=True)
class Op:
    """One instruction, as far as it matters: `kind` is load, attr, import, from, store, const, call, null or other."""

    kind: str
    line: int
    value: Any = None
    called: bool = False


_SILENT = {"CACHE", "EXTENDED_ARG", "NOP", "PRECALL", "RESUME"}
_KINDS = {
    **dict.fromkeys(("LOAD_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"), "global"),
    **dict.fromkeys(("LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"), "load"),
    **dict.fromkeys(("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW"), "load"),
    **dict.fromkeys(("STORE_FAST", "STORE_DEREF", "STORE_NAME"), "store"),
    **dict.fromkeys(("LOAD_CONST", "LOAD_SMALL_INT"), "const"),
    **dict.fromkeys(("LOAD_ATTR", "LOAD_METHOD"), "attr"),
    "IMPORT_NAME": "import",
    "IMPORT_FROM": "from",
    "CALL": "call",
    "PUSH_NULL": "null",
}
_PAIRS = {
    "LOAD_FAST_LOAD_FAST": ("load", "load"),
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("load", "load"),
    "STORE_FAST_LOAD_FAST": ("store", "load"),
    "STORE_FAST_STORE_FAST": ("store", "store"),
}
_ATTR_TELLS_CALLS = sys.version_info >= (3, 12)  # its lowest bit; LOAD_METHOD said so before


def ops(code: CodeType) -> Iterator[Op]:
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        name, value = instruction.opname, instruction.argval
        if name in _SILENT:
            continue
        positions = instruction.positions
        line = (positions.lineno if positions else None) or line
        if name in _PAIRS:
            yield from (Op(kind, line, item) for kind, item in zip(_PAIRS[name], value, strict=True))
        else:
            yield Op(_KINDS.get(name, "other"), line, value, called=_tells_call(name, instruction.arg or 0))
    yield Op("other", line)


def _tells_call(name: str, argument: int) -> bool:
    if name == "LOAD_GLOBAL" or (name == "LOAD_ATTR" and _ATTR_TELLS_CALLS):
        return bool(argument & 1)
    return name == "LOAD_METHOD"
