"""Bans: what the deterministic floors may not touch.

`kernel` decides and `author` describes; replaying either must give the same answer on any day and on any machine.  So
they read no clock, roll no dice and open nothing: what they need of the world comes in as an argument, and what they
want of it goes out as a command.  This script reads their syntax trees and reports every import and every use of a name
below, whether it is called or only handed on (`default_factory=datetime.now` reads the clock as well as a call does).
Strings are not uses: a table that names such functions to forbid them to others stays free to do so.

A line that must name one all the same says why, in a comment that this script reads; a comment that excuses nothing is
reported too:

    import threading  # bans: named in the table of what workflow code may not call

What it cannot see is a name reached in disguise (`getattr(time, "ti" + "me")`); the replay tests are there for that.
"""

import ast
import builtins
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FLOORS = ("src/ripresa/kernel", "src/ripresa/author")

CLOCK = "take `now` as an argument"
DICE = "take the value, or a seeded `random.Random`, as an argument"
WORLD = "do it in a step, a runtime or a store, and take the outcome as an event"
WAIT = "wait on a future that an event of the history resolves"
SETTINGS = "read settings at the edge and hand them down as a value"

MODULES = {
    "aiohttp": WORLD,
    "asyncpg": WORLD,
    "concurrent.futures": WORLD,
    "ftplib": WORLD,
    "http.client": WORLD,
    "http.server": WORLD,
    "httpx": WORLD,
    "multiprocessing": WORLD,
    "psycopg": WORLD,
    "requests": WORLD,
    "secrets": DICE,
    "select": WORLD,
    "selectors": WORLD,
    "shutil": WORLD,
    "signal": WORLD,
    "smtplib": WORLD,
    "socket": WORLD,
    "sqlite3": WORLD,
    "ssl": WORLD,
    "subprocess": WORLD,
    "tempfile": WORLD,
    "threading": WORLD,
    "urllib.request": WORLD,
    "urllib3": WORLD,
}
"""May not be imported at all; a name stands for its submodules too."""

NAMES = {
    "asyncio.create_subprocess_exec": WORLD,
    "asyncio.create_subprocess_shell": WORLD,
    "asyncio.open_connection": WORLD,
    "asyncio.open_unix_connection": WORLD,
    "asyncio.run": WAIT,
    "asyncio.Runner": WAIT,
    "asyncio.sleep": WAIT,
    "asyncio.start_server": WORLD,
    "asyncio.start_unix_server": WORLD,
    "asyncio.subprocess.*": WORLD,
    "asyncio.to_thread": WORLD,
    "builtins.input": WORLD,
    "builtins.open": WORLD,
    "codecs.open": WORLD,
    "datetime.date.today": CLOCK,
    "datetime.datetime.now": CLOCK,
    "datetime.datetime.today": CLOCK,
    "datetime.datetime.utcnow": CLOCK,
    "io.FileIO": WORLD,
    "io.open": WORLD,
    "io.open_code": WORLD,
    "os.environ": SETTINGS,
    "os.environb": SETTINGS,
    "os.fork": WORLD,
    "os.getenv": SETTINGS,
    "os.getpid": DICE,
    "os.getrandom": DICE,
    "os.listdir": WORLD,
    "os.open": WORLD,
    "os.popen": WORLD,
    "os.scandir": WORLD,
    "os.system": WORLD,
    "os.times": CLOCK,
    "os.urandom": DICE,
    "os.walk": WORLD,
    "pathlib.Path.cwd": WORLD,
    "pathlib.Path.home": WORLD,
    "random.*": DICE,
    "time.*": CLOCK,
    "uuid.getnode": DICE,
    "uuid.uuid1": DICE,
    "uuid.uuid4": DICE,
    "uuid.uuid6": DICE,
    "uuid.uuid7": DICE,
}
"""May not be used; `module.*` is every name of the module but those in SPARED."""

METHODS = dict.fromkeys(("read_bytes", "read_text", "write_bytes", "write_text"), WORLD)
"""May not be called on anything: nothing but a path has them."""

SPARED = {"random.Random", "time.struct_time"}

COMMENT = re.compile(r"#\s*bans:(?P<reason>.*)")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One line that breaks a ban, and what to do instead."""

    path: str
    line: int
    problem: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.problem}"


def check(source: str, path: str = "<source>") -> list[Finding]:
    """All findings in one module's source that no comment excuses, in order of lines."""
    excuses = _excuses(source)
    found = sorted({Finding(path, line, problem) for line, problem in _breaches(ast.parse(source, path))})
    excused = {finding.line for finding in found} & excuses.keys()
    left = [finding for finding in found if finding.line not in excused]
    left += [Finding(path, line, "`# bans:` excuses nothing here: remove it") for line in excuses.keys() - excused]
    left += [Finding(path, line, "`# bans:` needs a reason") for line in excused if not excuses[line]]
    return sorted(left)


def _excuses(source: str) -> dict[int, str]:
    """Lines with a `# bans:` comment, and the reason that each gives."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    matches = ((token.start[0], COMMENT.match(token.string)) for token in tokens if token.type == tokenize.COMMENT)
    return {line: match["reason"].strip() for line, match in matches if match}


def _breaches(tree: ast.Module) -> Iterator[tuple[int, str]]:
    known = _imported_names(tree)
    own = {name.id for name in ast.walk(tree) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from _banned_imports(node)
            case ast.Attribute() | ast.Name():
                yield from _banned_name(node, known, own)
            case ast.Call():
                yield from _banned_call(node, known)
            case _:
                pass


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What each imported name stands for: `{"dt": "datetime.datetime"}` after `from datetime import datetime as dt`."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def _banned_imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if ban := _ban_of_module(alias.name):
                yield alias.lineno, ban
        return
    if node.level:
        return
    for alias in node.names:
        name = f"{node.module}.{alias.name}"
        if alias.name == "*" and any(banned.startswith(f"{node.module}.") for banned in NAMES):
            yield alias.lineno, f"`from {node.module} import *` hides what is used: import the names"
        elif ban := _ban_of_module(name) or _ban_of_name(name):
            yield alias.lineno, ban


def _banned_name(node: ast.Attribute | ast.Name, known: Mapping[str, str], own: set[str]) -> Iterator[tuple[int, str]]:
    if isinstance(node, ast.Name) and node.id in known:
        return  # its import has been judged
    if isinstance(node, ast.Name) and node.id not in own and hasattr(builtins, node.id):
        name = f"builtins.{node.id}"
    else:
        name = _dotted(node, known)
    if ban := _ban_of_module(name) or _ban_of_name(name):
        yield node.end_lineno or node.lineno, ban


def _banned_call(node: ast.Call, known: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    line = node.func.end_lineno or node.lineno
    if _dotted(node.func, known) == "random.Random" and not node.args and not node.keywords:
        yield line, f"`random.Random()` without a seed rolls dice: {DICE}"
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield line, f"`.{node.func.attr}()` is banned here: {METHODS[node.func.attr]}"


def _dotted(node: ast.expr, known: Mapping[str, str]) -> str:
    """The full name that an expression stands for, or "" when it does not start at an import."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, known)):
        return f"{owner}.{node.attr}"
    return ""


def _ban_of_module(name: str) -> str:
    for banned, advice in MODULES.items():
        if name == banned or name.startswith(f"{banned}."):
            return f"`{banned}` is banned here: {advice}"
    return ""


def _ban_of_name(name: str) -> str:
    if not name or name in SPARED or any(name.startswith(f"{spared}.") for spared in SPARED):
        return ""
    advice = NAMES.get(name) or NAMES.get(f"{name.rpartition('.')[0]}.*")
    return f"`{name.removeprefix('builtins.')}` is banned here: {advice}" if advice else ""


def main(arguments: Sequence[str]) -> int:
    """Check the given folders, or the deterministic floors; 1 if anything was found, 2 if there is nothing to check."""
    folders = [Path(folder) for folder in arguments or FLOORS]
    if missing := [folder for folder in folders if not folder.is_dir()]:
        print(f"bans: no such folder: {', '.join(map(str, missing))}")
        return 2
    files = [file for folder in folders for file in sorted(folder.rglob("*.py"))]
    findings = [finding for file in files for finding in check(file.read_text(encoding="utf-8"), str(file))]
    for finding in findings:
        print(finding)
    print(f"bans: {len(files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
