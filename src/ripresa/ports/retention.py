"""The part of the store port that forgets: which runs may go, and letting them go.

Invariant: a run goes wholly or not at all, and only if nothing will ask for it again – it has ended, no engine holds
it, nobody has asked for it to be tried again, and no run that it descends from is still open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ripresa.ports.rows import Micros


class RetentionStore(Protocol):
    """Forgets runs; the errors are those of `Store`."""

    async def ended(
        self, *, before: Micros, statuses: tuple[str, ...], limit: int, after: str | None = None
    ) -> list[str]:
        """Ids of up to `limit` runs that may go and ended before that time in one of the statuses, oldest first.

        `after`: only ids behind this one.  Served by an index, however many runs there are.
        """

    async def remove(self, runs: list[str]) -> list[str]:
        """Remove those of the runs that may go, with every row that is theirs; return their ids.

        Events that they published and nobody has taken stay.  Their keys, and the effects that they did, are forgotten
        with them: a new run may have the key, and do the effect anew.
        """
