"""Pools in columns, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.cli.tables import Cell, at, clock, columns
from ripresa.contracts.pools import Breaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.contracts.pool_records import BreakerRecord, PoolRecord, WaitRecord

_COLOURS = {"open": "31", "half_open": "33", "closed": "32"}
HEAD = ("pool", "in use", "waiting", "limits", "breaker")


def rows(found: Sequence[PoolRecord]) -> list[tuple[Cell | str, ...]]:
    """A line a pool."""
    return [(one.name, _in_use(one), str(one.waiting), _beside_slots(one), _breakers(one.breakers)) for one in found]


def pool(found: PoolRecord, waits: Sequence[WaitRecord], ids: dict[str, str], *, hidden: int) -> None:
    """One pool, who holds a slot of it, and who waits; `ids` are what their runs are called, by UUID."""
    facts: list[tuple[str, Cell | str]] = [
        ("pool", found.name),
        ("in use", _in_use(found)),
        ("waiting", str(found.waiting)),
        ("limits", _beside_slots(found) or "none"),
        *[("breaker", _breaker(one)) for one in found.breakers],
        *[("cooldown", f"{one.key or found.name} until {at(one.until)}: {one.why}") for one in found.cooldowns],
        *([("next start", at(found.next_start_at))] if found.next_start_at else []),
        *([("by engine", _counts(found.by_worker))] if found.by_worker else []),
        *([("by workflow", _counts(found.by_workflow))] if found.by_workflow else []),
    ]
    columns([(Cell(name, "2"), text) for name, text in facts])
    if waits:
        columns([], head=())
        columns([_wait(one, ids[one.run]) for one in waits], head=("step", "workflow", "run", "key", "since", "state"))
    if hidden > 0:
        columns([(Cell(f"… {hidden:,} more", "2"),)])


def _wait(one: WaitRecord, run: str) -> tuple[Cell | str, ...]:
    """A step that waits, or holds a slot."""
    state = Cell("probes" if one.probe else "runs", "36") if one.held_since else one.reason or "waits"
    since = clock(one.held_since or one.since)
    return (one.operation, one.workflow, run, one.key, since, state)


def limits(settings: dict[str, Any]) -> str:
    """What limits it, as `pools set` takes it: what was said, and not what holds anyway."""
    usual = Breaker(failures=None).to_json()
    breaker = settings.get("breaker") or {}
    said = {f"breaker.{name}": value for name, value in breaker.items() if value != usual.get(name)}
    plain = {name: value for name, value in settings.items() if name != "breaker"}
    return ", ".join(f"{name}={value}" for name, value in {**plain, **said}.items())


def _beside_slots(one: PoolRecord) -> str:
    """Its limits but the slots, of which another column tells."""
    return limits({name: value for name, value in one.settings.items() if name != "slots"})


def _in_use(one: PoolRecord) -> Cell | str:
    slots = one.settings.get("slots")
    if slots is None:
        return str(one.held)
    return Cell(f"{one.held} of {slots}", "33" if one.held >= slots else "")


def _breakers(found: Sequence[BreakerRecord]) -> Cell | str:
    open_ = [one for one in found if one.state != "closed"]
    return _breaker(open_[0]) if open_ else ""


def _breaker(one: BreakerRecord) -> Cell:
    of = f" ({one.target})" if one.target else ""
    until = f" until {at(one.until)}" if one.until else ""
    why = f": {one.why}" if one.why else ""
    return Cell(f"{one.state.replace('_', ' ')}{of}{until}{why}", _COLOURS[one.state])


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in found.items())
