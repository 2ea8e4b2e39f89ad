"""The bus port: where events go to, and where they come from.

A *sink* takes events, a *source* gives them.  Both deal in `CloudEvent`s, may be out of reach for a while, and may
carry an event twice; whoever takes it tells by its source and id.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.contracts.events import CloudEvent


class Delivered(NamedTuple):
    """What became of events that were handed to a sink."""

    taken: frozenset[str]
    """Ids of those that are certain to be there."""
    trouble: str | None = None
    """Why the others are not, if any are not."""
    refused: Mapping[str, str] = MappingProxyType({})
    """Those that will never be taken, by id, and why."""
    failed: Mapping[str, str] = MappingProxyType({})
    """Those that were tried and not taken this time, and why: after some tries they are given up.  Of a sink that tells
    of none, events wait for as long as it takes."""


class Sink(Protocol):
    """Takes events."""

    name: str
    """Its address, for people, and to know it by; never a password."""

    async def send(self, events: Sequence[CloudEvent]) -> Delivered:
        """Hand these over in order; of one run none is taken before those that come before it."""

    async def close(self) -> None:
        """Let go of the connection; closing twice is fine."""


class Received(NamedTuple):
    """An event as it came."""

    body: bytes
    mark: Any
    """What the source knows it by."""


class Source(Protocol):
    """Gives events, each until it is told that it was dealt with."""

    name: str
    """Its address and queue, for people, and to know it by; never a password."""

    async def receive(self) -> list[Received]:
        """Those that wait; waits a while for the first.  Raises OSError while it is out of reach."""

    async def done(self, received: list[Received]) -> None:
        """These were dealt with.  Raises OSError."""

    async def again(self) -> None:
        """Give those again that were given and not dealt with."""

    async def close(self) -> None:
        """Let go of the connection; what was not dealt with is given again.  Closing twice is fine."""
