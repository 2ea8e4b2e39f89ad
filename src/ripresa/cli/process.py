"""This process as a place to execute: its signals, its streams, its logging, its App."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from ripresa.cli import garbage
from ripresa.cli.exits import INTERRUPTED, UsageProblem, say
from ripresa.cli.reading import store_at
from ripresa.contracts.step_context import STEP_CONTEXT

if TYPE_CHECKING:
    from ripresa.cli.settings import Settings
    from ripresa.engine.app import App


_PATIENCE_S = 0.5
_PATIENCE = "detaching: what is under way gets a moment to tidy up; Ctrl-C again stops at once"


def now_us() -> int:
    """The wall clock, in a store's measure."""
    return time.time_ns() // 1000


def app_of(set_up: Settings, workflows: list[Any], *, consumes: bool = False) -> App:
    """An App, not yet open, on the store of these settings; it takes events only if it `consumes`.

    Raises UsageProblem for settings out of range.
    """
    from ripresa.engine.app import App

    config = {name: value.value for name, value in set_up.engine.items()}
    garbage.look_as_ever()
    events = set_up.events
    if events is not None and not consumes:
        events = replace(events, consume=())
    try:
        return App(store_at(set_up.store.value), workflows, config=config, pools=set_up.pools, events=events)
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def on_interrupt(patience: str = _PATIENCE) -> asyncio.Future[None]:
    """A future that Ctrl-C or SIGTERM resolves; the next one ends the process at once.

    `patience` is what is said if that takes its time.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def first() -> None:
        if future.done():
            _stop_at_once()
        future.set_result(None)
        loop.call_later(_PATIENCE_S, say, patience)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: _stop_at_once())  # even if the loop is held up

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first)
    return future


def _stop_at_once() -> NoReturn:
    if sys.stderr.isatty():
        os.write(2, b"\033[?25h\r\n")  # the live tree hides the cursor
    os.write(2, b"stopped at once; the run stays in the store\n")
    os._exit(INTERRUPTED)


@contextmanager
def steps_write_to_stderr() -> Iterator[None]:
    """What steps print, or have printed, goes to stderr, and so do warnings: stdout is for the result alone."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    getattr(sys.stdout, "reconfigure", lambda **_: None)(line_buffering=True)
    notes, root = _Notes(), logging.getLogger()
    level = root.level
    root.addHandler(notes)
    root.setLevel(min(level, logging.INFO))  # what steps log is kept with the run
    try:
        yield
    finally:
        root.removeHandler(notes)
        root.setLevel(level)
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)


class _Notes(logging.Handler):
    """Warnings from outside of steps, a line each; what steps log is kept with the run and shown there."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if STEP_CONTEXT.get() is None:
            say(f"{record.levelname.lower()}: {record.getMessage()}")
