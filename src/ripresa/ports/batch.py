"""A batch: all that one engine writes at once.

Invariant: it is written wholly or not at all, and only while the writing engine's lease is unbroken, so that whatever
a reader sees was true at one moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripresa.ports.effects import Effect
    from ripresa.ports.needs import Need
    from ripresa.ports.pools import Freed
    from ripresa.ports.rows import (
        Attempt,
        Definition,
        HistoryEvent,
        LogLine,
        Message,
        Micros,
        NewRun,
        Outgoing,
        Quality,
        Ready,
        RunChange,
    )
    from ripresa.ports.tasks import Task


@dataclass(slots=True)
class Batch:
    """All that one engine writes at once.

    Changes to one run take effect in order, after it is created; `unready` goes before `ready`, `messages` before
    `taken`.
    """

    number: int
    """Counts up by one per engine; answers whether a broken commit took effect."""
    at: Micros
    runs: list[NewRun] = field(default_factory=list)
    changes: list[RunChange] = field(default_factory=list)
    history: list[HistoryEvent] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    ready: list[Ready] = field(default_factory=list)
    unready: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    """Ids of messages that the journal now holds, and that are not kept any longer; unknown ones are passed over."""
    outgoing: list[Outgoing] = field(default_factory=list)
    logs: list[LogLine] = field(default_factory=list)
    tags: list[tuple[str, str, str]] = field(default_factory=list)
    """(run, name, value)"""
    definitions: list[Definition] = field(default_factory=list)
    quality: list[Quality] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    """Effects that have happened, with their output."""
    given_up: list[tuple[str, str]] = field(default_factory=list)
    """(effect, holder): who held it does not do it after all; nothing happens to one that has happened."""
    leaving: list[tuple[str, Micros]] = field(default_factory=list)
    """Runs that have ended and give up their place, and when; whoever is first in line then is made ready."""
    needs: list[Need] = field(default_factory=list)
    """Steps that need an engine with labels; one that is known keeps its `since`."""
    needless: list[tuple[str, str]] = field(default_factory=list)
    """(run, operation) of steps that do so no more, before `needs`; unknown ones are passed over."""
    freed: list[Freed] = field(default_factory=list)
    """Slots of pools that are free again, and tickets that wait no more; unknown ones are passed over."""
    tasks: list[Task] = field(default_factory=list)
    """Attempts for workers elsewhere; one whose id is known begins anew, and who had it has lost it."""
    tasks_done: list[str] = field(default_factory=list)
    """Ids of tasks that are no more, after `tasks`; unknown ones are passed over."""
