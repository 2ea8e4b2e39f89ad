"""Attempts: making the attempts of a step – where, when, for how long – and cutting them off.

    ask ─> labels? ─> pool? ─> slot ─> attempt ─> verdict (`verdicts`) ─> outcome of the step
             ^                                       │
             └──────────────── due <── another ──────┘

A start is recorded without waiting: it rides along with a later batch, and only if the attempt is
still running then – a short step costs one row.  After a crash the order is turned round for the
steps of that run: the start is on disk first, so that a step which takes its process down with it
cannot do so for ever (`LOSSES_MAX`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

from ripresa.contracts.errors import RipresaError
from ripresa.contracts.failure import Failure
from ripresa.contracts.labels import needed
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_context import STEP_CONTEXT
from ripresa.engine.adopting import Adopting
from ripresa.engine.crew import Crew
from ripresa.engine.effects import Effects
from ripresa.engine.held import Flight, Held, Tally
from ripresa.engine.verdicts import Verdicts, at_most_once
from ripresa.kernel.retry import SetAside, after_loss
from ripresa.ports.runtime import Work
from ripresa.runtimes import RuntimeClosed, TookTooLong, WorkerLost
from ripresa.runtimes.inline import InlineRuntime

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.slots import Slots
    from ripresa.kernel.commands import ScheduleStep
    from ripresa.ports.runtime import Runtime

logger = logging.getLogger("ripresa.engine")

_YOUNG_US = 20_000
"""An attempt younger than this is not worth a row yet."""


class Attempts:
    """Runs the attempts of all held runs."""

    def __init__(self, engine: Engine, runtimes: dict[str, Runtime], slots: dict[str, Slots]) -> None:
        self._engine = engine
        self._runtimes = runtimes
        self._slots = slots
        self._young: deque[Flight] = deque()
        self._watching = False
        self._crew: Crew
        self._adopting = Adopting(engine, runtimes)
        self._effects = Effects(engine)
        self.verdicts = Verdicts(engine, self._adopting, self._effects, self._due)
        self._inline_is_plain = type(runtimes["inline"]) is InlineRuntime
        self.running = 0

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to take attempts on this loop."""
        self._crew = Crew(loop)

    def close(self) -> None:
        """Take no more."""
        self._crew.close()
        self._effects.close()
        self._adopting.close()

    # --- starting ------------------------------------------------------------------------------

    def begin(self, held: Held, ask: ScheduleStep) -> None:
        """Carry this step to an outcome."""
        held.flights[ask.operation] = flight = Flight(self._engine, held, ask)
        known = held.loss_counts.pop(ask.operation, None) if held.loss_counts else None
        if known is not None:
            flight.attempt, flight.failures, flight.losses, flight.first_started = known[:4]
            flight.careful |= flight.losses > 0  # it may have been lost elsewhere, and passed on
        if self._adopting.of(flight) is not None:
            self._adopting.prepare(flight, known)
        if at_most_once(flight):
            flight.careful = True
            if known is not None and known.cut_at is not None and flight.resumed_at is None:
                flight.started_at = known.cut_at
                self.verdicts.interrupted(flight)
                return
        if known is not None and self._remember(flight, known.due):
            return
        self._seek(flight)

    def _seek(self, flight: Flight) -> None:
        """It may be attempted now: where, and when its turn comes."""
        slots = self._slots.get(flight.runtime)
        if not self._engine.labels.fits(flight):
            self._engine.labels.wait(flight)
            self._limit_wait(flight, since=self._engine.labels.waiting_since(flight))
            return
        if flight.held.needs:
            self._engine.labels.leave(flight)
        if slots is None or flight.runtime not in self._runtimes:
            self._nowhere(flight)
        elif self._effects.comes_first(flight):
            flight.gate = self._engine.task(self._wait_for_effect(flight))
        else:
            self._line_up(flight)

    def _line_up(self, flight: Flight) -> None:
        """Nothing but a slot is wanting."""
        if getattr(flight.ask.step, "pool", None) is not None:
            self._ask_pool(flight)
        else:
            self._admit(flight)

    async def _wait_for_effect(self, flight: Flight) -> None:
        """Nobody else is at it from now on: then its turn may come."""
        await self._effects.wait(flight)
        flight.gate = None
        if flight.ended:
            return
        if self._engine.may_start(flight.held):
            self._line_up(flight)
        else:
            self.put_off(flight)

    def _remember(self, flight: Flight, due: int | None) -> bool:
        """Look at earlier attempts; True: the next is not due yet, or too many were lost and the step is set aside."""
        verdict = after_loss(flight.losses, now=self._engine.now())
        if isinstance(verdict, SetAside):
            failure = Failure(
                type="ripresa.AttemptLost", message=verdict.reason, failure_class=FailureClass.QUARANTINE, code="lost"
            )
            self.verdicts.set_aside(flight, failure)
            return True
        if due is not None and due > self._engine.now():
            flight.due_at = due
            flight.due = self._engine.timers.at(due, self._due, flight)
            return True
        return False

    def _ask_pool(self, flight: Flight) -> None:
        """Wait for a slot of its pool first, without holding one of the runtime."""
        try:
            asked = self._engine.pools.ask(flight)
        except RipresaError as error:
            self.verdicts.never(flight, str(error), code="cannot_start")
            return
        if asked:
            self._limit_wait(flight)
        else:
            self._admit(flight)

    def granted(self, flight: Flight) -> None:
        """Its pool has a slot for it."""
        if self._engine.draining:
            self.hand_back(flight)
        elif self._engine.may_start(flight.held):
            self._admit(flight)
        else:
            self.put_off(flight)

    def refused(self, flight: Flight, why: str) -> None:
        """Its pool's breaker lets it fail rather than wait."""
        self.verdicts.never(flight, f"step {flight.ask.step.name!r}: {why}", code="breaker_open")

    @property
    def free_share(self) -> float:
        """How much of the busiest runtime's slots is free: from 0 to 1."""
        return min(slots.free / slots.size for slots in self._slots.values())

    def outlives(self, flight: Flight) -> bool:
        """Whether its work goes on when its engine ends."""
        return self._adopting.of(flight) is not None

    def _admit(self, flight: Flight) -> None:
        if flight.ended:
            return
        if self._slots[flight.runtime].free > 0:
            self._slots[flight.runtime].free -= 1
            self._start(flight)
        else:
            self._wait(flight)

    def _wait(self, flight: Flight) -> None:
        """There is no slot now; the wait for one may be limited."""
        self._slots[flight.runtime].wait(flight)
        self._limit_wait(flight)

    def _limit_wait(self, flight: Flight, *, since: int | None = None) -> None:
        limit_us = getattr(flight.ask.step, "queue_us", None)
        if limit_us is not None and flight.queue is None:  # the wait for the pool counts too
            left_us = limit_us if since is None else max(0, since + limit_us - self._engine.now())
            flight.queue = self._engine.loop.call_later(left_us / 1e6, self._waited, flight, limit_us / 1e6)

    def _waited(self, flight: Flight, limit_s: float) -> None:
        """It waited too long.  Another attempt would queue up behind all others, so this is the end of it."""
        flight.queue = None
        if not flight.ended:
            step = flight.ask.step
            why = f"step {step.name!r} waited for {self._awaited(flight)} for more than {limit_s:g} s"
            self.verdicts.never(flight, why, code="queue_timeout")

    def _awaited(self, flight: Flight) -> str:
        if flight.elsewhere:
            return f"an engine with {needed(self._engine.labels.needed(flight))}"
        waits = self._engine.pools.waits(flight)
        of = f"pool {flight.ask.step.pool!r}" if waits else f"runtime {flight.runtime!r}"
        return f"a free slot of {of}"

    def _start(self, flight: Flight) -> None:
        engine = self._engine
        if flight.queue is not None:
            flight.queue.cancel()
            flight.queue = None
        flight.attempt += 1
        flight.recorded = flight.timed_out = False
        flight.due_at = None
        flight.started_at = engine.now() if flight.resumed_at is None else flight.resumed_at
        if flight.first_started is None:
            flight.first_started = flight.started_at
        self.running += 1
        if flight.careful:
            self.verdicts.record(flight, "running")
            engine.committer.then(lambda _: self._launch(flight))
        else:
            self._launch(flight)

    def _launch(self, flight: Flight) -> None:
        if flight.ended:
            if flight.recorded:
                self.verdicts.record(flight, "lost", finished_at=self._engine.now())
            self._leave(flight)
            return
        if flight.held.holds_back:
            flight.held.at_bay.append(flight)
            return
        loop = self._engine.loop
        step = flight.ask.step
        flight.launched = True
        self._crew.add(flight)
        if step.timeout_us is not None and not getattr(self._runtimes.get(flight.runtime), "keeps_limits", False):
            passed_us = 0 if flight.resumed_at is None else self._engine.now() - flight.resumed_at
            left_us = max(0, step.timeout_us - passed_us)
            flight.timeout = loop.call_later(left_us / 1e6, self._time_out, flight, flight.attempt)
        self._young.append(flight)
        if not self._watching:
            self._watching = True
            loop.call_later(_YOUNG_US / 1e6, self._record_grown)
        if self._engine.watching.observers:
            self._engine.watching.notify("attempt_started", flight.held, flight.ask, flight.attempt)

    def release(self, held: Held) -> None:
        """The run's code knows what was asked of the run: what it still wants may start."""
        at_bay, held.at_bay = held.at_bay, []
        for flight in at_bay:
            self._launch(flight)

    def _record_grown(self) -> None:
        """Record the attempts that have run for a while."""
        before = self._engine.now() - _YOUNG_US // 2
        recorded = False
        while self._young and (
            self._young[0].ended or not self._young[0].launched or self._young[0].started_at <= before
        ):
            flight = self._young.popleft()
            if not flight.ended and flight.launched and not flight.recorded:
                self.verdicts.record(flight, "running")
                recorded = True
        if recorded:
            self._engine.committer.kick()
        self._watching = bool(self._young)
        if self._watching:
            asyncio.get_running_loop().call_later(_YOUNG_US / 1e6, self._record_grown)

    # --- running -------------------------------------------------------------------------------

    async def run(self, flight: Flight) -> None:
        """One attempt, to its outcome; the crew drives it."""
        ask = flight.ask
        step = ask.step
        try:
            effect = getattr(step, "effect", None)
            if flight.runtime == "inline" and self._inline_is_plain and effect is None:
                # What InlineRuntime does, without the objects; the crew has given the attempt a context of its own.
                STEP_CONTEXT.set(flight.context)
                output = step.dump(await step.function(*ask.args, **ask.kwargs))
            else:
                work = self._work(flight)
                if flight.careful:
                    await self._adopting.hand_over(flight, work)
                runtime = self._runtimes[flight.runtime]
                if effect is None:
                    output = await runtime.run(work)
                else:
                    output = await self._effects.once(flight, lambda: runtime.run(work))
        except asyncio.CancelledError as error:
            self._cut_off(flight, error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is the attempt's outcome
            self._ended(flight, error)
        else:
            self._leave(flight)
            if flight.ended:
                self._engine.pools.leave(flight)
                self._engine.watching.ask_idle()
            else:
                self.verdicts.succeeded(flight, output)

    def _work(self, flight: Flight) -> Work:
        ask = flight.ask
        step = ask.step
        context = flight.context()  # made now: a thread may outlive the attempt and ask later
        return Work(step.function, step.target, ask.args, ask.kwargs, ask.input, step.dump, context, flight.log)

    def _cut_off(self, flight: Flight, error: asyncio.CancelledError) -> None:
        if flight.timed_out:
            limit = flight.ask.step.timeout_us / 1e6
            self._ended(flight, TimeoutError(f"attempt {flight.attempt} took longer than {limit:g} s"))
        else:
            self._ended(flight, error)

    def _time_out(self, flight: Flight, attempt: int) -> None:
        if flight.attempt != attempt or not flight.launched or flight.ended:
            return
        flight.timed_out = True
        if flight.member is not None:
            flight.member.cancel()

    def _leave(self, flight: Flight) -> None:
        self.running -= 1
        flight.launched = False
        if flight.timeout is not None:
            flight.timeout.cancel()
            flight.timeout = None
        slots = self._slots[flight.runtime]
        if not slots.waiting:
            slots.free += 1
            return
        following = slots.give()
        if following is not None:
            self._start(following)

    def _nowhere(self, flight: Flight) -> None:
        """There is no such runtime here."""
        runtime, have = flight.runtime, ", ".join(self._runtimes)
        why = f"step {flight.ask.step.name!r}: this App has no runtime {runtime!r} (it has: {have})"
        self.verdicts.never(flight, why, code="cannot_start")

    # --- outcomes ------------------------------------------------------------------------------

    def _ended(self, flight: Flight, error: BaseException) -> None:
        self._leave(flight)
        if isinstance(error, TookTooLong):
            flight.timed_out = True
        if flight.ended:  # nobody waits for it, and it may be the last thing that was under way
            self._engine.pools.leave(flight)
            self._engine.watching.ask_idle()
            return
        if isinstance(error, WorkerLost):
            self.verdicts.lost(flight, error)
        elif isinstance(error, RuntimeClosed):
            self._given_back(flight, error)
        else:
            self.verdicts.failed(flight, error)

    def _given_back(self, flight: Flight, error: RuntimeClosed) -> None:
        """The runtime was closed under it: nobody's failure, and made again by the next owner.

        It stays among the flights: so the run is not parked, and is ours until that owner adopts it.
        """
        if flight.recorded and self._adopting.of(flight) is None:
            self.verdicts.record(flight, _cut_off_status(flight), finished_at=self._engine.now())
            self._engine.committer.kick()
        self._let_go_of_slot(flight, leave=True)
        if not self._engine.stopping:
            step, ref = flight.ask.operation, flight.held.ref
            logger.warning("step %s of run %s waits for the next App on this store: %s", step, ref, error)

    def _due(self, flight: Flight) -> None:
        flight.due = None
        if not flight.ended and flight.held.flights.get(flight.ask.operation) is flight:
            if self._engine.draining:
                self.hand_back(flight)
            elif not self._engine.may_start(flight.held):
                self.put_off(flight)
            else:
                self._seek(flight)
                self._engine.labels.look(flight.held)

    # --- stopping ------------------------------------------------------------------------------

    def cancel(self, held: Held, operation: str, asked: ScheduleStep | None = None) -> bool:
        """Stop the work of an operation that nobody wants any more; True: too late, its outcome is on its way.

        `asked`: what was asked for, if an engine that had the run before may have left more of it than its attempts.
        """
        flight = held.flights.get(operation)
        if flight is not None and flight.decided:
            return True
        if flight is None:
            if asked is not None:
                self._call_off(Flight(self._engine, held, asked))
        else:
            if flight.resumed_at is not None and not flight.started_at:  # it goes on, and was not taken up again yet
                flight.attempt, flight.started_at, flight.recorded = flight.attempt + 1, flight.resumed_at, True
            self.forget(flight)
            self._effects.give_up(flight)
            if flight.recorded:
                self.verdicts.record(flight, "cancelled", finished_at=self._engine.now())
                self._engine.committer.kick()
        return False

    def _call_off(self, flight: Flight) -> None:
        """Nobody wants what an engine that had the run before may have begun."""
        held, operation = flight.held, flight.ask.operation
        self._effects.give_up(flight)
        runtime, known = self._adopting.of(flight), held.loss_counts.get(operation, Tally())
        under_way = runtime is not None and known.cut_at is not None
        if under_way:
            flight.attempt, flight.started_at = known.number, known.cut_at or 0
            runtime.forget(flight.context())
            self.verdicts.record(flight, "cancelled", finished_at=self._engine.now())
            held.loss_counts[operation] = Tally(known.number)
        if under_way or held.recovered:
            self._engine.pools.vacate(flight)

    def hand_back(self, flight: Flight) -> None:
        """The engine stops: the attempt is cut off, which is nobody's loss, and made again by the next owner.

        What can do without an engine goes on, and the next owner adopts it.
        """
        status = _cut_off_status(flight)
        self.forget(flight, leave=True)
        if flight.recorded and self._adopting.of(flight) is None:
            self.verdicts.record(flight, status, finished_at=self._engine.now())
            self._engine.committer.kick()

    def give_up_waiting(self, held: Held) -> None:
        """The engine drains: what has not begun is not begun here, and leaves its places in line to others."""
        for flight in list(held.flights.values()):
            if not (flight.launched or flight.decided or flight.recorded or flight.elsewhere):
                self.hand_back(flight)

    def put_off(self, flight: Flight) -> None:
        """Drop the flight of a run that is stopped for a while; its attempts go on counting."""
        flight.held.loss_counts[flight.ask.operation] = Tally(
            flight.attempt, flight.failures, flight.losses, flight.first_started, flight.due_at
        )
        self.forget(flight)
        if flight.effect is not None:
            self._effects.give_up(flight)  # another run may do it meanwhile

    def forget(self, flight: Flight, *, leave: bool = False) -> None:
        """Drop the flight; the work is stopped, nothing is recorded.  `leave`: unless it can do without an engine."""
        flight.ended = True
        flight.held.flights.pop(flight.ask.operation, None)
        if flight.elsewhere and not leave:  # else whoever takes the run is to know what it needs
            self._engine.labels.leave(flight)
        if flight.careful:
            self._adopting.let_go(flight, leave=leave)
            if flight.launched and at_most_once(flight):  # should its code ask for it again
                flight.held.loss_counts[flight.ask.operation] = Tally(flight.attempt, cut_at=flight.started_at)
        for handle in (flight.due, flight.queue, flight.gate):
            if handle is not None:
                handle.cancel()
        if flight.member is None or leave:  # else when the work has ended
            self._let_go_of_slot(flight, leave=leave)
        if flight.member is not None:
            flight.member.cancel()
        elif flight.launched:
            self._leave(flight)
        elif flight in flight.held.at_bay:
            flight.held.at_bay.remove(flight)
            self._leave(flight)

    def _let_go_of_slot(self, flight: Flight, *, leave: bool) -> None:
        """Give back its pool's slot, unless the work goes on without us."""
        if leave and self.outlives(flight) and not self._engine.pools.waits(flight):
            self._engine.pools.keep(flight)
        else:
            self._engine.pools.leave(flight)


def _cut_off_status(flight: Flight) -> str:
    """What is recorded of an attempt that its engine leaves: nobody's loss, unless it must not be made again."""
    return "lost" if flight.launched and at_most_once(flight) else "cancelled"
