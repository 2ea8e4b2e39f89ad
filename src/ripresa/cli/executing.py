"""Executing: an order becomes a run in an engine of this process, shown until it stops or Ctrl-C detaches.

order ─> known already? ─ ended ──────────────────────────> outcome
            └─ no, or open ─> App ─> start or attach ─> shown ─> outcome
                                        └─ Ctrl-C ─> App closes, the run stays
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ripresa.cli.exits import INTERRUPTED, Ended, say
from ripresa.cli.inputs import input_text
from ripresa.cli.plain import PlainLines
from ripresa.cli.reading import existing
from ripresa.cli.result import HALTED, outcome
from ripresa.cli.sending import who_will
from ripresa.cli.settings import Settings
from ripresa.cli.submitting import submitted
from ripresa.cli.target import Found
from ripresa.contracts.errors import RunConflict, RunError, StoreUnavailable
from ripresa.contracts.payload import same_json
from ripresa.contracts.records import JobRun
from ripresa.stores import open_store

if TYPE_CHECKING:
    from ripresa.engine.app import App
    from ripresa.engine.handles import Run
    from ripresa.ports import store as rows


@dataclass(frozen=True, slots=True)
class Order:
    """What `ripresa run` was asked for."""

    found: Found
    text: str | None
    """The input; None: none was typed, the run is thought to exist."""
    id: str | None
    priority: int
    tags: dict[str, str]


async def carry_out(order: Order, set_up: Settings) -> Any:
    """The run's output.  Raises RunFailed and its kind, RunConflict, StoreError; Ended when it was detached."""
    known = await _known(order, set_up.store.value)
    if known is not None and known.status in HALTED:
        return outcome(known)
    return outcome(await _shown(order, set_up, known))


async def leave(order: Order, set_up: Settings) -> JobRun:
    """Put the run into the store, or find it there, and say who will execute it."""
    run = await _known(order, set_up.store.value)
    store = open_store(set_up.store.value)
    await store.open()
    try:
        if run is None:
            text = _input(order)
            chosen = order.found.chosen
            run = await submitted(store, chosen, text, key=order.id, priority=order.priority, tags=order.tags)
        record = JobRun.of(run, tags=await store.tags(run.id))
        say(f"run {record.id} is {record.status}: {await who_will(store, order.found.name)}")
        return record
    finally:
        await store.close()


def _input(order: Order) -> str:
    return order.text if order.text is not None else input_text(order.found.chosen, [], None)


async def _known(order: Order, url: str) -> rows.Run | None:
    """The run that the order's id names, if there is one.  Raises RunConflict if it is another's."""
    if order.id is None:
        return None
    try:
        store = existing(url)
    except StoreUnavailable:
        return None
    await store.open()
    try:
        run = await store.get_run(order.id)
    finally:
        await store.close()
    if run is not None:
        _require_same(run, order)
    return run


def _require_same(run: rows.Run, order: Order) -> None:
    wanted = order.found.chosen.name
    if run.definition != wanted:
        raise RunConflict(
            order.id or "", f"run {order.id!r} exists of workflow {run.definition!r}, not {wanted!r}: choose another id"
        )
    if order.text is not None and not same_json(run.input, order.text):
        raise RunConflict(
            order.id or "",
            f"run {order.id!r} exists with another input: choose another id, or leave the input out to attach to it",
        )


async def _shown(order: Order, set_up: Settings, known: rows.Run | None) -> rows.Run:
    from ripresa.engine.app import App

    config = {name: value.value for name, value in set_up.engine.items()}
    with _stdout_as_stderr():
        app = App(set_up.store.value, order.found.workflows, config=config)
        interrupted = _on_interrupt()
        async with app:
            run = await _begun(app, order, known)
            lines = PlainLines()
            assert app.engine is not None  # noqa: S101 - it is open
            app.engine.watching.observers.append(lambda notice: lines.see(notice, "") if notice.run == run.uuid else None)
            ending = asyncio.ensure_future(_end(run))
            both: set[asyncio.Future[Any]] = {ending, interrupted}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            ending.cancel()
        if not ending.done() or ending.cancelled():
            say(f"detached from run {run.id}; it stays in the store")
            raise Ended(INTERRUPTED)
        return ending.result()


async def _begun(app: App, order: Order, known: rows.Run | None) -> Run[Any]:
    if known is not None:
        return await app.get(known.id)
    assert app.engine is not None  # noqa: S101 - it is open
    text, chosen = _input(order), order.found.chosen
    return await app.start_text(app.engine, chosen, text, id=order.id, priority=order.priority, tags=order.tags)


async def _end(run: Run[Any]) -> rows.Run:
    with suppress(RunError):  # `outcome` says it, with what may be done
        await run.result()
    return run.row


def _on_interrupt() -> asyncio.Future[None]:
    """A future that Ctrl-C resolves; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def interrupt() -> None:
        if future.done():
            os._exit(INTERRUPTED)
        future.set_result(None)

    loop.add_signal_handler(signal.SIGINT, interrupt)
    return future


@contextmanager
def _stdout_as_stderr() -> Iterator[None]:
    """What steps print goes to stderr: stdout is for the result alone."""
    sys.stdout.flush()
    ours = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(ours, 1)
        os.close(ours)
