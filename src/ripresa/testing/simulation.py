"""Simulation: a scenario on the real engine, in a world whose every misfortune is drawn from a seed.

    report = Simulation(7).run(shop)
    report.require()          # raises with seed, faults, trace hash and how to see it again

The engine, kernel and stores are the real ones; time, order, processes, the line to the store and the
runtimes are simulated.  Two simulations of one seed are the same to the last turn (`trace_hash`).  A plan of
which nothing fired proves nothing, so it is drawn anew until something does (`Report.redraws`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from ripresa.testing.again import Again
from ripresa.testing.checker import check
from ripresa.testing.client import Client
from ripresa.testing.evidence import Evidence, Policy, Violation
from ripresa.testing.faults import Faults, Plan, draw
from ripresa.testing.sim_disk import MemoryDisk
from ripresa.testing.sim_loop import SimLoop
from ripresa.testing.world import World

if TYPE_CHECKING:
    from ripresa.contracts.durations import Duration
    from ripresa.contracts.labels import Labels
    from ripresa.contracts.pools import Pool
    from ripresa.testing.sim_disk import Disk
    from ripresa.testing.sim_postgres import SimPostgres

_REDRAWS_MAX = 20
_DRIVE_S_MAX = 300.0
_SETTLE_S_MAX = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens but for misfortune: `drive` speaks to a `Client`, and returns when its runs have ended."""

    name: str
    workflows: Sequence[Any]
    drive: Callable[[Client], Awaitable[None]]
    evict_after: Sequence[Duration] = (0, "200ms", "30s")
    """One of them is drawn."""
    pools: Sequence[Pool] = ()
    """What each engine declares."""
    engines: int = 1
    """How many are at work at once; with more than one on a shared store."""
    labels: Sequence[Labels] = ()
    """Those of each engine; left out: none have any."""


@dataclass(slots=True)
class Report:
    """What came of one seed."""

    seed: int | str
    scenario: str
    trace_hash: str
    faults_fired: list[str]
    violations: list[Violation]
    evidence: Evidence
    points: list[str]
    """Effect points passed, in order."""
    plan: str
    redraws: int
    virtual_s: float
    turns: int
    again: Again

    @property
    def history(self) -> dict[str, list[Any]]:
        """Journals of all runs, by id."""
        return dict(self.evidence.history)

    @property
    def rerun(self) -> str:
        """How to see it again: a command, or the Python that does it if no command can."""
        return str(self.again)

    def require(self) -> Report:
        """Raise AssertionError, with all that is needed to see it again, if an invariant does not hold."""
        if self.violations:
            raise AssertionError(str(self))
        return self

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}, scenario {self.scenario}: {len(self.violations)} violations",
            *(f"  {violation}" for violation in self.violations[:20]),
            f"plan: {self.plan}",
            f"fired: {', '.join(self.faults_fired) or 'nothing'}",
            f"trace {self.trace_hash}, {self.turns} turns, {self.virtual_s:.1f} virtual s, {self.redraws} redraws",
            f"rerun: {self.rerun}",
        ]
        return "\n".join(lines)


class Simulation:
    """One seed.  `faults` says how the plan is drawn; `plan` takes its place with exact faults.

    `on` is where runs are kept: a `SimPostgres`, or in memory if none is given.
    """

    def __init__(
        self,
        seed: int | str,
        faults: Faults | None = None,
        *,
        plan: Plan | None = None,
        on: SimPostgres | None = None,
    ) -> None:
        self.seed = seed
        self.faults = Faults() if faults is None else faults
        self.plan = plan
        self.on = on

    def run(self, scenario: Scenario) -> Report:
        """Run the scenario to its end and hold what happened against the invariants."""
        may_fire = self.plan is None and (self.faults.count or self.faults.crashes)
        redraws = 0
        while True:
            random = Random(f"{self.seed}/{redraws}")
            plan = draw(self.faults, random) if self.plan is None else self.plan
            again = Again(scenario, self.seed, self.faults, self.plan, self.on)
            report = _run_once(again, plan, random, redraws)
            if report.faults_fired or not may_fire or redraws == _REDRAWS_MAX:
                return report
            redraws += 1


def _run_once(again: Again, plan: Plan, random: Random, redraws: int) -> Report:
    scenario = again.scenario
    loop = SimLoop(random)
    disk = _disk(again, loop)
    evict_after = random.choice(scenario.evict_after)
    workflows = list(scenario.workflows)
    world = World(
        loop,
        random,
        plan,
        workflows,
        disk,
        evict_after=evict_after,
        engines=scenario.engines,
        pools=scenario.pools,
        labels=scenario.labels,
        steps=_steps_by_name(workflows),
    )
    client = Client(world)
    wrong: list[Violation] = []
    with _quiet():
        try:
            loop.run_until_complete(_drive(world, client, scenario, wrong))
        except Exception as error:  # noqa: BLE001 - whatever it is, no scenario may end so
            wrong.append(Violation("I1 no lost run", None, f"the scenario did not end: {error!r}"))
        evidence = gather(world, client)
        try:
            trace_hash = world.trace_hash()
            violations = wrong + check(evidence)
        finally:
            for process in world.processes:
                world.bury(process)
            loop.let_go()
    return Report(
        again.seed, scenario.name, trace_hash, plan.fired, violations, evidence, plan.passed,
        f"{plan}; evict_after {world.evict_after!r}",
        redraws, loop.time(), loop.turns, again,
    )  # fmt: skip


def _disk(again: Again, loop: SimLoop) -> Disk:
    """An empty one."""
    if again.on is None:
        return MemoryDisk(shared=again.scenario.engines > 1)
    try:
        return again.on.disk(loop.time)
    except BaseException:
        loop.close()
        raise


async def _drive(world: World, client: Client, scenario: Scenario, wrong: list[Violation]) -> None:
    world.start()
    try:
        await asyncio.wait_for(_until_done(client, scenario), _DRIVE_S_MAX)
    except TimeoutError:
        wrong.append(
            Violation("I1 no lost run", None, f"the scenario still waits after {_DRIVE_S_MAX:g} virtual seconds")
        )
    world.plan.active = False
    await _settle(world, client)
    await world.end()


async def _until_done(client: Client, scenario: Scenario) -> None:
    await scenario.drive(client)


async def _settle(world: World, client: Client) -> None:
    """Faults have stopped: give the runs time to end."""
    end = world.loop.time() + _SETTLE_S_MAX
    while world.loop.time() < end:
        if all(key in client.left_open for key in world.disk.open_keys()):
            await asyncio.sleep(1 + world.slowest_s)  # what is on its way arrives
            return
        await asyncio.sleep(1)


def gather(world: World, client: Client) -> Evidence:
    """All that is known, in the checker's terms."""
    found = world.disk.found()
    return Evidence(
        runs=found.runs,
        history=found.history,
        attempts=found.attempts,
        messages=found.messages,
        ready=found.ready,
        writes=world.writes,
        calls=world.calls,
        ops=world.ops,
        policies=policies(world.workflows),
        workflows={workflow.name: workflow for workflow in world.workflows},
        shared=world.shared,
        left_open=frozenset(run.id for run in found.runs if run.key in client.left_open),
        pools={pool.name: pool for pool in world.pools},
        pool_looks=world.pool_looks,
        steps_of_pools=_steps_of_pools(world.workflows),
        tickets_left=found.tickets,
        labels_of_steps=_labels_of_steps(world.workflows),
        labels_of_engines=world.labels_of_engines,
        needs_left=world.disk.needs(),
        needs_outlived=world.needs_outlived,
    )


def _steps_of_pools(workflows: Sequence[Any]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for workflow in workflows:
        for value in _steps(workflow):
            if getattr(value, "__ripresa__", None) == "step" and value.pool is not None:
                found[value.pool] = found.get(value.pool, frozenset()) | {value.name}
    return found


def _labels_of_steps(workflows: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    steps = [value for workflow in workflows for value in _steps(workflow)]
    return {one.name: one.labels for one in steps if getattr(one, "__ripresa__", None) == "step" and one.labels}


def policies(workflows: Sequence[Any]) -> dict[str, Policy]:
    """What the steps that these workflows can name promise."""
    found: dict[str, Policy] = {}
    for workflow in workflows:
        for value in _steps(workflow):
            if getattr(value, "__ripresa__", None) == "step":
                _add_policy(found, value)
        for node in getattr(getattr(workflow, "graph", None), "finally_", ()):
            found[node.name] = found[node.name]._replace(goes_on=True)
    return found


def _steps(workflow: Any) -> list[Any]:
    """What may be its steps: the nodes of a graph, those of a context-first workflow, all that a function may name."""
    graph = getattr(workflow, "graph", None)
    if graph is None:
        return [*getattr(workflow, "kernel_steps", ()), *workflow.function.__globals__.values()]
    steps = [getattr(node.work, "step", None) for node in graph.by_name.values()]
    return [*steps, *(step.compensate for step in steps if step is not None)]


def _steps_by_name(workflows: Sequence[Any]) -> dict[str, Any]:
    steps = (step for workflow in workflows for step in _steps(workflow))
    return {step.name: step for step in steps if getattr(step, "__ripresa__", None) == "step"}


def _add_policy(found: dict[str, Policy], step: Any) -> None:
    undo = step.compensate
    found[step.name] = Policy(
        step.retry.max_attempts if step.retry else 1,
        getattr(undo, "name", getattr(undo, "__name__", None)),
        shared=step.effect is not None,
        at_most_once=step.at_most_once,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What engine and store warn of is what we do to them."""
    loggers = [logging.getLogger(name) for name in ("ripresa.engine", "ripresa.stores")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
