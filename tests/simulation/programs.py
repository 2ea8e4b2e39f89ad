"""Random programs: small trees of what asyncio code does, and a workflow that interprets them.

A program is JSON, so it is a workflow's input; `generate(seed)` draws one.  The interpreter keeps a log of what
happened in the order in which it happened, which is the workflow's output: two runs of a program that
interleave differently have different outputs.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from ripresa import child, map_, sleep, step, workflow

Node = dict[str, Any]


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
def plain(name: str) -> str:
    return name


STEPS = {"work": work, "longer": longer, "broken": broken}


class Interpreter:
    """Runs a tree; `log` is what an observer would have seen."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.event = asyncio.Event()
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, node: Node) -> Any:
        return await getattr(self, f"_{node['kind']}")(node)

    def _all(self, node: Node) -> list[Any]:
        return [self.run(part) for part in node["parts"]]

    async def _step(self, node: Node) -> str:
        try:
            name: str = await STEPS[node["step"]](node["name"])
        except asyncio.CancelledError:
            self.log.append(f"{node['name']} cancelled")
            raise
        self.log.append(f"{node['name']} done")
        return name

    async def _plain(self, node: Node) -> str:
        name = plain(node["name"])
        self.log.append(f"{name} plain")
        return name

    async def _sleep(self, node: Node) -> str:
        try:
            await sleep(seconds=node["seconds"])
        finally:
            self.log.append(f"slept {node['seconds']}")
        return "slept"

    async def _sequence(self, node: Node) -> list[Any]:
        return [await self.run(part) for part in node["parts"]]

    async def _gather(self, node: Node) -> list[Any]:
        found = await asyncio.gather(*self._all(node), return_exceptions=node["quiet"])
        return [repr(one) if isinstance(one, BaseException) else one for one in found]

    async def _group(self, node: Node) -> list[Any]:
        tasks: list[asyncio.Task[Any]] = []
        try:
            async with asyncio.TaskGroup() as group:
                tasks += [group.create_task(part) for part in self._all(node)]
        except ExceptionGroup as errors:
            self.log.append(f"group failed {len(errors.exceptions)}")
        return [None if task.cancelled() or task.exception() else task.result() for task in tasks]

    async def _first(self, node: Node) -> list[Any]:
        tasks = [asyncio.create_task(part) for part in self._all(node)]
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        # The order of a set is part of what a program sees.
        return [repr(task.exception()) if task.exception() else task.result() for task in done]

    async def _timeout(self, node: Node) -> Any:
        try:
            async with asyncio.timeout(node["seconds"]):
                return await self._sequence(node)
        except TimeoutError:
            self.log.append("timeout")
            return "timeout"

    async def _caught(self, node: Node) -> Any:
        try:
            return await self._sequence(node)
        except Exception as error:  # noqa: BLE001 - a program may raise anything
            self.log.append(f"caught {type(error).__name__}")
            return "caught"

    async def _cancelled(self, node: Node) -> str:
        task = asyncio.create_task(self._sequence(node))
        await sleep(seconds=node["seconds"])
        task.cancel()
        found = await asyncio.gather(task, return_exceptions=True)
        self.log.append(f"cancelled: {type(found[0]).__name__}")
        return "cancelled"

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

    async def _child(self, node: Node) -> Any:
        found = await child(interpret, node["parts"][0])
        self.log.append("child done")
        return found["log"]

    async def _map(self, node: Node) -> list[Any]:
        found = await map_(work, node["items"], max_parallel=node["width"])
        self.log.append(f"mapped {found}")
        return found


@workflow
async def interpret(program: Node) -> dict[str, Any]:
    """Run a program; what it gave, and what was seen on the way."""
    interpreter = Interpreter()
    try:
        value = await interpreter.run(program)
    except Exception as error:  # noqa: BLE001 - as above
        value = type(error).__name__
    return {"value": value, "log": interpreter.log}


_LEAVES = ("step", "step", "step", "sleep", "plain", "set", "wait", "map")
_BRANCHES = ("sequence", "gather", "gather", "group", "first", "timeout", "caught", "cancelled", "child")
_DELAYS = (0.1, 0.25, 0.5, 1.0, 2.0)


def generate(seed: int) -> Node:
    """The program of this seed."""
    random = Random(seed)
    return _branch(random, depth=3, names=iter(f"n{i}" for i in range(10_000)))


def _node(random: Random, depth: int, names: Any) -> Node:
    if depth == 0 or random.random() < 0.4:
        return _leaf(random, names)
    return _branch(random, depth, names)


def _leaf(random: Random, names: Any) -> Node:
    name = next(names)
    steps = ("work", "work", "longer", "broken")
    return {
        "kind": random.choice(_LEAVES),
        "name": name,
        "step": random.choice(steps),
        "seconds": random.choice(_DELAYS),
        "items": [f"{name}.{i}" for i in range(random.randint(0, 3))],
        "width": random.choice((None, 1, 2)),
    }


def _branch(random: Random, depth: int, names: Any) -> Node:
    kind = random.choice(_BRANCHES)
    count = 1 if kind == "child" else random.randint(1, 3)
    return {
        "kind": kind,
        "quiet": random.random() < 0.7,
        "seconds": random.choice(_DELAYS),
        "parts": [_node(random, depth - 1, names) for _ in range(count)],
    }
