"""Effects: steps that do the same thing in several runs, of which one does it.

    free ── claim ──> under way ─┬─ output, in the batch of its outcome ──> done: others get the output
      ^                          └─ failed for good, or called off ──┐
      └──────────────────────────────────────────────────────────────┘

Who finds an effect under way elsewhere asks again until it is decided; the time limit of the step runs meanwhile.
After a crash the holder is known by its idempotency key, and goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from ripresa.contracts.errors import EffectConflict, StoreUnavailable
from ripresa.ports.effects import Effect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Flight

_ASK_AGAIN_S = 0.02
_ASK_AGAIN_S_MAX = 1.0
_NAME_MAX = 500


class Effects:
    """Claims effects for one engine's steps, and settles them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def once(self, flight: Flight, effect: str | Callable[..., str], work: Callable[[], Awaitable[str]]) -> str:
        """The effect's output: of this step's work, or of whoever was first.  Raises EffectConflict."""
        wanted = self._wanted(flight, effect)
        known = await self._claimed(wanted)
        if known.output is not None:
            return known.output
        flight.effect = wanted
        return await work()

    def done(self, flight: Flight, output: str | None) -> None:
        """The step has succeeded: its output is the effect's, in the batch of its outcome."""
        effect, flight.effect = flight.effect, None
        if effect is not None:
            at = self._engine.now()
            self._engine.committer.batch.effects.append(effect._replace(output=output or "null", at=at))

    def give_up(self, flight: Flight) -> None:
        """The step does not do it after all: another may."""
        effect, flight.effect = flight.effect, None
        if effect is not None:
            self._engine.committer.batch.given_up.append((effect.id, effect.holder))
            self._engine.committer.kick()

    def _wanted(self, flight: Flight, effect: str | Callable[..., str]) -> Effect:
        ask = flight.ask
        name: object = effect if isinstance(effect, str) else effect(*ask.args, **ask.kwargs)
        if not isinstance(name, str) or not name or len(name) > _NAME_MAX:
            msg = f"step {ask.step.name!r}: effect must be a text of 1 to {_NAME_MAX} characters, not {name!r:.80}"
            raise EffectConflict(msg)
        digest = hashlib.blake2b(f"{ask.step.name}\0{ask.input}".encode(), digest_size=8).digest()
        fingerprint = int.from_bytes(digest, "big", signed=True)
        holder = flight.context().idempotency_key
        return Effect(f"key:{name}", flight.held.id, holder, fingerprint, self._engine.now())

    async def _claimed(self, wanted: Effect) -> Effect:
        engine = self._engine
        wait_s = _ASK_AGAIN_S
        while True:
            try:
                known = await engine.store.claim_effect(engine.lease, wanted)
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
