"""Log lines: what a run's steps wrote and logged, chosen, told as text or data, and followed until the run stops.

The lines come from the store, so they can be followed from any process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

from ripresa.cli.exits import INTERRUPTED, Ended, UsageProblem, say
from ripresa.cli.printable import printable
from ripresa.cli.process import on_interrupt
from ripresa.cli.reading import find, opened
from ripresa.cli.result import HALTED
from ripresa.cli.screen import wants_colour
from ripresa.cli.sending import engine_of
from ripresa.contracts.records import LogRecord
from ripresa.contracts.status import TERMINAL

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store

POLL_S = 0.2
Stream = Literal["stdout", "stderr", "log"]
STREAMS: Final[tuple[Stream, ...]] = ("stdout", "stderr", "log")
_COLOURS = ("36", "35", "34", "33", "32", "96", "95", "94", "93", "92")
_LEVEL_COLOURS = {"stderr": "31", "warning": "33", "error": "31", "critical": "1;31"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines: of a job or step (every call of it, or one operation), an attempt, a stream, from a moment on."""

    job: str | None = None
    attempt: int | None = None
    stream: str | None = None
    since: datetime | None = None
    children: bool = False
    """Those of the runs that it started too, and of those that they started."""

    def has(self, line: LogRecord) -> bool:
        """Whether the line is one of them."""
        return (
            (self.job is None or _is_of(line.operation or "", self.job))
            and self.attempt in (None, line.attempt)
            and self.stream in (None, line.stream)
            and (self.since is None or line.at >= self.since)
        )


def _is_of(operation: str, job: str) -> bool:
    """`resize` means every call of it: `resize`, `resize#2`, `resize[3]`, `item[3]/resize`."""
    return operation == job or _step_of(operation) == job


def _step_of(operation: str) -> str:
    return operation.rpartition("/")[2].partition("#")[0].partition("[")[0]


def since_of(text: str | None, *, now: datetime) -> datetime | None:
    """A moment (local, if it has no offset), or a duration back from `now`.  Raises UsageProblem."""
    from ripresa.contracts.durations import micros

    if text is None:
        return None
    try:
        return now - timedelta(microseconds=micros(text))
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageProblem(f"--since {text}: write a span as 10m, or a moment as 2026-01-31T06:00:00") from None


# --- from the store ----------------------------------------------------------------------------


async def lines(url: str, ref: str, wanted: Wanted) -> list[LogRecord]:
    """The lines that there are.  Raises RunNotFound, StoreError."""
    async with opened(url) as store:
        found, _ = await Sources(store, await find(store, ref), children=wanted.children).news()
        return [line for line in found if wanted.has(line)]


async def why_none(url: str, ref: str, wanted: Wanted) -> str:
    """What to tell of a run of which no line was found.  Raises RunNotFound, UsageProblem, StoreError."""
    from ripresa.cli.nearest import did_you_mean

    async with opened(url) as store:
        run = await find(store, ref)
        operations = {event.operation for event in await store.history(run.id)}
        operations |= {attempt.operation for attempt in await store.attempts(run.id)}
        steps = {_step_of(one) for one in operations if one}
        ended = run.status in TERMINAL and not wanted.children
        if wanted.job is not None and ended and wanted.job not in steps | operations:
            raise UsageProblem(f"--job {wanted.job}: run {ref!r} had no such step{did_you_mean(wanted.job, steps)}")
    some = any((wanted.job, wanted.attempt, wanted.stream, wanted.since))
    return f"run {ref}: no such line" if some else f"run {ref} has logged nothing"


async def follow(url: str, ref: str, wanted: Wanted, tell: Callable[[LogRecord], None]) -> None:
    """Tell each line as it comes, until the run stops.  Raises RunNotFound, StoreError; Ended on Ctrl-C."""
    interrupted = on_interrupt()
    async with opened(url) as store:
        run = await find(store, ref)
        if run.status not in HALTED and await engine_of(store) is None:
            say("no engine runs: nothing will move until one does")
        following = asyncio.ensure_future(_told(Sources(store, run, children=wanted.children), wanted, tell))
        either: set[asyncio.Future[Any]] = {following, interrupted}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
            return
        following.cancel()
    say(f"no longer following run {run.key or run.id}; it is not touched by this")
    raise Ended(INTERRUPTED)


async def _told(sources: Sources, wanted: Wanted, tell: Callable[[LogRecord], None]) -> None:
    halted = False
    while not halted:
        found, halted = await sources.news()
        for line in found:
            if wanted.has(line):
                tell(line)
        sys.stdout.flush()
        if not halted:
            await asyncio.sleep(POLL_S)


class Sources:
    """Where lines come from: a run, and its descendants if they are wanted."""

    def __init__(self, store: Store, root: Run, *, children: bool = False) -> None:
        self._store = store
        self._root = root.id
        self._children = children
        self._before: dict[str, str] = {root.id: ""}
        """What goes before the operations of each run that is known: those that lead to it."""
        self._open: dict[str, int] = {root.id: 0}
        """The number of the last line seen of each run that may write more."""

    async def news(self) -> tuple[list[LogRecord], bool]:
        """The lines that have come since the last call, in order; and whether the run had stopped before."""
        found: list[LogRecord] = []
        halted = False
        coming = list(self._open)
        for run in coming:  # which grows
            status = (await find(self._store, run)).status  # before its lines: what it wrote last is not missed
            if self._children:
                coming += await self._learn(run)
            found += await self._new_lines(run)
            if run == self._root:
                halted = status in HALTED
            elif status in TERMINAL:
                del self._open[run]
        if self._children:
            found.sort(key=lambda line: (line.at, line.number))
        return found, halted

    async def _learn(self, run: str) -> list[str]:
        """Children of this run that were not known."""
        new = [child for child in await self._store.children(run) if child.id not in self._before]
        for child in new:
            operation = (child.parent_operation or "").partition(":")[2] or child.key or child.definition
            self._before[child.id] = f"{self._before[run]}{operation}/"
            self._open[child.id] = 0
        return [child.id for child in new]

    async def _new_lines(self, run: str) -> list[LogRecord]:
        lines = [LogRecord.of(number, line) for number, line in await self._store.logs(run, after=self._open[run])]
        if lines:
            self._open[run] = lines[-1].number
        before = self._before[run]
        return (
            [one.model_copy(update={"operation": f"{before}{one.operation or ''}"}) for one in lines]
            if before
            else lines
        )


# --- as text -----------------------------------------------------------------------------------


class LinePrinter:
    """Tells lines as text: time, who wrote it, where it came from, the text.  To stdout, or `out`.

    Each job has a colour of its own, on a terminal that wants colours, as soon as there are several.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._coloured = wants_colour(self._out)
        self._colours: dict[str, str] = {}

    def tell(self, line: LogRecord) -> None:
        """One line."""
        self._out.write(f"{self.text(line)}\n")

    def tell_all(self, found: Iterable[LogRecord]) -> None:
        """Many."""
        for line in found:
            self.tell(line)

    def text(self, line: LogRecord) -> str:
        """The line as it is shown."""
        who = line.operation or ""
        again = f" ({line.attempt})" if (line.attempt or 1) > 1 else ""
        source = (line.level or "log") if line.stream == "log" else line.stream
        parts = [
            self._in("2", f"{line.at.astimezone():%H:%M:%S}"),
            self._in(self._colour_of(who), f"{who}{again}"),
            *([] if source == "stdout" else [self._in(_LEVEL_COLOURS.get(source, "2"), source)]),
            self._in("2", "|"),
            printable(line.text),
        ]
        return " ".join(part for part in parts if part)

    def _colour_of(self, who: str) -> str:
        job = who.rpartition("/")[2].partition("#")[0].partition("[")[0]
        return self._colours.setdefault(job, _COLOURS[len(self._colours) % len(_COLOURS)])

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._coloured and text else text
