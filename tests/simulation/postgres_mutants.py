"""Seeded bugs of the PostgreSQL store: in functions of its schema, in its queries and in its Python.

A bug in a function is put into the schema of the simulation, in place of what the migrations have put there.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

from ripresa.engine.loading import Loading
from ripresa.stores.postgres import PostgresStore, loading, pools
from ripresa.stores.postgres.seldom import Seldom
from ripresa.testing.faults import Fault, Kind, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ripresa.stores.named_sql import NamedSql
    from ripresa.testing import SimPostgres

_TEXT = """
SELECT pg_get_functiondef(oid) FROM pg_proc
WHERE proname = '{}' AND pronamespace = current_schema()::regnamespace
"""


@dataclass(frozen=True)
class InFunction:
    """A function of the schema with some of its text replaced."""

    name: str
    function: str
    replaced: tuple[tuple[str, str], ...]
    scenario: str
    also: tuple[tuple[Any, str, Any], ...] = ()
    """Second lines of defence that the bug is without: what is put where."""
    fault: tuple[Kind, str] | None = None
    """What brings it to light, and where; else faults are drawn."""

    def plan(self, seed: int) -> Plan | None:
        """That fault, each seed elsewhere."""
        return (
            None if self.fault is None else Plan([Fault(self.fault[0], 1 + seed % 12, self.fault[1])], latency_s=0.02)
        )

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Without the second lines of defence, and without the bug."""
        with ExitStack() as stack:
            for target, attribute, value in self.also:
                stack.enter_context(patch.object(target, attribute, value))
            yield

    @contextmanager
    def installed(self, on: SimPostgres) -> Iterator[None]:
        right = on.sql(_TEXT.format(self.function))[0][0]
        on.sql(_changed(right, self.replaced))
        try:
            with self.beside():
                yield
        finally:
            on.sql(right)


@dataclass(frozen=True)
class InQuery:
    """A named query with some of its text replaced."""

    name: str
    queries: NamedSql
    query: str
    replaced: tuple[tuple[str, str], ...]
    scenario: str

    @contextmanager
    def installed(self, on: SimPostgres) -> Iterator[None]:
        changed = _changed(self.queries[self.query], self.replaced)
        with patch.dict(self.queries._texts, {self.query: changed}):
            yield


@dataclass(frozen=True)
class InPython:
    """A method of the store replaced: `make` gets what stands there, and gives what shall."""

    name: str
    target: Any
    attribute: str
    make: Callable[[Any], Any]
    scenario: str

    @contextmanager
    def installed(self, on: SimPostgres) -> Iterator[None]:
        with patch.object(self.target, self.attribute, self.make(self.target.__dict__[self.attribute])):
            yield


def _changed(text: str, replaced: tuple[tuple[str, str], ...]) -> str:
    for old, new in replaced:
        assert old in text, f"{old!r} is not in {text}"
        text = text.replace(old, new)
    return text


POSTGRES_MUTANTS: list[InFunction | InQuery | InPython] = []


def _function(
    name: str,
    function: str,
    *replaced: tuple[str, str],
    scenario: str = "fleet",
    also: tuple[tuple[Any, str, Any], ...] = (),
    fault: tuple[Kind, str] | None = None,
) -> None:
    POSTGRES_MUTANTS.append(InFunction(name, function, replaced, scenario, also, fault))


def _query(name: str, queries: NamedSql, query: str, *replaced: tuple[str, str], scenario: str = "fleet") -> None:
    POSTGRES_MUTANTS.append(InQuery(name, queries, query, replaced, scenario))


def _python(target: Any, attribute: str, *, scenario: str = "fleet") -> Callable[[Any], Any]:
    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        POSTGRES_MUTANTS.append(InPython(make.__name__, target, attribute, make, scenario))
        return make

    return register


# --- ownership: the counterparts of those that break the memory store --------------------------

_GONE = "WHERE lease_until = 0 AND NOT settled"
_LEFT = "NOT EXISTS (SELECT 1 FROM engine WHERE number = run.owner AND lease_until > 0)"

_function(
    "adopting_breaks_no_lease",
    "adopt_1",
    ("UPDATE engine SET lease_until = 0 WHERE number IN (", "PERFORM 1 FROM engine WHERE number IN ("),
    (_GONE, "WHERE lease_until <= now_ AND NOT settled"),
    (_LEFT, _LEFT.replace("> 0", "> now_")),
)
_function(
    "runs_of_the_living_are_adopted",
    "adopt_1",
    (_GONE, "WHERE number <> engine_number"),
    (f"OR {_LEFT})\n    ORDER BY", "OR true)\n    ORDER BY"),
)
_function(
    "claims_ignore_the_owner",
    "claim_due_1",
    ("(run.owner = engine_number\n", "(true\n"),
    ("(ready.owner IS NULL OR ready.owner = engine_number)", "true"),
    ("WHERE id = ANY (taken) AND owner IS NULL", "WHERE id = ANY (taken)"),
)
_function(
    "whoever_is_asked_holds_the_run",
    "claim_1",
    ("WHERE id = run_id AND", "WHERE false AND"),
    ("RETURN false", "RETURN true"),
)
_function("broken_leases_write_on", "write_batch_1", ("AND lease_until > 0 FOR", "FOR"))
_function(
    "what_a_run_needs_is_forgotten",
    "write_rest_1",
    ("IF rest ? 'needs' THEN", "IF false THEN"),
    scenario="labelled",
)
_function(
    "runs_of_others_are_claimed_for_their_labels",
    "claim_fitting_2",
    ("run.owner IS NULL AND ", ""),
    (" AND owner IS NULL", ""),
    scenario="labelled",
)


@_python(PostgresStore, "acquire")
def engines_share_a_number(acquire):
    async def acquire_as_the_first(self, **of):
        lease = await acquire(self, **of)
        self._engine = 1
        return lease._replace(engine=1, epoch=1)

    return acquire_as_the_first


# --- what this store alone must see to ---------------------------------------------------------

_function(
    "what_was_written_is_not_noted",
    "wrote_1",
    ("INSERT INTO written (writer, number, at) VALUES (writer_, number_, at_);", ""),
    scenario="fleet_enumerated",
    fault=(Kind.DUPLICATE, "commit"),
)
_function(
    "a_lost_answer_is_not_given_again",
    "answered_1",
    ("cardinality(runs_) > 0", "false"),
    scenario="fleet_enumerated",
    also=((Loading, "unsure", lambda self: self.look()),),
    fault=(Kind.ERROR_AFTER, "claim_due"),
)
_function(
    "a_message_makes_nothing_ready",
    "send_1",
    ("VALUES (run_id, at_,", "VALUES ('', at_,"),
    also=((Seldom, "is_due", lambda self: False),),
)
_function(
    "messages_are_taken_and_kept",
    "write_rest_without_tasks_1",
    ("DELETE FROM inbox WHERE id IN", "SELECT run, id FROM inbox WHERE id IN"),
    ("'taken')) RETURNING run, id", "'taken'))"),
)
_function(
    "what_is_ready_is_not_looked_for",
    "lower_levels_1",
    ("IF EXISTS", "IF NOT EXISTS"),
    also=((Seldom, "is_due", lambda self: False),),
)
_function("a_run_that_exists_is_passed_over", "write_batch_1", ("IF known IS NOT NULL", "IF false"))
_function("attempts_of_the_dead_go_on", "adopt_1", ("SET status = 'lost', finished_at = now_", "SET status = status"))
_query(
    "events_are_loaded_in_another_order",
    loading.SQL,
    "loaded",
    ("ORDER BY history.seq)", "ORDER BY history.seq DESC)"),
)
_query(
    "events_before_a_new_beginning_are_loaded",
    loading.SQL,
    "loaded",
    (" AND history.seq > run.base_seq", ""),
    scenario="counter_fleet",
)

# --- pools -------------------------------------------------------------------------------------

_query(
    "slots_in_use_are_not_counted",
    pools.SQL,
    "in_use",
    ("granted_at IS NOT NULL", "granted_at IS NULL"),
    scenario="pooled",
)
_function(
    "a_ticket_is_not_given_back",
    "free_1",
    ("DELETE FROM ticket WHERE", "UPDATE ticket SET told = told WHERE"),
    scenario="pooled",
)
