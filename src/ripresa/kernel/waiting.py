"""Waiting: why a step waits for its pool, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ripresa.kernel.circuit import Circuit, looked_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ripresa.contracts.pools import Pool


def in_utc(micros: int) -> str:
    """A moment, to the second."""
    return f"{datetime.fromtimestamp(micros // 1_000_000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def why_waiting(
    pool: Pool,
    *,
    now: int,
    ahead: int,
    key: str,
    workflow: str,
    engine: int | None,
    by_engine: Mapping[int, int],
    by_workflow: Mapping[str, int],
    free_at: int,
    circuit: Circuit,
    rest: tuple[int, str] | None,
    shown: Callable[[int], str] = in_utc,
) -> str:
    """Everything that holds the step up, the most telling first."""
    parts = [
        *_circuit(pool, looked_at(circuit, now), shown),
        *([f"cooldown of {key or pool.name} until {shown(rest[0])}"] if rest is not None and rest[0] > now else []),
        *_in_line(pool, ahead, sum(by_engine.values())),
        *_share("workflow", workflow, by_workflow.get(workflow, 0), pool.slots_per_workflow),
        *_share("this worker", "", by_engine.get(engine or 0, 0), pool.slots_per_worker),
    ]
    if pool.interval_us and free_at - (pool.burst - 1) * pool.interval_us > now:
        parts.append(f"the next start at {shown(free_at - (pool.burst - 1) * pool.interval_us)} ({pool.rate})")
    if engine is None:
        parts.append("its engine is gone, and none has taken it over yet")
    return ", ".join(parts)


def breaker_words(name: str, circuit: Circuit, shown: Callable[[int], str] = in_utc) -> str:
    """How a breaker stands."""
    match circuit.state:
        case "open" if circuit.until is None:
            return f"breaker {name} open until it is reset, {circuit.why}"
        case "open":
            return f"breaker {name} open until {shown(circuit.until or 0)}, {circuit.why}"
        case "half_open":
            return f"breaker {name} half open: probes try it"
        case _:
            return f"breaker {name} closed"


def _circuit(pool: Pool, circuit: Circuit, shown: Callable[[int], str]) -> Iterator[str]:
    if pool.breaker is not None and circuit.state != "closed":
        yield breaker_words(pool.name, circuit, shown)


def _in_line(pool: Pool, ahead: int, held: int) -> Iterator[str]:
    slots = "" if pool.slots is None else f", {held} of {pool.slots} slots in use"
    yield f"pool {pool.name}: {ahead} ahead{slots}"


def _share(what: str, name: str, held: int, limit: int | None) -> Iterator[str]:
    if limit is not None and held >= limit:
        yield f"{held} of {limit} slots of {what} {name}".rstrip() + " in use"
