"""The clock of the database is set by an hour, forth and back, while engines are at work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ripresa import App, sleep, step, workflow
from tests.support.postgres import PostgresServer

HOUR_S = 3_600
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

done: list[str] = []


@step
async def note(name: str) -> str:
    done.append(name)
    return name


@workflow
async def naps(name: str, seconds: float) -> str:
    await note(f"{name} begins")
    await sleep(seconds=seconds)
    return await note(f"{name} ends")


class Clocked(PostgresServer):
    """A server whose clock is set by a file."""

    def __init__(self):
        super().__init__()
        self._set = self.folder / "clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._set),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds):
        """So far from the machine's."""
        new = self._set.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.replace(self._set)


@pytest.fixture
def server(postgres):
    if LIBRARY is None:
        assert not os.environ.get("CI"), "libfaketime is not installed: tools/install_engines"
        pytest.skip("libfaketime is not installed: tools/install_engines")
    done.clear()
    server = Clocked()
    try:
        server.start()
        yield server
    finally:
        server.close()


class Three:
    """Engines whose leases do not end however slow the machine: what they do at times they are told to."""

    def __init__(self, url):
        self._url = url
        self.apps = []

    async def one_more(self):
        app = await App(self._url, [naps], config={"lease_s": 600}).open()
        self.apps.append(app)
        return app

    async def each(self, *, first):
        """One learns what time it is and looks for engines that are gone; then the others, then all again."""
        for app in [first, *[app for app in self.apps if app is not first], *self.apps]:
            await app.engine.fleet.look_after()
            await app.engine.leasing.renew()

    async def close(self):
        for app in self.apps:
            await app.close()


async def test_no_lease_is_broken_and_runs_wake_by_the_clock_as_it_is_when_it_is_set_by_an_hour(server):
    engines = Three(server.database())
    one, other = await engines.one_more(), await engines.one_more()
    try:
        half_an_hour = await one.start(naps, "long", HOUR_S / 2, id="long")
        server.set(HOUR_S)
        await engines.each(first=one)
        assert await half_an_hour.result("60s") == "long ends", "its time has come"
        assert await (await other.start(naps, "ahead", 0.2)).result("60s") == "ahead ends"
        minute = await other.start(naps, "minute", 60.0, id="minute")

        server.set(0)
        await one.engine.leasing.renew()
        await other.engine.fleet.look_after()  # by whose clock the lease of the first has ended long since
        await engines.each(first=other)
        third = await engines.one_more()
        await engines.each(first=one)
        for app in (one, other, third):
            name = f"back {app.engine.number}"
            assert await (await app.start(naps, name, 0.2)).result("60s") == f"{name} ends"
        assert (await one.get(minute.uuid)).status in {"running", "waiting"}, "an hour and a minute are not over"

        server.set(HOUR_S + 60)
        await engines.each(first=third)
        assert await minute.result("60s") == "minute ends"
        assert [app.engine.failure for app in engines.apps] == [None] * 3
    finally:
        await engines.close()
    assert len(done) == len(set(done)) == 12
