"""Parking: letting go of runs that only wait.

    live, only waits ── idle for a while ──> `ready` row + status ──> parked rows

Invariants: a run is parked only when nothing of it is under way and everything it learnt is on disk;
its `ready` row is never later than what it waits for (a message's own row wins, being earlier).  What
cannot be parked now asks again when it has had its next turn.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.ports.rows import Ready, RunChange

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.engine.timers import Due

_SHOWN_AS_WAITING_S = 0.1


class Parking:
    """Lets runs go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._idle: OrderedDict[str, Held] = OrderedDict()
        self._sweep: Due | None = None
        self._unmarked: list[Held] = []
        self._marking = False
        self.leaving: dict[str, int] = {}
        """Runs that are let go of in a batch which is on its way to the disk; how often."""

    def idle(self, held: Held) -> None:
        """The run has nothing to do: let it go after a while, or now if memory has enough of its kind."""
        engine = self._engine
        held.idle_since = engine.now()
        self._idle[held.id] = held
        self._idle.move_to_end(held.id)
        if engine.may_run(held):
            self._unmarked.append(held)
            if not self._marking:
                self._marking = True
                engine.loop.call_later(_SHOWN_AS_WAITING_S, self._mark)
        while len(self._idle) > engine.config.resident_runs_max:
            _, oldest = self._idle.popitem(last=False)
            self._try_park(oldest)
        if not engine.may_run(held) or engine.evict_after_us == 0:
            engine.committer.then(lambda _: self._park_now(held))
        elif self._sweep is None:
            self._sweep = engine.timers.at(engine.now() + engine.evict_after_us, self._sweep_idle)

    def _park_now(self, held: Held) -> None:
        if held.id in self._idle and self._try_park(held):
            self._idle.pop(held.id, None)

    def _sweep_idle(self) -> None:
        engine = self._engine
        self._sweep = None
        before = engine.now() - engine.evict_after_us
        while self._idle:
            held = next(iter(self._idle.values()))
            if held.idle_since > before:
                self._sweep = engine.timers.at(held.idle_since + engine.evict_after_us, self._sweep_idle)
                return
            del self._idle[held.id]
            self._try_park(held)

    def _try_park(self, held: Held) -> bool:
        """Let the run go, unless something of it is under way; whatever that is asks again when it ends."""
        engine = self._engine
        if engine.held.get(held.id) is not held or held.status in TERMINAL:
            return True
        if held.flights or held.inbox or held.ready_for_turn or held.untold or held.loading or engine.stopping:
            return False
        if held.visitors:
            return False
        if engine.may_run(held):
            if held.live is None:
                if held.at_hand is not None or not held.code_dropped:
                    return False
            elif not all(op.kind in ("timer", "child") for op in held.live.operations.values()):
                return False
            dues = [due.at for due in held.timers.values()]
            if dues and min(dues) <= engine.now():
                return False
            if dues:
                engine.committer.batch.ready.append(Ready(held.id, min(dues), held.priority))
                engine.loading.arm(min(dues))
            held.status = RunStatus.WAITING
        status = held.status
        engine.committer.batch.changes.append(RunChange(held.id, status.value, engine.now(), None))
        self.leave(held)
        return True

    def pass_on(self, held: Held) -> None:
        """The engine drains: let the run go to another, unless something of it is under way; that asks again."""
        under_way = any(flight.launched or flight.decided for flight in held.flights.values())
        if under_way or held.untold or held.loading or held.visitors or self._engine.held.get(held.id) is not held:
            return
        if self._engine.labels.look(held):
            return
        for flight in list(held.flights.values()):
            self._engine.attempts.hand_back(flight)
        self.hand_over(held)

    def hand_over(self, held: Held) -> None:
        """Let the run go as it stands, for another engine to take at once if there is anything to do."""
        engine = self._engine
        if held.status in TERMINAL:
            return  # its end is on its way to the disk
        batch, now = engine.committer.batch, engine.now()
        batch.changes.append(RunChange(held.id, held.status.value, now, None))
        if engine.may_run(held) or held.trying:
            batch.ready.append(Ready(held.id, now, held.priority))
        self.leave(held)

    def leave(self, held: Held) -> None:
        """Let the run go with what the open batch says of it; whoever wants it waits until that is on disk."""
        engine = self._engine
        self.leaving[held.id] = self.leaving.get(held.id, 0) + 1
        engine.committer.then(lambda _: self._left(held.id))
        engine.let_go(held)

    def _left(self, run: str) -> None:
        self.leaving[run] -= 1
        if not self.leaving[run]:
            del self.leaving[run]
        self._engine.loading.look()

    def drop_code(self, held: Held) -> None:
        """Evict the code alone; attempts and timers go on."""
        if held.live is not None and held.live.finished is None:
            held.live.discard()
            held.live = None
            held.code_dropped = True

    def _mark(self) -> None:
        """Show runs that have waited for a while as waiting."""
        self._marking = False
        engine = self._engine
        unmarked, self._unmarked = self._unmarked, []
        for held in unmarked:
            if (
                engine.held.get(held.id) is held
                and held.status is RunStatus.RUNNING
                and not held.flights
                and not held.inbox
                and not held.untold
            ):
                engine.set_status(held, RunStatus.WAITING, write=True)
