"""Rows: short ways to write what the tests of a store hand it, and an engine that numbers its batches."""

from __future__ import annotations

from typing import Any

from ripresa.ports.batch import Batch
from ripresa.ports.lease import Lease
from ripresa.ports.lines import Place
from ripresa.ports.pools import Freed, Granted, Ticket
from ripresa.ports.reading import RunFilter
from ripresa.ports.rows import Attempt, HistoryEvent, Message, NewRun, Quality, RunChange
from ripresa.ports.store import Store

T = 1_700_000_000_000_000
"""The moment at which each test begins."""

LEASE = 3_000_000

LARGE = '"' + "é" * 200_000 + '"'
"""A payload that no row should hold: 400,002 bytes."""


def run_id(number: int) -> str:
    """An id; a higher number is a later one."""
    return f"{number:08x}-0000-7000-8000-000000000000"


A, B, C, D = (run_id(number) for number in range(1, 5))


def new_run(id: str, **fields: Any) -> NewRun:
    """A run in memory of no engine, unless the fields say otherwise."""
    given = NewRun(id, None, "orders", "v1", "running", 0, "[[], {}]", None, None, id, None, T)
    return given._replace(**fields)


def event(run: str, seq: int, **fields: Any) -> HistoryEvent:
    """An event of a step."""
    given = HistoryEvent(run, seq, "step_completed", T + seq, f"step#{seq}", "step", -seq, 1, T, "{}", None)
    return given._replace(**fields)


def attempt(run: str, operation: str, number: int, **fields: Any) -> Attempt:
    """An attempt that runs."""
    return Attempt(run, operation, number, "step", 1, T + number, "running")._replace(**fields)


def change(id: str, status: str, **fields: Any) -> RunChange:
    """A change that lets go of the run."""
    return RunChange(id, status, T + 9, None)._replace(**fields)


def message(id: str, run: str, **fields: Any) -> Message:
    """A signal."""
    return Message(id, run, "signal", "go", '{"by": "hand"}', T + 5)._replace(**fields)


def measured(run: str, seq: int, **fields: Any) -> Quality:
    """What a step of a run measured, later with each event."""
    given = Quality(run, seq, "orders", "load", f"load#{seq}", T + seq, "succeeded", '{"record_count": 1}')
    return given._replace(**fields)


def place(run: str, **fields: Any) -> Place:
    """A place in a line of one, asked for by a run of its own age."""
    return Place(run, "sales", 1, held=False, priority=0, since=T)._replace(**fields)


def ticket(operation: str, **fields: Any) -> Ticket:
    """A step that wants a slot of a pool."""
    return Ticket(A, operation, "lake", "load", "sales", "", 0, T)._replace(**fields)


class Engine:
    """A store with a lease on it, which numbers its batches."""

    def __init__(self, store: Store, lease: Lease) -> None:
        self.store = store
        self.lease = lease
        self.last = 0

    @classmethod
    async def start(cls, store: Store, *, at: int = T) -> Engine:
        return cls(store, await store.acquire(now=at, lease_us=LEASE, who="contract"))

    async def commit(self, *, at: int = T, **rows: Any) -> frozenset[str]:
        self.last += 1
        return await self.store.commit(self.lease, Batch(self.last, at, **rows), lease_us=LEASE)

    async def claim_due(self, *, now: int = T + 10, limit: int = 100) -> list[str]:
        return await self.store.claim_due(self.lease, now=now, limit=limit)

    async def admit(self, run: str, *, force: bool = False, **fields: Any) -> bool:
        return await self.store.admit(self.lease, place(run, **fields), now=T, force=force)

    async def tickets(self, *operations: str, now: int = T) -> Granted:
        return await self.ask(*[ticket(operation) for operation in operations], now=now)

    async def ask(self, *wanted: Ticket, now: int = T) -> Granted:
        return await self.store.tickets(self.lease, list(wanted), now=now)

    async def serve_all(self, count: int = 1_000) -> list[str]:
        """Free the slots that are held, one after another; operations in the order in which they had one."""
        served: list[str] = []
        while len(served) < count:
            held = [one.ticket for one in await self.store.standing() if one.granted_at is not None]
            if not held:
                break
            served.append(held[0].operation)
            await self.commit(freed=[Freed(held[0].run, held[0].operation, T)])
            await self.tickets()
        return served


async def ids(store: Store, **where: Any) -> list[str]:
    """Ids of the first hundred runs that fit."""
    return [run.id for run in (await store.list_runs(RunFilter(**where), limit=100)).runs]
