"""The part of the store port that tells what stands there: to engines, to people, and to whoever waits for a run.

Nobody needs a lease to read, and nobody waits for who does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ripresa.ports.needs import Need
    from ripresa.ports.rows import Attempt, Definition, HistoryEvent, LogLine, Message, Outgoing, Quality, Run


class Loaded(NamedTuple):
    """A run with all that an engine needs to go on with it."""

    run: Run
    history: list[HistoryEvent]
    """After `base_seq`, in order."""
    attempts: list[Attempt]
    """Of the present generation, of operations that the journal does not hold as done, by start."""
    messages: list[Message]
    """Not yet taken, in order of arrival."""
    last_seq: int
    needs: list[Need]
    """What its last owner noted that steps of it need, oldest first."""


class Page(NamedTuple):
    """A page of runs, newest first; `cursor` asks for the next one, None: this was the last."""

    runs: list[Run]
    cursor: str | None


class RunFilter(NamedTuple):
    """Which runs to list; every field that is given must fit."""

    status: tuple[str, ...] = ()
    definition: str | None = None
    parent: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    key_prefix: str | None = None


class ReadingStore(Protocol):
    """Tells what stands there; the errors are those of `Store`."""

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        """Status by id of those of the runs that exist; cheap enough for those who wait for the ends of thousands."""

    async def load(self, runs: list[str]) -> list[Loaded]:
        """Those of the runs that exist, in the order asked for, as they were at one moment each."""

    async def get_run(self, ref: str) -> Run | None:
        """By id, else by the key given at start; None: neither is known."""

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        """Newest first (by id, which holds the time); each filter is served by an index.

        With `key_prefix`, in order of keys.  Raises ValueError if the cursor was altered or is another filter's.
        """

    async def count_runs(self) -> dict[str, int]:
        """Number of runs by status; a status that no run has is left out."""

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        """Number of runs by status for each name and version of a definition that has runs; of one name, if given."""

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        """Up to `limit` events of the journal with a number greater than `after`, in order.

        Empty if there is no such run.
        """

    async def attempts(self, run: str) -> list[Attempt]:
        """All recorded attempts, by start; after continue-as-new those before it too."""

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        """Lines with a number greater than `after`, in order of writing; of one operation, if it is given."""

    async def tags(self, run: str) -> dict[str, str]:
        """Tags of the run, by name."""

    async def children(self, run: str) -> list[Run]:
        """Runs that this one started, oldest first."""

    async def messages(self, run: str) -> list[Message]:
        """Not yet taken, in order of arrival."""

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        """Up to `limit` events not yet published, oldest first."""

    async def definitions(self) -> list[Definition]:
        """All versions of all definitions, by name, then age."""

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        """What this step (any, if left out) of this definition measured, newest first; without that of run `not_of`.

        Served by an index, however many rows there are.
        """
