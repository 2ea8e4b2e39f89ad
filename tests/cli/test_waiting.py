"""Why runs wait, from the command line, on one engine and on two: labels, versions, workflows, lines, pauses."""

from __future__ import annotations

import pytest

from ripresa.cli import engines
from ripresa.engine.definitions import file_definition
from tests.cli.beside import WITHIN_S, Beside
from tests.cli.conftest import stop

LAB = """
import pathlib
from ripresa import step, wait_for_signal, workflow


@step(labels={"gpu": "a100"})
async def train(n: int) -> int:
    return n


@workflow
async def learn(n: int) -> int:
    return await train(n)


@workflow
async def told() -> str:
    return await wait_for_signal("go", str)
"""

OTHER = """
from ripresa import workflow


@workflow
async def bills() -> None: ...
"""

SALES = """
workflow:
  name: sales
  concurrency: {limit: 1}
  jobs:
    - signal: {name: go}
"""


@pytest.fixture
def lab(shop):
    (shop.folder / "lab.py").write_text(LAB)
    (shop.folder / "other.py").write_text(OTHER)
    (shop.folder / "sales.yaml").write_text(SALES)
    return shop


@pytest.fixture
def beside(request):
    """A store that several engines share."""
    return Beside(request.getfixturevalue("postgres_url"))


async def serving(shop, beside, *args):
    """A worker, and the number of its engine."""
    process = shop.start("worker", *args, "--store", beside.url)
    line = process.stderr.readline()
    assert b"serves" in line, line + process.stderr.read()
    listed = await engines.engines(beside.url, every=False)
    return process, next(one["engine"] for one in listed if one["pid"] == process.pid)


async def test_a_step_that_needs_labels_waits_for_a_worker_that_has_them(lab, beside):
    plain, number = await serving(lab, beside, "lab.py")
    await beside.submit("learn", "a", n=3)
    why = f"no engine has label gpu=a100; engines: {number} (no labels)"
    await beside.says("a", f"train: {why}")
    (step,) = (await beside.run("a"))[1]
    assert (step.step, step.status, step.reason) == ("train", "queued", why)
    assert why in lab("runs", "show", "a", "--store", beside.url).stdout
    watching = lab.start("runs", "watch", "a", "--store", beside.url)
    assert any(why.encode() in line for line in iter(watching.stderr.readline, b""))
    labels = ("--label", "gpu=a100", "--label", "eu")
    fitting, other = await serving(lab, beside, "lab.py", *labels, "--concurrency", "2")
    await beside.until("a", "succeeded")
    await beside.says("a", None)
    assert watching.wait(WITHIN_S) == 0
    listed = await engines.engines(beside.url, every=False)
    assert {one["engine"]: one["labels"] for one in listed} == {number: [], other: ["eu", "gpu=a100"]}
    assert "eu, gpu=a100" in lab("engine", "list", "--store", beside.url).stdout
    for worker in (plain, fitting):
        stop(worker)


async def test_on_a_file_one_engine_says_at_once_what_it_lacks(lab):
    (lab.folder / "ripresa.toml").write_text('[engine.labels]\ngpu = "t4"\neu = true\n')
    beside = Beside(f"sqlite:///{lab.folder}/lab.db")
    await beside.submit("learn", "a", n=3)
    await beside.says("a", "no engine is at work")
    worker, number = await serving(lab, beside, "lab.py")
    await beside.says("a", f"train: no engine has label gpu=a100; engines: {number} (eu, gpu=t4)")
    stop(worker)
    await beside.says("a", "train: needs label gpu=a100, and no engine is at work")
    running = lab("run", "lab.py:learn", "--id", "a", "--store", beside.url, RIPRESA_LABELS="gpu=a100")
    assert running.stdout == "3\n"


async def test_a_run_waits_for_an_engine_that_has_its_workflow(lab, beside):
    await beside.submit("told", "a")
    await beside.says("a", "no engine is at work")
    one, number = await serving(lab, beside, "other.py")
    two, second = await serving(lab, beside, "other.py")
    await beside.says("a", f"no engine has workflow told; engines: {number} (bills), {second} (bills)")
    assert "no engine has workflow told" in lab("runs", "list", "--store", beside.url).stdout
    able, _ = await serving(lab, beside, "lab.py")
    await beside.until("a", "waiting")
    await beside.says("a", None)
    for worker in (one, two, able):
        stop(worker)


async def test_lines_and_pauses_are_told_whichever_engine_has_the_run(lab, beside):
    workers = [(await serving(lab, beside, "sales.yaml"))[0] for _ in range(2)]
    sales = file_definition(lab.folder / "sales.yaml")
    await beside.submit("sales", "a", definition=sales)
    await beside.until("a", "waiting")
    await beside.submit("sales", "b", definition=sales)
    await beside.says("b", "1 of 1 of sales go on")
    await beside.submit("sales", "c", definition=sales)
    await beside.says("c", "1 of 1 of sales go on, 1 before it")
    lab("runs", "pause", "a", "--store", beside.url)
    await beside.says("a", "it is paused: `ripresa runs resume a` lets it go on")
    lab("runs", "cancel", "a", "--store", beside.url)
    await beside.says("b", None)
    await beside.says("c", "1 of 1 of sales go on")
    for worker in workers:
        stop(worker)


def test_what_is_no_label_or_lease_is_refused(lab):
    assert "is not a label" in lab("worker", "lab.py", "--label", "gpu a100", code=2).stderr
    assert "is not a duration" in lab("worker", "lab.py", "--lease", "soon", code=2).stderr
    assert "RIPRESA_LABELS" in lab("worker", "lab.py", code=2, RIPRESA_LABELS="a b").stderr
