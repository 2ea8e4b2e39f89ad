"""The order graph: two things at once, one of two ways, and all of it undone when that way leads nowhere."""

import orders
import pytest
from orders import books, dag

from ripresa import App, RunFailed
from ripresa.testing import VirtualClock

LAMP = {"number": 7, "item": "lamp", "cents": 4900, "country": "Norway"}
HARP = {"number": 8, "item": "harp", "cents": 99900, "country": "Atlantis"}
BOOK = {"number": 9, "item": "book", "cents": 990, "country": "Japan", "express": True}


@pytest.fixture(autouse=True)
def _books_of_our_own(tmp_path, monkeypatch):
    monkeypatch.setattr(orders, "BOOKS", tmp_path / "books.jsonl")


def done():
    return [line.what for line in books()]


async def steps_of(app, run):
    return {one.name: one for one in await app.history(run) if one.kind == "step_completed"}


@pytest.mark.parametrize(("order", "way", "other"), [(LAMP, "by_road", "by_air"), (BOOK, "by_air", "by_road")])
async def test_an_order_goes_one_of_two_ways(order, way, other):
    async with App("memory://", [dag], clock=VirtualClock()) as app:
        run = await app.start(dag, order)
        result = await run.result()
        steps = await steps_of(app, run)

    assert result == {"notify": f"PARCEL-{order['number']} {way.replace('_', ' ')}"}
    assert way in steps
    assert other not in steps
    assert len(done()) == 4
    assert done()[-1] == "write: your parcel is on its way"


async def test_a_busy_payment_service_is_asked_again_and_charges_once():
    async with App("memory://", [dag], clock=VirtualClock()) as app:
        run = await app.start(dag, LAMP)
        await run.result()
        charge = (await steps_of(app, run))["charge"]

    assert charge.attempt == 2
    assert done().count("charge 49.00") == 1


async def test_an_order_that_nothing_carries_is_undone_last_step_first():
    async with App("memory://", [dag], clock=VirtualClock()) as app:
        with pytest.raises(RunFailed, match="nothing goes to Atlantis by road"):
            await (await app.start(dag, HARP)).result()

    assert sorted(done()[:2]) == ["charge 999.00", "reserve a harp"]
    assert done()[2] == "write: we are sorry"
    assert sorted(done()[3:]) == ["put a harp back", "refund 999.00 of payment-8"]


async def test_a_payment_that_never_comes_puts_the_item_back(monkeypatch):
    monkeypatch.setattr(orders, "NOT_SO_FAST", 99)
    async with App("memory://", [dag], clock=VirtualClock()) as app:
        with pytest.raises(RunFailed, match="the payment service is busy"):
            await (await app.start(dag, LAMP)).result()

    assert done() == ["reserve a lamp", "write: we are sorry", "put a lamp back"]


async def test_an_order_of_what_there_is_not_does_nothing():
    async with App("memory://", [dag]) as app:
        with pytest.raises(RunFailed, match="there is no lump; there are: lamp, book, harp"):
            await (await app.start(dag, {**LAMP, "item": "lump"})).result()

    assert done() == []
