"""The scan: reads a workflow's bytecode for what `guard_table` forbids, before its first run.

    bytecode ──ops──> names and attributes ──chains──> objects ──table──> findings
                                                          └── plain functions of the project: the same again

A chain as `datetime.now` is followed to the object it stands for, so aliases, `from` imports and imports
inside the function are seen, and a module's own `now` is not mistaken for the clock's.  What is reached
through a value (`path.read_text()`) is not seen here; the audit hook in `guard` sees it happen.
"""

from __future__ import annotations

import functools
import os
import site
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from ripresa.kernel.guard_bytecode import Op, ops
from ripresa.kernel.guard_objects import UNKNOWN, Table, attribute, callees, is_a, module_named, plain_function
from ripresa.kernel.guard_table import DICE, FORBIDDEN, ONLY_WITH_ONE_ARGUMENT, ONLY_WITHOUT_ARGUMENTS


@dataclass(frozen=True, slots=True)
class Finding:
    """One expression that workflow code may not hold, and what to do instead."""

    file: str
    line: int
    expression: str
    remedy: str
    function: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.expression} in {self.function}: a replay cannot repeat it; {self.remedy}"
        )


def scan(function: Callable[..., Any]) -> list[Finding]:
    """All that `function`, or a plain function of the same project that it calls, may not do in a workflow."""
    root = plain_function(function)
    if root is None:
        return []
    scanner = _Scanner(root)
    scanner.scan_function(root)
    return list(scanner.findings)


class _Scanner:
    """Goes through one workflow's code and all that it calls in its own project."""

    def __init__(self, root: FunctionType) -> None:
        self.findings: dict[Finding, None] = {}
        self._table = Table()
        self._project = _Project(root)
        self._seen: set[CodeType] = set()

    def scan_function(self, function: FunctionType) -> None:
        if function.__code__ not in self._seen:
            closed_over = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
            known = {name: _content(cell) for name, cell in closed_over}
            self._scan_code(function.__code__, function.__globals__, known)

    def _scan_code(self, code: CodeType, names: dict[str, Any], enclosing: dict[str, Any]) -> None:
        self._seen.add(code)
        walk = _Walk(self, code, names, dict(enclosing))
        walk.run()
        for inner in code.co_consts:
            if isinstance(inner, CodeType) and inner.co_name != "__annotate__":
                self._scan_code(inner, names, walk.bound)

    def judge(self, walk: _Walk, chain: _Chain, owner: Any, name: str, value: Any) -> bool:
        """Note a finding if this is forbidden here; True if it was."""
        ban = self._table.ban(owner, name, value)
        if ban is None or not _applies(ban, chain, value):
            return False
        remedy = DICE if ban == "random.*" else FORBIDDEN[ban]
        finding = Finding(walk.code.co_filename, chain.line, chain.text, remedy, walk.code.co_qualname)
        self.findings[finding] = None
        return True

    def follow(self, value: Any) -> None:
        """Scan what runs when `value` is called, if it belongs to the same project."""
        for function in callees(value):
            if self._project.owns(function):
                self.scan_function(function)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return UNKNOWN


@dataclass(slots=True)
class _Chain:
    """A name with its attributes, and what is done with it."""

    line: int
    text: str = ""
    called: bool = False
    arguments: int | None = None
    """How many it is called with: none, one constant, or not known."""


def _applies(ban: str, chain: _Chain, value: Any) -> bool:
    if ban in ONLY_WITHOUT_ARGUMENTS:
        return chain.arguments == 0
    if ban in ONLY_WITH_ONE_ARGUMENT:
        return chain.arguments == 1
    return chain.called or not is_a(value, type)  # isinstance(error, socket.socket) only asks


_APPLIERS = (map, filter, sorted, min, max, functools.reduce, functools.partial)


class _Walk:
    """One code object, from its first instruction to its last."""

    def __init__(self, scanner: _Scanner, code: CodeType, names: dict[str, Any], bound: dict[str, Any]) -> None:
        self.code = code
        self.bound = bound
        self._scanner = scanner
        self._names = names
        self._ops = list(ops(code))
        self._applier = False

    def run(self) -> None:
        at = 0
        while at < len(self._ops):
            at = self._step(at)

    def _step(self, at: int) -> int:
        op = self._ops[at]
        if op.kind in {"load", "global"}:
            return self._chain(at)
        if op.kind == "import":
            return self._import(at)
        if op.kind == "store":
            self.bound[op.value] = UNKNOWN
        return at + 1

    def _chain(self, at: int) -> int:
        end = at + 1
        while self._ops[end].kind == "attr":
            end += 1
        ops = self._ops[at:end]
        chain = self._described(at, end)
        owner: Any = UNKNOWN
        value = self._look_up(ops[0])
        chain.text = str(ops[0].value)
        judged = self._scanner.judge(self, chain, owner, chain.text, value)
        for op in ops[1:]:
            owner, value = value, attribute(value, op.value)
            if not judged:
                chain.text += f".{op.value}"
                judged = self._scanner.judge(self, chain, owner, op.value, value)
        if chain.called or self._applier:
            self._scanner.follow(value)
        if chain.called:
            self._applier = _applies_functions(value)
        return self._bind(end, UNKNOWN if judged else value)

    def _described(self, at: int, end: int) -> _Chain:
        before = self._ops[at - 1].kind if at else ""
        rest = [op for op in self._ops[end : end + 4] if op.kind != "null"]
        called = any(op.called for op in self._ops[at:end]) or "null" in {before, self._ops[end].kind}
        arguments = None
        if called and rest[0].kind == "call" and rest[0].value == 0:
            arguments = 0
        elif called and rest[0].kind in {"const", "load", "global"} and rest[1].kind == "call" and rest[1].value == 1:
            arguments = 1
        return _Chain(self._ops[end - 1].line, called=called, arguments=arguments)

    def _look_up(self, op: Op) -> Any:
        name = op.value
        if op.kind == "load" and name in self.bound:
            return self.bound[name]
        if op.kind == "load" and name in self.code.co_varnames:
            return UNKNOWN
        built_in = self._names.get("__builtins__", {})
        built_in = vars(built_in) if isinstance(built_in, ModuleType) else built_in
        return self._names.get(name, built_in.get(name, UNKNOWN))

    def _import(self, at: int) -> int:
        name = self._ops[at].value
        from_list, level = self._ops[at - 1].value, self._ops[at - 2].value
        if from_list is None:
            top = module_named(name.partition(".")[0], 0, self._names)
            return self._import_as(at + 1, top) if "." in name else self._bind(at + 1, top)
        module = module_named(name, level or 0, self._names)
        at += 1
        while self._ops[at].kind == "from":
            at = self._bind(at + 1, attribute(module, self._ops[at].value))
        return at

    def _import_as(self, at: int, value: Any) -> int:
        """`import a.b.c as m` takes `b` from `a`, then `c` from that."""
        while self._ops[at].kind in {"from", "other"}:
            if self._ops[at].kind == "from":
                value = attribute(value, self._ops[at].value)
            elif self._ops[at + 1].kind not in {"from", "other"}:
                break
            at += 1
        return self._bind(at, value)

    def _bind(self, at: int, value: Any) -> int:
        if at < len(self._ops) and self._ops[at].kind == "store":
            self.bound[self._ops[at].value] = value
            return at + 1
        return at


def _applies_functions(value: Any) -> bool:
    """`value`, when called, calls a function that it is given."""
    return any(value is applier for applier in _APPLIERS) or (
        is_a(value, FunctionType) and value.__name__ == "wait_until" and value.__module__.partition(".")[0] == "ripresa"
    )


class _Project:
    """Whose code the workflow's is: the same package, or a file beside its own; never the libraries it uses."""

    def __init__(self, root: FunctionType) -> None:
        self._package = _top(root)
        self._folder = Path(root.__code__.co_filename).parent

    def owns(self, function: FunctionType) -> bool:
        file = function.__code__.co_filename
        if file.startswith("<") or _top(function) == "ripresa":
            return False
        return _top(function) == self._package or (Path(file).parent == self._folder and not in_libraries(file))


def _top(function: FunctionType) -> str:
    return (function.__module__ or "").partition(".")[0]


def in_libraries(file: str) -> bool:
    """The file is part of Python, of an installed package, or of ripresa."""
    return file.startswith(_library_folders())


@functools.cache
def _library_folders() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])}
    return ("<frozen ", *(f"{folder}{os.sep}" for folder in folders))
