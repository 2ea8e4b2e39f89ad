"""Graphs: what a job costs in a graph of many, in each of three shapes.

`wide`: all jobs side by side between a first and a last; `chain`: one after the other; `layered`: layers of twenty
jobs, each of which waits for three of the layer before.  A job is a plain function in a thread, that does nothing.
The clock runs from the start of the run to its result in the caller's hands: start, decide, run and journal each job.
"""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.measure import arguments, report
from ripresa import DAG, App, step, task

LAYER = 20
DEGREE = 3


@step
def nothing() -> int:
    """In a thread."""
    return 1


@step
async def nothing_inline() -> int:
    """On the engine's own loop."""
    return 1


def shape(kind: str, jobs: int) -> dict[str, list[str]]:
    """By job: the jobs that it waits for."""
    names = [f"job_{number}" for number in range(jobs)]
    if kind == "chain":
        return {name: names[number - 1 : number] if number else [] for number, name in enumerate(names)}
    if kind == "wide":
        first, *middle, last = names
        return {first: [], **{name: [first] for name in middle}, last: middle}
    layers = [names[start : start + LAYER] for start in range(0, jobs, LAYER)]
    graph: dict[str, list[str]] = {name: [] for name in layers[0]}
    for before, layer in pairwise(layers):
        graph |= {
            name: [before[(place + offset) % LAYER] for offset in range(DEGREE)] for place, name in enumerate(layer)
        }
    return graph


def made(name: str, graph: dict[str, list[str]], *, inline: bool) -> DAG:
    """The graph, written with `>>`."""
    with DAG(name) as dag:
        tasks = {job: task(nothing_inline if inline else nothing, job) for job in graph}
        for job, before in graph.items():
            if before:
                [tasks[one] for one in before] >> tasks[job]
    return dag


async def measure(directory: Path, kind: str, jobs: int, *, inline: bool) -> None:
    """Time one run of this shape, in a file of its own, after a small one to warm up."""
    dag = made(kind, shape(kind, jobs), inline=inline)
    small = made("small", shape(kind, 2 * LAYER), inline=inline)
    start = time.perf_counter()
    assert len(dag.graph.nodes) == jobs
    checked = time.perf_counter() - start
    async with App(f"sqlite:///{directory / 'graphs.db'}", workflows=[dag, small]) as app:
        assert app.engine is not None
        await (await app.start(small)).result()
        commits = app.engine.committer.commits
        busy, start = time.process_time(), time.perf_counter()
        run = await app.start(dag)
        output = await run.result()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        commits = app.engine.committer.commits - commits
        assert output == 1 or set(output.values()) == {1}
    report(
        kind=kind,
        size=jobs,
        ms_per_job=1e3 * seconds / jobs,
        cpu_us_per_job=1e6 * busy / jobs,
        check_us_per_job=1e6 * checked / jobs,
        commits_per_job=commits / jobs,
    )


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("kind", choices=["wide", "chain", "layered"])
    parser.add_argument("--size", type=int, default=1_000, help="jobs")
    parser.add_argument("--inline", action="store_true", help="jobs on the engine's loop instead of in threads")
    given = parser.parse_args()
    asyncio.run(measure(given.directory, given.kind, given.size, inline=given.inline))
