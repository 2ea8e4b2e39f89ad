"""Scale: what a step costs in a long run and in a short one, in a wide fan-out and in a narrow one.

And how long does a run that sleeps as rows take to wake: `wake` parks runs, sends each a signal, and takes the time
until its caller has the result – load, replay, a step, the end, and two commits at least.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.measure import arguments, quantile, report
from benchmarks.ripresa_steps import nothing
from ripresa import App, Run, map_, wait_for_signal, workflow
from ripresa.ports.rows import Message
from ripresa.stores.sqlite import SqliteStore

PARK_AFTER = "100ms"


@workflow
async def long_run(steps: int) -> int:
    for index in range(steps):
        await nothing(index)
    return steps


@workflow
async def wide_run(width: int) -> int:
    return len(await map_(nothing, list(range(width))))


@workflow
async def parked(number: int) -> int:
    added = await wait_for_signal("go", int)
    return await nothing(number + added)


async def sized(directory: Path, kind: str, size: int) -> None:
    """Time one run of this size, in a file of its own, after a small one to warm up."""
    app = App(f"sqlite:///{directory / 'scale.db'}", workflows=[long_run, wide_run])
    workflow_ = long_run if kind == "long" else wide_run
    async with app:
        await (await app.start(workflow_, 20)).result()
        start = time.perf_counter()
        run = await app.start(workflow_, size)
        assert await run.result() == size
        seconds = time.perf_counter() - start
    report(kind=kind, size=size, seconds=seconds, us_per_step=1e6 * seconds / size, steps_per_s=size / seconds)


async def wake(directory: Path, runs: int, samples: int) -> None:
    """Park runs and wake them one at a time, half by the engine's own verb, half from another connection."""
    url = f"sqlite:///{directory / 'wake.db'}"
    async with App(url, workflows=[parked], evict_after=PARK_AFTER) as app:
        sleeping = await asyncio.gather(*(app.start(parked, number) for number in range(runs)))
        assert app.engine is not None
        while app.engine.held:  # noqa: ASYNC110 - nobody tells when a run has left memory
            await asyncio.sleep(0.05)
        outside = SqliteStore(url)
        await outside.open()
        near = [await _wake_here(app, sleeping[number]) for number in range(0, samples, 2)]
        far = [await _wake_from_outside(outside, sleeping[number]) for number in range(1, samples, 2)]
        await outside.close()
    report(
        kind="wake",
        parked=runs,
        samples=samples,
        p50_ms=1e3 * quantile(near, 0.50),
        p99_ms=1e3 * quantile(near, 0.99),
        outside_p50_ms=1e3 * quantile(far, 0.50),
        outside_p99_ms=1e3 * quantile(far, 0.99),
    )


async def _wake_here(app: App, run: Run[int]) -> float:
    start = time.perf_counter()
    await app.signal(run, "go", 1)
    await run.result()
    return time.perf_counter() - start


async def _wake_from_outside(store: SqliteStore, run: Run[int]) -> float:
    waiting = asyncio.ensure_future(run.result())
    await asyncio.sleep(0.01)
    start = time.perf_counter()
    await store.send(Message(f"wake-{run.uuid}", run.uuid, "signal", "go", "1", time.time_ns() // 1000))
    await waiting
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("kind", choices=["long", "wide", "wake"])
    parser.add_argument("--size", type=int, default=1_000, help="steps, width, or parked runs")
    parser.add_argument("--samples", type=int, default=100)
    given = parser.parse_args()
    if given.kind == "wake":
        asyncio.run(wake(given.directory, given.size, min(given.samples, given.size)))
    else:
        asyncio.run(sized(given.directory, given.kind, given.size))
