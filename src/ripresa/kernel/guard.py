"""The guard: workflow code that does what a replay cannot repeat is stopped, and told what to do instead.

Two nets.  `scan` reads a workflow's code before its first run (see `guard_scan`).  `enter` and `leave`
mark a thread as running workflow code; an audit hook then refuses files, sockets, processes, threads and
sleeps there, however they were reached.  Clocks and dice raise no audit event: only the scan sees them,
and so it is with threads on Python 3.11 and with `time.sleep` before 3.13.

What Python itself does on behalf of the code is let through: imports, tracebacks that read source,
warnings, logging handlers, time zone files, finalizers.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ripresa.contracts.errors import ForbiddenInWorkflow
from ripresa.kernel.guard_scan import Finding, in_libraries, scan
from ripresa.kernel.guard_table import EVENT_FAMILIES, EVENTS

__all__ = ["Finding", "enter", "guarded", "install", "leave", "scan"]

_guarded: list[int] = []
"""Threads that run workflow code, each as often as it has entered; seldom more than one."""

_installed: list[bool] = []

_TRUSTED = (
    *("importlib", "zipimport", "linecache", "traceback", "warnings", "logging", "weakref", "zoneinfo"),
    *("pdb", "bdb", "ipdb", "IPython", "pudb", "debugpy", "_pydevd_bundle", "_pydev_bundle", "pydevd"),
    *("loguru", "structlog"),
)
"""Modules that may do I/O on behalf of workflow code, for it never sees what they read or write."""


def enter() -> None:
    """Workflow code begins to run in this thread."""
    _guarded.append(get_ident())


def leave() -> None:
    """It has returned."""
    _guarded.remove(get_ident())


@contextmanager
def guarded() -> Iterator[None]:
    """`enter` and `leave` around a block."""
    enter()
    try:
        yield
    finally:
        leave()


def install() -> None:
    """Have guarded threads watched from now on; Python cannot take an audit hook back.  Again is fine."""
    if not _installed:
        _installed.append(True)
        in_libraries("")  # looked up now, not when workflow code runs
        sys.addaudithook(_hook)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _guarded or get_ident() not in _guarded:
        return
    known = EVENTS.get(event)
    if known is None:
        family = event.partition(".")[0]
        if family not in EVENT_FAMILIES:
            return
        known = event, EVENT_FAMILIES[family]
    if not _is_on_behalf(event, args):
        raise ForbiddenInWorkflow(_message(*known, args))


def _is_on_behalf(event: str, args: tuple[Any, ...]) -> bool:
    if event == "open" and (isinstance(args[0], int) or _is_time_zone(args[0])):
        return True
    return any(
        frame.f_globals.get("__name__", "").partition(".")[0] in _TRUSTED or frame.f_code.co_name == "__del__"
        for frame in _frames()
    )


def _is_time_zone(path: Any) -> bool:
    """`ZoneInfo` opens its file from C, so no frame tells."""
    folders = getattr(sys.modules.get("zoneinfo"), "TZPATH", ())  # it has none yet while it is imported
    return str(path).startswith(tuple(f"{folder}{os.sep}" for folder in folders))


_DRIVING = frozenset(f"ripresa.kernel.{name}" for name in ("ending", "live", "loop"))
"""The kernel's modules that call workflow code."""


def _frames() -> Iterator[FrameType]:
    """From what was called back to where the kernel called the workflow; what is below is not the code's doing."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") not in _DRIVING:
        if frame.f_code.co_filename != __file__:
            yield frame
        frame = frame.f_back


def _message(call: str, remedy: str, args: tuple[Any, ...]) -> str:
    what = f"{call}({args[0]!r:.200})" if args and isinstance(args[0], str | bytes) else call
    frames = list(_frames())
    own = next((frame for frame in frames if not in_libraries(frame.f_code.co_filename)), frames[0] if frames else None)
    where = "" if own is None else f" at {own.f_code.co_filename}:{own.f_lineno} in {own.f_code.co_qualname}"
    return f"{what} in workflow code{where}: a replay cannot repeat it; {remedy}"
