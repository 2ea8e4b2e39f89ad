"""Seeded bugs: each a patch on the real engine, kernel or store, of a kind that such engines have had.

The checker must see every one of them in the evidence of a few seeds.  Several were real here once.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from ripresa.contracts.status import RunStatus
from ripresa.engine.attempts import Attempts
from ripresa.engine.carry_out import _HANDS, CarryOut
from ripresa.engine.children import Children
from ripresa.engine.committer import Committer
from ripresa.engine.control import Control
from ripresa.engine.engine import Engine
from ripresa.engine.held import Flight
from ripresa.engine.messages import Messages
from ripresa.engine.outcomes import Outcomes
from ripresa.engine.pools import Pools
from ripresa.engine.turns import Turns
from ripresa.engine.verbs import Verbs
from ripresa.engine.verdicts import Verdicts
from ripresa.kernel import history as h
from ripresa.kernel.mail import Mail
from ripresa.kernel.pooling import MANY, Desk
from ripresa.kernel.retry import RetryAt
from ripresa.kernel.saga import Saga
from ripresa.ports.rows import RunChange
from ripresa.stores import granting
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from ripresa.stores.memory.reading import ReadingVerbs
from ripresa.stores.memory.tickets import Tickets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Mutant:
    """A bug: what is patched, and with what."""

    name: str
    target: Any
    attribute: str
    make: Callable[[Any], Any]
    """Gets what stands there, gives what shall."""
    also: tuple[tuple[Any, str, Any], ...] = ()
    """Second lines of defence that the bug is without: what is put where."""
    scenario: str = "mixed"
    """Where it is looked for: a bug that few stories meet is looked for in one of them."""

    @property
    def is_of_memory(self) -> bool:
        """Whether it breaks the memory store, and nothing else."""
        targets = [self.target, *(target for target, _, _ in self.also)]
        return any(getattr(target, "__module__", "").startswith("ripresa.stores.memory") for target in targets)

    @contextmanager
    def installed(self) -> Iterator[None]:
        with ExitStack() as stack:
            original = self.target.__dict__[self.attribute]
            changed = self.make(original)
            for target, attribute, value in ((self.target, self.attribute, changed), *self.also):
                stack.enter_context(patch.object(target, attribute, value))
            for command, hand in list(_HANDS.items()):
                if hand is original:
                    stack.enter_context(patch.dict(_HANDS, {command: changed}))
            yield


MUTANTS: list[Mutant] = []


def seeded(
    mutants: list[Mutant], target: Any, attribute: str, *also: tuple[Any, str, Any], scenario: str = "mixed"
) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        mutants.append(Mutant(make.__name__, target, attribute, make, also, scenario))
        return make

    return register


mutant = partial(seeded, MUTANTS)


# --- ownership ---------------------------------------------------------------------------------


@mutant(MemoryDatabase, "confirm")
def fence_dropped(_):
    return lambda self, lease: self.owners[lease.engine]


@mutant(MemoryStore, "acquire")
def two_engines_under_one_epoch(original):
    async def acquire(self, **of):
        owners = self.database.owners
        before = next(reversed(owners.values()), None)
        lease = await original(self, **of)
        if before is None:
            return lease
        owners[before.epoch] = owners.pop(lease.engine)._replace(epoch=before.epoch)
        return lease._replace(engine=before.epoch, epoch=before.epoch, last_batch=before.last_batch)

    return acquire


# --- durable before shown ----------------------------------------------------------------------


@mutant(Committer, "then")
def answered_before_the_commit(_):
    def then(self, act):
        self.kick()
        act(_NONE)

    return then


@mutant(Committer, "tell")
def code_shown_events_before_the_commit(_):
    def tell(self, held, event):
        self.kick()
        self.show(held, event)

    return tell


@mutant(Committer, "_is_committed")
def ambiguous_commit_taken_for_failed(_):
    async def is_committed(self, number):
        return False

    return is_committed


@mutant(Committer, "_is_committed")
def ambiguous_commit_taken_for_done(_):
    async def is_committed(self, number):
        return True

    return is_committed


# --- attempts ----------------------------------------------------------------------------------


@mutant(Verdicts, "record")
def failed_attempts_not_counted_on_disk(original):
    def record(self, flight, status, **fields):
        if status in ("failed", "running"):
            return
        original(self, flight, status, **fields)

    return record


@mutant(Verdicts, "failed")
def retry_ignores_max_attempts(original):
    def failed(self, flight, error):
        def again(policy, failure, error, *, now, **_):
            return RetryAt(now + 20_000_000)

        with patch("ripresa.engine.verdicts.after_failure", again):
            original(self, flight, error)

    return failed


@mutant(Attempts, "_remember")
def retry_delay_forgotten_by_a_crash(original):
    def remember(self, flight, due):
        return original(self, flight, None)

    return remember


@mutant(Attempts, "cancel", (Attempts, "_due", lambda self, flight: self._admit(flight)))
def cancel_ignores_a_sleeping_retry(original):
    def cancel(self, held, operation):
        flight = held.flights.get(operation)
        if flight is None or flight.due is None:
            original(self, held, operation)

    return cancel


@mutant(Flight, "context")
def idempotency_key_includes_the_attempt(original):
    def context(self):
        made = original(self)
        object.__setattr__(made, "idempotency_key", f"{made.idempotency_key}#{made.attempt}")
        return made

    return context


@mutant(CarryOut, "schedule_step")
def step_in_flight_started_again_after_eviction(_):
    return lambda self, held, command: self._engine.attempts.begin(held, command)


@mutant(Outcomes, "step_set_aside")
def quarantine_is_a_retry(_):
    def step_set_aside(self, flight, failure):
        flight.ended = False
        self._engine.attempts.verdicts._again(flight, self._engine.now() + 10_000_000, failure)

    return step_set_aside


# --- outcomes and journal ----------------------------------------------------------------------


@mutant(Outcomes, "step_done")
def outcome_recorded_twice(original):
    def step_done(self, flight, output, failure):
        original(self, flight, output, failure)
        original(self, flight, output, failure)

    return step_done


@mutant(ReadingVerbs, "_load")
def recovered_run_restarted_from_scratch(original):
    def load(self, id):
        loaded = original(self, id)
        return loaded._replace(history=loaded.history[:1])

    return load


@mutant(Turns, "_activate")
def events_shown_in_another_order(original):
    def activate(self, held):
        held.inbox.reverse()
        original(self, held)

    return activate


@mutant(Control, "cancel", scenario="purchase")
def cancel_overwrites_the_end(original):
    async def cancel(self, ref):
        run = await self._desk.find(ref)
        await original(self, ref)
        if run.status == RunStatus.CANCELLED or run.id in self._engine.held:
            return
        now = self._engine.now()
        self._engine.committer.batch.changes.append(
            RunChange(run.id, RunStatus.CANCELLED.value, now, None, finished_at=now)
        )
        await self._desk.on_disk()

    return cancel


def _cancel_whatever_stands(self, held):
    if held.status in (RunStatus.PAUSED, RunStatus.QUARANTINED):
        self._go_on(held)
    self._engine.append_and_tell(held, h.CANCEL_REQUESTED)


@mutant(Verbs, "hold_run", (Control, "cancel_held", _cancel_whatever_stands))
def ended_run_takes_one_more_event(original):
    async def hold_run(self, run, verb):
        return self._engine.held.get(run.id) or await original(self, run, verb)

    return hold_run


@mutant(CarryOut, "continue_as_new")
def continue_as_new_keeps_the_old_journal(original):
    def continue_as_new(self, held, command):
        original(self, held, command)
        changes = self._engine.committer.batch.changes
        changes[-1] = changes[-1]._replace(base_seq=None)

    return continue_as_new


# --- timers, signals, messages -----------------------------------------------------------------


@mutant(CarryOut, "set_timer")
def timer_fires_early(original):
    return lambda self, held, command: original(self, held, command._replace(due=command.due - 150_000))


@mutant(Mail, "take_signal")
def signal_dropped_if_nobody_waits(original):
    def take_signal(self, event):
        if event.name in self._handlers or any(not future.done() for future, _ in self._waits.get(event.name, ())):
            original(self, event)

    return take_signal


@mutant(MemoryDatabase, "_write_others")
def messages_not_deleted(original):
    def write_others(self, batch):
        kept = {run: dict(messages) for run, messages in self.inbox.items()}
        original(self, batch)
        if batch.taken:
            self.inbox = defaultdict(dict, kept)

    return write_others


@mutant(Messages, "hand_in")
def messages_handed_in_twice(original):
    def hand_in(self, held, messages):
        messages = list(messages)
        original(self, held, messages)
        held.taken.clear()
        original(self, held, messages)

    return hand_in


@mutant(Children, "tell_parent")
def child_result_dropped_if_the_parent_is_away(original):
    def tell_parent(self, held, status, output, error):
        if held.parent in self._engine.held:
            original(self, held, status, output, error)

    return tell_parent


@mutant(MemoryDatabase, "write")
def ready_row_of_a_parked_run_lost(original):
    def write(self, batch):
        batch.ready = [ready for ready in batch.ready if ready.due <= batch.at]
        original(self, batch)

    return write


# --- control -----------------------------------------------------------------------------------


@mutant(Engine, "may_run")
def pause_ignored(_):
    return lambda self, held: held.status in ("queued", "running", "waiting", "paused")


@mutant(ReadingVerbs, "get_run", (MemoryDatabase, "refused", lambda *_: _NONE))
def duplicate_start_makes_a_second_run(original):
    async def get_run(self, ref):
        found = await original(self, ref)
        return None if found is not None and found.key == ref and found.started_at is None else found

    return get_run


@mutant(Children, "_look_up")
def children_started_again_after_a_crash(_):
    def look_up(self, held, command):
        held.children = {}
        self._engine.carry_out.all(held, [command])

    return look_up


@mutant(CarryOut, "take_in")
def retried_run_given_to_nobody(_):
    return lambda self, run_id: None


# --- sagas -------------------------------------------------------------------------------------


@mutant(Saga, "undo")
def compensation_in_forward_order(original):
    async def undo(self):
        self._pile.reverse()
        await original(self)

    return undo


@mutant(Saga, "watch")
def compensation_twice(original):
    def watch(self, operation, step, text):
        def undo(output):
            self._pile.append(step.undoing(text, output, operation.id))
            self._pile.append(step.undoing(text, output, operation.id))

        operation.undo = undo

    return watch


@mutant(Saga, "undo")
def cancel_cuts_compensation_short(_):
    async def undo(self):
        while self._pile:
            await self._pile.pop()()

    return undo


# --- pools -------------------------------------------------------------------------------------


@mutant(Pools, "ended", scenario="pooled")
def a_step_that_fails_takes_its_slot_along(original):
    return lambda self, flight, failure: self.keep(flight) if failure is not None else original(self, flight, None)


@mutant(Pools, "leave", scenario="pooled")
def a_step_that_is_cancelled_takes_its_slot_along(_):
    return lambda self, flight: self.keep(flight)


@mutant(Pools, "ask", (Tickets, "bereave", lambda self, is_alive: None), scenario="pooled")
def slots_stay_with_an_engine_that_is_gone(original):
    """As if a ticket were its engine's rather than its run's."""

    def ask(self, flight):
        asked = original(self, flight)
        if asked:
            seat = self._waiting.pop(flight.seat.name)
            del self._unsent[seat.name]
            seat.ticket = seat.ticket._replace(operation=f"{seat.ticket.operation}@{self._engine.number}")
            self._waiting[seat.name] = self._unsent[seat.name] = seat
        return asked

    return ask


@mutant(Desk, "room", scenario="pooled")
def one_slot_too_many(original):
    return lambda self: original(self) if self.held != self.pool.slots else 1


@mutant(Pools, "ask", scenario="pooled")
def a_step_does_not_wait_for_its_slot(original):
    def ask(self, flight):
        return flight.attempt == 0 and original(self, flight)

    return ask


@mutant(granting, "turn_of", scenario="pooled")
def keys_do_not_take_turns(_):
    return lambda *, served, last_served, last_waiting: 0


@mutant(Desk, "_by_circuit", scenario="pooled")
def a_half_open_breaker_lets_all_in(original):
    def by_circuit(self, target):
        circuit = self.circuits.get(target)
        return MANY if circuit is not None and circuit.state == "half_open" else original(self, target)

    return by_circuit


@mutant(Desk, "_by_circuit", scenario="pooled")
def an_open_breaker_lets_steps_in(original):
    def by_circuit(self, target):
        circuit = self.circuits.get(target)
        return MANY if circuit is not None and circuit.state == "open" else original(self, target)

    return by_circuit
