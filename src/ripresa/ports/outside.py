"""The part of the store port for those who own no runs: they send to runs and start some.

Both may be done within a transaction of the caller's own, and then take effect with it or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ripresa.ports.rows import Definition, HistoryEvent, Message, NewRun


class OutsideStore(Protocol):
    """Takes what comes from outside an engine; the errors are those of `Store`."""

    async def send(self, message: Message, *, connection: Any = None) -> None:
        """Keep a message from outside an engine, and make its run ready at the message's time.

        A message that is known is let be, and wakes nobody.  With a `connection` to this database it is part of the
        transaction that is open there, and takes effect with it.  Raises RunNotFound; RunFinished if the run has ended
        and the kind is not `retry`; NoTransactions; TypeError or ValueError for a connection that cannot be meant.
        """

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        """Create a run from outside an engine, ready at its time of creation, and keep its definition.

        False if its id or key exists; then nothing is written.  `connection` as for `send`.
        """
