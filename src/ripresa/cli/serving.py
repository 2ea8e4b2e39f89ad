"""Serving: an engine at work for whoever puts runs into its store, telling what becomes of them."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import say
from ripresa.cli.options import Format
from ripresa.cli.output import chosen
from ripresa.cli.process import app_of, on_interrupt, steps_write_to_stderr
from ripresa.cli.result import brief
from ripresa.cli.settings import Settings
from ripresa.cli.times import clock_time, ticking
from ripresa.contracts.errors import EngineFenced
from ripresa.contracts.record_base import moment

if TYPE_CHECKING:
    from ripresa.engine.engine import Engine
    from ripresa.engine.watching import Notice

_LOOK_S = 0.2
_CLOSE_S = 1.0  # to write what is known, at the least


async def serve(set_up: Settings, workflows: list[Any], output: Format | None) -> None:
    """Serve until SIGTERM, Ctrl-C, or somebody asks this engine to drain.

    An engine that lost its lease on a shared store, because it was stopped or out of reach for too long, begins anew as
    another.  Raises StoreError when the store is lost for another reason.
    """
    stop = on_interrupt("draining; a second signal stops at once, and what is under way is attempted again elsewhere")
    log = _Log(as_json=chosen(output) is not Format.TEXT)
    with steps_write_to_stderr():
        while await _lost_its_lease(set_up, workflows, stop, log):
            await asyncio.wait({stop}, timeout=_LOOK_S)


async def _lost_its_lease(set_up: Settings, workflows: list[Any], stop: asyncio.Future[None], log: _Log) -> bool:
    """Serve as one engine, to its end; whether that was for want of a lease, and another may begin."""
    app = app_of(set_up, workflows, consumes=True)
    async with app:
        assert app.engine is not None  # noqa: S101 - it is open
        engine = app.engine
        names = ", ".join(sorted({one.name for one in workflows}))
        log.tell(engine.now(), "info", f"worker (pid {os.getpid()}) serves {names} from {engine.store.url}")
        engine.watching.observers.append(lambda notice: log.hear(notice, engine))
        while not stop.done() and engine.failure is None and not engine.draining:
            await asyncio.wait({stop}, timeout=_LOOK_S)
        if engine.failure is None:
            await _drain(engine, app.config.drain_s, log)
            return False
    if not (isinstance(engine.failure, EngineFenced) and engine.fleet.shared) or stop.done():
        raise engine.failure
    log.tell(engine.now(), "warning", "worker lost its lease: its runs are others' now, and it begins anew")
    return True


async def _drain(engine: Engine, within_s: float, log: _Log) -> None:
    """Let what is under way end, for a while; what does not is cut off, and done by the next engine."""
    under_way = sum(flight.launched for held in engine.held.values() for flight in held.flights.values())
    if under_way:
        steps = f"{under_way} step{'s'[: under_way != 1]}"
        log.tell(engine.now(), "info", f"worker drains: {steps} under way may end within {within_s:g} s")
    if await engine.drain_within(within_s):
        log.tell(engine.now(), "info", "worker stops; nothing is under way")
    else:
        log.tell(engine.now(), "info", "worker stops; what is under way is attempted again by the next one")
    try:
        async with asyncio.timeout(max(within_s, _CLOSE_S)):
            await engine.stop()
    except TimeoutError:
        engine.abort()
        log.tell(engine.now(), "warning", "the store cannot be written: what is not in it is done by the next worker")


class _Log:
    """What becomes of runs and of steps that fail, a line each."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def hear(self, notice: Notice, engine: Engine) -> None:
        """Tell it, if it is worth a line."""
        held = engine.held.get(notice.run)
        ref = notice.key or notice.run
        told = _told(notice)
        if told is None:
            return
        level, what, status = told
        facts = {
            "workflow": None if held is None else held.definition,
            "run_id": ref,
            "job": notice.operation,
            "attempt": notice.attempt,
            "status": status,
        }
        self.tell(notice.at, level, what, run=ref, **facts)

    def tell(self, at: int, level: str, what: str, *, run: str = "", **facts: Any) -> None:
        """A line."""
        if not self._as_json:
            workflow = facts.get("workflow")
            who = f"{workflow} {run}: " if workflow else f"{run}: " if run else ""
            say(f"{clock_time(at)} {level:<7} {who}{what}")
            return
        stamp = moment(at).isoformat().replace("+00:00", "Z")
        line = {"timestamp": stamp, "level": level, "message": what, **facts}
        say(json.dumps({name: value for name, value in line.items() if value is not None}, ensure_ascii=False))


def _told(notice: Notice) -> tuple[str, str, str | None] | None:
    """Level, words and status of a notice; None: it is of no interest to who keeps logs."""
    why = f": {brief(notice.failure)}" if notice.failure else ""
    match notice.kind:
        case "run_status" if notice.status in {"failed", "quarantined", "blocked"}:
            return "error", f"run {notice.status}", notice.status
        case "run_status" if notice.status != "waiting":
            return "info", f"run {notice.status}", notice.status
        case "attempt_failed":
            wait = ticking((notice.due or notice.at) - notice.at)
            return "warning", f"{notice.operation} failed (attempt {notice.attempt}), again in {wait}{why}", "failed"
        case "step_done" if notice.failure is not None:
            return "error", f"{notice.operation} failed for good{why}", "failed"
        case "step_set_aside":
            return "error", f"{notice.operation} set aside{why}", "quarantined"
        case _:
            return None
