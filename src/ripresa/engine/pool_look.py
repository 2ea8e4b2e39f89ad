"""A look at pools: what a store has of them, as records for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.payload import load
from ripresa.contracts.pool_records import BreakerRecord, CooldownRecord, PoolRecord, WaitRecord
from ripresa.contracts.record_base import maybe_moment, moment
from ripresa.engine.pools import pool_of
from ripresa.kernel.circuit import Circuit, looked_at
from ripresa.kernel.waiting import in_utc, why_waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.pools import PoolState, PoolStore, Standing


async def pool_records(store: PoolStore, now: int) -> list[PoolRecord]:
    """All pools, by name."""
    return [_pool(state, now) for state in await store.pools()]


async def wait_records(
    store: PoolStore,
    now: int,
    *,
    run: str | None = None,
    pool: str | None = None,
    limit: int | None = None,
    shown: Callable[[int], str] = in_utc,
) -> list[WaitRecord]:
    """Steps of a run or a pool that wait for a slot or hold one; `shown` writes times in their reasons."""
    standing = await store.standing(run=run, pool=pool, limit=limit)
    states = {state.name: state for state in await store.pools()} if standing else {}
    return [_wait(one, states.get(one.ticket.pool), now, shown) for one in standing]


def _pool(state: PoolState, now: int) -> PoolRecord:
    circuits = {target: looked_at(Circuit.load(text), now) for target, text in state.circuits.items()}
    return PoolRecord(
        name=state.name,
        settings=load(state.settings),
        held=sum(state.by_engine.values()),
        waiting=state.waiting,
        by_worker={str(engine): count for engine, count in sorted(state.by_engine.items())},
        by_workflow=dict(sorted(state.by_workflow.items())),
        next_start_at=moment(state.free_at) if state.free_at > now else None,
        breakers=[
            BreakerRecord(
                target=target,
                state=circuit.state,
                since=maybe_moment(circuit.since or None),
                until=maybe_moment(circuit.until),
                why=circuit.why,
            )
            for target, circuit in sorted(circuits.items())
        ],
        cooldowns=[
            CooldownRecord(key=key, until=moment(until), why=why)
            for key, (until, why) in sorted(state.cooling.items())
            if until > now
        ],
    )


def _wait(one: Standing, state: PoolState | None, now: int, shown: Callable[[int], str]) -> WaitRecord:
    ticket = one.ticket
    return WaitRecord(
        run=ticket.run,
        operation=ticket.operation,
        step=ticket.step,
        workflow=ticket.workflow,
        pool=ticket.pool,
        key=ticket.key,
        priority=ticket.priority,
        since=moment(ticket.since),
        held_since=maybe_moment(one.granted_at),
        worker=one.engine,
        probe=one.probe,
        ahead=one.ahead,
        reason=None if state is None or one.granted_at is not None else _why(one, state, now, shown),
    )


def _why(one: Standing, state: PoolState, now: int, shown: Callable[[int], str]) -> str:
    pool, ticket = pool_of(state.name, state.settings), one.ticket
    target = ticket.step if pool.breaker is not None and pool.breaker.per == "step" else ""
    return why_waiting(
        pool,
        now=now,
        ahead=one.ahead,
        key=ticket.key,
        workflow=ticket.workflow,
        engine=one.engine,
        by_engine=state.by_engine,
        by_workflow=state.by_workflow,
        free_at=state.free_at,
        circuit=Circuit.load(state.circuits.get(target)),
        rest=state.cooling.get(ticket.key),
        shown=shown,
    )
