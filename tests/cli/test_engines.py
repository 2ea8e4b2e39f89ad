"""Engines from the command line: workers that share a store, drain, and go on for one another."""

import asyncio
import signal
import time
from datetime import datetime, timedelta, timezone

import pytest

from ripresa import App, wait_for_signal, workflow
from ripresa.cli.serving import _drain, _Log
from ripresa.contracts.errors import StoreUnavailable
from tests.cli.conftest import stop

FLEET = """
import asyncio, pathlib
from ripresa import step, workflow


@step
async def work(n: int) -> int:
    with pathlib.Path("calls.txt").open("a") as file:
        file.write(f"work-{n}\\n")
    while not pathlib.Path("ok").exists():
        await asyncio.sleep(0.01)
    return n


@workflow(version="v1")
async def two(n: int) -> int:
    return await work(n) + await work(n + 1)
"""


def until(is_so):
    """Wait until it is so."""
    end = time.monotonic() + 60
    while not (found := is_so()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def serving(shop, *args):
    """A worker, and its number."""
    process = shop.start("worker", "fleet.py", *args)
    assert b"serves" in process.stderr.readline()
    listed = shop.json("engine", "list", *args)
    return process, next(one["engine"] for one in listed if one["pid"] == process.pid)


@pytest.fixture
def fleet(shop):
    (shop.folder / "fleet.py").write_text(FLEET)
    (shop.folder / "ripresa.toml").write_text("[engine]\ndrain_s = 60\n")
    return shop


@pytest.fixture
def url(request, shop):
    """A store that several engines share."""
    return request.getfixturevalue("postgres_url")


def test_engines_are_listed_and_told_to_drain(fleet, url):
    at = ("--store", url)
    one, number = serving(fleet, *at)
    two, other = serving(fleet, *at)
    listed = fleet.json("engine", "list", *at)
    assert [(engine["engine"], engine["state"]) for engine in listed] == [(other, "at work"), (number, "at work")]
    assert listed[0]["definitions"] == {"two": ["v1"]}
    assert "two v1" in fleet("engine", "list", *at).stdout
    since = datetime.fromisoformat(listed[0]["since"]).astimezone(timezone(timedelta(hours=9)))
    assert f"{since:%Y-%m-%d %H:%M:%S}" in fleet("engine", "list", *at, TZ="Asia/Tokyo").stdout
    shown = fleet("engine", "show", str(number), *at).stdout
    assert f"{one.pid} on " in shown
    assert "drains" in fleet("engine", "drain", str(number), *at).stderr
    assert one.wait(60) == 0
    assert b"nothing is under way" in one.stderr.read()
    states = {engine["engine"]: engine["state"] for engine in fleet.json("engine", "list", "--all", *at)}
    assert states == {number: "gone", other: "at work"}
    assert f"engine {number} is gone already" in fleet("engine", "drain", str(number), *at, code=2).stderr
    assert "no engine 99" in fleet("engine", "show", "99", *at, code=2).stderr
    stop(two)


def test_a_worker_that_drains_ends_its_step_and_another_goes_on_with_the_run(fleet, url):
    at = ("--store", url)
    one, _ = serving(fleet, *at)
    fleet("run", "fleet.py:two", "-p", "n=1", "--id", "a", "--detach", *at)
    until(lambda: fleet.calls() == ["work-1"])
    two, other = serving(fleet, *at)
    one.send_signal(signal.SIGTERM)
    assert any(b"drains: 1 step under way may end within 60 s" in line for line in iter(one.stderr.readline, b""))
    (fleet.folder / "ok").touch()
    assert one.wait(60) == 0
    until(lambda: fleet.json("runs", "show", "a", *at)["status"] == "succeeded")
    assert fleet.calls() == ["work-1", "work-2"]
    assert [one["engine"] for one in fleet.json("engine", "list", *at)] == [other]
    stop(two)


async def test_a_worker_that_is_told_to_stop_while_its_store_is_gone_ends(capsys):
    @workflow
    async def waits() -> str:
        return await wait_for_signal("go", str)

    async def gone(*_, **__):
        raise StoreUnavailable("the store is out of reach")

    async with App("memory://", [waits]) as app:
        run = await app.start(waits)
        app.store.commit = gone
        sent = asyncio.create_task(app.signal(run, "go", "on"))
        with pytest.raises(StoreUnavailable):
            await sent
        async with asyncio.timeout(60):
            await _drain(app.engine, 0.1, _Log(as_json=False))
            await app.close()
    assert "the store cannot be written: what is not in it is done by the next worker" in capsys.readouterr().err


@pytest.mark.own_store  # about the one engine of a file
def test_one_engine_of_a_file_is_listed_and_drained_by_a_signal(fleet):
    one, number = serving(fleet)
    assert "SIGTERM" in fleet("engine", "drain", str(number)).stderr
    assert one.wait(60) == 0
    assert "no engine is at work" in fleet("engine", "list").stderr


def test_engines_are_followed(fleet):
    one, number = serving(fleet)
    watching = fleet.start("engine", "watch")
    assert b"ENGINE" in watching.stdout.readline()
    assert f"{number}".encode() in watching.stdout.readline()
    one.send_signal(signal.SIGTERM)
    assert one.wait(60) == 0
    until(lambda: b"gone" in watching.stdout.readline())
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 130
