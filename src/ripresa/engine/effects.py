"""Effects: steps that do the same thing in several runs, of which one does it.

    free ── claim ──> under way ─┬─ output, in the batch of its outcome ──> done: others get the output
      ^                          └─ failed for good, or called off ──┐
      └──────────────────────────────────────────────────────────────┘

Who finds an effect under way elsewhere asks again until it is decided.  Where slots are few it does so before it has
one: the effect comes first and then the slot, for all, so that who is to do it gets one.  In an attempt of a step that
needs no such slot, the time limit of the step runs meanwhile.
After a crash the holder is known by its idempotency key, and goes on, or gives up what it does not want any more.
Invariants: an effect that its step gives up is given up in the store, whoever claimed it for that step and however late
the store answers; it is not claimed again for the same step before that is on disk.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

from ripresa.contracts.errors import EffectConflict, StoreUnavailable
from ripresa.ports.effects import Effect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight, Held
    from ripresa.kernel.commands import ScheduleStep

_ASK_AGAIN_S = 0.02
_ASK_AGAIN_S_MAX = 1.0
_NAME_MAX = 500


class Effects:
    """Claims effects for one engine's steps, and settles them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asking: set[asyncio.Task[Effect]] = set()
        """Claims that the store has not answered; one that was cut off may be carried out all the same."""
        self._leaving: dict[tuple[str, str], asyncio.Future[None]] = {}
        """Effects that their holders have given up, which is not on disk yet."""

    def close(self) -> None:
        """Ask for nothing more."""
        for asking in self._asking:
            asking.cancel()

    def comes_first(self, flight: Flight) -> bool:
        """Whether the flight is to wait for its effect before it waits for a slot."""
        step = flight.ask.step
        if getattr(step, "effect", None) is None or flight.effect is not None:
            return False
        return getattr(step, "pool", None) is not None or flight.runtime != "inline"

    async def wait(self, flight: Flight) -> None:
        """Until the effect is this step's to do, or is done; what else there is to say of it the attempt will say."""
        with suppress(Exception):
            await self._reach(flight)

    async def once(self, flight: Flight, work: Callable[[], Awaitable[str]]) -> str:
        """The effect's output: of this step's work, or of whoever was first.  Raises EffectConflict."""
        known = await self._reach(flight)
        if known.output is not None:
            flight.effect = None
            return known.output
        return await work()

    async def _reach(self, flight: Flight) -> Effect:
        wanted = self._wanted(flight.held, flight.ask)
        while (leaving := self._leaving.get((wanted.id, wanted.holder))) is not None:
            await asyncio.wait([leaving])
        flight.effect = wanted
        return await self._claimed(flight, wanted)

    def done(self, flight: Flight, output: str | None) -> None:
        """The step has succeeded: its output is the effect's, in the batch of its outcome."""
        effect, flight.effect = flight.effect, None
        if effect is not None:
            at = self._engine.now()
            self._engine.committer.batch.effects.append(effect._replace(output=output or "null", at=at))

    def give_up(self, flight: Flight) -> None:
        """The step does not do it after all, whether or not it has been claimed for it: another may."""
        flight.effect = None
        if flight.gate is not None:
            flight.gate.cancel()
        if getattr(flight.ask.step, "effect", None) is not None:
            self.call_off(flight.held, flight.ask)

    def call_off(self, held: Held, ask: ScheduleStep) -> None:
        """Nobody wants the step any more: another may do it, should it have been claimed for this one."""
        with suppress(Exception):  # what its name cannot be worked out of was never claimed
            self._leave(self._wanted(held, ask))

    def _leave(self, effect: Effect) -> None:
        engine = self._engine
        name = effect.id, effect.holder
        self._leaving[name] = gone = engine.loop.create_future()

        def on_disk(_: frozenset[str]) -> None:
            gone.set_result(None)
            if self._leaving.get(name) is gone:
                del self._leaving[name]

        engine.committer.batch.given_up.append(name)
        engine.committer.then(on_disk)

    def _wanted(self, held: Held, ask: ScheduleStep) -> Effect:
        effect: str | Callable[..., str] = ask.step.effect
        name: object = effect if isinstance(effect, str) else effect(*ask.args, **ask.kwargs)
        if not isinstance(name, str) or not name or len(name) > _NAME_MAX:
            msg = f"step {ask.step.name!r}: effect must be a text of 1 to {_NAME_MAX} characters, not {name!r:.80}"
            raise EffectConflict(msg)
        digest = hashlib.blake2b(f"{ask.step.name}\0{ask.input}".encode(), digest_size=8).digest()
        fingerprint = int.from_bytes(digest, "big", signed=True)
        holder = held.idempotency_key(ask.operation)
        return Effect(f"key:{name}", held.id, holder, fingerprint, self._engine.now())

    async def _claimed(self, flight: Flight, wanted: Effect) -> Effect:
        wait_s = _ASK_AGAIN_S
        while True:
            try:
                known = await self._claim(flight, wanted)
            except StoreUnavailable:
                known = None
            if known is not None:
                if known.fingerprint != wanted.fingerprint:
                    msg = f"effect {wanted.id[4:]!r} is that of another step or other arguments, in run {known.run}"
                    raise EffectConflict(msg)
                if known.output is not None or known.holder == wanted.holder:
                    return known
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _ASK_AGAIN_S_MAX)

    async def _claim(self, flight: Flight, wanted: Effect) -> Effect:
        """Ask once; if the attempt is cut off meanwhile, what comes of it is given back if nobody wants it.

        Its run is ours until then: should we end before, who adopts it gives up what the run does not want any more.
        """
        engine, held = self._engine, flight.held

        async def ask() -> Effect:
            return await engine.store.claim_effect(engine.lease, wanted)

        def answered(asking: asyncio.Task[Effect]) -> None:
            self._asking.discard(asking)
            held.untold -= 1
            if asking.cancelled() or engine.stopping:
                return
            if engine.held.get(held.id) is held and not engine.labels.look(held) and not held.flights:
                engine.parking.idle(held)
            if (asking.exception() is not None or asking.result().output is None) and flight.effect is not wanted:
                self._leave(wanted)

        held.untold += 1
        asking = engine.loop.create_task(ask(), name="ripresa effect")
        self._asking.add(asking)
        asking.add_done_callback(answered)
        return await asyncio.shield(asking)
