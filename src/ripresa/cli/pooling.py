"""Pools for the commands that show and change them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.cli import pool_tables, tables
from ripresa.cli.exits import UsageProblem
from ripresa.cli.following import follow
from ripresa.cli.inputs import pairs
from ripresa.cli.process import now_us
from ripresa.cli.reading import opened
from ripresa.cli.times import until
from ripresa.contracts.errors import UnknownPool
from ripresa.engine import pool_act
from ripresa.engine.pool_look import pool_records, wait_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.contracts.pool_records import PoolRecord, WaitRecord
    from ripresa.contracts.pools import Pool
    from ripresa.ports.store import Store

_SHOWN_MAX = 30


class Seen(NamedTuple):
    """One pool, as it is shown."""

    pool: PoolRecord
    waits: list[WaitRecord]
    ids: dict[str, str]
    """What the runs of `waits` are called, by UUID."""

    @property
    def hidden(self) -> int:
        """How many more steps hold a slot or wait."""
        return self.pool.held + self.pool.waiting - len(self.waits)

    def told(self) -> dict[str, object]:
        """For programs."""
        steps = [{**one.model_dump(mode="json"), "run_id": self.ids[one.run]} for one in self.waits]
        return {**self.pool.model_dump(mode="json"), "steps": steps}


async def pools(url: str) -> list[PoolRecord]:
    """All pools."""
    async with opened(url) as store:
        return await pool_records(store, now_us())


async def pool(url: str, name: str, limit: int) -> Seen:
    """One pool with its steps.  Raises UsageProblem if there is none of this name."""
    async with opened(url) as store:
        return await _one(store, name, limit)


async def _one(store: Store, name: str, limit: int) -> Seen:
    found = {one.name: one for one in await pool_records(store, now_us())}
    if name not in found:
        from ripresa.cli.nearest import did_you_mean

        raise UsageProblem(f"no pool {name!r} in {store.url}{did_you_mean(name, found)}")
    waits = await wait_records(store, now_us(), pool=name, limit=limit, shown=until)
    runs = {one.run: await store.get_run(one.run) for one in waits}
    return Seen(found[name], waits, {uuid: uuid if run is None else run.key or uuid for uuid, run in runs.items()})


async def waits_of(store: Store, run: str) -> dict[str, WaitRecord]:
    """Steps of a run that wait for a pool, by operation."""
    found = await wait_records(store, now_us(), run=run, shown=until)
    return {one.operation: one for one in found if one.held_since is None}


# --- changing ----------------------------------------------------------------------------------


async def set_limits(url: str, name: str, limits: list[str]) -> Pool:
    """Change a pool's limits.  Raises UsageProblem."""
    changes = {field: _value(text) for field, text in pairs(limits, "limit").items()}
    async with opened(url) as store:
        try:
            return await pool_act.set_limits(store, name, changes)
        except ValueError as error:
            raise UsageProblem(str(error)) from None


async def remove(url: str, name: str) -> None:
    """Forget a pool.  Raises UsageProblem."""
    async with opened(url) as store:
        try:
            await pool_act.remove(store, name)
        except UnknownPool as error:
            raise UsageProblem(str(error)) from None


async def trip(url: str, name: str, step: str | None, for_us: int | None) -> None:
    """Open a breaker.  Raises UsageProblem."""
    async with opened(url) as store:
        try:
            await pool_act.trip(store, name, step=step, now=now_us(), for_us=for_us)
        except (UnknownPool, ValueError) as error:
            raise UsageProblem(str(error)) from None


async def reset(url: str, name: str, step: str | None) -> list[str]:
    """Close breakers, end cooldowns.  Raises UsageProblem."""
    async with opened(url) as store:
        try:
            return await pool_act.reset(store, name, step=step)
        except UnknownPool as error:
            raise UsageProblem(str(error)) from None


def _value(text: str) -> Any:
    """`none`, a number, or a text."""
    if text == "none":
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, int | float | dict) else text


def in_words(pool: Pool) -> str:
    """What limits it."""
    return pool_tables.limits(pool.to_json()) or "no limits"


# --- watching ----------------------------------------------------------------------------------


async def watch(url: str, name: str | None) -> None:
    """Show how pools stand until Ctrl-C.  Raises Ended then."""
    async with opened(url) as store:
        await follow(lambda: _drawn(store, name))


async def _drawn(store: Store, name: str | None) -> Callable[[], None]:
    """What there is to see, to be drawn."""
    if name is None:
        found = await pool_records(store, now_us())
        return lambda: tables.columns(pool_tables.rows(found), head=pool_tables.HEAD)
    seen = await _one(store, name, _SHOWN_MAX)
    return lambda: pool_tables.pool(*seen, hidden=seen.hidden)
