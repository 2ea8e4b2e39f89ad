"""The simulated store: a real one at the end of a bad line.

Each verb is an effect point (`faults`): a request that travels, an effect, an answer that travels.
The store changes rows in one stroke (`sim_disk`), so that a process which dies has either written a batch or not.
Every write that takes effect is noted for the checker, with the status of each run before and after it.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import CommitUnknown, StoreBusy, StoreError, StoreUnavailable
from ripresa.testing.faults import Kind
from ripresa.testing.sim_notes import Notes
from ripresa.testing.sim_verbs import PASSED_ON, QUIET

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ripresa.ports.batch import Batch
    from ripresa.ports.effects import Effect
    from ripresa.ports.lease import Lease
    from ripresa.ports.lines import Place
    from ripresa.ports.pools import Granted, Ticket
    from ripresa.ports.rows import Definition, HistoryEvent, LogLine, Message, Micros, NewRun
    from ripresa.ports.store import Store
    from ripresa.ports.tasks import Task, WorkerState
    from ripresa.testing.world import World


class SimStore:
    """A process's line to the world's disk."""

    url = "sim://"
    poll_s: float | None = 0.5

    @property
    def shared(self) -> bool:
        """As the port has it."""
        return self._world.disk.shared

    def __init__(self, world: World, process: str) -> None:
        self._world = world
        self._notes = Notes(world, process)
        self.inner = world.disk.hold()

    async def open(self) -> None:
        """As the port has it; not an effect point."""
        await self.inner.open()

    async def close(self) -> None:
        """The same."""
        self.watch(None)
        await self.inner.close()

    def cut(self) -> None:
        """The process is dead."""
        self._world.disk.cut(self.inner)

    async def acquire(self, *, now: Micros, lease_us: int, who: str, about: str | None = None) -> Lease:
        """As the port has it."""

        async def apply() -> Lease:
            lived = self._world.disk.living()
            lease = await self.inner.acquire(now=now, lease_us=lease_us, who=who, about=about)
            self._notes.owners("acquire", lease, [], lived)
            return lease

        lease: Lease = await self._send("acquire", apply)
        self._world.leased(lease)
        return lease

    async def renew(self, lease: Lease, *, now: Micros, lease_us: int) -> bool:
        """As the port has it."""
        asked: bool = await self._send("renew", lambda: self.inner.renew(lease, now=now, lease_us=lease_us))
        return asked

    async def drain(self, engine: int) -> bool:
        """As the port has it."""
        return await self.inner.drain(engine)

    async def release(self, lease: Lease) -> None:
        """As the port has it."""

        async def apply() -> None:
            lived = self._world.disk.living()
            await self.inner.release(lease)
            self._notes.owners("release", lease, [], lived)

        await self._send("release", apply)

    async def commit(self, lease: Lease, batch: Batch, *, lease_us: int) -> frozenset[str]:
        """As the port has it; sometimes nobody can say whether it took effect, and it may yet do so, or once more."""

        async def apply(store: Store = self.inner) -> frozenset[str]:
            disk = self._world.disk
            changed = [change.id for change in batch.changes]
            new = [run.id for run in batch.runs]
            touched = {*changed, *(event.run for event in batch.history)}
            known = disk.held({*touched, *new})
            before = {run: known[run].status if run in known else None for run in changed + new}
            refused = await store.commit(lease, batch, lease_us=lease_us)
            after = disk.held(before)
            self._notes.batch(
                "commit",
                lease,
                before,
                [event for event in batch.history if event.run not in refused],
                after,
                owned=tuple((run, known[run].owner) for run in sorted(touched & known.keys())),
                given=tuple((run, after[run].owner) for run in sorted(after.keys() - refused)),
            )
            return refused

        written: frozenset[str] = await self._send("commit", apply, self._held_up(apply))
        return written

    async def adopt(
        self,
        lease: Lease,
        *,
        now: Micros,
        limit: int | None = None,
        leave: frozenset[tuple[str, str]] = frozenset(),
    ) -> list[str]:
        """As the port has it."""

        async def apply() -> list[str]:
            lived = self._world.disk.living()
            runs = await self.inner.adopt(lease, now=now, limit=limit, leave=leave)
            self._notes.owners("adopt", lease, runs, lived)
            return runs

        runs: list[str] = await self._send("adopt", apply)
        return runs

    async def claim_due(
        self, lease: Lease, *, now: Micros, limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        """As the port has it."""

        async def apply() -> list[str]:
            runs = await self.inner.claim_due(lease, now=now, limit=limit, leave=leave)
            self._notes.owners("claim_due", lease, runs)
            return runs

        runs: list[str] = await self._send("claim_due", apply)
        return runs

    async def claim_fitting(
        self, lease: Lease, *, labels: frozenset[str], limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        """As the port has it."""

        async def apply() -> list[str]:
            runs = await self.inner.claim_fitting(lease, labels=labels, limit=limit, leave=leave)
            self._notes.owners("claim_fitting", lease, runs)
            return runs

        runs: list[str] = await self._send("claim_fitting", apply)
        return runs

    async def claim(self, lease: Lease, run: str) -> bool:
        """As the port has it."""

        async def apply() -> bool:
            got = await self.inner.claim(lease, run)
            self._notes.owners("claim", lease, [run] if got else [])
            return got

        got: bool = await self._send("claim", apply)
        return got

    async def admit(self, lease: Lease, wanted: Place, *, now: Micros, force: bool = False) -> bool:
        """As the port has it."""
        got: bool = await self._send("admit", lambda: self.inner.admit(lease, wanted, now=now, force=force))
        return got

    async def claim_effect(self, lease: Lease, wanted: Effect) -> Effect:
        """As the port has it."""
        stands: Effect = await self._send("claim_effect", lambda: self.inner.claim_effect(lease, wanted))
        return stands

    async def remove(self, runs: list[str]) -> list[str]:
        """As the port has it."""
        gone: list[str] = await self._send("remove", lambda: self.inner.remove(runs))
        return gone

    async def transact(self, effect: Effect, work: Callable[[Any], Any]) -> str:
        """As the port has it: it has none."""
        return await self.inner.transact(effect, work)

    async def tickets(self, lease: Lease, wanted: list[Ticket], *, now: Micros) -> Granted:
        """As the port has it."""

        async def apply() -> Granted:
            before = self._world.disk.granted()
            granted = await self.inner.tickets(lease, wanted, now=now)
            self._notes.pools(before, lease, now)
            return granted

        granted: Granted = await self._send("tickets", apply)
        return granted

    async def put_pool(self, name: str, settings: str | None, *, declared: bool = False) -> None:
        """As the port has it."""
        await self._send("put_pool", lambda: self.inner.put_pool(name, settings, declared=declared))

    async def set_breaker(self, pool: str, target: str, circuit: str | None) -> None:
        """As the port has it."""
        await self._send("set_breaker", lambda: self.inner.set_breaker(pool, target, circuit))

    async def set_cooldown(self, pool: str, key: str, until: Micros | None, why: str = "") -> None:
        """As the port has it."""
        await self._send("set_cooldown", lambda: self.inner.set_cooldown(pool, key, until, why))

    async def claim_task(self, task: str, *, worker: str, token: str, now: Micros, lease_us: int) -> Task | None:
        """As the port has it."""
        claimed: Task | None = await self._send(
            "claim_task",
            lambda: self.inner.claim_task(task, worker=worker, token=token, now=now, lease_us=lease_us),
        )
        return claimed

    async def renew_task(
        self, task: str, token: str, *, now: Micros, lease_us: int, logs: Sequence[LogLine] = ()
    ) -> bool:
        """As the port has it."""
        renewed: bool = await self._send(
            "renew_task", lambda: self.inner.renew_task(task, token, now=now, lease_us=lease_us, logs=logs)
        )
        return renewed

    async def report_task(
        self, task: str, token: str, outcome: str, *, now: Micros, logs: Sequence[LogLine] = ()
    ) -> bool:
        """As the port has it."""
        kept: bool = await self._send(
            "report_task", lambda: self.inner.report_task(task, token, outcome, now=now, logs=logs)
        )
        return kept

    async def lapse_task(self, lease: Lease, task: str, *, now: Micros) -> bool:
        """As the port has it."""
        lapsed: bool = await self._send("lapse_task", lambda: self.inner.lapse_task(lease, task, now=now))
        return lapsed

    async def put_worker(self, worker: WorkerState) -> None:
        """As the port has it."""
        await self._send("put_worker", lambda: self.inner.put_worker(worker))

    async def remove_worker(self, name: str) -> None:
        """As the port has it."""
        await self._send("remove_worker", lambda: self.inner.remove_worker(name))

    async def published(self, ids: list[str]) -> None:
        """As the port has it."""
        await self._send("published", lambda: self.inner.published(ids))

    async def send(self, message: Message, *, connection: Any = None) -> None:
        """As the port has it."""

        async def apply(store: Store = self.inner) -> None:
            await store.send(message, connection=connection)

        await self._send("send", apply, self._held_up(apply))

    async def submit(
        self,
        run: NewRun,
        first: HistoryEvent,
        tags: dict[str, str],
        definition: Definition | None = None,
        *,
        connection: Any = None,
    ) -> bool:
        """As the port has it."""

        async def apply(store: Store = self.inner) -> bool:
            done = await store.submit(run, first, tags, definition, connection=connection)
            if done:
                self._notes.batch("submit", None, {run.id: None}, [first], self._world.disk.held([run.id]))
            return done

        done: bool = await self._send("submit", apply, self._held_up(apply))
        return done

    def watch(self, tell: Callable[[], None] | None) -> None:
        """As the port has it; a word may come late, and now and then none comes."""
        listeners = self._world.disk.listeners
        if tell is None:
            listeners.pop(self.inner, None)
        else:
            listeners[self.inner] = partial(self._world.pass_word, tell, copy_context())

    async def time(self) -> Micros | None:
        """As the port has it: the world's clock is everybody's."""
        return None

    def __getattr__(self, verb: str) -> Any:
        if verb not in PASSED_ON:
            raise AttributeError(verb)
        read = getattr(self.inner, verb)
        if verb in QUIET:
            return read

        async def ask(*args: Any, **kwargs: Any) -> Any:
            return await self._send(verb, lambda: read(*args, **kwargs))

        return ask

    # -- the line -----------------------------------------------------------------------------------------------------

    def _held_up(self, apply: Callable[[Store], Awaitable[Any]]) -> Callable[[], Awaitable[None]] | None:
        """How the request arrives whose sender is not heard of any more."""
        if not self._world.disk.repeats:
            return None

        async def arrive() -> None:
            await self._world.outside.open()
            await apply(self._world.outside.inner)

        return arrive

    async def _send(
        self, verb: str, apply: Callable[[], Awaitable[Any]], late: Callable[[], Awaitable[None]] | None = None
    ) -> Any:
        world = self._world
        fault = await world.cross(verb)
        if fault is None and verb == "commit":
            fault = world.trouble()
        if fault is Kind.ERROR_BEFORE:
            raise StoreBusy(f"{verb}: locked (simulated)")
        if fault is Kind.UNKNOWN_BEFORE:
            if late is not None:
                world.hold_up(late)
            raise _unknown(verb)
        await world.dawdle(verb)
        if fault is Kind.ERROR_AFTER:
            world.disk.lose_answer(self.inner)
        answer = await apply()
        world.trace(verb)
        if fault is Kind.DUPLICATE and late is not None:
            world.hold_up(late)
        elif fault is Kind.DUPLICATE and not (verb == "commit" and world.shared):  # nothing on the way repeats those
            await _once_more(apply)
        if fault in (Kind.CRASH_AFTER, Kind.HANG_AFTER):
            await world.strike(fault)
        await world.dawdle(verb)
        await world.travel()
        if fault is Kind.ERROR_AFTER:
            raise _unknown(verb)
        return answer


def _unknown(verb: str) -> StoreError:
    if verb == "commit":
        return CommitUnknown("the line broke during the commit (simulated)")
    return StoreUnavailable(f"{verb}: the line broke (simulated)")


async def _once_more(apply: Callable[[], Awaitable[Any]]) -> None:
    try:
        await apply()
    except StoreError:
        return  # the second of two equal requests may be refused
