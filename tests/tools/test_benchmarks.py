"""What `make bench` tells is worked out from whoever took part."""

import pytest

from benchmarks import graphs
from benchmarks import run as bench

FACTS = {"cpu": "a CPU"}


@pytest.mark.parametrize("quick", [True, False])
def test_the_chart_and_the_ratios_are_of_those_who_took_part(quick, monkeypatch):
    monkeypatch.setattr(bench.machine, "told", lambda about: about["cpu"])
    keys = [entry.key for entry in bench.entries(quick=quick)]
    measured = {"steps_per_s": 1000.0, "p50_ms": 2.0, "cpu_us_per_step": 50.0}
    samples = {key: [measured] for key in keys}
    ratios = bench.compared(samples)
    assert set(ratios.values()) == {1.0}
    assert ("share of the ceiling @500" in ratios) is not quick
    picture = bench.chart(dict.fromkeys(keys, measured), ratios, FACTS)
    assert picture.count(bench.INSTALLED) == (1 if quick else 2)
    assert "a CPU" in picture


def test_a_quick_run_does_without_the_slowest():
    keys = {entry.key for entry in bench.entries(quick=True)}
    assert keys < {entry.key for entry in bench.entries(quick=False)}
    assert f"{bench.INSTALLED} @100" not in keys


def test_a_chart_of_a_quick_run_is_not_published(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "--quick", "--publish"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "leave --quick out" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "edges"), [("wide", 998 * 2), ("chain", 999), ("layered", 980 * 3)])
def test_the_graphs_that_are_measured_have_their_shape(kind, edges):
    graph = graphs.shape(kind, 1000)

    assert len(graph) == 1000
    assert sum(map(len, graph.values())) == edges
    assert len(graphs.made(kind, graph, inline=False).graph.nodes) == 1000


def test_the_table_of_graphs_tells_each_of_them():
    measured = {"size": 1000, "ms_per_job": 0.25, "cpu_us_per_job": 120.0, "commits_per_job": 0.04}

    assert bench.told_graphs({"wide": measured}).splitlines()[-1] == "| wide | 1,000 | 0.25 | 120 | 0.040 |"
