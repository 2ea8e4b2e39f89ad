"""The part of a database's store that moves a whole project to another database.

    source: acquire, adopt ─> dump ─ chunk after chunk ─> target: restore, all or nothing ─> engines begin there

Invariant: the names of tables and columns are the same in all databases; what only one of them has (a column that is
derived from others) is made anew where it is restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ripresa.ports.rows import Micros

TABLES = (
    "definition",
    "run",
    "history",
    "attempt",
    "ready",
    "inbox",
    "seen",
    "outbox",
    "log",
    "blob",
    "tag",
    "quality",
    "place",
    "need",
    "effect",
    "pool",
    "ticket",
    "pool_served",
    "pool_outcome",
    "breaker",
    "cooldown",
    "task",
    "dead_letter",
    "delivery",
)
"""All that is moved; who owned the runs is not."""


class Chunk(NamedTuple):
    """Some rows of a table."""

    table: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@runtime_checkable
class Movable(Protocol):
    """A store whose rows can be taken out and put in as they are; the errors are those of `Store`."""

    async def counts(self) -> dict[str, int]:
        """How many rows each table of `TABLES` has."""

    def dump(self, *, size: int = 1_000) -> AsyncIterator[Chunk]:
        """All rows, table by table in the order of `TABLES`, up to `size` at once; as of one moment."""

    async def restore(self, chunks: AsyncIterator[Chunk], *, now: Micros) -> None:
        """Put all these rows in, as they are, in one transaction; what `chunks` raises leaves none of them.

        Runs that some engine held where they come from are let go of, and made ready.
        """
