"""Events for the commands that publish them, follow them, and decide about dead letters."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import INTERRUPTED, Ended, UsageProblem, say
from ripresa.cli.output import write
from ripresa.cli.process import now_us, on_interrupt
from ripresa.cli.reading import opened
from ripresa.cli.tables import Cell, at, clock, columns, inline
from ripresa.contracts.errors import PayloadError
from ripresa.contracts.event_records import DeadLetterRecord, NotedEventRecord
from ripresa.contracts.payload import dump
from ripresa.ports.events import NotedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ripresa.cli.settings import Settings
    from ripresa.ports.events import DeadLetter
    from ripresa.ports.store import Store

_MANY = 100_000
_LOOK_S = 0.2
_OVERLAP = 1_000
"""Numbers that were given first may be seen last: so many are looked at again."""
_COLOURS = {"dead": "31", "started": "32", "signalled": "32", "delivered": "36", "late": "33", "waiting": "2"}

# --- publishing --------------------------------------------------------------------------------


def data_of(text: str | None) -> Any:
    """The event's data: JSON, `-` for stdin, `@FILE`.  Raises UsageProblem."""
    from ripresa.cli.inputs import json_value

    if text is None:
        return None
    if text == "-":
        return json_value(sys.stdin.read(), "publish -")
    if text.startswith("@"):
        try:
            return json_value(Path(text[1:]).read_text("utf-8"), f"publish {text}")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageProblem(f"publish {text}: {error}") from None
    return json_value(text, "publish")


def checked(set_up: Settings, kind: str, data: Any) -> list[str]:
    """The workflows that such an event starts, by ripresa.toml.  Raises UsageProblem if one refuses the data."""
    rules = () if set_up.events is None else set_up.events.consume
    started = [rule.start for rule in rules if rule.start is not None and rule.wants(kind)]
    if not started or not set_up.workflows:
        return []
    from ripresa.cli.target import all_of
    from ripresa.engine.known import Known

    known = Known(all_of(list(set_up.workflows), set_up.workflows))
    found = []
    for name in dict.fromkeys(started):
        workflow = known.find(name, None)
        if workflow is None:
            continue
        try:
            workflow.encode((data,), {})
        except (PayloadError, TypeError, ValueError) as error:
            raise UsageProblem(
                f"publish {kind}: workflow {name!r}, which it starts, refuses its data: {error}"
            ) from None
        found.append(name)
    return found


async def published(url: str, kind: str, data: Any, *, id: str | None, run: str | None) -> dict[str, Any]:
    """Put an event into the outbox.  Raises RunNotFound, UsageProblem."""
    from ripresa.cli.reading import find
    from ripresa.engine.sources import SystemSources
    from ripresa.ports.rows import Outgoing

    if not kind or len(kind) > 255:
        raise UsageProblem("publish: a type has 1 to 255 characters")
    async with opened(url) as store:
        subject = "" if run is None else (await find(store, run)).id
        name = id or SystemSources().new_id()
        now = await store.time() or now_us()
        await store.publish([Outgoing(name, subject, kind, dump(data), now)])
    return {"id": name, "type": kind, "subject": subject or None, "data": data}


# --- following ---------------------------------------------------------------------------------


async def watch(url: str, *, last: int, count: int | None, as_lines: bool) -> None:
    """Tell what becomes of events, until Ctrl-C or so many were told.  Raises Ended at Ctrl-C."""
    interrupted = on_interrupt()
    told = 0
    async with opened(url) as store:
        follower = _Follower(store)
        await follower.begin(last)
        while not interrupted.done():
            for one in await follower.news():
                _tell(one, as_lines=as_lines)
                told += 1
                if told == count:
                    return
            sys.stdout.flush()
            await asyncio.wait({interrupted}, timeout=_LOOK_S)
    raise Ended(INTERRUPTED)


class _Follower:
    """Finds what is new: notes, and events that wait in the outbox."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._from = 0
        self._seen: set[int] = set()
        self._waiting: set[str] = set()

    async def begin(self, last: int) -> None:
        """Start with so many of those that were noted before."""
        newest = await self._store.last_noted()
        self._from = max(0, newest - last)

    async def news(self) -> list[NotedEventRecord]:
        """What has come since the last look, in order of time."""
        found = [
            row for row in await self._store.noted_events(after=self._from, limit=_MANY) if row[0] not in self._seen
        ]
        self._seen.update(number for number, _ in found)
        newest = max(self._seen, default=0)
        floor = newest - _OVERLAP
        if floor > self._from:
            self._from = floor
            self._seen = {number for number in self._seen if number > floor}
        notes = [note for _, note in found] + await self._newly_waiting()
        return [NotedEventRecord.of(note) for note in sorted(notes, key=lambda note: note.at)]

    async def _newly_waiting(self) -> list[NotedEvent]:
        rows = await self._store.outgoing(limit=_OVERLAP)
        new = [row for row in rows if row.id not in self._waiting]
        self._waiting = {row.id for row in rows}
        return [
            NotedEvent(row.at, "out", "waiting", "outbox", row.id, row.type, row.run or None, row.data) for row in new
        ]


def _tell(one: NotedEventRecord, *, as_lines: bool) -> None:
    if as_lines:
        write(json.dumps(one.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":")))
        return
    arrow = "→" if one.way == "out" else "←"
    cells: list[Cell | str] = [
        Cell(clock(one.at), "2"),
        arrow,
        Cell(f"{one.what:<9}", _COLOURS.get(one.what, "")),
        Cell(one.type or "?", "1"),
        one.event or "",
        one.place,
        one.why or (inline(one.data) if one.data is not None else ""),
    ]
    columns([cells])


# --- dead letters ------------------------------------------------------------------------------


async def dead(url: str, place: str | None, code: str | None, limit: int) -> list[DeadLetterRecord]:
    """Those that fit, the last tried first."""
    async with opened(url) as store:
        return [DeadLetterRecord.of(one) for one in await store.dead_letters(limit=limit, place=place, code=code)]


async def dead_one(url: str, id: str) -> DeadLetterRecord:
    """The one of this id.  Raises UsageProblem."""
    async with opened(url) as store:
        found = await store.dead_letters(limit=1, ids=[id])
        if not found:
            raise UsageProblem(
                f"no dead letter {id!r} in {store.url}: `ripresa events dead list` shows those there are"
            )
        return DeadLetterRecord.of(found[0])


async def decide(
    set_up: Settings,
    verb: str,
    ids: Sequence[str],
    place: str | None,
    code: str | None,
    *,
    every: bool,
    to: str | None = None,
) -> list[str]:
    """Retry or discard these; their ids.  Raises UsageProblem."""
    if bool(ids) == every:
        raise UsageProblem(f"{verb}: name dead letters, or say --all (with --place and --reason, if not quite all)")
    async with opened(set_up.store.value) as store:
        where: dict[str, Any] = {"ids": ids} if ids else {"place": place, "code": code}
        letters = await store.dead_letters(limit=_MANY, **where)
        found = [one.id for one in letters]
        missing = [one for one in ids if one not in found]
        if missing:
            raise UsageProblem(f"no dead letter {', '.join(missing)} in {store.url}; nothing was done")
        if verb == "retry":
            _look_at_places(set_up, letters, to)
            await store.retry_dead(found, now=await store.time() or now_us(), place=to)
        else:
            await store.forget_dead(found)
        return found


def _look_at_places(set_up: Settings, letters: Sequence[DeadLetter], to: str | None) -> None:
    """Say what nobody will retry, as ripresa.toml has its place no more.  Raises UsageProblem for a new one."""
    for way in sorted({one.way for one in letters}) if set_up.events is not None else ():
        known = _places(set_up, way)
        there = f"there {'are' if len(known) > 1 else 'is'} {', '.join(known)}" if known else "there is none"
        if to is not None and to not in known:
            raise UsageProblem(f"retry --to {to}: not a place of ripresa.toml's [events]: {there}; nothing was done")
        gone = sorted({one.place for one in letters if one.way == way} - set(known)) if to is None else []
        for place in gone:
            say(f"{place} is not a place of ripresa.toml's [events] ({there}); if it has moved: retry … --to PLACE")


def _places(set_up: Settings, way: str) -> list[str]:
    """Under which names workers with these settings know where events come from, or go to."""
    from ripresa.buses import open_sink, open_source

    events = set_up.events
    assert events is not None  # noqa: S101 - who asks has seen to it
    try:
        if way == "in":
            return list(dict.fromkeys(open_source(rule).name for rule in events.consume))
        return list(dict.fromkeys(open_sink(target).name for target in events.publish))
    except ValueError as error:
        raise UsageProblem(str(error)) from None


def dead_table(found: Iterable[DeadLetterRecord]) -> None:
    """A line each."""
    rows: list[list[Cell | str]] = [
        [one.id, at(one.at), Cell(one.code, "31"), one.type or "", one.place, str(one.attempts), one.reason]
        for one in found
    ]
    if rows:
        columns(rows, head=("id", "last tried", "reason", "type", "place", "tries", "why"))


def dead_page(one: DeadLetterRecord) -> None:
    """All of one."""
    way = "came from" if one.way == "in" else "was to go to"
    facts: list[tuple[str, Cell | str]] = [
        ("id", one.id),
        (way, one.place),
        ("reason", Cell(one.code, "31")),
        ("why", one.reason),
        ("since", at(one.since)),
        ("last tried", at(one.at)),
        ("tries", str(one.attempts)),
        ("next try", at(one.due) or "when somebody says so"),
    ]
    columns([(Cell(name, "2"), text) for name, text in facts])
    write("")
    shown = json.dumps(one.body, ensure_ascii=False, indent=2) if one.encoding == "json" else str(one.body)
    write(shown if one.encoding != "base64" else f"base64: {shown}")
