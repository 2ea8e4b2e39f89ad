"""The part of the store port for events: those put out from outside, those that came to nothing, and what was noted.

A *dead letter* is an event that nobody could take: one that came and that no rule could make anything of, or one that
went to a target which refused it.  It is kept as it was, with the reason, until somebody retries or discards it.

    event ─> cannot be taken ─> dead letter: due at a time ─> tried again ─> taken: gone
                                     │                             └── cannot be taken: later, or
                                     └── due never: it waits for a person (retry: due now; discard: gone)

Invariant: a dead letter is on disk before the event is taken off its queue, or out of the outbox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.ports.rows import Micros, Outgoing


class DeadLetter(NamedTuple):
    """An event that could not be taken."""

    id: str
    """The same for the same event at the same place."""
    way: str
    """in | out"""
    place: str
    """Where it came from, or was to go."""
    code: str
    """Why, in a word."""
    reason: str
    type: str | None
    """The event's type and id, and the run that it is of, as far as it tells."""
    event: str | None
    subject: str | None
    body: bytes
    """As it came, or would have gone."""
    since: Micros
    at: Micros
    """When it was last tried."""
    attempts: int
    due: Micros | None = None
    """When it is tried again; none: when a person says so."""


class NotedEvent(NamedTuple):
    """What became of an event, for people who watch."""

    at: Micros
    way: str
    """in | out"""
    what: str
    """delivered | started | signalled | passed | late | dead | discarded"""
    place: str
    event: str | None
    type: str | None
    subject: str | None
    """The run that it is of, was started by it, or was sent it."""
    data: str | None
    """JSON, if it is short."""
    why: str | None = None


class Delivery(NamedTuple):
    """How an event that is in the outbox fares at a target that gives up what it was tried with too often."""

    event: str
    place: str
    tries: int
    """In vain."""
    given_up: bool
    """It is, or was, a dead letter of this place, and is not tried there again."""


class EventStore(Protocol):
    """Keeps events that are not a batch's; the errors are those of `Store`."""

    async def publish(self, events: Sequence[Outgoing]) -> None:
        """Put these into the outbox; one whose id is in there is let be."""

    async def deliveries(self, place: str) -> list[Delivery]:
        """What was kept of this place, of events that are in the outbox still."""

    async def put_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Keep these, in place of what is known, until `published`."""

    async def bury(self, letters: Sequence[DeadLetter], *, known: bool = False) -> None:
        """Keep these; of one that is there already all is written anew but `since`.  With `known` only such are."""

    async def dead_letters(
        self, *, limit: int, place: str | None = None, code: str | None = None, ids: Sequence[str] = ()
    ) -> list[DeadLetter]:
        """Those that wait, last tried first; of one place, for one reason, or of these ids."""

    async def dead_due(self, place: str, *, now: Micros, limit: int) -> list[DeadLetter]:
        """Those of this place that are due, longest due first."""

    async def retry_dead(self, ids: Sequence[str], *, now: Micros, place: str | None = None) -> int:
        """Make these due at once, at this place from now on if one is named; how many of them there are."""

    async def forget_dead(self, ids: Sequence[str]) -> int:
        """Remove these; how many of them there were."""

    async def note_events(self, notes: Sequence[NotedEvent]) -> None:
        """Keep these for a while, numbered as they come."""

    async def noted_events(self, *, after: int, limit: int) -> list[tuple[int, NotedEvent]]:
        """Those with a number greater than `after`, in order."""

    async def last_noted(self) -> int:
        """The greatest number that was given; 0: none was."""

    async def forget_noted(self, up_to: int) -> None:
        """Remove those with a number up to this."""
