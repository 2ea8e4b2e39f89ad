"""Graphs of real workflows as definition files: what runs when, in the run's own time."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from ripresa.author.templates import Template
from ripresa.contracts.spec import load
from ripresa.engine.definitions import file_definition
from ripresa.testing import app_fixture
from tests.graphs.families import GRAPHS
from tests.graphs.hall import Hall, supervise


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the file lies, with the module that it calls."""
    (tmp_path / "hall_door.py").write_text("async def enter(job: str) -> str:\n    return await HALL.work(job)\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    sys.modules.pop("hall_door", None)


def written(graph, entry_of, folder):
    """The graph as a definition file."""
    jobs = [{**entry_of(job), "depends_on": list(ups)} for job, ups in graph.parents.items()]
    path = folder / "graph.yaml"
    text = yaml.safe_dump({"workflow": {"name": graph.name, "jobs": jobs}}, sort_keys=False, width=1000)
    path.write_text(text, "utf-8")
    return path


def graphs(*names):
    return pytest.mark.parametrize("graph", [GRAPHS[name] for name in names], ids=names)


def waits(graph):
    return lambda job: {"wait": {"name": job, "for": f"{graph.takes_ms[job] / 1000:g}s"}}


SMALL = [one.name for one in GRAPHS.values() if len(one.parents) <= 125]
LARGEST = "cycles-10l-1c-12p"


async def ends_ms(app, run):
    """When each job ended, from the run's beginning."""
    events = await app.history(run)
    return {one.operation: (one.at - events[0].at) // 1000 for one in events if one.kind == "node_settled"}


def expected_ends_ms(graph):
    ends = {}
    for job, ups in graph.parents.items():
        ends[job] = graph.takes_ms[job] + max((ends[up] for up in ups), default=0)
    return ends


@pytest.mark.parametrize("evict_after", ["30s", 0], ids=["kept", "evicted"])
@graphs(*SMALL)
async def test_in_the_runs_own_time_each_job_ends_when_the_graph_says(graph, evict_after, folder):
    definition = file_definition(written(graph, waits(graph), folder))
    async with app_fixture(definition, evict_after=evict_after) as app:
        run = await app.start(definition, {})
        await run.result()

        assert await ends_ms(app, run) == expected_ends_ms(graph)


@graphs("blast-medium", "1000genome-22ch-250k", "montage-dss-15d", LARGEST)
async def test_the_same_of_large_ones(graph, folder):
    definition = file_definition(written(graph, waits(graph), folder))
    async with app_fixture(definition) as app:
        run = await app.start(definition, {})
        await run.result()

        assert await ends_ms(app, run) == expected_ends_ms(graph)


@graphs("1000genome-2ch-100k", "epigenomics-hep-2seq-100k", "montage-dss-10d", LARGEST)
async def test_python_entries_run_in_order_and_as_wide_as_the_graph_is(graph, folder):
    def python(job):
        return {"python": {"name": job, "call": "hall_door:enter", "with": {"job": job}}}

    definition = file_definition(written(graph, python, folder))
    hall = sys.modules["hall_door"].HALL = Hall(graph.takes_ms)
    async with app_fixture(definition) as app:
        run = await app.start(definition, {})
        await supervise(hall, graph)
        await run.result()

        done = {one.operation: json.loads(one.data) for one in await app.history(run) if one.kind == "step_completed"}
        assert done == {job: job for job in graph.parents}
    assert hall.now_ms == graph.critical_path_ms()


@graphs(*GRAPHS)
def test_each_is_valid_with_containerised_jobs(graph, folder):
    def job(name):
        return {"job": {"name": name, "image": f"science/{name.split('_')[0].lower()}:1.0"}}

    path = written(graph, job, folder)
    spec = load(path.read_text("utf-8"), str(path), templates=Template.parse).spec

    assert {entry.name: tuple(one.job for one in entry.depends_on) for entry in spec.jobs} == graph.parents
