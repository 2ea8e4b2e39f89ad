"""The graphs are those that were recorded."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.graphs.families import GRAPHS, genome


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_each_has_as_many_jobs_and_edges_as_were_recorded(graph):
    assert graph.counted() == (graph.order, graph.size)


def test_the_rule_of_1000genome_gives_the_recorded_graph():
    recorded = GRAPHS["1000genome-2ch-100k"].parents
    number = {job: f"{job.rpartition('_ID')[0]}" for job in recorded}

    def shape(graph, kind):
        return Counter((kind(job), tuple(sorted(Counter(map(kind, ups)).items()))) for job, ups in graph.items())

    built = genome(2, 10)
    assert shape(built, lambda job: job.rstrip("_0123456789")) == shape(recorded, number.get)


def test_they_reach_from_fifty_jobs_to_more_than_two_thousand():
    jobs = sorted(len(graph.parents) for graph in GRAPHS.values())

    assert jobs[0] == 52
    assert jobs[-1] == 2181
    assert len(GRAPHS) == 14
