"""Labels: steps that need what this engine does not have, and letting their run go to an engine that has it.

    begin ─> fits? ─ yes ─> pool, slot, attempt
               └─ no ──> need noted ─> nothing else of the run at work here ─> let go of ─> claimed by who fits
                                                                               └ due, or a message: anybody's

A run is at one engine at a time, so a step that does not fit waits until what is under way of its run has ended.
Letting go and what is needed are in one batch, under the lease; claiming is the store's, so that there is no moment in
which two engines have the run, or none may.  Invariants: a step is started only by an engine that has its labels; a
need in the store that no flight of ours stands for is removed before the run is let go of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.labels import labels_of, needed, offered
from ripresa.contracts.payload import dump
from ripresa.contracts.status import RunStatus
from ripresa.ports.needs import Need
from ripresa.ports.rows import Ready, RunChange

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight, Held

_OURS = ("engine",)
"""The runtime of steps that are the engine's own: any engine carries them out."""


class Labelled:
    """Keeps the steps of held runs to engines that have their labels."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.has = offered(labels_of(engine.config.labels, where="config: labels"))

    # --- steps ---------------------------------------------------------------------------------

    def fits(self, flight: Flight) -> bool:
        """Whether this engine has what the step needs."""
        return self.has.issuperset(self.needed(flight))

    def needed(self, flight: Flight) -> tuple[str, ...]:
        """What the step needs, and each step of its workflow."""
        own: tuple[str, ...] = getattr(flight.ask.step, "labels", ())
        of_all: tuple[str, ...] = getattr(flight.held.workflow, "labels", ())
        if not of_all or flight.runtime in _OURS:
            return own
        return tuple(sorted({*own, *of_all}))

    def wait(self, flight: Flight) -> None:
        """Note what the step needs; its run is let go of when nothing else of it is at work."""
        engine, held, ask = self._engine, flight.held, flight.ask
        flight.elsewhere = True
        labels = self.needed(flight)
        known = held.needs.get(ask.operation)
        since = engine.now() if known is None else known.since
        need = Need(held.id, ask.operation, ask.step.name, dump(list(labels)), held.priority, since)
        if need != known:
            held.needs[ask.operation] = need
            engine.committer.batch.needs.append(need)
            engine.committer.kick()
        if engine.watching.observers:
            why = f"needs {needed(labels)}, which this engine does not have"
            engine.watching.notify("step_waits", held, ask, text=why)

    def waiting_since(self, flight: Flight) -> int:
        """Since when it has waited, here and at other engines."""
        need = flight.held.needs.get(flight.ask.operation)
        return self._engine.now() if need is None else need.since

    def leave(self, flight: Flight) -> None:
        """It needs no other engine any more: it starts here, or not at all."""
        flight.elsewhere = False
        if flight.held.needs:
            self._remove(flight.held, flight.ask.operation)

    def _remove(self, held: Held, operation: str) -> None:
        if held.needs.pop(operation, None) is not None:
            batch = self._engine.committer.batch
            batch.needs = [one for one in batch.needs if (one.run, one.operation) != (held.id, operation)]
            batch.needless.append((held.id, operation))

    def over(self, held: Held) -> None:
        """The run has ended."""
        for operation in list(held.needs):
            self._remove(held, operation)

    # --- runs ----------------------------------------------------------------------------------

    async def claim(self, limit: int, leave: frozenset[tuple[str, str]]) -> list[str]:
        """Take runs that were let go of for want of what this engine has."""
        if not self.has:
            return []
        return await self._engine.store.claim_fitting(self._engine.lease, labels=self.has, limit=limit, leave=leave)

    def look(self, held: Held) -> bool:
        """Let the run go if a step of it needs another engine, and nothing of it is at work here; whether it went."""
        if not held.needs or not self._may_go(held):
            return False
        for operation in [one for one in held.needs if one not in held.flights]:
            self._remove(held, operation)
        if not held.needs:
            return False
        dues = self._dues(held)
        if dues and min(dues) <= self._engine.now():
            return False  # it acts in a moment, and then this is looked at again
        self._let_go(held, min(dues, default=None))
        return True

    def _may_go(self, held: Held) -> bool:
        """Whether the run rests: none of its steps is at work or waits for its turn, and its code has heard all."""
        engine = self._engine
        if engine.held.get(held.id) is not held or not engine.may_run(held) or engine.stopping:
            return False
        if held.inbox or held.ready_for_turn or held.untold or held.loading or held.visitors:
            return False
        if held.live is None and not held.code_dropped:
            return False  # what it asks for is not known yet
        return all(flight.elsewhere or flight.due is not None for flight in held.flights.values())

    def _dues(self, held: Held) -> list[int]:
        """When the run wants an engine though none of those that it needs is there."""
        flights = held.flights.values()
        retries = [flight.due.at for flight in flights if flight.due is not None]
        limits = [
            self.waiting_since(flight) + limit_us
            for flight in flights
            if flight.elsewhere and (limit_us := getattr(flight.ask.step, "queue_us", None)) is not None
        ]
        return [*(due.at for due in held.timers.values()), *retries, *limits]

    def _let_go(self, held: Held, due: int | None) -> None:
        engine = self._engine
        for flight in list(held.flights.values()):
            engine.attempts.hand_back(flight)
        held.status = RunStatus.WAITING
        batch = engine.committer.batch
        batch.changes.append(RunChange(held.id, held.status.value, engine.now(), None))
        batch.needs.extend(need for need in held.needs.values() if need not in batch.needs)  # others are told of it
        if due is not None:
            batch.ready.append(Ready(held.id, due, held.priority))
            engine.loading.arm(due)
        engine.parking.leave(held)
