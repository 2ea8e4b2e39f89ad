"""The order example: what was done is undone, last first, whatever ends the run."""

import asyncio
import subprocess
import sys
from pathlib import Path

import order_saga
import pytest
from order_saga import Label, Order, books, fulfil

from ripresa import App, RunCancelled, RunFailed, RunStatus
from ripresa.testing import VirtualClock

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "order_saga" / "order_saga.py"
LAMP = Order(number=7, item="a lamp", cents=4900, country="Norway")
HARP = Order(number=8, item="a harp", cents=99900, country="Atlantis")
LABEL = Label(tracking="PARCEL")

UNDONE = ["reserve a harp", "charge 999.00", "refund 999.00 of payment-8", "put a harp back"]


@pytest.fixture(autouse=True)
def _books_of_our_own(tmp_path, monkeypatch):
    monkeypatch.setattr(order_saga, "BOOKS", tmp_path / "books.jsonl")


def done():
    return [line.what for line in books()]


async def it_waits(run):
    while (await run.refresh()).status is not RunStatus.WAITING:  # noqa: ASYNC110 - a status has no event
        await asyncio.sleep(0)


async def test_an_order_is_shipped_when_the_label_comes():
    async with App("memory://", [fulfil]) as app:
        run = await app.start(fulfil, LAMP, id="order-7")
        await app.signal(run, "label", LABEL)
        shipment = await run.result()

    assert shipment.tracking == "PARCEL"
    assert done() == ["reserve a lamp", "charge 49.00", "ship a lamp as PARCEL"]


async def test_an_order_that_cannot_be_shipped_is_undone_last_step_first():
    async with App("memory://", [fulfil]) as app:
        run = await app.start(fulfil, HARP, id="order-8")
        await app.signal(run, "label", LABEL)
        with pytest.raises(RunFailed, match="no carrier goes to Atlantis"):
            await run.result()

    assert done() == UNDONE


async def test_a_label_that_does_not_come_within_a_week_undoes_the_order():
    clock = VirtualClock()
    begun = clock.now()
    async with App("memory://", [fulfil], clock=clock) as app:
        run = await app.start(fulfil, HARP)
        with pytest.raises(RunFailed, match="nothing came within 7d"):
            await run.result()

    assert done() == UNDONE
    assert clock.now() - begun >= 7 * 86_400 * 1_000_000


async def test_a_cancelled_order_is_undone():
    async with App("memory://", [fulfil], clock=VirtualClock(autojump=False)) as app:
        run = await app.start(fulfil, HARP)
        await it_waits(run)
        await app.cancel(run)
        with pytest.raises(RunCancelled):
            await run.result()

    assert done() == UNDONE


async def test_an_order_goes_on_in_another_engine_without_a_second_charge(tmp_path):
    store = f"sqlite:///{tmp_path / 'orders.db'}"
    clock = VirtualClock(autojump=False)  # or the week would pass at once
    async with App(store, [fulfil], clock=clock) as app:
        await it_waits(await app.start(fulfil, LAMP, id="order-7"))

    async with App(store, [fulfil], clock=clock) as app:
        await app.signal("order-7", "label", LABEL)
        await (await app.get("order-7")).result()

    assert done() == ["reserve a lamp", "charge 49.00", "ship a lamp as PARCEL"]


def test_the_program_may_be_started_again_and_says_the_same(tmp_path):
    said = [
        subprocess.run([sys.executable, PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]

    assert said[0] == said[1]
    assert "order 7: shipped as PARCEL-7" in said[0]
    assert "    refund 999.00 of payment-8\n    put a harp back\n" in said[0]
