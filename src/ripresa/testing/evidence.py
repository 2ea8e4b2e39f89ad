"""Evidence: all that is known of a simulated or recorded time, as plain values for the checker.

Four witnesses: the journal and rows as the store has them at the end; every write in the order in which
it took effect; every call of a step's function (the *ledger*, as an outside service would keep it); and
every request of a client with what it was told (`ok`, `fail`, or `info`: nobody told it).

`order` numbers everything on one line, so that "before" has a meaning across witnesses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ripresa.contracts.pools import Pool
    from ripresa.ports.rows import Attempt, HistoryEvent, Message, Run


@dataclass(slots=True)
class Call:
    """One raw call of a step's function."""

    order: int
    at: int
    run: str
    operation: str
    step: str
    attempt: int
    key: str
    payload: str
    process: str
    epoch: int
    ended: int | None = None
    """Order of the end; None: the process died first."""
    ended_at: int | None = None
    output: str | None = None
    error: str | None = None
    lost: bool = False
    """The place where it ran died after it (a fault): its outcome could not be told, and it does not count."""
    duplicate: bool = False
    """Made twice by a fault, not by the engine."""
    remote: bool = False
    """Made by a worker elsewhere, for whichever engine had the run."""


class Write(NamedTuple):
    """A batch, or another verb's change, as it took effect."""

    order: int
    at: int
    process: str
    epoch: int
    verb: str
    events: tuple[HistoryEvent, ...]
    statuses: tuple[tuple[str, str | None, str], ...]
    """(run, before, after) of each run whose row was written."""
    owned: tuple[tuple[str, int | None], ...] = ()
    """Engine that held it before, of each run that was there already and of which a batch wrote journal or row."""
    given: tuple[tuple[str, int | None], ...] = ()
    """Engine that holds it from now on, of each run whose owner was written."""
    fenced: tuple[int, ...] = ()
    """Engines whose lease it ended."""


@dataclass(slots=True)
class Op:
    """One request of a client: `verb` on `run`, and what became of it."""

    order: int
    at: int
    verb: str
    run: str
    argument: Any = None
    ended: int | None = None
    told: str = "info"
    """ok | fail | info"""
    value: Any = None
    durable: bool | None = None
    """For ok: whether what was told was on disk at that moment."""
    expected: Any = None
    """For a result: what the scenario says it must be, if it says so; a tuple of one."""


class Policy(NamedTuple):
    """What the checker must know of a step."""

    attempts_max: int
    compensated_by: str | None
    goes_on: bool = False
    """A cancellation does not stop it: it stands in a graph's `finally`."""
    shared: bool = False
    """It has an `effect`: its output may be that of another run's call."""
    at_most_once: bool = False
    """It is called once at most."""


class PoolLook(NamedTuple):
    """A pool after slots were given out."""

    order: int
    epoch: int
    pool: str
    held: tuple[tuple[str, str], ...]
    """Run and operation of who holds a slot."""
    granted: tuple[tuple[str, str], ...]
    """Operation and key of those who were given one now, in order."""
    waiting: tuple[tuple[str, str], ...]
    """Operation and key of those who wait on."""
    probes: int
    state: str
    """Of its breaker, when slots were given out."""


@dataclass(slots=True)
class Evidence:
    """Everything; built by a simulation, or by hand."""

    runs: list[Run]
    history: dict[str, list[HistoryEvent]]
    attempts: dict[str, list[Attempt]]
    messages: dict[str, list[Message]]
    ready: set[str]
    writes: list[Write] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    policies: dict[str, Policy] = field(default_factory=dict)
    workflows: dict[str, Any] = field(default_factory=dict)
    shared: bool = False
    """Whether several engines were at work at once, each on its own runs."""
    settled: bool = True
    """Whether faults stopped and the runs were given time: what must happen at last is demanded."""
    left_open: frozenset[str] = frozenset()
    """Runs (ids) that the scenario leaves paused, quarantined or waiting on purpose."""
    pools: dict[str, Pool] = field(default_factory=dict)
    pool_looks: list[PoolLook] = field(default_factory=list)
    steps_of_pools: dict[str, frozenset[str]] = field(default_factory=dict)
    """Names of the steps that wait for each pool."""
    labels_of_steps: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each step needs of its engine."""
    labels_of_engines: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """What each engine has, by its epoch."""
    needs_left: list[tuple[str, str]] = field(default_factory=list)
    """Run and operation of the needs that are noted at the end."""
    needs_outlived: list[tuple[str, str]] = field(default_factory=list)
    """Those that were noted still when the outcome of the operation was written."""
    tickets_left: list[tuple[str, str]] = field(default_factory=list)
    """Run and operation of tickets that are there at the end."""


class Violation(NamedTuple):
    """An invariant that does not hold, where, and what shows it."""

    law: str
    run: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.law}: {f'run {self.run}: ' if self.run else ''}{self.text}"
