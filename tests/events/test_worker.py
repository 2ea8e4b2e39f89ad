"""From end to end, with real processes: an event comes in, its run is done and tells a webhook, through a `kill -9`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import defaultdict

import pytest

from ripresa.buses import open_sink
from ripresa.contracts.events import CloudEvent
from tests.events.test_events import BOTH, broker, hook, line  # noqa: F401

pytestmark = pytest.mark.timeout(500)
WITHIN_S = 150
ORDERS = 30

FLOWS = """
import os
from typing import Any
from ripresa import publish, step, workflow

@step
def ship(number: int) -> int:
    with open("shipped", "a") as ledger:
        ledger.write(f"{number}\\n")
    return number

@workflow
async def placed(order: dict[str, Any]) -> int:
    number = ship(order["n"])
    await publish("order.shipped", {"n": number})
    return number
"""


class Worker:
    """A `ripresa worker` in this folder."""

    def __init__(self, folder):
        command = [sys.executable, "-c", "from ripresa.cli.main import main; main()", "worker"]
        self._log = (folder / "log").open("ab")
        self.process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=self._log)

    def kill(self):
        """`kill -9`."""
        self.process.kill()
        self.process.wait()
        self._log.close()

    def end(self):
        """As a service manager would."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(WITHIN_S)
        finally:
            self.kill()


@BOTH
async def test_what_comes_in_is_done_once_and_told_of_through_a_kill(
    line,  # noqa: F811
    postgres,
    postgres_url,
    tmp_path,
    monkeypatch,
):
    address = {"redis": f'stream = "{line.name}"', "rabbitmq": f'queue = "{line.name}"'}[line.server.name]
    (tmp_path / "flows.py").write_text(FLOWS)
    with hook(lambda: 200) as (url, calls):
        (tmp_path / "ripresa.toml").write_text(f"""
store = "{postgres_url}"

[workflows]
placed = "flows.py:placed"

[events]
source = "/shop"

[[events.publish]]
to = "{url}"
private = true
secret = "env:HOOK"

[[events.publish]]
to = "{line.server.url()}"
exchange = "{line.name}-out"
stream = "{line.name}-out"

[[events.consume]]
from = "{line.server.url()}"
{address}
types = ["order.placed"]
start = "placed"
""")
        monkeypatch.setenv("HOOK", "secret")
        sink = open_sink(line.target())
        orders = [CloudEvent(id=f"order-{n}", source="/web", type="order.placed", data={"n": n}) for n in range(ORDERS)]
        await sink.send(orders[: ORDERS // 2])
        await sink.send([CloudEvent(id="bad", source="/web", type="order.placed", data="no order")])
        worker = Worker(tmp_path)
        try:
            until(lambda: len(calls) > ORDERS // 4, tmp_path)
            worker.kill()
            await sink.send([*orders, *orders])  # each comes two or three times
            worker = Worker(tmp_path)
            until(lambda: len(of(calls, "workflow_completed")) == ORDERS, tmp_path)
            database = postgres_url.rpartition("/")[2]
            until(lambda: postgres.sql("SELECT count(*) FROM ripresa.outbox", database) == "0", tmp_path)
            until(lambda: postgres.sql("SELECT count(*) FROM ripresa.dead_letter", database) == "1", tmp_path)
            assert worker.end() == 0
        finally:
            worker.kill()
            await sink.close()
        assert postgres.sql("SELECT count(*), count(DISTINCT key) FROM ripresa.run", database) == f"{ORDERS}|{ORDERS}"
        assert postgres.sql("SELECT DISTINCT status FROM ripresa.run", database) == "succeeded"
        assert postgres.sql("SELECT event, code FROM ripresa.dead_letter", database) == "bad|contract"
        shipped = of(calls, "order.shipped")
        assert sorted(event.data["n"] for event in shipped.values()) == list(range(ORDERS))
        assert all("webhook-signature" in headers for headers, _ in calls)
        for kinds in order_of_runs(calls).values():
            assert kinds == ["workflow_created", "order.shipped", "workflow_completed"]
        ledger = (tmp_path / "shipped").read_text().split()
        assert {int(n) for n in ledger} == set(range(ORDERS))


def of(calls, kind):
    """The events of this type that came, by id: one that came twice is one."""
    events = [CloudEvent.from_json(body) for _, body in list(calls)]
    return {event.id: event for event in events if event.type == kind}


def order_of_runs(calls):
    """What was said of each run, as it was heard of first."""
    kinds, seen = defaultdict(list), set()
    for _, body in calls:
        event = CloudEvent.from_json(body)
        if event.id not in seen:
            seen.add(event.id)
            kinds[event.subject].append(event.type)
    return kinds


def until(is_so, folder):
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.05)
