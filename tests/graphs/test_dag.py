"""Graphs of real workflows, written with `>>`: what runs when, how much at a time, through eviction and crashes."""

from __future__ import annotations

import asyncio

import pytest

from ripresa import DAG, App, step, task
from ripresa.stores.memory import MemoryDatabase, MemoryStore
from ripresa.testing import VirtualClock, app_fixture
from tests.graphs.families import GRAPHS
from tests.graphs.hall import Hall, supervise

SMALL = [one.name for one in GRAPHS.values() if len(one.parents) <= 125]


def graphs(*names):
    return pytest.mark.parametrize("graph", [GRAPHS[name] for name in names], ids=names)


def dag_of(graph, hall):
    """The graph as somebody would write it: a task for each job, and an arrow for each line."""
    with DAG(graph.name) as dag:
        tasks = {}
        for job, ups in graph.parents.items():
            tasks[job] = task(_work_of(job, hall), name=job)
            if ups:
                [tasks[up] for up in ups] >> tasks[job]
    return dag


def _work_of(job, hall):
    @step
    async def work() -> str:
        return await hall.work(job)

    return work


def done(history):
    """Each job's output, from the journal."""
    return {event.operation: event.data for event in history if event.kind == "step_completed"}


@graphs(*GRAPHS)
async def test_all_that_can_run_runs_and_it_takes_as_long_as_the_longest_way(graph):
    hall = Hall(graph.takes_ms)
    dag = dag_of(graph, hall)
    async with app_fixture(dag) as app:
        run = await app.start(dag)
        await supervise(hall, graph)
        await run.result()

        assert done(await app.history(run)) == {job: f'"{job}"' for job in graph.parents}
    assert hall.now_ms == graph.critical_path_ms()


@graphs(*SMALL, "montage-dss-10d", "1000genome-22ch-250k", "cycles-10l-1c-12p")
async def test_no_more_run_than_there_are_slots_and_no_slot_is_idle(graph):
    hall = Hall(graph.takes_ms)
    dag = dag_of(graph, hall)
    async with app_fixture(dag, inline=7) as app:
        run = await app.start(dag)
        await supervise(hall, graph, slots=7)
        await run.result()

    assert hall.at_work_max == 7
    all_of_it = sum(graph.takes_ms.values())
    assert all_of_it / 7 <= hall.now_ms <= all_of_it / 7 + graph.critical_path_ms()  # Graham's bound


@graphs(*SMALL)
async def test_a_run_that_leaves_memory_whenever_a_job_has_ended_does_the_same(graph):
    hall = Hall(graph.takes_ms)
    dag = dag_of(graph, hall)
    async with app_fixture(dag, evict_after=0) as app:
        run = await app.start(dag)

        async def the_last_one_is_on_disk():
            while done(await app.history(run)).keys() != hall.ended_ms.keys():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)

        await supervise(hall, graph, before_each=the_last_one_is_on_disk)
        await run.result()

        assert done(await app.history(run)) == {job: f'"{job}"' for job in graph.parents}
    assert hall.now_ms == graph.critical_path_ms()


@graphs("1000genome-2ch-100k", "blast-medium", "epigenomics-ilmn-6seq-50k", "montage-dss-15d")
async def test_a_run_goes_on_after_a_crash_and_what_was_done_stays_done(graph):
    store = MemoryStore(MemoryDatabase())
    hall = Hall(graph.takes_ms)
    dag = dag_of(graph, hall)
    app = await App(store, [dag], clock=VirtualClock()).open()
    run = await app.start(dag)
    await supervise(hall, graph, until=len(graph.parents) // 2)
    await app.crash()
    await app.store.open()
    hall.crash(done(await app.store.history(run.uuid)))
    await app.store.close()

    async with App(store, [dag], clock=VirtualClock()) as app:
        run = await app.get(run.uuid)
        await supervise(hall, graph)
        await run.result()

        assert done(await app.history(run)) == {job: f'"{job}"' for job in graph.parents}
