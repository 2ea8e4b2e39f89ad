"""The harness: engines at work on one store, faults that hit them, and the verdict.

    nursery ── fork ──> life, life, life ── wire, wire, wire ──> the store
       ^                  │ steps
    harness ── faults     └──────> effect ledger <── client (never killed)
       └── witness: reads the rows, past the store's own code

One seed gives one order of faults; when each of them hits what is up to the machine.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ripresa.stores import open_store
from ripresa.testing.torture import checks, ledger
from ripresa.testing.torture.checks import LifeTold
from ripresa.testing.torture.life import FENCED, Settings
from ripresa.testing.torture.nursery import Newborn, Nursery
from ripresa.testing.torture.plan import WIRED, Options, schedule
from ripresa.testing.torture.recovery import Recovery, Watch, percentiles
from ripresa.testing.torture.wire import Cuts, Wire
from ripresa.testing.torture.witness import Committed, Mark

_LOOK_S = 0.05
_WITHIN_S = 60.0
"""What has to happen, happens within this time, or is reported."""
_STALLED_S = 60.0
_CUT_SHARE = 0.1
_EVICT_AFTER = ("0", "50ms", "30s")
_NUMBERS = 100_000
_EARLY = 0.25
_ALONE = 0.3
"""Share of the kills after which nothing else is done until the work goes on."""


class Engine:
    """A life, its wire, and how it stands."""

    def __init__(self, newborn: Newborn, slot: int, wire: Wire | None, told: LifeTold) -> None:
        self.newborn = newborn
        self.slot = slot
        self.number = newborn.number
        self.wire = wire
        self.told = told
        self.opening = asyncio.Event()
        self.up = asyncio.Event()
        self.engine = 0
        """The number that the store has given it."""
        self.busy = False
        """A fault has it in hand."""
        self.expected = False
        """Its end is our doing."""
        self.refused: Counter[str] = Counter()

    @property
    def ended(self) -> asyncio.Future[int]:
        return self.newborn.ended

    async def end(self) -> int:
        """Its exit code, when it has ended."""
        return await asyncio.shield(self.newborn.ended)

    def signal(self, number: signal.Signals) -> None:
        """Send it, unless it has ended."""
        if not self.ended.done():
            with suppress(ProcessLookupError):
                os.kill(self.newborn.pid.result(), number)

    @property
    def well(self) -> bool:
        return self.up.is_set() and not self.busy and not self.ended.done()


class Torture:
    """One store, the engines on it, and what is done to them."""

    def __init__(self, options: Options, place: Any, directory: Path, server: Any = None) -> None:
        self.options = options
        self.place = place
        self.directory = directory
        self.server = server
        self.fired: Counter[str] = Counter()
        self.kills_while: Counter[str] = Counter()
        self.zombies: Counter[str] = Counter()
        """What became of the engines that others had taken over from."""
        self.ends: Counter[str] = Counter()
        self.broken: list[str] = []
        self.recovery = Recovery()
        self.events = 0
        self.left = 0
        """Open runs at the last look."""
        self.stopping = asyncio.Event()
        """No more faults: let it end."""
        self.phase = "starting"
        self._dice = random.Random(options.seed)
        self._cuts = Cuts(options.faults.cuts, random.Random(options.seed + 1), share=_CUT_SHARE)
        self._wired = place.shared and any(getattr(options.faults, name) for name in WIRED)
        self._witness = place.witness()
        self._nursery = Nursery(directory)
        self._committed = Committed()
        self._ledger = directory / "ledger"
        self._tail = ledger.Tail(self._ledger)
        self._lines: list[ledger.Line] = []
        self._lives: dict[int, LifeTold] = {}
        self._engines: dict[int, Engine] = {}
        """By life."""
        self._slots: list[Engine] = []
        self._code = 1
        self._count = 0
        self._starting = True
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_event = time.monotonic()
        self._looking = asyncio.Lock()
        self._replacing = asyncio.Lock()

    # -- the story ----------------------------------------------------------------------------------------------------

    async def run(self) -> tuple[list[str], dict[str, Any]]:
        """All of it; what is broken, and how much happened."""
        began = time.monotonic()
        client: subprocess.Popen[bytes] | None = None
        await self._nursery.open()
        watcher = asyncio.create_task(self._watch())
        try:
            self._slots = [await self._begin(slot) for slot in range(self._width)]
            client = self._start_client()
            await self._each(self._up)
            self.phase = "faults"
            await self._do_faults()
            self.phase = "finishing"
            await self._finish()
            if client.poll() is not None:
                self.broken.append(f"the client ended by itself with {client.returncode}: see client.err")
        finally:
            if client is not None:
                client.kill()
                client.wait()
            for task in (*self._tasks, watcher):
                task.cancel()
            done = await asyncio.gather(*self._tasks, watcher, return_exceptions=True)
            await self._nursery.close()
            for engine in self._engines.values():
                if engine.wire is not None:
                    await engine.wire.close()
        self.broken += [f"the harness itself: {error!r}" for error in done if isinstance(error, Exception)]
        self.phase = "checking"
        return await self._verdict(time.monotonic() - began)

    @property
    def cuts_so_far(self) -> int:
        """Commits that were cut off."""
        return sum(self._cuts.done.values())

    @property
    def _width(self) -> int:
        return self.options.engines if self.place.shared else 1

    def _start_client(self) -> subprocess.Popen[bytes]:
        stop, active = str(self.directory / "stop"), str(self.options.active)
        command = [sys.executable, "-m", "ripresa.testing.torture.client", self.place.url(), stop, active]
        environment = {**os.environ, ledger.PATH_VARIABLE: str(self._ledger), ledger.LIFE_VARIABLE: "0"}
        with (self.directory / "client.err").open("wb") as said:
            return subprocess.Popen(command, env=environment, stderr=said, start_new_session=True)  # noqa: S603 - begun, not waited for

    # -- engines ------------------------------------------------------------------------------------------------------

    async def _begin(self, slot: int) -> Engine:
        """A new life."""
        self._count += 1
        wire = None
        if self._wired:
            wire = Wire(self.place.host, self.place.port, decide=self._cuts.decide, fired=self._cuts.fired)
            wire.delay_s = self.options.wire_delay_s if self._dice.random() < 0.3 else 0.0
            await wire.open()
        settings = Settings(
            life=self._count,
            url=self.place.url(None if wire is None else wire.port),
            ledger=str(self._ledger),
            code=self._code,
            active=self.options.active if self._starting else 0,
            numbers_from=self._count * _NUMBERS,
            evict_after=self._dice.choice(_EVICT_AFTER),
            lease_s=self.options.lease_s,
            grace_s=self.options.grace_s,
        )
        told = self._lives[self._count] = LifeTold()
        # Known before it begins: what it says first would be heard by nobody.
        engine = self._engines[self._count] = Engine(Newborn(settings), slot, wire, told)
        await self._nursery.begin(engine.newborn)
        self._background(self._see_end(engine))
        return engine

    async def _see_end(self, engine: Engine) -> None:
        """Whatever ends an engine, another begins in its place, as under any supervisor."""
        code = await engine.end()
        if engine.wire is not None:
            await engine.wire.close()
        await self._look()  # what it said last
        if code == FENCED:
            engine.told.stale_from = min(engine.told.stale_from, 0)
        if engine.expected:
            return
        self.ends["fenced" if code == FENCED else f"code {code}"] += 1
        if code != FENCED:
            self.broken.append(f"life {engine.number} ended by itself ({code}): {self._said(engine.number)}")
        await self._replace(engine)

    async def _replace(self, engine: Engine) -> Engine:
        """Another in its place; who is there, if that has been done."""
        async with self._replacing:
            if self._slots[engine.slot] is engine:
                self._slots[engine.slot] = await self._begin(engine.slot)
            return self._slots[engine.slot]

    async def _up(self, engine: Engine) -> None:
        """Wait until it is, or has ended."""
        if not await _until(lambda: engine.up.is_set() or engine.ended.done()):
            self.broken.append(f"life {engine.number} is not up in {_WITHIN_S:.0f} s: {self._said(engine.number)}")

    async def _each(self, act: Callable[[Engine], Awaitable[Any]]) -> None:
        await asyncio.gather(*(act(engine) for engine in self._slots))

    def _said(self, life: int) -> str:
        path = self.directory / f"life-{life}.err"
        return path.read_text("utf-8", "replace").strip()[-4000:] if path.exists() else ""

    async def _why(self, engine: Engine) -> str:
        """What keeps it."""
        engine.signal(signal.SIGUSR1)
        await asyncio.sleep(1.0)
        return self._said(engine.number)

    def _background(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.broken.append(f"the harness itself: {task.exception()!r}")

    # -- watching -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        """Read what is new in the ledger and in the store."""
        self._read_ledger()
        async with self._looking:
            events = await self._witness.new_events()
            now = time.monotonic()
            moved = self._committed.add(events, time.monotonic_ns())
        self.events += len(events)
        if moved:
            self._last_event = now
            self.recovery.moved(moved, now)

    def _read_ledger(self) -> None:
        for line in self._tail.more():
            self._lines.append(line)
            engine = self._engines.get(line["life"])
            if engine is None:
                continue
            if line["what"] == "opening":
                engine.opening.set()
            elif line["what"] == "up":
                engine.engine = line["engine"]
                engine.up.set()
            elif line["what"] == "again":
                engine.told.disturbed_at = 0
            elif line["what"] == "refused":
                engine.refused[line["verb"]] += 1

    # -- faults -------------------------------------------------------------------------------------------------------

    async def _do_faults(self) -> None:
        acts = {
            "kills": self._kill,
            "stops": lambda: self._in_background(self._stop),
            "holds": lambda: self._in_background(self._hold),
            "terminations": self._terminate,
            "crashes": lambda: self._end_server(signal.SIGKILL, "crashes"),
            "restarts": lambda: self._end_server(self._dice.choice((signal.SIGINT, signal.SIGQUIT)), "restarts"),
            "rolls": self._roll,
        }
        for name in schedule(self.options.faults, self._dice):
            if not self.options.nested:
                await self._pause(0.05, 0.5)
            if self.stopping.is_set():
                break
            await acts[name]()
        await self._alone()
        await _until(lambda: self._cuts.left <= 0 or self.stopping.is_set(), 4 * _WITHIN_S)
        self._cuts.open = False
        self.fired["cuts"] = sum(self._cuts.done.values())

    async def _pause(self, low: float, high: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), self._dice.uniform(low, high))

    async def _one(self) -> Engine | None:
        """An engine that is up, and which no fault has in hand; None: there is none for long."""
        if await _until(lambda: any(engine.well for engine in self._slots)):
            return self._dice.choice([engine for engine in self._slots if engine.well])
        self.broken.append(f"no engine is up for {_WITHIN_S:.0f} s")
        return None

    async def _alone(self) -> None:
        """Wait until no fault has an engine in hand."""
        engines = self._engines.values()
        await _until(lambda: not any(one.busy and not one.ended.done() for one in engines), 4 * _WITHIN_S)

    async def _kill(self) -> None:
        early = self.options.nested or self._dice.random() < _EARLY
        if early:
            await self._kill_at_opening()
            return
        victim = await self._one()
        if victim is None:
            return
        lone = self._dice.random() < _ALONE and self.place.shared
        owned = await self._owned(victim)
        await self._end(victim)
        self.kills_while["working"] += 1
        await self._look()  # what it wrote last is no recovery
        watch = self.recovery.hit("kill", owned)
        if lone:
            await self._recovered(watch)
        else:
            await self._pause(0.0, self.options.lease_s / 2)
        await self._replace(victim)

    async def _kill_at_opening(self) -> None:
        """An engine is killed, and the one that comes in its place while it is still taking over."""
        victim = self._dice.choice(self._slots)
        if victim.busy:
            victim = await self._one() or victim
        if not victim.ended.done():
            await self._end(victim)
            self.kills_while["recovering" if self.options.nested else "working"] += 1
        if self.options.nested:
            new = await self._replace(victim)
            await self._opening(new)
            await self._pause(0.05, 0.15)
            return
        new = await self._replace(victim)
        await self._opening(new)
        await self._pause(0.0, 0.15)
        if not new.ended.done():
            self.kills_while["recovering"] += 1
            await self._end(new)
        await self._replace(new)

    async def _opening(self, engine: Engine) -> None:
        until = time.monotonic() + _WITHIN_S
        while not engine.opening.is_set() and not engine.ended.done() and time.monotonic() < until:
            self._read_ledger()
            await asyncio.sleep(0.005)

    async def _end(self, engine: Engine) -> None:
        """`kill -9`, and that is that."""
        engine.expected = True
        engine.told.disturbed_at = min(engine.told.disturbed_at, time.monotonic_ns())
        if not engine.ended.done():
            engine.signal(signal.SIGKILL)
            self.fired["kills"] += 1
        await engine.end()

    async def _owned(self, engine: Engine) -> frozenset[str]:
        """Its runs, of those that would go on by themselves."""
        rows = await self._witness.open_runs()
        return frozenset(run for run, kind, status, owner in rows if owner == engine.engine and status == "running")

    async def _recovered(self, watch: Watch) -> None:
        """Wait until the work goes on, or all that was hit has ended without another step."""
        until = time.monotonic() + _WITHIN_S
        while not self.recovery.is_over(watch) and not self.stopping.is_set():
            await asyncio.sleep(_LOOK_S)
            rows = [row for row in await self._witness.open_runs() if watch.runs is None or row[0] in watch.runs]
            if not rows or time.monotonic() > until:
                self.recovery.forget(watch)
            if rows and time.monotonic() > until:
                self.broken.append(f"no step for {_WITHIN_S:.0f} s after {watch.kind}: {rows[:5]} stand still")

    # -- zombies ------------------------------------------------------------------------------------------------------

    async def _in_background(self, act: Callable[[Engine], Awaitable[None]]) -> None:
        """One zombie at a time; other faults go on beside it."""
        await self._alone()
        victim = await self._one()
        if victim is not None:
            victim.busy = True
            work = self._background(act(victim))
            if not self.place.shared:
                await work

    async def _stop(self, victim: Engine) -> None:
        owned = await self._owned(victim)
        self._stale(victim)
        await self._stop_unlocked(victim)
        await self._taken_over(victim, "stop", owned)
        victim.signal(signal.SIGCONT)
        await self._fenced(victim, "stops")

    async def _stop_unlocked(self, victim: Engine) -> None:
        """Stop it while it holds no lock that would keep others from writing, whatever its lease."""
        while True:
            victim.signal(signal.SIGSTOP)
            if not self.place.shared:
                await asyncio.sleep(0.01)  # it stops at its own next convenience
            if await self._witness.unlocked():
                return
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(0.001)

    async def _hold(self, victim: Engine) -> None:
        assert victim.wire is not None
        owned = await self._owned(victim)
        self._stale(victim)
        victim.wire.hold()
        await self._taken_over(victim, "hold", owned)
        victim.wire.release()
        await self._fenced(victim, "holds")

    def _stale(self, victim: Engine) -> None:
        now = time.monotonic_ns()
        victim.told.disturbed_at = min(victim.told.disturbed_at, now)
        victim.told.stale_from = min(victim.told.stale_from, now)
        victim.expected = True

    async def _taken_over(self, victim: Engine, kind: str, owned: frozenset[str]) -> None:
        """Wait until another engine has broken its lease."""
        await asyncio.sleep(_LOOK_S)
        await self._look()  # what was on its way already is no recovery
        watch = self.recovery.hit(kind, owned)
        await self._replace(victim)
        until = time.monotonic() + _WITHIN_S
        while not (await self._witness.mark(victim.engine)).broken:
            if time.monotonic() > until:
                self.broken.append(f"nobody takes over from life {victim.number}, which stands still")
                break
            await asyncio.sleep(_LOOK_S)
        if kind == "hold":
            self.recovery.forget(watch)
        await asyncio.sleep(self._dice.uniform(0.0, 0.3))

    async def _fenced(self, victim: Engine, kind: str) -> None:
        """It goes on: it is to be refused whatever it wants to write, and to end."""
        before = await self._witness.mark(victim.engine)
        try:
            await asyncio.wait_for(victim.end(), _WITHIN_S)
        except TimeoutError:
            what = f"life {victim.number} goes on, though others have taken over from it"
            self.broken.append(f"{what}: {await self._why(victim)}")
            await self._end(victim)
            return
        await self._look()
        self._wrote_nothing(victim, before, await self._witness.mark(victim.engine))
        self.fired[kind] += 1
        self.zombies["engines that others had taken over from"] += 1
        self.zombies["of which were refused something"] += bool(victim.refused)
        self.zombies["of which were refused a commit"] += bool(victim.refused["commit"])
        for verb, number in victim.refused.items():
            self.zombies[f"refused: {verb}"] += number

    def _wrote_nothing(self, victim: Engine, before: Mark, after: Mark) -> None:
        if not before.broken:
            return  # reported already
        if after.batch != before.batch:
            self.broken.append(f"life {victim.number} wrote batch {after.batch} after others had taken over from it")
        if after.owned > before.owned:
            self.broken.append(f"life {victim.number} took {after.owned} runs after others had taken over from it")
        if victim.ended.result() != FENCED:
            self.broken.append(
                f"life {victim.number} ended with {victim.ended.result()}, not told that it was fenced: "
                f"{self._said(victim.number)}"
            )

    # -- the database, and its connections ----------------------------------------------------------------------------

    async def _terminate(self) -> None:
        """One of our connections: another, if that has just gone by itself."""
        until = time.monotonic() + _WITHIN_S
        while time.monotonic() < until:
            links = [link for engine in self._slots if engine.wire for link in engine.wire.links if link.backend]
            if links and await self.place.terminate(self._dice.choice(links).backend):
                self.fired["terminations"] += 1
                return
            await asyncio.sleep(_LOOK_S)

    async def _end_server(self, how: signal.Signals, name: str) -> None:
        assert self.server is not None
        await asyncio.to_thread(self.server.stop, how)
        await self._pause(0.0, 1.0)
        await asyncio.to_thread(self.server.start)
        self.fired[name] += 1
        await self._recovered(self.recovery.hit("database"))

    async def _roll(self) -> None:
        """The next release: engines get SIGTERM and their grace, one after the other."""
        await self._alone()
        self._code += 1
        for engine in list(self._slots):
            await self._ask_to_end(engine)
            await self._up(await self._replace(engine))
        self.recovery.faults += 1
        self.fired["rolls"] += 1

    async def _ask_to_end(self, engine: Engine) -> None:
        """SIGTERM; it ends within its grace."""
        if engine.ended.done():
            return
        engine.expected = True
        engine.told.disturbed_at = min(engine.told.disturbed_at, time.monotonic_ns())
        engine.signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(engine.end(), _WITHIN_S)
        except TimeoutError:
            self.broken.append(f"life {engine.number} does not end on SIGTERM: {await self._why(engine)}")
            await self._end(engine)
            return
        self.ends["asked to" if code == 0 else "asked to, fenced" if code == FENCED else f"code {code}"] += 1
        if code not in {0, FENCED, -signal.SIGTERM}:  # it may have had no time to learn what SIGTERM means
            self.broken.append(f"life {engine.number} was asked to end, and failed: {self._said(engine.number)}")

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """No more runs, no more faults: everything ends."""
        (self.directory / "stop").touch()
        self._starting = False
        for engine in list(self._slots):
            await self._ask_to_end(engine)
            await self._replace(engine)
        await self._all_ended()
        for engine in self._slots:
            engine.expected = True
        await self._each(self._ask_to_end)
        await self._look()

    async def _all_ended(self) -> None:
        self._last_event = time.monotonic()
        while True:
            rows = await self._witness.open_runs()
            self.left = len(rows)
            if not rows:
                return
            if time.monotonic() > self._last_event + _STALLED_S:
                self.broken.append(f"{len(rows)} runs do not end, as {rows[:5]}")
                return
            await asyncio.sleep(2 * _LOOK_S)

    async def _verdict(self, seconds: float) -> tuple[list[str], dict[str, Any]]:
        seen = checks.Evidence(
            await self._witness.runs(), await self._witness.history(), self._lines, self._committed, self._lives
        )
        found = [*self.broken, *checks.violations(seen), *self._tracebacks(), *await self._store_check()]
        await self._witness.close()
        facts = {
            "seed": self.options.seed,
            "seconds": round(seconds, 1),
            "faults": {name: self.fired[name] for name in self.options.faults._fields},
            "cuts": dict(self._cuts.done),
            "kills_while": dict(self.kills_while),
            "zombies": dict(self.zombies),
            "engines": {"begun": self._count, "ended by themselves or when asked": dict(self.ends)},
            "checked": dict(seen.tally.counts),
            "recovery": {kind: percentiles(times) for kind, times in self.recovery.seconds.items()},
            "recovery_lone": {kind: percentiles(times) for kind, times in self.recovery.seconds_lone.items()},
            **checks.told(seen),
        }
        return found + self._vacuous(facts), facts

    def _vacuous(self, facts: dict[str, Any]) -> list[str]:
        """A run that did not do what was asked for has shown nothing."""
        if self.stopping.is_set():
            return []
        wanted = self.options.faults
        found = [
            f"only {self.fired[name]} of {number} {name} were done"
            for name, number in wanted._asdict().items()
            if self.fired[name] < number
        ]
        if wanted.kills >= 20 and not facts["steps_repeated_after_a_fault"]:
            found.append("the faults hit nobody at work")
        if wanted.cuts >= 20 and not facts["commits_of_unknown_fate"]:
            found.append("no engine had to ask what became of a commit")
        if wanted.stops + wanted.holds >= 10 and not self.zombies["of which were refused a commit"]:
            found.append("no engine that others had taken over from has tried to commit")
        if facts["runs"] == 0 or facts["steps_done"] < wanted.kills:
            found.append(f"only {facts['steps_done']} steps were done in all")
        return found

    def _tracebacks(self) -> list[str]:
        """Errors that a process wrote on its way."""
        found = []
        for path in sorted(self.directory.glob("*.err")):
            text = path.read_text("utf-8", "replace")
            if "Traceback" in text or "never retrieved" in text or "never awaited" in text:
                found.append(f"{path.name}: {text.strip()[-1500:]}")
        return found

    async def _store_check(self) -> list[str]:
        store = open_store(self.place.url())
        await store.open()
        try:
            return await store.check()
        finally:
            await store.close()


async def _until(is_so: Callable[[], bool], within_s: float = _WITHIN_S) -> bool:
    """Wait until it is so; false: it is not, for so long."""
    until = time.monotonic() + within_s
    while not (so := is_so()) and time.monotonic() < until:  # noqa: ASYNC110 - what it looks at, other processes do
        await asyncio.sleep(_LOOK_S)
    return so
