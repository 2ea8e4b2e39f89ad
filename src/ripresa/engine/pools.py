"""Pools: letting steps wait for a slot that the store gives out, and giving it back.

    begin ─> ticket ─> store: in line ─> granted ─> runtime slot ─> attempt ─> outcome ┐
                 ^                                                                     │ one transaction
                 └────────── the slot is free, and goes to the first in line <─────────┘

A step that waits holds no slot of a runtime.  All that want one are asked for at once, and while the store answers
the next gather.  Invariants: what the store holds for us belongs to a flight of ours, or is on its way back; a
ticket that is given back is not asked for again before that is on disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from difflib import get_close_matches
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import EngineFenced, RipresaError, StoreUnavailable
from ripresa.contracts.payload import dump
from ripresa.contracts.pools import Pool
from ripresa.contracts.status import FailureClass
from ripresa.ports.pools import Freed, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.contracts.failure import Failure
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight
    from ripresa.engine.timers import Due
    from ripresa.ports.pools import Granted

logger = logging.getLogger("ripresa.engine")

Name = tuple[str, str]
"""Run and operation: what a ticket is known by."""

_OURS = ("engine", "transaction")
"""Runtimes of steps that nobody but the engine can carry out."""
_READ_AGAIN_US = 1_000_000
_TOLD_MAX = 1_000
_WHY_MAX = 200
_KEY_MAX = 255
_RETRY_S_MAX = 1.0
_REMIND_US = 5_000_000
_REMINDED_MAX = 50


class Seat:
    """A flight's place at a pool."""

    __slots__ = ("flight", "left", "sent", "sent_at", "ticket")

    def __init__(self, flight: Flight, ticket: Ticket) -> None:
        self.flight = flight
        self.ticket = ticket
        self.sent = False
        """The store was asked for it, or is being asked."""
        self.sent_at = 0
        """When it was last."""
        self.left = False
        """The flight wants it no more."""

    @property
    def name(self) -> Name:
        """What the store knows it by."""
        return self.ticket.run, self.ticket.operation


class Pools:
    """The engine's counter for tickets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.known: dict[str, Pool] = {}
        self._unknown: set[str] = set()
        """Pools that steps have named and nobody has declared."""
        self._waiting: dict[Name, Seat] = {}
        self._unsent: dict[Name, Seat] = {}
        """Those of them that the store has not been asked for."""
        self._holding: dict[Name, Seat] = {}
        self._asked: list[Seat] = []
        """What the store is being asked for."""
        self._leaving: dict[Name, int] = {}
        """Tickets on their way back, which are not on disk yet."""
        self._waker = asyncio.Event()
        self._asking = False
        self._again: Due | None = None
        self._read_at = 0
        self._told_at = 0
        self._reminded_at = 0
        self._stale = False

    async def open(self, declared: Iterable[Pool]) -> None:
        """Tell the store of the pools that this program declares, and learn of all."""
        for pool in declared:
            await self._engine.store.put_pool(pool.name, dump(pool.to_json()), declared=True)
        await self._read()

    async def _read(self) -> None:
        self._stale = False
        self._read_at = self._engine.now()
        self.known = {state.name: pool_of(state.name, state.settings) for state in await self._engine.store.pools()}
        self._unknown -= set(self.known)

    # --- asking --------------------------------------------------------------------------------

    def ask(self, flight: Flight) -> bool:
        """Put the flight in line at its step's pool; False: it need not wait, as there is no such pool.

        Raises what working out its key raises.
        """
        step = flight.ask.step
        if step.pool not in self.known:
            self._warn(step)
            return False
        held = flight.held
        ticket = Ticket(
            held.id,
            flight.ask.operation,
            step.pool,
            step.name,
            held.definition,
            _key_of(flight),
            held.priority,
            self._engine.now(),
            keeps=self._engine.attempts.outlives(flight),
        )
        flight.seat = seat = Seat(flight, ticket)
        self._waiting[seat.name] = self._unsent[seat.name] = seat
        self._waker.set()
        return True

    def runtime_of(self, step: Any) -> str:
        """Where the step is carried out: where its pool says, or else the step itself."""
        pool = self.known.get(getattr(step, "pool", None) or "")
        own: str = step.runtime
        return own if pool is None or pool.runtime is None or own in _OURS else pool.runtime

    def queue_of(self, flight: Flight) -> str | None:
        """The queue of workers that its pool names, if it names one."""
        pool = self.known.get(getattr(flight.ask.step, "pool", None) or "")
        return None if pool is None else pool.queue

    def waits(self, flight: Flight) -> bool:
        """Whether it waits for a slot."""
        return flight.seat is not None and flight.seat.name in self._waiting

    def _warn(self, step: Any) -> None:
        if step.pool in self._unknown:
            return
        self._unknown.add(step.pool)
        near = get_close_matches(step.pool, self.known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        logger.warning("step %s starts at once: nobody has declared its pool %r%s", step.name, step.pool, hint)

    # --- giving back ---------------------------------------------------------------------------

    def ended(self, flight: Flight, failure: Failure | None) -> None:
        """Its attempt has an outcome, which goes into the open batch: so does this."""
        seat = flight.seat
        if seat is None:
            return
        pool = self.known.get(seat.ticket.pool) or Pool(seat.ticket.pool)
        counts = failure is None or _counts(pool, failure)
        now = self._engine.now()
        rest_us = 0 if failure is None else failure.retry_after_us or (pool.cooldown_us if counts else 0)
        good = (failure is None) if pool.breaker is not None and counts else None
        why = f"{failure.type}: {failure.message}"[:_WHY_MAX] if failure is not None and rest_us else ""
        self._free(flight, Freed(*seat.name, now, good, now + rest_us if rest_us else None, why))

    def leave(self, flight: Flight) -> None:
        """It wants no slot any more, or gives back what it held; that says nothing of the pool."""
        if flight.seat is not None:
            self._free(flight, Freed(*flight.seat.name, self._engine.now()))

    def vacate(self, flight: Flight) -> None:
        """Nobody wants the slot any more that it may have held with an engine before us."""
        if getattr(flight.ask.step, "pool", None) is not None:
            self._put_back(Freed(flight.held.id, flight.ask.operation, self._engine.now()))

    def keep(self, flight: Flight) -> None:
        """Its work goes on without us, and goes on holding the slot."""
        seat, flight.seat = flight.seat, None
        if seat is not None:
            self._drop(seat)

    def _free(self, flight: Flight, freed: Freed) -> None:
        seat, flight.seat = flight.seat, None
        assert seat is not None  # noqa: S101 - who calls has looked
        self._drop(seat)
        if seat.sent and seat not in self._asked:  # else `_ask_store` gives it back
            self._give_back(freed)
        elif not seat.sent and flight.careful:  # else nobody knows of it yet
            self.vacate(flight)

    def _drop(self, seat: Seat) -> None:
        seat.left = True
        for seats in (self._waiting, self._unsent, self._holding):
            if seats.get(seat.name) is seat:
                del seats[seat.name]

    def _give_back(self, freed: Freed) -> None:
        self._put_back(freed._replace(engine=self._engine.number))

    def _put_back(self, freed: Freed) -> None:
        name = freed.run, freed.operation
        self._leaving[name] = self._leaving.get(name, 0) + 1
        self._engine.committer.batch.freed.append(freed)
        self._engine.committer.then(lambda _: self._gone(name))

    def _gone(self, name: Name) -> None:
        self._leaving[name] -= 1
        if not self._leaving[name]:
            del self._leaving[name]
        self.look()

    # --- at the counter ------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether the store is being asked, or is about to be."""
        return self._asking or self._waker.is_set()

    def look(self) -> None:
        """Something may be free: ask, if anybody waits."""
        if self._waiting:
            self._waker.set()

    def news(self) -> None:
        """Others have written something: a slot may be free, a limit another one, a pool new."""
        if self.known or self._unknown:
            self._stale = True
            self._waker.set()

    async def serve(self) -> None:
        """Ask the store whenever something may have changed, for ever."""
        delay_s = 0.01
        while True:
            await self._waker.wait()
            self._waker.clear()
            self._asking = True
            try:
                await self._refresh()
                await self._ask_store()
                delay_s = 0.01
            except EngineFenced:
                raise
            except StoreUnavailable as error:
                logger.warning("the store cannot be asked for slots for now, trying again: %s", error)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _RETRY_S_MAX)
                self._unsent.update(self._waiting)  # nobody knows what became of the last call
                self._waker.set()
            finally:
                self._asking = False
            await self._tell()
            self._engine.watching.ask_idle()

    async def _tell(self) -> None:
        """Tell who watches what steps wait for, now and then."""
        engine = self._engine
        if not (engine.watching.observers and self._waiting) or engine.now() - self._told_at < _READ_AGAIN_US:
            return
        self._told_at = engine.now()
        engine.timers.at(self._told_at + _READ_AGAIN_US, self.look)
        from ripresa.engine.pool_look import wait_records  # noqa: PLC0415 - only for who watches

        with suppress(StoreUnavailable):
            for record in await wait_records(engine.store, engine.now(), limit=_TOLD_MAX):
                seat = self._waiting.get((record.run, record.operation))
                if seat is not None:
                    engine.watching.notify("step_waits", seat.flight.held, seat.flight.ask, text=record.reason)

    async def _refresh(self) -> None:
        """Read which pools there are, though not each time that somebody has written something."""
        if not self._stale:
            return
        if (due := self._read_at + _READ_AGAIN_US) <= self._engine.now():
            await self._read()
        else:
            self._stale = False
            self._engine.timers.at(due, self.news)

    async def _ask_store(self) -> None:
        """Ask for what is wanted, and take what is given."""
        engine = self._engine
        if not self._waiting:
            return
        self._remind()
        asked = [seat for seat in self._unsent.values() if seat.name not in self._leaving]
        for seat in asked:
            seat.sent, seat.sent_at = True, engine.now()
            del self._unsent[seat.name]
        self._asked = asked
        try:
            granted = await engine.store.tickets(engine.lease, [seat.ticket for seat in asked], now=engine.now())
        finally:
            self._asked = []
            for seat in asked:
                if seat.left and seat.name not in self._waiting and not engine.stopping:
                    self._give_back(Freed(*seat.name, engine.now()))
        if not engine.stopping:
            self._take(granted)

    def _remind(self) -> None:
        """Ask again for those that were asked for long ago.

        A place may be gone without our knowing: an engine of an older release gives back what the next one of its run
        has asked for meanwhile.  To ask twice changes nothing, so this is no question of what has happened.
        """
        engine = self._engine
        now = engine.now()
        if not engine.fleet.shared or now < self._reminded_at + _REMIND_US // 5:
            return
        self._reminded_at = now
        long_ago = [one for one in self._waiting.values() if one.sent and one.sent_at <= now - _REMIND_US]
        self._unsent |= {one.name: one for one in nsmallest(_REMINDED_MAX, long_ago, key=attrgetter("sent_at"))}

    def _take(self, granted: Granted) -> None:
        engine = self._engine
        for name in granted.tickets:
            seat = self._waiting.get(name)
            if seat is not None and seat.sent:
                del self._waiting[name]
                self._holding[name] = seat
                engine.attempts.granted(seat.flight)
            elif seat is None and name not in self._holding and name not in self._leaving:
                self._give_back(Freed(*name, engine.now()))
        for run, operation, why in granted.refused:
            seat = self._waiting.get((run, operation))
            if seat is not None and seat.sent:
                self.keep(seat.flight)  # the store has forgotten it
                engine.attempts.refused(seat.flight, f"breaker of pool {seat.ticket.pool!r} is open: {why}")
        if self._again is not None:
            self._again.cancel()
        wake_at = granted.again_at if self._waiting else None
        self._again = None if wake_at is None else engine.timers.at(wake_at, self.look)


def pool_of(name: str, settings: str) -> Pool:
    """The pool that a store's row tells of; what a newer version wrote and this one cannot read does not limit."""
    try:
        return Pool.of(name, json.loads(settings))
    except ValueError as error:
        logger.warning("%s", error)
        return Pool(name)


def _key_of(flight: Flight) -> str:
    """Whose turn it is when the step starts."""
    key, ask = getattr(flight.ask.step, "pool_key", None), flight.ask
    try:
        found = key(*ask.args, **ask.kwargs) if callable(key) else key
    except Exception as error:
        raise RipresaError(f"step {ask.step.name!r}: its pool_key could not be worked out: {error!r}") from error
    return "" if found is None else str(found)[:_KEY_MAX]


def _counts(pool: Pool, failure: Failure) -> bool:
    """Whether the failure says something of the pool rather than of what the step was given."""
    if pool.breaker is not None and pool.breaker.counts == "all":
        return True
    return failure.failure_class is FailureClass.RETRYABLE
