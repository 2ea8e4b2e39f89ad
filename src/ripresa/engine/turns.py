"""Turns: activating the code of every run with news, once a turn.

A *turn* is one callback of the engine's loop.  What a run's code asks for in it is carried out at once.  A run whose
code is not in memory has it made anew from its history; one whose history does not fit its code is blocked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.errors import Diverged
from ripresa.contracts.status import RunStatus
from ripresa.kernel import history as h
from ripresa.kernel.live import LiveRun

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.ports.rows import HistoryEvent

_STEP_OUTCOMES = (h.STEP_COMPLETED, h.STEP_FAILED)


class Turns:
    """Drives the code of the runs that are held."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.asked = False
        """A turn is on its way."""
        self._with_news: list[Held] = []

    def tell(self, held: Held, event: HistoryEvent) -> None:
        """Show an event that is on disk to the run's code, at the next turn."""
        held.untold -= 1
        if event.operation is not None:
            if event.kind in _STEP_OUTCOMES:
                held.flights.pop(event.operation, None)
                if held.asked:
                    held.asked.discard(event.operation)
            elif event.kind == h.TIMER_FIRED:
                held.timers.pop(event.operation, None)
            else:
                held.asked.discard(event.operation)
        if event.seq > held.shown:
            held.inbox.append(event)
        self.ask(held)

    def ask(self, held: Held) -> None:
        """Activate this run at the next turn."""
        if not held.ready_for_turn:
            held.ready_for_turn = True
            self._with_news.append(held)
        if not self.asked and not self._engine.committer.telling:
            self.asked = True
            self._engine.loop.call_soon(self._turn)

    def now(self) -> None:
        """News has come, and this is a plain callback already: no need to wait for the next."""
        if self._with_news:
            self._turn()

    def _turn(self) -> None:
        self.asked = False
        engine = self._engine
        news, self._with_news = self._with_news, []
        for held in news:
            held.ready_for_turn = False
            if engine.held.get(held.id) is held and not engine.stopping:
                if engine.draining:
                    engine.parking.pass_on(held)
                else:
                    self._activate(held)
        engine.watching.ask_idle()

    def _activate(self, held: Held) -> None:
        if not self._engine.may_run(held) and not held.trying:
            self._engine.parking.idle(held)
            return
        live = held.live
        if live is None:
            if held.restarting:
                return
            if held.at_hand is None:
                self._engine.loading.want(held)
                return
            history, held.at_hand = held.at_hand, None
            history = history + [event for event in held.inbox if event.seq > history[-1].seq]
            held.inbox = []
            self._revive(held, history)
            return
        if not held.inbox:
            return
        if held.status is not RunStatus.RUNNING:
            self._engine.set_status(held, RunStatus.RUNNING, write=held.status is not RunStatus.WAITING)
        events, held.inbox = held.inbox, []
        held.shown = events[-1].seq
        try:
            commands = live.activate(events)
        except Diverged as error:
            self._engine.outcomes.block(held, error)
            return
        if commands:
            self._engine.carry_out.all(held, commands)
        if held.at_bay:
            self._engine.attempts.release(held)
        self.settle(held)

    def settle(self, held: Held) -> None:
        """After a turn: note whether the run only waits now."""
        if held.live is None or held.inbox or held.visitors:
            return
        waits = not held.flights and held.live.finished is None
        if self._engine.evict_after_us == 0:
            self._engine.parking.drop_code(held)
        if held.needs and self._engine.labels.look(held):
            return
        if waits:
            held.idle_since = self._engine.now()
            self._engine.parking.idle(held)

    def code_of(self, held: Held, *, tracing: bool = False) -> LiveRun:
        """The run's code, before it has learnt anything."""
        return LiveRun(
            held.id,
            held.workflow,
            held.input,
            runners=self._engine.runners,
            correlation_id=held.correlation_id,
            name=held.ref,
            tracing=tracing,
            seed=held.generation_seed,
        )

    def _revive(self, held: Held, history: list[HistoryEvent]) -> None:
        """Make the code anew and bring it to where the history ends."""
        held.live = live = self.code_of(held)
        shown, held.shown = held.shown, history[-1].seq
        try:
            commands = live.replay(history, shown=shown)
        except Diverged:
            self._block_with_line(held, history)
            return
        if held.status is not RunStatus.RUNNING:
            waiting = held.status is RunStatus.WAITING
            self._engine.set_status(held, RunStatus.RUNNING, write=not waiting, started=held.status is RunStatus.QUEUED)
        if held.trying:
            held.trying = False
            self._engine.carry_out.take_messages(held)
        self._engine.carry_out.all(held, commands)
        held.recovered = False
        if held.at_bay:
            self._engine.attempts.release(held)
        self.settle(held)

    def _block_with_line(self, held: Held, history: list[HistoryEvent]) -> None:
        """Replay once more, noting lines, to say where the code went another way."""
        if held.live is not None:
            held.live.discard()
        held.live = live = self.code_of(held, tracing=True)
        found = Diverged("the code is not deterministic", operation="?", line="", recorded="?")
        try:
            live.replay(history)
        except Diverged as error:
            found = error
        self._engine.outcomes.block(held, found)
