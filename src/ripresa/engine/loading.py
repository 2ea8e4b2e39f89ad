"""Loading: bringing runs into memory – new ones, those that are due, those that a message is for.

    parked rows ── due, or a message ──> claim ──> load ──> replay ──> live

The way back is `parking`'s.  Invariant: a run is held once; whoever finds it due while it is held only
hands in its messages.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import StoreUnavailable, UnknownDefinition
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.engine.held import Held
from ripresa.engine.remembered import count_attempts, done_anew, failed_children, nodes_set_aside
from ripresa.engine.rows import definition_row, seed_of, set_aside
from ripresa.kernel import history as h
from ripresa.ports.reading import RunFilter
from ripresa.ports.rows import NewRun, Run

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.lines import Verdict
    from ripresa.engine.timers import Due
    from ripresa.kernel.live import LiveRun
    from ripresa.ports.reading import Loaded
    from ripresa.ports.rows import HistoryEvent

logger = logging.getLogger("ripresa.engine")

_CHUNK = 500
_BITE, _BITE_MIN = 100, 5
"""Runs that are claimed at a time while others live: by an engine with nothing to do, and by one with no slot free.

By one of full weight; one that has half the slots of the largest takes half of it."""
_LOOK_AGAIN_S = 0.01
_ASK_AGAIN_S = 0.01
_ASK_AGAIN_S_MAX = 1.0
_LATE_S = 90.0
"""A request that was not answered may yet be carried out, as late as a server's limit for a statement allows."""


class Loading:
    """Brings runs into memory and lets them go."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wanted: dict[str, Held] = {}
        self._waker: asyncio.Event = asyncio.Event()
        self._look = True
        self._unsure = False
        self._unsure_again_at = float("inf")
        self._next_ready: Due | None = None
        self._noted: set[tuple[str, str]] = set()
        self._warned: set[str] = set()
        self._coming: dict[str, asyncio.Future[None]] = {}
        """Runs that are being loaded: what is read of them twice at once could be taken in twice."""
        self.busy = 0

    @property
    def has_work(self) -> bool:
        """Whether anything is being loaded or is about to be."""
        return bool(self.busy or self._look or self._unsure or self._wanted)

    # --- bringing in ---------------------------------------------------------------------------

    def begin(self, new: NewRun, workflow: Any, events: list[HistoryEvent]) -> None:
        """A new run of ours is on disk: let it start at the next turn."""
        engine = self._engine
        if new.id in engine.held or new.id in self._coming or new.id in engine.parking.leaving:
            return  # who asked for it by its id, or for all that is ours, was quicker, and may have let it go again
        run = new.as_run()
        held = Held(run, workflow, events[-1].seq)
        held.seed = seed_of(new)
        held.at_hand = events
        held.children = {}
        engine.held[held.id] = held
        engine.turns.ask(held)

    def want(self, held: Held) -> None:
        """The code of a held run is not in memory: load its history."""
        if not held.loading and not held.restarting:
            held.loading = True
            self._wanted[held.id] = held
            self.busy += 1
            self._waker.set()

    def look(self) -> None:
        """Something may be due: look now."""
        self._look = True
        self._waker.set()

    async def recover(self) -> None:
        """Take over the runs that are nobody's, and try those again that their code did not fit."""
        engine = self._engine
        if engine.fleet.shared:
            await engine.fleet.look_around()
            await engine.fleet.take_over()
        else:
            await self.take_over(await engine.store.adopt(engine.lease, now=engine.now()))
        blocked: list[str] = []
        cursor = None
        while True:
            page = await engine.store.list_runs(
                RunFilter(status=(RunStatus.BLOCKED.value,)), limit=_CHUNK, cursor=cursor
            )
            for run in page.runs:
                await engine.learn((run.definition, run.version))
                if run.owner is None and not engine.fleet.lacks(run.definition, run.version):
                    blocked.append(run.id)
            cursor = page.cursor
            if cursor is None:
                break
        for ref in blocked:
            if await engine.store.claim(engine.lease, ref):
                await self._take_in([ref], recovered=False)

    async def take_over(self, adopted: list[str]) -> None:
        """Hold runs that were another engine's."""
        self.busy += 1
        try:
            await self._take_in(adopted, recovered=True)
            if adopted:
                self.look()  # what was due of them goes from the list of what is to be claimed
        finally:
            self.busy -= 1
            self._engine.watching.ask_idle()

    async def serve(self) -> None:
        """Load what is wanted and claim what is due, for ever."""
        poll_s = self._engine.store.poll_s
        loop = asyncio.get_running_loop()
        asked = loop.time()
        delay = _ASK_AGAIN_S
        self._waker.set()
        while True:
            if not self._waker.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(poll_s):
                        await self._waker.wait()
            try:
                if poll_s is not None and loop.time() - asked >= poll_s:  # however busy: others may have written
                    asked = loop.time()
                    if await self._engine.store.changed():
                        self._look = True
                        self._engine.pools.news()
                        self._engine.heard_of_tasks()
                if loop.time() >= self._unsure_again_at:
                    self._unsure, self._unsure_again_at = True, float("inf")
                await self._serve_once()
                delay = _ASK_AGAIN_S
            except StoreUnavailable as error:
                logger.warning("the store does not answer for now, trying again: %s", error)
                self.unsure()
                await asyncio.sleep(delay)
                delay = min(2 * delay, _ASK_AGAIN_S_MAX)
            self._engine.watching.ask_idle()

    async def _serve_once(self) -> None:
        self._waker.clear()
        if self._wanted:
            await self._load_wanted()
        if self._unsure:
            await self._take_in_unknown()
        if self._look:
            self._look = False
            await self._claim_due()

    def unsure(self) -> None:
        """A request for runs was not answered, or what came of it could not be read: some may be ours, and not held.

        Some may become ours yet, so that it is looked for them once more, later.
        """
        self._unsure = self._look = True
        if self._engine.fleet.shared:
            self._unsure_again_at = self._engine.loop.time() + _LATE_S
        self._waker.set()

    async def _take_in_unknown(self) -> None:
        """Hold the runs that are ours without our knowing, and see what was sent to those that we hold."""
        self._unsure = False
        await self._take_in(await self._engine.store.owned(self._engine.lease), recovered=False)

    async def _load_wanted(self) -> None:
        ids = list(self._wanted)
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            restarts = {run: self._wanted[run].restarts for run in chunk}
            loaded = {one.run.id: one for one in await self._engine.store.load(chunk)}
            for run in chunk:
                held = self._wanted.pop(run)
                held.loading = False
                self.busy -= 1
                if run in loaded:
                    self._at_hand(held, loaded[run], restarts[run])
        self._engine.watching.ask_idle()

    def _at_hand(self, held: Held, loaded: Loaded, restarts: int) -> None:
        current = loaded.run.base_seq == held.base_seq  # else it begins anew just now, and has at hand what it needs
        if self._engine.held.get(held.id) is held and held.live is None and current:
            held.at_hand = loaded.history if held.restarts == restarts else None
            self._engine.turns.ask(held)

    async def _claim_due(self) -> None:
        engine = self._engine
        self.busy += 1
        try:
            while not (engine.draining or engine.stopping):
                now, leave, limit = engine.now(), engine.fleet.leave, self._appetite()
                claimed = await engine.store.claim_due(engine.lease, now=now, limit=limit, leave=leave)
                fitting = await engine.labels.claim(limit, leave)
                await self._take_in([*claimed, *fitting], recovered=False)
                if max(len(claimed), len(fitting)) < limit:  # what is due by now and was not given is for others
                    self.arm(await engine.store.next_due(after=now))
                    break
                await asyncio.sleep(0)  # engines of one process take turns too
        finally:
            self.busy -= 1
            engine.watching.ask_idle()

    def _appetite(self) -> int:
        """How many runs to claim at a time: beside others the fewer the busier it is, and the smaller than they."""
        engine = self._engine
        if not engine.fleet.others:
            return _CHUNK
        return max(1, round(engine.fleet.weight * max(_BITE_MIN, _BITE * engine.attempts.free_share)))

    def arm(self, due: int | None) -> None:
        """Look for due runs at `due`, if that is earlier than what is planned."""
        if due is None:
            return
        if self._next_ready is not None and not self._next_ready.cancelled:
            if self._next_ready.at <= due:
                return
            self._next_ready.cancel()
        self._next_ready = self._engine.timers.at(due, self._ready_due)

    def _ready_due(self) -> None:
        self._next_ready = None
        self.look()

    async def _take_in(self, ids: list[str], *, recovered: bool) -> None:
        """Hold these runs, which are ours; hand in their messages."""
        engine = self._engine
        ids = await self._at_rest(ids)
        fresh = [run for run in ids if run not in engine.held]
        come = engine.loop.create_future()
        self._coming.update(dict.fromkeys(fresh, come))
        missed: list[str] = []
        try:
            missed += [run for run in ids if run in engine.held and not await engine.messages.take(engine.held[run])]
            for held in [engine.held[run] for run in ids if run in engine.held and engine.held[run].in_line]:
                await engine.lines.again(held)
                if engine.held.get(held.id) is not held:  # it was let go of meanwhile
                    missed.append(held.id)
            for start in range(0, len(fresh), _CHUNK):
                for loaded in await engine.store.load(fresh[start : start + _CHUNK]):
                    if not await self._bring(loaded, recovered=recovered) and await self._claim_again(loaded.run):
                        missed.append(loaded.run.id)
        finally:
            for run in fresh:
                del self._coming[run]
            come.set_result(None)
        if missed:
            await self._take_in(missed, recovered=recovered)

    async def _at_rest(self, ids: list[str]) -> list[str]:
        """Those of the runs that are still ours when none of them is being loaded or let go of."""
        while True:
            ids = await self._parked(ids)
            coming = next((self._coming[run] for run in ids if run in self._coming), None)
            if coming is not None:
                await asyncio.wait([coming])
            elif not any(run in self._engine.parking.leaving for run in ids):
                return ids

    async def _claim_again(self, run: Run) -> bool:
        """Whether a run that was claimed while its own engine, this one, let it go is ours after all."""
        engine = self._engine
        if run.owner is not None or RunStatus(run.status) in TERMINAL or engine.draining or engine.stopping:
            return False
        return await engine.store.claim(engine.lease, run.id)

    async def _bring(self, loaded: Loaded, *, recovered: bool) -> bool:
        """Hold a run, unless it has ended, or its line has no place for it; False: it is not ours."""
        engine = self._engine
        if engine.fleet.shared and loaded.run.owner != engine.number:
            return False
        await engine.learn((loaded.run.definition, loaded.run.version))
        if await engine.fleet.is_for_others(loaded.run.definition, loaded.run.version):
            engine.fleet.give_back(loaded.run)
            return True
        ready = await engine.outside.ready(loaded)
        if ready is None:
            return True
        verdict = await engine.lines.verdict(ready.run)
        known = ready.run.id in engine.held
        held = self._take(ready, verdict, recovered=recovered)
        if held is not None and not known:
            engine.lines.tell(held, verdict)
        return True

    async def _parked(self, ids: list[str]) -> list[str]:
        """Claimed while they were being let go of: the batch that says so must not come after the claim.

        Those that are still ours.
        """
        engine = self._engine
        ours: list[str] = []
        for run in ids:
            leaving = run in engine.parking.leaving
            if leaving:
                await engine.verbs.on_disk()
            if not leaving or await engine.store.claim(engine.lease, run) or not engine.fleet.shared:
                ours.append(run)
        return ours

    def _take(self, loaded: Loaded, verdict: Verdict, *, recovered: bool) -> Held | None:
        engine = self._engine
        run = loaded.run
        if run.id in engine.held or RunStatus(run.status) in TERMINAL:
            return engine.held.get(run.id)
        try:
            workflow = engine.require_workflow(run.definition, run.version)
        except UnknownDefinition as error:
            if run.definition not in self._warned:
                self._warned.add(run.definition)
                logger.warning("run %s waits for its definition: %s", run.key or run.id, error)
            return None
        held = Held(run, workflow, loaded.last_seq)
        held.recovered = recovered
        engine.lines.note(held, verdict)  # before its messages, of which one may end it
        held.seed = seed_of(run)
        if held.status is RunStatus.QUEUED:
            self.note_definition(workflow)  # who submitted it could not
        held.needs = {need.operation: need for need in loaded.needs}
        count_attempts(held, loaded.attempts, loaded.history)
        held.quarantined = set_aside(loaded.history)
        held.nodes_aside = nodes_set_aside(loaded.history)
        held.redo = failed_children(loaded.history)
        held.anew = done_anew(loaded.history)
        held.retried = max((event.seq for event in loaded.history if event.kind == h.RETRIED), default=0)
        if held.status is RunStatus.BLOCKED:
            held.trying = True
        engine.held[held.id] = held
        held.at_hand = loaded.history
        engine.messages.hand_in(held, loaded.messages)
        if engine.may_run(held) or held.trying:
            engine.turns.ask(held)
        else:
            engine.parking.idle(held)
        return held

    async def take_owned(self, ids: list[str]) -> None:
        """Hold runs whose rows say already that they are ours."""
        try:
            await self._take_in(ids, recovered=False)
        except StoreUnavailable:
            self.unsure()

    async def hold(self, run: Run) -> Held | None:
        """Bring an open run into memory; None: it has ended, another engine has it, or its definition is unknown."""
        engine = self._engine
        held = engine.held.get(run.id)
        if held is not None:
            return held
        if engine.fleet.shared and not await self._is_for_us(run):
            return None
        if run.id in engine.parking.leaving:
            await engine.verbs.on_disk()
        try:
            if await engine.store.claim(engine.lease, run.id):
                await self._take_in([run.id], recovered=False)
        except StoreUnavailable:
            self.unsure()
            raise
        return engine.held.get(run.id)

    async def _is_for_us(self, run: Run) -> bool:
        """Whether the run may be held here, as far as its row tells."""
        engine = self._engine
        if run.owner not in (None, engine.number) or engine.draining or engine.stopping:
            return False
        await engine.learn((run.definition, run.version))
        return not await engine.fleet.is_for_others(run.definition, run.version)

    async def settled(self, held: Held) -> LiveRun | None:
        """The run's code, brought to where its history ends; None if it ended or stopped meanwhile."""
        engine = self._engine
        held.visitors += 1
        wait_s = 0.0
        try:
            while engine.held.get(held.id) is held and (engine.may_run(held) or held.trying):
                if held.live is not None and not held.inbox and not held.ready_for_turn and not held.untold:
                    return held.live
                if held.live is None and not held.loading and not held.ready_for_turn:
                    self.want(held)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s + _LOOK_AGAIN_S / 16, _LOOK_AGAIN_S)
            return None
        finally:
            self.left(held)

    def left(self, held: Held) -> None:
        """One visitor less is there who wants to look at the run's code."""
        held.visitors -= 1
        self._engine.loop.call_soon(self._visited, held)

    def _visited(self, held: Held) -> None:
        """What kept the code in memory is over: it may be evicted again."""
        engine = self._engine
        if engine.held.get(held.id) is held and not held.ready_for_turn and not engine.stopping:
            engine.turns.settle(held)

    # --- riding along --------------------------------------------------------------------------

    def note_definition(self, workflow: Any) -> None:
        """Record a version of a definition at its first use."""
        mark = (workflow.name, workflow.version)
        if mark in self._noted:
            return
        self._noted.add(mark)
        engine = self._engine
        engine.committer.batch.definitions.append(definition_row(workflow, engine.now()))
