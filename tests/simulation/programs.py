"""Programs: small trees of what asyncio code and ripresa's own waits do, and a workflow that interprets them.

A program is JSON, so it is a workflow's input; `drawing` draws them at random.  The interpreter keeps a log of what
happened in the order in which it happened, which is part of the workflow's output: two executions of a program that
interleave differently have different outputs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import ripresa
from ripresa import (
    Retry,
    Retryable,
    RipresaError,
    Terminal,
    blocking,
    child,
    context,
    continue_as_new,
    map_,
    on_query,
    on_signal,
    on_update,
    patched,
    publish,
    saga,
    send_signal,
    sleep,
    start_child,
    step,
    wait_for_signal,
    wait_until,
    workflow,
)

Node = dict[str, Any]
"""`kind` names the method of `Interpreter` that runs it; what else there is, the method says."""

Program = dict[str, Any]
"""`root` is a node; `raises`: an error of it fails the run; `left`: how often `again` begins anew; children begin
`alone`: things that several runs do at one moment have no order."""

TRIED: Counter[str] = Counter()
"""How often `mended` and `flaky` were tried in this execution, by idempotency key.

Not the attempt's number: one that was under way when its run failed counts if it had been so for a while of real time.
"""

ROOT = "both-ways"
"""The id of the run that all others descend from."""


def _tries() -> int:
    tried = context().idempotency_key
    TRIED[tried] += 1
    return TRIED[tried]


@step
async def work(name: str) -> str:
    return name


@step
async def longer(name: str) -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return name


@step
async def broken(name: str) -> str:
    raise ValueError(name)


@step
async def mended(name: str) -> str:
    """Fails until a person has the run tried again."""
    if _tries() == 1:
        raise Terminal(name)
    return name


@step(retry=Retry(max_attempts=3, delay="300ms"))
async def flaky(name: str) -> str:
    if _tries() < 3:
        raise Retryable(name)
    return name


@step
async def undo(name: str) -> str:
    return f"undid {name}"


@step(compensate=undo)
async def do(name: str) -> str:
    return f"did {name}"


@step
def plain(name: str) -> str:
    return name


STEPS = {one.name: one for one in (work, longer, broken, mended, flaky, do)}


def _told(found: Any) -> Any:
    return f"{type(found).__name__}: {found}" if isinstance(found, BaseException) else found


def _result(task: asyncio.Future[Any]) -> Any:
    if task.cancelled():
        return "cancelled"
    return _told(task.exception()) if task.exception() else task.result()


class Interpreter:
    """Runs a tree; `log` is what an observer would have seen."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.log: list[str] = []
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[str] = asyncio.Queue()
        self.lock = asyncio.Semaphore(1)
        self.left_behind: list[asyncio.Task[Any]] = []

    def listen(self) -> None:
        """Declare what outsiders may say and ask."""

        @on_signal("poke")
        async def _poke(by: str) -> None:
            self.log.append(f"poked by {by}")
            await work(f"poke {by}")
            self.event.set()

        @on_update("add", validator=_not_empty)
        async def _add(line: str) -> int:
            self.log.append(await longer(f"added {line}"))
            return len(self.log)

        @on_query("log")
        def _log() -> list[str]:
            return self.log

    async def run(self, node: Node) -> Any:
        one: Callable[[Node], Awaitable[Any]] = getattr(self, f"_{node['kind']}")
        return await one(node)

    async def alone(self, node: Node | Program) -> None:
        """Wait for a moment at which nothing else happens: what comes next is in no race with it.

        A plain call of a step holds up all that is due meanwhile; when it ends, all of that is due at once.
        """
        on_time = False
        while not on_time:
            due = ripresa.now() + timedelta(seconds=node["alone"])
            await sleep(seconds=node["alone"])
            on_time = ripresa.now() <= due

    def _tasks(self, node: Node) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(self.run(part)) for part in node["parts"]]

    # --- leaves --------------------------------------------------------------------------------

    async def _step(self, node: Node) -> str:
        try:
            name: str = await STEPS[node["step"]](node["name"])
        except asyncio.CancelledError:
            self.log.append(f"{node['name']} cancelled")
            raise
        self.log.append(f"{name} done")
        return name

    async def _plain(self, node: Node) -> str:
        name = plain(node["name"])
        self.log.append(f"{name} plain")
        return name

    async def _handles(self, node: Node) -> list[Any]:
        handles = [STEPS[node["step"]].start(item) for item in node["items"]]
        if node["quiet"] and handles:
            handles[0].cancel()
        found = await asyncio.gather(*reversed(handles), return_exceptions=True)
        self.log.append(f"{node['name']} handled {len(found)}")
        return [_told(one) for one in found]

    async def _sleep(self, node: Node) -> str:
        try:
            await sleep(seconds=node["seconds"])
        finally:
            self.log.append(f"slept {node['seconds']}")
        return "slept"

    async def _nap(self, node: Node) -> str:
        await asyncio.sleep(node["seconds"])
        self.log.append(f"napped {node['seconds']}")
        return "napped"

    async def _blocked(self, node: Node) -> str:
        blocking.sleep(seconds=node["seconds"])
        try:
            got = blocking.wait_for_signal(node["signal"], str, timeout=node["seconds"])
        except TimeoutError:
            got = "nothing"
        self.log.append(f"blocked until {got}")
        return got

    async def _set(self, node: Node) -> str:
        self.event.set()
        self.queue.put_nowait(node["name"])
        return "set"

    async def _wait(self, node: Node) -> str:
        try:
            async with asyncio.timeout(node["seconds"]):
                await self.event.wait()
                got = await self.queue.get()
        except TimeoutError:
            got = "nothing"
        self.log.append(f"got {got}")
        return got

    async def _until(self, node: Node) -> str:
        count = len(self.log) + 2
        try:
            await wait_until(lambda: len(self.log) >= count, timeout=node["seconds"])
        except TimeoutError:
            self.log.append("in vain")
        return f"until {len(self.log)}"

    async def _signal(self, node: Node) -> str:
        try:
            got = await wait_for_signal(node["signal"], str, timeout=node["seconds"])
        except TimeoutError:
            got = "no signal"
        self.log.append(f"{node['signal']}: {got}")
        return got

    async def _send(self, node: Node) -> str:
        await self.alone(node)
        try:
            await send_signal(ROOT, node["signal"], node["name"])
        except RipresaError:
            self.log.append("nobody there")
        await self.alone(node)
        return "sent"

    async def _publish(self, node: Node) -> str:
        await self.alone(node)
        await publish("test.event", node["name"])
        return "published"

    async def _dice(self, _: Node) -> str:
        self.log.append(f"{ripresa.now().isoformat()} {ripresa.random()} {ripresa.uuid4()}")
        return self.log[-1]

    async def _patch(self, node: Node) -> str:
        return await work(node["name"]) if patched(node["name"]) else "old"

    async def _map(self, node: Node) -> list[Any]:
        items, least = node["items"], 0 if node["quiet"] else None
        found = await map_(STEPS[node["step"]], items, max_parallel=node["width"], min_success=least)
        told = [one if isinstance(one, str) else one.message for one in found]
        self.log.append(f"mapped {told}")
        return told

    async def _again(self, _: Node) -> str:
        left = self.program.get("left", 0)
        if left:
            continue_as_new({**self.program, "left": left - 1})
        return "no more"

    # --- branches ------------------------------------------------------------------------------

    async def _sequence(self, node: Node) -> list[Any]:
        return [await self.run(part) for part in node["parts"]]

    async def _gather(self, node: Node) -> list[Any]:
        found = await asyncio.gather(*map(self.run, node["parts"]), return_exceptions=node["quiet"])
        return [_told(one) for one in found]

    async def _group(self, node: Node) -> list[Any]:
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(self.run(part)) for part in node["parts"]]
        except ExceptionGroup as errors:
            self.log.append(f"group failed: {[str(error) for error in errors.exceptions]}")
        return [_result(task) for task in tasks]

    async def _first(self, node: Node) -> list[Any]:
        tasks = self._tasks(node)
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        # The order of a set is part of what a program sees.
        return [_result(task) for task in done]

    async def _some(self, node: Node) -> list[Any]:
        """Futures of every kind in one set, for a while."""
        tasks: list[Any] = [
            asyncio.shield(task) if i % 2 else asyncio.gather(task, return_exceptions=True)
            for i, task in enumerate(self._tasks(node))
        ]
        done, rest = await asyncio.wait(tasks, timeout=node["seconds"])
        self.log.append(f"{len(done)} in time: {[_result(task) for task in done]}")
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        return [_result(task) for task in rest]

    async def _completed(self, node: Node) -> list[Any]:
        found = []
        for task in asyncio.as_completed(self._tasks(node)):
            try:
                found.append(await task)
            except Exception as error:  # noqa: BLE001 - a program may raise anything
                found.append(_told(error))
            self.log.append(f"{len(found)} completed")
        return found

    async def _timeout(self, node: Node) -> Any:
        try:
            async with asyncio.timeout(node["seconds"]):
                return await self._sequence(node)
        except TimeoutError:
            self.log.append("timeout")
            return "timeout"

    async def _wait_for(self, node: Node) -> Any:
        try:
            return await asyncio.wait_for(self._sequence(node), node["seconds"])
        except TimeoutError:
            self.log.append("waited too long")
            return "too long"

    async def _caught(self, node: Node) -> Any:
        try:
            return await self._sequence(node)
        except Exception as error:  # noqa: BLE001 - a program may raise anything
            self.log.append(f"caught {_told(error)}")
            return "caught"

    async def _cancelled(self, node: Node) -> str:
        task = asyncio.create_task(self._sequence(node))
        await sleep(seconds=node["seconds"])
        task.cancel()
        found = await asyncio.gather(task, return_exceptions=True)
        self.log.append(f"cancelled: {_told(found[0])}")
        return "cancelled"

    async def _shielded(self, node: Node) -> Any:
        task = asyncio.create_task(self._sequence(node))
        try:
            return await asyncio.wait_for(asyncio.shield(task), node["seconds"])
        except TimeoutError:
            self.log.append("shielded")
            return await task

    async def _locked(self, node: Node) -> list[Any]:
        async def one(part: Node) -> Any:
            async with self.lock:
                return await self.run(part)

        if self.lock.locked():  # it is not re-entrant
            return await self._sequence(node)
        return [_told(found) for found in await asyncio.gather(*map(one, node["parts"]), return_exceptions=True)]

    async def _left(self, node: Node) -> str:
        """Nobody waits for these; the run may end before they do."""
        self.left_behind += self._tasks(node)
        return "left behind"

    async def _saga(self, node: Node) -> Any:
        try:
            async with saga() as block:
                block.add(undo, f"{node['name']} by hand")
                found = await self._sequence(node)
                return found if node["quiet"] else int(node["name"])
        except Exception as error:  # noqa: BLE001 - a program may raise anything
            self.log.append(f"undone after {_told(error)}")
            return "undone"

    # --- children ------------------------------------------------------------------------------

    async def _child(self, node: Node) -> Any:
        await self.alone(node)
        found = await child(interpret, self._programs(node)[0])
        self.log.append("child done")
        return found["log"]

    async def _started(self, node: Node) -> Any:
        """A child with a name of its own, which is told something and perhaps called off."""
        await self.alone(node)
        handle = start_child(interpret, self._programs(node)[0], id=f"{ROOT}/{node['name']}.{self._generation()}")
        try:
            await send_signal(handle, node["signal"], "from its parent")
        except RipresaError:
            self.log.append("the child has ended already")
        await self.alone(node)
        if node["quiet"]:
            await sleep(seconds=node["seconds"])
            self.log.append(f"called off: {handle.cancel()}")
        found = await asyncio.gather(handle, return_exceptions=True)
        return [one["log"] if isinstance(one, dict) else _told(one) for one in found]

    async def _children(self, node: Node) -> list[Any]:
        await self.alone(node)
        least = 0 if node["quiet"] else None
        found = await map_(interpret, self._programs(node), max_parallel=node["width"], min_success=least)
        self.log.append(f"{len(found)} children done")
        return [one["log"] if isinstance(one, dict) else one.message for one in found]

    def _generation(self) -> int:
        return int(self.program.get("left", 0))

    def _programs(self, node: Node) -> list[Program]:
        return [{"root": part, "raises": node["raises"], "alone": part["alone"]} for part in node["parts"]]


def _not_empty(line: str) -> None:
    if not line:
        raise ValueError("an empty line")


@workflow
async def interpret(program: Program) -> dict[str, Any]:
    """Run a program; what it gave, and what was seen on the way."""
    interpreter = Interpreter(program)
    interpreter.listen()
    try:
        if "alone" in program:
            await interpreter.alone(program)
        value = await interpreter.run(program["root"])
    except asyncio.CancelledError:
        if "alone" in program:  # its parent may have called off others with it
            await interpreter.alone(program)
        raise
    except Exception as error:
        if program["raises"]:
            raise
        value = _told(error)
    return {"value": value, "log": interpreter.log}
