"""What people say of pools: other limits, a breaker that is tripped or reset, a rest that is over."""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import UnknownPool
from ripresa.contracts.payload import dump
from ripresa.contracts.pools import Breaker, Pool
from ripresa.kernel.circuit import opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ripresa.ports.pools import PoolState, PoolStore

BY_HAND = "tripped by hand"


async def set_limits(store: PoolStore, name: str, changes: Mapping[str, Any]) -> Pool:
    """Change what limits a pool, or make a new one; None takes a limit away, `breaker.failures` is a field of a field.

    Raises ValueError.
    """
    known = {state.name: state for state in await store.pools()}
    settings = json.loads(known[name].settings) if name in known else {}
    for field, value in changes.items():
        table, _, inner = field.rpartition(".")
        if table == "breaker":
            settings["breaker"] = {**(settings.get("breaker") or {}), inner: value}
        elif value is None:
            settings.pop(field, None)
        else:
            settings[field] = value
    pool = Pool.of(name, settings)
    await store.put_pool(name, dump(pool.to_json()))
    return pool


async def remove(store: PoolStore, name: str) -> None:
    """Forget a pool; what waits for it starts.  Raises UnknownPool."""
    await _state(store, name)
    await store.put_pool(name, None)


async def trip(store: PoolStore, name: str, *, step: str | None, now: int, for_us: int | None) -> None:
    """Open its breaker: for a time, or until it is reset.  Raises UnknownPool, ValueError."""
    state = await _state(store, name)
    breaker = Pool.of(name, json.loads(state.settings)).breaker
    if breaker is None:
        await set_limits(store, name, {"breaker": Breaker(failures=None, failure_rate=None).to_json()})
        breaker = Breaker(failures=None)
    await store.set_breaker(name, _target(name, breaker, step), opened(now, for_us, BY_HAND).dump())


async def reset(store: PoolStore, name: str, *, step: str | None = None) -> list[str]:
    """Close its breakers, or that of one step, and end its cooldowns; what it did, in words.  Raises UnknownPool."""
    state = await _state(store, name)
    targets = [target for target in state.circuits if step in {None, target}]
    for target in targets:
        await store.set_breaker(name, target, None)
    keys = list(state.cooling) if step is None else []
    for key in keys:
        await store.set_cooldown(name, key, None)
    return [f"breaker of {target or name} closed" for target in targets] + [
        f"cooldown of {key or name} ended" for key in keys
    ]


def _target(name: str, breaker: Breaker, step: str | None) -> str:
    if breaker.per == "step" and step is None:
        raise ValueError(f"pool {name!r} has a breaker for each of its steps: name one (--step)")
    if breaker.per == "pool" and step is not None:
        raise ValueError(f"pool {name!r} has one breaker for all of its steps: leave the step out")
    return step or ""


async def _state(store: PoolStore, name: str) -> PoolState:
    known = {state.name: state for state in await store.pools()}
    if name in known:
        return known[name]
    near = get_close_matches(name, known, 1)
    have = ", ".join(known) or "none"
    hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {have})"
    raise UnknownPool(f"no pool {name!r}{hint}")
