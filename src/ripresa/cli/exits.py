"""Exits: what every error says, and which code the process ends with.

One table for all commands.  An error is one line on stderr that names the run, file or field; its
traceback is shown with `--debug` only.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ripresa.cli import garbage

SUCCEEDED = 0
FAILED = 1
USAGE = 2
QUARANTINED = 3
CANCELLED = 4
STORE = 5
BUG = 70
"""EX_SOFTWARE of sysexits.h: our own mistake."""
INTERRUPTED = 130
BROKEN_PIPE = 141


class UsageProblem(Exception):
    """What was typed, or a file that it names, cannot be understood: mend it."""


class Ended(Exception):
    """The command has said all there is to say and ends with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


_CODES = {
    "RunFailed": FAILED,
    "RunBlocked": FAILED,
    "RunQuarantined": QUARANTINED,
    "RunCancelled": CANCELLED,
    "StoreError": STORE,
    "OSError": STORE,
    "RipresaError": USAGE,
    "UsageProblem": USAGE,
}
"""By the name of the first class in an error's line of descent that stands here; names, so that none is imported."""


def code_of(error: BaseException) -> int:
    """The exit code for an error; BUG if it is none of ours."""
    return next((_CODES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _CODES), BUG)


def reporting(command: Callable[..., None]) -> Callable[..., NoReturn]:
    """The command, ending the process with the right code and never with a traceback."""

    @functools.wraps(command)
    def call(*args: Any, **kwargs: Any) -> NoReturn:
        garbage.look_seldom()
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except Ended as end:
            _leave(end.code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            _leave(BROKEN_PIPE)
        except KeyboardInterrupt:
            say("interrupted")
            _leave(INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - the last one to see it
            _leave(report(error))
        _leave(SUCCEEDED)

    return call


def _leave(code: int) -> NoReturn:
    sys.stdout.flush()
    raise SystemExit(code)


def report(error: Exception) -> int:
    """Tell stderr; return the code to end with."""
    code = code_of(error)
    if debugging():
        import traceback

        traceback.print_exception(error)
    elif code == BUG:
        say(f"error: {type(error).__name__}: {error} (a mistake of ripresa's; --debug shows where)")
    else:
        say(f"error: {error}")
    return code


def debugging() -> bool:
    """Whether tracebacks are wanted."""
    return bool(os.environ.get("RIPRESA_DEBUG"))


def say(text: str) -> None:
    """A line on stderr; one that nobody can read is no error."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        pass
