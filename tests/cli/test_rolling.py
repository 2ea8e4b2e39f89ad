"""Workers as processes on a real PostgreSQL: a new release takes the place of the old one, and a zombie's work ends."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.beside import WITHIN_S, Beside, until
from tests.cli.conftest import stop

RELEASE = """
import asyncio, pathlib
from ripresa import step, workflow


@step
async def work(n: int) -> str:
    with pathlib.Path("calls.txt").open("a") as file:
        file.write(f"{release}-{{n}}\\n")
    while not pathlib.Path(f"ok-{{n}}").exists():
        await asyncio.sleep(0.01)
    return "{release}"


@workflow(version="{release}")
async def orders(n: int) -> list[str]:
    return [await work(m) for m in {steps}]
"""


@pytest.fixture
def beside(request):
    """A store that several engines share."""
    return Beside(request.getfixturevalue("postgres_url"))


def serving(shop, *args):
    """A worker that serves."""
    process = shop.start("worker", *args)
    line = process.stderr.readline()
    assert b"serves" in line, line + process.stderr.read()
    return process


async def test_a_new_release_takes_the_place_of_the_old_one_and_each_run_ends_with_its_own(shop, beside):
    at = ("--store", beside.url)
    (shop.folder / "ripresa.toml").write_text("[engine]\ndrain_s = 60\n")
    steps = {"old": "(n, n + 100)", "new": "(n, n + 100, n + 200)"}  # the code of one does not fit runs of the other
    for release, of in steps.items():
        (shop.folder / f"{release}").mkdir()
        (shop.folder / release / "orders.py").write_text(RELEASE.format(release=release, steps=of))

    def let_through(*numbers):
        for n in numbers:
            (shop.folder / f"ok-{n}").touch()

    async def called(*calls):
        await until(lambda: Counter(shop.calls()) == Counter(calls), lambda: (shop.calls(), calls))

    first, second = serving(shop, "old/orders.py", *at), serving(shop, "old/orders.py", *at)
    old, new = range(4), range(10, 12)
    for n in old:
        await beside.submit("orders", f"old-{n}", version="old", n=n)
    begun = [f"old-{n}" for n in old]
    await called(*begun)
    third = serving(shop, "new/orders.py", *at)
    for n in new:
        await beside.submit("orders", f"new-{n}", version="new", n=n)
    begun += [f"new-{n}" for n in new]
    await called(*begun)

    first.send_signal(signal.SIGTERM)
    assert any(b"drains" in line or b"stops" in line for line in iter(first.stderr.readline, b""))
    let_through(*old)
    assert first.wait(WITHIN_S) == 0  # its steps have ended, and its runs have gone to the other old one
    fourth = serving(shop, "new/orders.py", *at)
    begun += [f"old-{n + 100}" for n in old]
    await called(*begun)

    let_through(*(n + 100 for n in old))
    for n in old:
        await beside.until(f"old-{n}", "succeeded")
    second.send_signal(signal.SIGTERM)
    assert second.wait(WITHIN_S) == 0
    let_through(*(n + more for n in new for more in (0, 100, 200)))
    for n in new:
        await beside.until(f"new-{n}", "succeeded")
    assert Counter(shop.calls()) == Counter([*begun, *(f"new-{n + more}" for n in new for more in (100, 200))])
    told = {run: one.output for run, one in (await beside.all()).items()}
    assert told == {f"old-{n}": ["old"] * 2 for n in old} | {f"new-{n}": ["new"] * 3 for n in new}
    for worker in (third, fourth):
        stop(worker)


LASTING = """
import os, pathlib, time
from ripresa import job, step, workflow

lasting = job("lasting", "shop/lasting:1", runtime="process")


@step(runtime="process")
def held() -> str:
    pathlib.Path("pids", f"held-{os.getpid()}").touch()
    while not pathlib.Path("ok").exists():
        time.sleep(0.02)
    return "held"


@workflow
async def by_job() -> int:
    return len(await lasting())


@workflow
async def by_step() -> str:
    return held()
"""

ENTRYPOINT = """#!/bin/sh
sleep 86400 &
touch "$PIDS/lasting-$$" "$PIDS/lasting-$!"
while [ ! -e "$PIDS/../ok" ]; do sleep 0.05; done
kill $!
"""


def lives(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(("flow", "processes"), [("by_job", 2), ("by_step", 1)])
async def test_what_a_zombie_has_started_ends_when_it_learns_that_its_runs_are_others(shop, beside, flow, processes):
    at = ("--store", beside.url)
    pids = shop.folder / "pids"
    pids.mkdir()
    image = shop.folder / "jobs" / "lasting"
    image.mkdir(parents=True)
    (image / "entrypoint").write_text(ENTRYPOINT.replace("$PIDS", str(pids)))
    (image / "entrypoint").chmod(0o755)
    (shop.folder / "ripresa.toml").write_text('[runtimes.process.images]\n"shop/*" = "jobs/{name}"\n')
    (shop.folder / "lasting.py").write_text(LASTING)

    def started():
        return {int(path.name.rpartition("-")[2]) for path in pids.iterdir()}

    zombie = serving(shop, "lasting.py", "--lease", "2s", *at)
    await beside.submit(flow, "a")
    try:
        await until(lambda: len(started()) == processes, started)
        first = started()
        zombie.send_signal(signal.SIGSTOP)
        other = serving(shop, "lasting.py", "--lease", "60s", *at)  # nobody takes its runs, however slow the machine
        await until(lambda: len(started()) == 2 * processes, started)  # the lease has ended, and another does it again
        assert all(lives(pid) for pid in first)
        zombie.send_signal(signal.SIGCONT)
        await until(lambda: not any(lives(pid) for pid in first), lambda: first)
        assert all(lives(pid) for pid in started() - first)
        assert (await beside.run("a"))[0].status == "running"
        (shop.folder / "ok").touch()
        await beside.until("a", "succeeded")
        assert len(started()) == 2 * processes
        stop(other)
        stop(zombie)
    finally:
        for pid in started():  # they are ours, and may be left if the test fails
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(image)


SHOWN = """
import asyncio, logging, pathlib
from ripresa import child, step, workflow

log = logging.getLogger("flow")


@step
async def first() -> None:
    log.warning("first says hello")


@step
async def second() -> str:
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    log.warning("second may go")
    return "ciao"


@step
async def inner() -> None: ...


@workflow
async def below() -> None:
    await inner()


@workflow
async def shown() -> str:
    await first()
    await child(below)
    return await second()
"""


@pytest.fixture
async def attached(shop, beside):
    """A run in a worker's hands, with a step under way."""
    (shop.folder / "flow.py").write_text(SHOWN)
    shop.env["RIPRESA_STORE"] = beside.url
    serving(shop, "flow.py")
    await beside.submit("shown", "s1")
    await until((shop.folder / "begun").exists)


@pytest.mark.usefixtures("attached")
def test_a_run_in_another_engines_hands_is_shown_as_it_goes_on(shop):
    process = shop.start("run", "flow.py:shown", "--id", "s1")
    before = seen_until(process, b"second running")
    assert b"run s1 is in another engine's hands; watching it" in before
    assert b"first succeeded" in before
    assert b"inner succeeded" in before
    assert b"hello" not in before  # what was written before is in the logs
    (shop.folder / "go").touch()
    out, rest = process.communicate(timeout=WITHIN_S)
    assert (out, process.returncode) == (b"ciao\n", 0)
    assert b"second | second may go" in rest
    assert b"second succeeded" in rest
    assert rest.count(b"run succeeded") == 1


@pytest.mark.usefixtures("attached")
def test_ctrl_c_stops_watching_a_run_in_another_engines_hands_and_does_not_touch_it(shop):
    process = shop.start("run", "flow.py:shown", "--id", "s1", "--follow")
    seen_until(process, b"second running")
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=WITHIN_S)
    assert (out, process.returncode) == (b"", 130)
    assert b"no longer watching run s1; it is not touched by this" in said
    shop("runs", "cancel", "s1")
    assert shop("run", "flow.py:shown", "--id", "s1", code=4).stdout == ""


@pytest.mark.usefixtures("attached")
def test_a_run_in_another_engines_hands_is_drawn_as_a_tree(shop):
    screen = shop.terminal("run", "flow.py:shown", "--id", "s1")
    screen.until(r"(?s)✓ first .*✓ below .*✓ inner.* second ")
    (shop.folder / "go").touch()
    assert screen.wait() == 0
    assert "✓ second" in screen.text
    assert "ciao" in screen.text


def seen_until(process, what):
    """What it says on stderr, up to the line with this in it."""
    said = b""
    late = threading.Timer(WITHIN_S, process.kill)
    late.start()
    while what not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    late.cancel()
    return said
