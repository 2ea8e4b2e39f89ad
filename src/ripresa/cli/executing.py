"""Executing: an order becomes a run in an engine of this process, shown until it stops or Ctrl-C detaches.

order ─> known already? ─ ended ──────────────────────────> outcome
            └─ no, or open ─> App ─> start or attach ─> shown ─> outcome
                                        └─ Ctrl-C ─> App closes, the run stays

On a store that engines share the run may be another's, at first or later: then what the store tells is shown.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from ripresa.cli.elsewhere import Elsewhere
from ripresa.cli.exits import INTERRUPTED, Ended, say
from ripresa.cli.inputs import input_text
from ripresa.cli.process import app_of, now_us, on_interrupt, steps_write_to_stderr
from ripresa.cli.reading import existing, store_at
from ripresa.cli.result import HALTED, outcome
from ripresa.cli.screen import BUFFERED_MAX, Audience, screen
from ripresa.cli.sending import who_will
from ripresa.cli.settings import Settings, same_store
from ripresa.cli.submitting import submitted
from ripresa.cli.target import Found
from ripresa.cli.watching import unwatched, watched
from ripresa.contracts.errors import RunConflict, RunError, StoreInUse, StoreUnavailable
from ripresa.contracts.payload import same_json
from ripresa.contracts.records import JobRun
from ripresa.contracts.status import RunStatus
from ripresa.engine.rows import first_input

if TYPE_CHECKING:
    from ripresa.engine.app import App
    from ripresa.engine.handles import Run
    from ripresa.engine.watching import Notice
    from ripresa.ports import rows
    from ripresa.ports.store import Store


@dataclass(frozen=True, slots=True)
class Order:
    """What `ripresa run` was asked for."""

    found: Found
    text: str | None
    """The input; None: none was typed, the run is thought to exist."""
    id: str | None
    priority: int
    tags: dict[str, str]
    follow: bool = False
    """Show what the steps write, as it comes, instead of a tree."""


async def carry_out(order: Order, set_up: Settings) -> Any:
    """The run's output.  Raises RunFailed and its kind, RunConflict, StoreError; Ended when it was detached."""
    known = await _known(order, set_up.store.value)
    if known is not None and known.status in HALTED and known.status != RunStatus.BLOCKED:
        return outcome(known)
    try:
        return outcome(await _executed(order, set_up, known))
    except StoreInUse as error:
        if known is None:
            raise StoreInUse(f"{error}\n  or hand the run to that engine: add --detach") from None
    say(f"run {order.id} is in another engine's hands; watching it")
    return outcome(await watched(set_up.store.value, known.id))


async def leave(order: Order, set_up: Settings) -> JobRun:
    """Put the run into the store, or find it there, and say who will execute it."""
    run = await _known(order, set_up.store.value)
    store = store_at(set_up.store.value)
    await store.open()
    try:
        if run is None:
            text, chosen = _input(order), order.found.chosen
            run = await submitted(store, chosen, text, key=order.id, priority=order.priority, tags=order.tags)
        record = JobRun.of(run, tags=await store.tags(run.id))
        say(f"run {record.id} is {record.status}: {await who_will(store, order.found.name)}")
        return record
    finally:
        await store.close()


def _input(order: Order) -> str:
    return order.text if order.text is not None else input_text(order.found.chosen, [], None)


# --- a run that exists -------------------------------------------------------------------------


async def _known(order: Order, url: str) -> rows.Run | None:
    """The run that the order's id names, if there is one.  Raises RunConflict if it is another's."""
    if order.id is None:
        return None
    try:
        store = existing(url)
        await store.open()
    except StoreUnavailable:
        return None  # not there yet; or out of reach, which whoever needs it will say
    try:
        run = await store.get_run(order.id)
        if run is not None:
            await _require_same(store, run, order)
        return run
    finally:
        await store.close()


async def _require_same(store: Store, run: rows.Run, order: Order) -> None:
    ref, wanted = order.id or "", order.found.chosen.name
    if run.definition != wanted:
        raise RunConflict(ref, f"run {ref!r} exists of workflow {run.definition!r}, not {wanted!r}: choose another id")
    if order.text is not None and not same_json(await first_input(store, run), order.text):
        what = "choose another id, or leave the input out to attach to it"
        raise RunConflict(ref, f"run {ref!r} exists with another input: {what}")


# --- executing ---------------------------------------------------------------------------------


async def _executed(order: Order, set_up: Settings, known: rows.Run | None) -> rows.Run:
    """Execute the run here and show it until it stops.  Raises Ended when Ctrl-C detached from it."""
    interrupted = on_interrupt()
    with steps_write_to_stderr():
        app = app_of(set_up, order.found.workflows)
        heard: deque[Notice] = deque(maxlen=BUFFERED_MAX)
        app.observers.append(heard.append)  # a run that is there may go on before anything can be shown of it
        async with app:
            assert app.engine is not None  # noqa: S101 - it is open
            app.observers.clear()
            audience = Audience(app.engine, screen(follow=order.follow), heard)
            elsewhere = Elsewhere(app.engine, audience)
            try:
                run = await _begun(app, order, known)
                await audience.follow(run.row)
                await elsewhere.look()
                stopped = await _until_stopped(run, audience, elsewhere, interrupted)
            finally:
                audience.close()
    if not stopped:
        say(unwatched(run.id) if elsewhere.owned else _detached(order, run.id))
        raise Ended(INTERRUPTED)
    return run.row


async def _begun(app: App, order: Order, known: rows.Run | None) -> Run[Any]:
    assert app.engine is not None  # noqa: S101 - it is open
    if known is not None:
        if known.status == RunStatus.PAUSED:
            say(f"run {order.id} is paused: ripresa runs resume {quote(order.id or known.id)}{same_store()}")
        await app.engine.loading.hold(known)  # into memory, so that it can be seen what it waits for
        run = await app.get(known.id)
        if run.row.owner not in (None, app.engine.number):
            say(f"run {order.id} is in another engine's hands; watching it")
        return run
    text, chosen = _input(order), order.found.chosen
    return await app.start_text(app.engine, chosen, text, id=order.id, priority=order.priority, tags=order.tags)


async def _until_stopped(
    run: Run[Any], audience: Audience, elsewhere: Elsewhere, interrupted: asyncio.Future[None]
) -> bool:
    """Whether the run came to a stop; False: Ctrl-C came first."""
    drawing = asyncio.ensure_future(audience.watch())
    looking = asyncio.ensure_future(elsewhere.watch())
    ending = asyncio.ensure_future(_end(run))
    watched: set[asyncio.Future[Any]] = {ending, interrupted, drawing}
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            ending.result()
            await elsewhere.look()  # what ended it may not have been seen
            audience.ended(run.row)
            return True
        if drawing.done():
            drawing.result()
        if not elsewhere.owned:
            audience.left(now_us())
        return False
    finally:
        drawing.cancel()
        looking.cancel()
        ending.cancel()


async def _end(run: Run[Any]) -> None:
    with suppress(RunError):  # `outcome` says it, with what may be done
        await run.result()


def _detached(order: Order, ref: str) -> str:
    store, target, typed = same_store(), quote(order.found.name), quote(ref)
    return (
        f"detached: run {ref} stays in the store\n"
        f"  go on here:   ripresa run {target} --id {typed}{store}\n"
        f"  by a worker:  ripresa worker {target}{store}\n"
        f"  watch it:     ripresa runs watch {typed}{store}"
    )
