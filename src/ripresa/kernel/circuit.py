"""Circuit breakers: closed, open, half open – as a value that outcomes and time change.

    closed ── too many failures ──> open ── cooldown is over ──> half open ── probes succeed ──> closed
                                     ^                              │
                                     └───────── a probe fails ──────┘

Pure: `now` comes in, another circuit goes out.  Outcomes are counted in spans of a twelfth of the window, so that
a circuit stays small however many there are; a span counts for as long as any of it lies in the window.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Self

from ripresa.contracts.durations import spelled

if TYPE_CHECKING:
    from ripresa.contracts.pools import Breaker

State = Literal["closed", "open", "half_open"]

_SPANS = 12


@dataclass(frozen=True, slots=True)
class Circuit:
    """How a breaker stands.  Times are in microseconds."""

    state: State = "closed"
    since: int = 0
    until: int | None = None
    """While it is open: when it will be half open."""
    spans: tuple[tuple[int, int, int], ...] = ()
    """While it is closed: (begin, succeeded, failed), oldest first."""
    passed: int = 0
    """While it is half open: probes that succeeded."""
    why: str = ""
    """What opened it."""

    @classmethod
    def load(cls, text: str | None) -> Self:
        """From what `dump` wrote; None: it has never failed."""
        if text is None:
            return cls()
        state, since, until, spans, passed, why = json.loads(text)
        return cls(state, since, until, tuple((at, good, bad) for at, good, bad in spans), passed, why)

    def dump(self) -> str:
        """As JSON text."""
        return json.dumps([self.state, self.since, self.until, self.spans, self.passed, self.why])


def looked_at(circuit: Circuit, now: int) -> Circuit:
    """The circuit at this time: an open one whose cooldown is over is half open."""
    if circuit.state == "open" and circuit.until is not None and circuit.until <= now:
        return Circuit("half_open", circuit.until, why=circuit.why)
    return circuit


def told(circuit: Circuit, breaker: Breaker, *, at: int, good: bool, probe: bool) -> Circuit:
    """The circuit after an attempt that ended at this time."""
    circuit = looked_at(circuit, at)
    if circuit.state == "open":
        return circuit  # it began before
    if circuit.state == "half_open":
        return _probed(circuit, breaker, at=at, good=good) if probe else circuit
    spans = _counted(circuit.spans, breaker.window_us, at, good=good)
    why = None if good else _too_many(spans, breaker)
    if why is None:
        return replace(circuit, spans=spans)
    return opened(at, breaker.cooldown_us, why)


def opened(now: int, cooldown_us: int | None, why: str) -> Circuit:
    """An open circuit; without a cooldown it stays so until somebody resets it."""
    return Circuit("open", now, None if cooldown_us is None else now + cooldown_us, why=why)


def _probed(circuit: Circuit, breaker: Breaker, *, at: int, good: bool) -> Circuit:
    if not good:
        return opened(at, breaker.cooldown_us, "a probe failed")
    if circuit.passed + 1 >= breaker.probes:
        return Circuit("closed", at)
    return replace(circuit, passed=circuit.passed + 1)


def _counted(
    spans: tuple[tuple[int, int, int], ...], window_us: int, at: int, *, good: bool
) -> tuple[tuple[int, int, int], ...]:
    span_us = max(1, window_us // _SPANS)
    begin = at - at % span_us
    counts = {one: (ok, bad) for one, ok, bad in spans if one + span_us > at - window_us}
    ok, bad = counts.get(begin, (0, 0))
    counts[begin] = (ok + good, bad + (not good))
    return tuple((one, *counts[one]) for one in sorted(counts))


def _too_many(spans: tuple[tuple[int, int, int], ...], breaker: Breaker) -> str | None:
    good, bad = sum(span[1] for span in spans), sum(span[2] for span in spans)
    if breaker.failures is not None and bad >= breaker.failures:
        return f"{bad} failure{'s'[: bad != 1]} in {spelled(breaker.window_us)}"
    if breaker.failure_rate is None or good + bad < breaker.min_calls or bad < breaker.failure_rate * (good + bad):
        return None
    return f"{bad} of {good + bad} failed in {spelled(breaker.window_us)}"
