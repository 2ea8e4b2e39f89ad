"""The client of a simulation: asks as a program would, and keeps a log of what it was told.

    invoke ──> ok      it was told so
           ──> fail    it was refused, for good
           ──> info    nobody told it: the engine died, or its store was out of reach – it may have happened or not

What is safe to repeat is repeated after an `info`, on whoever serves then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError, RunError, RunFinished, StoreError, UpdateRejected
from ripresa.contracts.payload import dump
from ripresa.contracts.status import TERMINAL
from ripresa.kernel import history as h
from ripresa.testing.evidence import Op

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from random import Random

    from ripresa.engine.app import App
    from ripresa.testing.world import World

_TRIES_MAX = 60


class Unknown(Exception):
    """Nobody said what became of the request."""


class Client:
    """What a scenario speaks to.  Every verb but `start` and `outside` takes the id given at start."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.left_open: set[str] = set()

    @property
    def random(self) -> Random:
        """The simulation's dice, for choices of the scenario."""
        return self._world.random

    def asked(self, verb: str, run: str) -> int:
        """How often `verb` was asked of the run, answered or not."""
        return sum(op.verb == verb and op.run == run for op in self._world.ops)

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def restart(self) -> None:
        """Stop the engine in good order and boot another."""
        await self._world.restart()

    async def drain(self, within_s: float) -> None:
        """Have the engine pass its runs on, for so many seconds at most, and boot another."""
        await self._world.drain(within_s)

    def leave_open(self, run: str) -> None:
        """The scenario does not mean this run to end."""
        self.left_open.add(run)

    # --- verbs ---------------------------------------------------------------------------------

    async def start(self, workflow: Any, *args: Any, id: str) -> str:
        """Start a run; its UUID."""
        op, started = await self._ask("start", id, lambda app: app.start(workflow, *args, id=id))
        op.argument = (workflow.name, dump(list(args)))
        op.value = started.uuid
        op.durable = self._world.disk.run(started.uuid) is not None
        return str(started.uuid)

    async def result(self, run: str, *, expected: Any = ...) -> Any:
        """The run's output; the status's word if it ended otherwise."""

        async def wait(app: App) -> tuple[str, Any, str | None]:
            handle = await app.get(run)
            try:
                value = await handle.result()
            except StoreError:
                raise
            except RunError:
                return handle.row.status, None, None
            return "succeeded", value, app.find_workflow(handle.definition, handle.row.version).dump(value)

        unsure = any((op.verb, op.run, op.told) == ("pause", run, "info") for op in self._world.ops)
        resuming = asyncio.ensure_future(self._keep_resumed(run)) if unsure else None
        op, (status, value, text) = await self._ask("result", run, wait)
        if resuming is not None:
            resuming.cancel()
        row = self.row(run)
        op.durable = row is not None and row.status == status and (status != "succeeded" or row.output == text)
        op.value = (status, dump(value))
        op.expected = None if expected is ... else (dump(expected),)
        return value if status == "succeeded" else status

    async def _keep_resumed(self, run: str) -> None:
        """A pause of which nobody said what became of it may come yet, after the resume."""
        while True:
            await asyncio.sleep(1)
            row = self.row(run)
            if row is not None and row.status == "paused":
                await self.resume(run)

    async def signal(self, run: str, name: str, token: Any) -> bool:
        """Send a signal of a unique value; False: the run had ended.  After an `info` it looks before it repeats."""
        for _ in range(_TRIES_MAX):
            try:
                op, _value = await self._ask("signal", run, lambda app: app.signal(run, name, token), token, tries=1)
            except RunFinished:
                return False
            except Unknown:
                await self.sleep(1)
                if self._arrived(run, token):
                    return True
                continue
            op.durable = self._arrived(run, token)
            return True
        raise AssertionError(f"signal {token!r} was never taken")

    def _arrived(self, run: str, token: Any) -> bool:
        row = self.row(run)
        if row is None:
            return False
        disk, text = self._world.disk, dump(token)
        return any(event.data == text for event in disk.journal(row.id) if event.kind == h.SIGNAL_RECEIVED) or any(
            message.data == text for message in disk.inbox(row.id)
        )

    async def update(self, run: str, name: str, token: Any) -> Any:
        """Ask an update handler, once."""
        try:
            op, value = await self._ask("update", run, lambda app: app.update(run, name, token), token, tries=1)
        except (Unknown, UpdateRejected, RunError):
            return None
        row = self.row(run)
        assert row is not None
        text = dump(value)
        op.value = text
        op.durable = any(e.kind == h.UPDATE_COMPLETED and e.data == text for e in self._world.disk.journal(row.id))
        return value

    async def query(self, run: str, name: str, *args: Any) -> Any:
        """Ask a query handler."""
        return (await self._ask("query", run, lambda app: app.query(run, name, *args)))[1]

    async def get(self, run: str) -> str:
        """The run's status."""
        op, handle = await self._ask("get", run, lambda app: app.get(run))
        op.value = handle.row.status
        return str(op.value)

    async def cancel(self, run: str) -> None:
        """Ask the run to stop."""
        op, _ = await self._ask("cancel", run, lambda app: app.cancel(run))
        op.durable = self._told(run, (h.CANCEL_REQUESTED,))

    async def pause(self, run: str) -> bool:
        """Pause; False: the run had ended."""
        try:
            op, _ = await self._ask("pause", run, lambda app: app.pause(run))
        except RunFinished:
            return False
        op.durable = self._told(run, (h.PAUSE_REQUESTED, h.QUARANTINED))
        return True

    async def resume(self, run: str) -> None:
        """Let a paused run go on; nothing if it has ended."""
        try:
            await self._ask("resume", run, lambda app: app.resume(run))
        except RunFinished:
            return

    async def retry(self, run: str) -> None:
        """Go on with a failed run; nothing if it is open again already."""
        await self._ask_unless_done("retry", run, lambda app: app.retry(run))

    async def release(self, run: str, **how: Any) -> None:
        """End a quarantine; nothing if it has ended already."""
        await self._ask_unless_done("release", run, lambda app: app.release(run, **how))

    async def outside(self, message: Any) -> None:
        """Leave a message as another program does, straight in the store."""
        world = self._world
        op = self._invoke("outside", message.run, message.data)
        try:
            await world.outside.open()
            await world.outside.send(message)
        except RipresaError:
            self._end(op, "fail")
        else:
            op.durable = True
            self._end(op, "ok")

    # --- asking --------------------------------------------------------------------------------

    async def _ask_unless_done(self, verb: str, run: str, make: Callable[[App], Coroutine[Any, Any, Any]]) -> None:
        try:
            await self._ask(verb, run, make)
        except RunError:
            return

    async def _ask(
        self,
        verb: str,
        run: str,
        make: Callable[[App], Coroutine[Any, Any, Any]],
        argument: Any = None,
        *,
        tries: int = _TRIES_MAX,
    ) -> tuple[Op, Any]:
        """Ask until somebody answers; each try is an entry of the log."""
        for _ in range(tries):
            op = self._invoke(verb, run, argument)
            try:
                value = await self._once(make)
            except Unknown:
                self._end(op, "info")
                await asyncio.sleep(0.05)
            except RipresaError as error:
                op.value = type(error).__name__
                self._end(op, "fail")
                raise
            else:
                self._end(op, "ok")
                return op, value
        if tries == 1:
            raise Unknown(verb)
        raise AssertionError(f"{verb} of {run!r}: no answer in {tries} tries")

    async def _once(self, make: Callable[[App], Coroutine[Any, Any, Any]]) -> Any:
        world = self._world
        process = await world.serving()
        task = world.loop.spawn(process, make(world.apps[process.name]))
        await asyncio.wait([task, process.gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Unknown
        try:
            return task.result()
        except StoreError as error:
            raise Unknown from error
        except RunError as error:
            if "another engine" in str(error):
                raise Unknown from error
            raise
        except RipresaError as error:
            if "not open" in str(error) or "was closed" in str(error):
                raise Unknown from error
            raise

    def _invoke(self, verb: str, run: str, argument: Any) -> Op:
        world = self._world
        op = Op(world.next_order(), world.clock.now(), verb, run, argument)
        world.ops.append(op)
        world.trace("invoke", verb, run)
        return op

    def _end(self, op: Op, told: str) -> None:
        op.told = told
        op.ended = self._world.next_order()
        self._world.trace(told, op.verb, op.run)

    def row(self, run: str) -> Any:
        """The run as the store has it; None: it does not know it."""
        return self._world.disk.run(run)

    def _told(self, run: str, kinds: tuple[str, ...]) -> bool:
        row = self.row(run)
        if row is None:
            return False
        return row.status in TERMINAL or any(event.kind in kinds for event in self._world.disk.journal(row.id))
