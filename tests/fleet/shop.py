"""Two engines in this process that serve clients, whatever becomes of their database; and what must hold then."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from ripresa import App
from ripresa.contracts.errors import StoreUnavailable
from tests.fleet import toiler
from tests.fleet.toiler import Ledger, require_nothing_lost, toils

WITHIN_S = 60.0


class Shop:
    """Two engines, and clients who start one run after the other."""

    def __init__(self, url, ledger, log):
        self.url = url
        self._ledger = ledger
        self._log = log
        self._apps = []
        self._clients = []
        self._names = count()

    async def open(self):
        config = {"lease_s": 600, "lock_timeout_s": 0.2}
        self._apps = [await App(self.url, [toils], config=config).open() for _ in range(2)]
        self._clients = [asyncio.create_task(self._ask(app)) for app in self._apps * 2]

    async def _ask(self, app):
        while not self._ledger.stop.exists():
            name = f"run-{next(self._names)}"
            while True:
                try:
                    run = await app.start(toils, name, id=name)
                    self._ledger.note("ack", name)
                    await run.result()
                except StoreUnavailable:
                    await asyncio.sleep(0.05)
                else:
                    break

    async def goes_on(self):
        """Wait until every client's next run but one has ended: all of it happened from now on."""
        wanted = len(self._ledger.lines("ack")) + 2 * len(self._clients)
        async with asyncio.timeout(WITHIN_S):
            while len(self._ledger.lines("ack")) < wanted:
                assert not any(client.done() for client in self._clients), self._clients
                await asyncio.sleep(0.02)

    async def is_told(self, words):
        """Wait until an engine's log tells so."""
        async with asyncio.timeout(WITHIN_S):
            while words not in self._log.text:  # noqa: ASYNC110 - it is a text
                await asyncio.sleep(0.02)

    async def finish(self):
        self._ledger.stop.touch()
        await asyncio.wait_for(asyncio.gather(*self._clients), WITHIN_S)
        assert [app.engine.failure for app in self._apps] == [None, None]
        await require_nothing_lost(self.url, self._ledger)

    async def close(self):
        for client in self._clients:
            client.cancel()
        for app in self._apps:
            await app.close()


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """What the steps of this test's engines note."""
    ledger = Ledger(tmp_path / "ledger.txt")
    monkeypatch.setattr(toiler, "ledger", ledger)
    return ledger
