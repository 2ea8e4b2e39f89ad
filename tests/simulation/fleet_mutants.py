"""Seeded bugs of several engines on one store: what only they can do wrong."""

from __future__ import annotations

from functools import partial

from ripresa.engine import attempts, verdicts
from ripresa.engine.attempts import Attempts
from ripresa.engine.control import Control
from ripresa.engine.effects import Effects
from ripresa.engine.elsewhere import Elsewhere
from ripresa.engine.labels import Labelled
from ripresa.engine.loading import Loading
from ripresa.engine.parking import Parking
from ripresa.engine.pools import Pools
from ripresa.ports.rows import Ready, RunChange
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from ripresa.stores.memory.needs import NeedVerbs
from tests.simulation.mutants import Mutant, seeded

FLEET_MUTANTS: list[Mutant] = []
mutant = partial(seeded, FLEET_MUTANTS, scenario="fleet")


def give_up_what_is_known(effects, flight):
    """As an engine does that believes to have claimed only what it was told of."""
    effect, flight.effect = flight.effect, None
    if effect is not None:
        effects._leave(effect)


@mutant(
    MemoryDatabase,
    "end_leases",
    (MemoryDatabase, "_lives", lambda self, engine: self.owners[engine].lease_until > self.now),
)
def adopting_breaks_no_lease(_):
    return lambda self, but=None, until=None: None


@mutant(MemoryDatabase, "_lives")
def runs_of_the_living_are_adopted(_):
    return lambda self, engine: False


@mutant(MemoryStore, "_may_claim")
def claims_ignore_the_owner(_):
    return lambda self, run, lease, leave=frozenset(): run in self.database.runs


@mutant(MemoryStore, "claim")
def whoever_is_asked_holds_the_run(_):
    async def claim(self, lease, run):
        self.database.confirm(lease)
        return run in self.database.runs

    return claim


@mutant(Elsewhere, "_look")
def ends_elsewhere_are_never_seen(_):
    async def look(self):
        return None

    return look


@mutant(Control, "retry", scenario="retried_fleet")
def whoever_is_asked_reopens_the_run(_):
    async def retry(self, ref):
        await self.reopen(await self._desk.find(ref))

    return retry


@mutant(Loading, "_at_rest", scenario="pause_and_signal_fleet")
def runs_are_loaded_while_they_are_let_go_of(_):
    async def at_rest(self, ids):
        return ids

    return at_rest


@mutant(Parking, "hand_over", scenario="restart_fleet")
def runs_are_handed_over_without_letting_go(_):
    """The engine that closes goes on with them until the end of its loop."""

    def hand_over(self, held):
        batch, now = self._engine.committer.batch, self._engine.now()
        batch.changes.append(RunChange(held.id, held.status.value, now, None))
        batch.ready.append(Ready(held.id, now, held.priority))
        self._engine.committer.kick()

    return hand_over


@mutant(MemoryDatabase, "confirm")
def broken_leases_write_on(_):
    return lambda self, lease: self.owners[lease.engine]._replace(lease_until=self.now + 1)


@mutant(MemoryStore, "acquire")
def engines_share_a_number(original):
    async def acquire(self, **of):
        lease = await original(self, **of)
        if lease.engine == 1:
            return lease
        first = self.database.owners[1]
        return lease._replace(engine=1, epoch=1, last_batch=first.last_batch)

    return acquire


@mutant(Labelled, "fits", scenario="labelled")
def labels_are_ignored(_):
    return lambda self, flight: True


@mutant(Labelled, "look", scenario="labelled")
def a_run_stays_where_its_labels_are_not(_):
    return lambda self, held: False


@mutant(MemoryDatabase, "_write_needs", scenario="labelled")
def what_a_run_needs_is_forgotten(_):
    return lambda self, batch: None


@mutant(NeedVerbs, "_may_fit", scenario="labelled")
def runs_of_others_are_claimed_for_their_labels(_):
    return lambda self, run, leave: True


@mutant(Pools, "_give_back", (Pools, "_remind", lambda self: None), scenario="pooled_drained")
def what_the_next_engine_asked_for_is_given_back(_):
    """By one that had asked for the same before it let go of the run."""

    def give_back(self, freed):
        name = freed.run, freed.operation
        self._leaving[name] = self._leaving.get(name, 0) + 1
        self._engine.committer.batch.freed.append(freed)
        self._engine.committer.then(lambda _: self._gone(name))

    return give_back


@mutant(Labelled, "leave", scenario="labelled")
def needs_stay_noted(_):
    """Until the run is looked at again: it seems to wait for an engine while it is at work."""

    def leave(self, flight):
        flight.elsewhere = False

    return leave


@mutant(Attempts, "cancel", scenario="once")
def what_an_engine_claimed_before_it_died_is_kept(original):
    """A step that nobody wants any more, and whose effect others wait for."""
    return lambda self, held, operation, asked=None: original(self, held, operation)


@mutant(Effects, "_claim", (Effects, "give_up", give_up_what_is_known), scenario="once")
def a_claim_that_is_answered_late_is_kept(_):
    async def claim(self, flight, wanted):
        flight.effect = None
        stands = await self._engine.store.claim_effect(self._engine.lease, wanted)
        flight.effect = wanted
        return stands

    return claim


@mutant(Pools, "vacate", scenario="remote")
def the_slot_that_an_engine_had_before_it_died_is_kept(_):
    return lambda self, flight: None


@mutant(Attempts, "_call_off", scenario="remote")
def what_an_engine_had_done_elsewhere_is_not_called_off(_):
    return lambda self, flight: None


@mutant(attempts, "at_most_once", (verdicts, "at_most_once", lambda flight: False), scenario="once")
def a_letter_is_sent_again_after_a_crash(_):
    return lambda flight: False
