"""How long one waits for ripresa on PostgreSQL: `python -m benchmarks.ripresa_waits --directory DIR --url URL`.

Three waits of an engine that has nothing else to do, and of one with a little:

- `enqueue`: another process puts a run into the database; until its first step begins;
- `wake`: another process sends a signal to a run that was put out of memory; until its next step begins;
- `pipeline`: four clients start runs of five steps, each the next when it has its result; from start to result.

The other process knows the store only, as a web server does that leaves the work to the fleet.  Both share one clock.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

from benchmarks.measure import arguments, closed_loop, quantile, report
from ripresa import App, step, wait_for_signal, workflow
from ripresa.engine.sources import SystemSources
from ripresa.kernel import history as h
from ripresa.ports.rows import HistoryEvent, Message, NewRun, Run
from ripresa.ports.store import Store
from ripresa.stores import open_store

APART_S = 0.05
"""Between one sample and the next, so that the engine has come to rest."""
CLIENTS = 4
PATIENCE_S = 60.0


@step
async def moment() -> float:
    return time.time()


@step
async def nothing(number: int) -> int:
    return number


@workflow
async def at_once() -> float:
    return await moment()


@workflow
async def when_told() -> float:
    await wait_for_signal("go", int)
    return await moment()


@workflow
async def pipeline(number: int) -> int:
    for index in range(5):
        await nothing(index)
    return number


async def serve(url: str) -> None:
    """An engine, until it is killed."""
    async with App(url, workflows=[at_once, when_told], evict_after=0):
        print("up", flush=True)
        await asyncio.Event().wait()


async def _submit(store: Store, ids: SystemSources, workflow: Any) -> str:
    run, now = ids.new_id(), time.time_ns() // 1000
    text = workflow.encode((), {})
    new = NewRun(run, run, workflow.name, workflow.version, "queued", 0, text, None, None, run, None, now)
    first = HistoryEvent(run, 1, h.RUN_STARTED, now, None, workflow.name, None, None, None, None, None)
    assert await store.submit(new, first, {})
    return run


async def _until(store: Store, run: str, status: str) -> Run:
    deadline = time.monotonic() + PATIENCE_S
    while (seen := await store.get_run(run)) is None or seen.status != status:
        if time.monotonic() > deadline:
            raise RuntimeError(f"run {run} is not {status} after {PATIENCE_S:.0f} s, but {seen and seen.status}")
        await asyncio.sleep(APART_S / 2)
    await asyncio.sleep(APART_S)
    return seen


async def _enqueued(store: Store, ids: SystemSources) -> float:
    since = time.time()
    ended = await _until(store, await _submit(store, ids, at_once), "succeeded")
    return float(ended.output or "nan") - since


async def _woken(store: Store, ids: SystemSources) -> float:
    run = await _submit(store, ids, when_told)
    await _until(store, run, "waiting")
    since = time.time()
    await store.send(Message(f"wake-{run}", run, "signal", "go", "1", time.time_ns() // 1000))
    ended = await _until(store, run, "succeeded")
    return float(ended.output or "nan") - since


async def waits(url: str, samples: int) -> dict[str, float]:
    """Both waits for an engine in another process."""
    command = (sys.executable, "-m", "benchmarks.ripresa_waits", "--directory=.", f"--url={url}", "--serve")
    engine = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    store = open_store(url)
    try:
        assert engine.stdout is not None
        assert await engine.stdout.readline() == b"up\n"
        await store.open()
        ids = SystemSources()
        told: dict[str, float] = {}
        for name, one in (("enqueue", _enqueued), ("wake", _woken)):
            await one(store, ids)
            times = [await one(store, ids) for _ in range(samples)]
            told |= {f"{name}_p50_ms": 1e3 * quantile(times, 0.5), f"{name}_p99_ms": 1e3 * quantile(times, 0.99)}
        return told
    finally:
        await store.close()
        engine.kill()
        await engine.wait()


async def pipelines(url: str, runs: int) -> dict[str, float]:
    """Short pipelines, a few at a time."""
    async with App(url, workflows=[pipeline]) as app:

        async def one(number: int) -> None:
            run = await app.start(pipeline, number)
            assert await run.result() == number

        times = await closed_loop(one, clients=CLIENTS, runs=runs)
    return {"pipeline_p50_ms": times["p50_ms"], "pipeline_p99_ms": times["p99_ms"]}


async def measure(url: str, samples: int) -> None:
    report(samples=samples, **await waits(url, samples), **await pipelines(url, 400))


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--url", required=True, help="an empty PostgreSQL database")
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--serve", action="store_true", help="be the engine")
    given = parser.parse_args()
    asyncio.run(serve(given.url) if given.serve else measure(given.url, given.samples))
