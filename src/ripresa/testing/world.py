"""The simulated world: one disk, and engines that die, stop, come back and take over from one another.

    supervisor ── boots ──> process (App on a SimStore) ── dies, stops or fails ──> supervisor boots the next
                                  stopped ones go on later, as zombies whose lease has run out

Owns who serves, and carries out what `faults` plans.  Invariant: at any time at most one process in each of the
world's `engines` places is *current*, that is, clients speak to it; others may be alive all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from contextvars import Context
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError, StoreInUse
from ripresa.contracts.labels import labels_of
from ripresa.engine.app import App
from ripresa.engine.config import Config
from ripresa.testing.faults import Kind, Plan
from ripresa.testing.sim_loop import PROCESS, Process, SimClock, SimLoop, SimSources
from ripresa.testing.sim_runtime import SimRuntime
from ripresa.testing.sim_store import SimStore
from ripresa.testing.sim_workers import SimBroker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from random import Random

    from ripresa.contracts.durations import Duration
    from ripresa.contracts.labels import Labels
    from ripresa.contracts.pools import Pool
    from ripresa.ports.lease import Lease
    from ripresa.testing.evidence import Call, Op, PoolLook, Write
    from ripresa.testing.sim_disk import Disk

LEASE_S = 3.0
_WATCH_S = 0.25
_HELD_UP_ARRIVE = 0.7
_SLOW_LOG = -2.0, 0.7
"""A way that takes long takes 10 ms to 5 s, evenly over the logarithm."""
_WORDS_KEPT = 0.9
"""So many of the words that engines send one another arrive."""


class World:
    """Everything that is not the scenario."""

    def __init__(
        self,
        loop: SimLoop,
        random: Random,
        plan: Plan,
        workflows: list[Any],
        disk: Disk,
        *,
        evict_after: Duration,
        engines: int = 1,
        pools: Sequence[Pool] = (),
        labels: Sequence[Labels] = (),
        steps: dict[str, Any],
    ) -> None:
        self.loop = loop
        self.random = random
        self.plan = plan
        self.workflows = workflows
        self.evict_after = evict_after
        self.pools = pools
        self.labels = labels
        self.labels_of_engines: dict[int, tuple[str, ...]] = {}
        """By epoch."""
        self.needs_outlived: list[tuple[str, str]] = []
        """Run and operation of outcomes that were written while the step was noted to need another engine."""
        self.pool_looks: list[PoolLook] = []
        self.engines = engines
        self.disk = disk
        self.shared = disk.shared
        self.clock = SimClock(loop)
        self.sources = SimSources(random, self.clock)
        self.calls: list[Call] = []
        self.writes: list[Write] = []
        self.ops: list[Op] = []
        self.apps: dict[str, App] = {}
        self.lines: dict[str, SimStore] = {}
        """Each process's to the disk."""
        self.epochs: dict[str, int] = {}
        self.broker = SimBroker(self, steps)
        self.outside = SimStore(self, "client")
        """Another program's line to the store."""
        self._order = itertools.count(1)
        self._hash = blake2b(digest_size=8)
        self._boots = itertools.count(1)
        self._current: list[Process | None] = [None] * engines
        """The process that serves in each place."""
        self.processes: list[Process] = []
        self._serving: list[asyncio.Future[None]] = []
        self._supervisors: list[asyncio.Task[None]] = []
        self._arriving: list[asyncio.Task[None]] = []

    # --- witnesses -----------------------------------------------------------------------------

    def next_order(self) -> int:
        """The next place on the line of everything that happens."""
        return next(self._order)

    def trace(self, *what: object) -> None:
        """Add to the hash by which two simulations are compared."""
        self._hash.update(f"{self.clock.now()} {self.process_name()} {what!r}\n".encode())

    def trace_hash(self) -> str:
        """Hash of all that was traced, and of how the loop turned."""
        final = self._hash.copy()
        final.update(f"{self.loop.turns} {self.random.random()}".encode())
        return final.hexdigest()

    def process_name(self) -> str:
        """Who is running."""
        process = PROCESS.get()
        return "client" if process is None else process.name

    def epoch(self) -> int:
        """Under which epoch it runs."""
        return self.epochs.get(self.process_name(), 0)

    def leased(self, lease: Lease) -> None:
        """A process got a lease."""
        self.epochs[self.process_name()] = lease.epoch
        app = self.apps.get(self.process_name())
        if app is not None:
            self.labels_of_engines[lease.epoch] = labels_of(app.config.labels, where="labels")
        self.trace("leased", lease.epoch)

    # --- faults --------------------------------------------------------------------------------

    async def cross(self, point: str) -> Kind | None:
        """Pass an effect point on the way out; returns the fault that is left to do on the way back."""
        if PROCESS.get() is None:
            return None
        fault = self.plan.at(point)
        if fault is not None:
            self.trace("fault", fault, point)
        await self.travel()
        if fault in (Kind.CRASH_BEFORE, Kind.HANG_BEFORE):
            await self.strike(fault)
            return None
        return fault

    async def strike(self, fault: Kind) -> None:
        """Kill or stop the process that is running."""
        process = PROCESS.get()
        if process is None:
            return
        self._hit(process, fault)
        if process.dead:
            await self.loop.create_future()  # nobody will ever wake it
        await asyncio.sleep(0)

    def _hit(self, process: Process, fault: Kind) -> None:
        self.trace("strike", fault, process.name)
        if fault in (Kind.CRASH_BEFORE, Kind.CRASH_AFTER):
            self._kill(process, "killed")
        else:
            self.loop.stop_process(process, LEASE_S * (1.2 + self.random.random()))

    def trouble(self) -> Kind | None:
        """Now and then a commit goes wrong by itself."""
        plan = self.plan
        if not plan.active or not plan.trouble or self.random.random() >= plan.trouble:
            return None
        kind = self.random.choice((Kind.ERROR_BEFORE, Kind.UNKNOWN_BEFORE, Kind.ERROR_AFTER))
        plan.note(f"{kind}@commit")
        self.trace("trouble", kind)
        return kind

    @property
    def slowest_s(self) -> float:
        """How long the slowest way of the simulation takes."""
        return 10 ** _SLOW_LOG[1] if self.plan.slow else 0

    async def dawdle(self, verb: str) -> None:
        """Now and then the way to the store or back takes long."""
        plan = self.plan
        if not plan.active or not plan.slow or self.random.random() >= plan.slow or PROCESS.get() is None:
            return
        shortest, longest = _SLOW_LOG
        self.trace("slow", verb)
        await asyncio.sleep(10 ** (shortest + self.random.random() * (longest - shortest)))

    async def travel(self) -> None:
        """The way to the world or back: no time at all, or a little."""
        drawn = self.random.random()
        if self.plan.latency_s and drawn < 0.25:
            await asyncio.sleep(drawn * 4 * self.plan.latency_s)
        else:
            await asyncio.sleep(0)

    def hold_up(self, request: Callable[[], Awaitable[None]]) -> None:
        """Something on the way keeps a request: it arrives when nobody counts on it any more, or never."""
        seconds = 10 ** (self.random.random() * 4 - 3)
        if self.random.random() < _HELD_UP_ARRIVE:
            Context().run(self.loop.call_later, seconds, self._let_pass, request)

    def _let_pass(self, request: Callable[[], Awaitable[None]]) -> None:
        async def arrive() -> None:
            with contextlib.suppress(RipresaError):  # as it should be, often
                await request()
                self.trace("came late")

        self._arriving.append(self.loop.create_task(arrive()))

    def _strike_current(self, fault: Kind) -> None:
        process = self._any()
        if process is not None and self.plan.active:
            self.plan.note(f"{fault}@time")
            self._hit(process, fault)

    def pass_word(self, tell: Callable[[], None], listener: Context) -> None:
        """Tell a process that others have written: soon, or late, or never."""
        drawn = self.random.random()
        if drawn < _WORDS_KEPT:
            self.loop.call_later(drawn * self.plan.latency_s, tell, context=listener)

    # --- processes -----------------------------------------------------------------------------

    def start(self) -> None:
        """Have somebody serve from now on."""
        for seconds, fault in self.plan.at_times:
            self.loop.call_later(seconds, self._strike_current, fault)
        self._supervisors = [self.loop.create_task(self._supervise(place)) for place in range(self.engines)]

    async def serving(self) -> Process:
        """A current process, once there is one; any, if there are several."""
        while (process := self._any()) is None:
            future: asyncio.Future[None] = self.loop.create_future()
            self._serving.append(future)
            await future
        return process

    def _any(self) -> Process | None:
        """A current process."""
        processes = [process for process in self._current if process is not None]
        return self.random.choice(processes) if len(processes) > 1 else next(iter(processes), None)

    async def _supervise(self, place: int) -> None:
        while True:
            process = await self._boot(place)
            self._current[place] = process
            waiting, self._serving = self._serving, []
            for future in waiting:
                future.set_result(None)
            reason = await self._watch(process)
            self.trace("gone", process.name, reason)
            self._current[place] = None
            if reason != "stopped":
                self.bury(process)
            await asyncio.sleep(self.random.random() * 0.5)

    async def _boot(self, place: int) -> Process:
        """A new process that has opened its App, or a stopped one that is back and whose lease still holds."""
        labels = self.labels[place] if self.labels else ()
        while True:
            process = Process(f"engine-{next(self._boots)}", self.loop.create_future())
            self.processes.append(process)
            line = self.lines[process.name] = SimStore(self, process.name)
            app = App(
                line,
                self.workflows,
                clock=SimClock(self.loop),
                sources=self.sources,
                evict_after=self.evict_after,
                config=Config(lease_s=LEASE_S, capture_logs=False, labels=labels),
                runtimes={
                    **dict.fromkeys(("inline", "thread", "process"), SimRuntime(self)),
                    "celery": self.broker,
                },
                pools=self.pools,
            )
            self.apps[process.name] = app
            opening = self.loop.spawn(process, app.open())
            await asyncio.wait([opening, process.gone], return_when=asyncio.FIRST_COMPLETED)
            if opening.done() and not process.gone.done():
                error = opening.exception()
                if error is None:
                    return process
                if not isinstance(error, RipresaError):
                    raise error
                self._kill(process, "could not open")
                back = self._back() if isinstance(error, StoreInUse) else None
                if back is not None:
                    return back
            await asyncio.sleep(0.3)

    def _back(self) -> Process | None:
        for process in self.processes:
            engine = self.apps[process.name].engine
            if process.gone.done() and not process.dead and not process.stopped and engine and engine.failure is None:
                process.gone = self.loop.create_future()
                return process
        return None

    async def _watch(self, process: Process) -> str:
        app = self.apps[process.name]
        while not process.gone.done():
            await asyncio.wait([process.gone], timeout=_WATCH_S)
            if app.engine is None or app.engine.failure is not None:
                process.leave("failed")
        return process.gone.result()

    def _kill(self, process: Process, reason: str) -> None:
        self.loop.kill(process, reason)
        self.lines[process.name].cut()

    def bury(self, process: Process) -> None:
        """Free what a dead process held; nothing of it runs."""
        self._kill(process, "buried")
        engine = self.apps[process.name].engine
        for held in list(engine.held.values()) if engine else ():
            if held.live is not None:
                held.live.discard()
                held.live = None

    async def restart(self) -> None:
        """Stop a current process in good order; its supervisor boots the next."""
        process = await self.serving()
        await self._end_well(process, self.apps[process.name].close())

    async def drain(self, within_s: float) -> None:
        """Let a current process pass its runs on for so long at most, and stop it; others may serve meanwhile."""
        process = await self.serving()
        app = self.apps[process.name]

        async def leave() -> None:
            if app.engine is not None:
                await app.engine.drain_within(within_s)
            await app.close()

        await self._end_well(process, leave())

    async def _end_well(self, process: Process, ending: Coroutine[Any, Any, None]) -> None:
        done = self.loop.spawn(process, ending)
        await asyncio.wait([done, process.gone], return_when=asyncio.FIRST_COMPLETED)
        process.leave("closed")

    async def end(self) -> None:
        """Nobody serves any more."""
        for supervisor in self._supervisors:
            supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await supervisor
        for process in self.processes:
            self.bury(process)
