"""An order: reserve, charge, wait for the carrier's label, ship – and undo all of it if the parcel cannot leave.

    reserve ── charge ── wait for "label" ── ship
       │          │           │               │
    put_back ← refund  ←  7 days passed  or  it failed for good

Each step says what undoes it (`compensate=`).  When the run fails or is cancelled, the engine calls what belongs to the
steps that were done, last first, and each of those calls is a recorded, retried step too.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel

from ripresa import App, Retry, RunFailed, RunFinished, Terminal, context, step, wait_for_signal, workflow

BOOKS = Path("shop-books.jsonl")
"""The world of this example: a line for each thing that was really done."""


class Order(BaseModel):
    """What a customer wants."""

    number: int
    item: str
    cents: int
    country: str


class Receipt(BaseModel):
    """A payment that was taken."""

    payment: str
    cents: int


class Label(BaseModel):
    """What the carrier sends when it has room for the parcel."""

    tracking: str


class Line(BaseModel):
    """One thing that was done in the world."""

    key: str
    order: int
    what: str


class Shipment(BaseModel):
    """A parcel on its way."""

    tracking: str
    payment: str


def book(what: str, order: Order) -> None:
    """Write the line of this step, once: the idempotency key is the same in every attempt, after a crash too."""
    key = context().idempotency_key
    if any(line.key == key for line in books()):
        return
    with BOOKS.open("a", encoding="utf-8") as file:
        file.write(Line(key=key, order=order.number, what=what).model_dump_json() + "\n")


def books() -> list[Line]:
    """All lines, oldest first."""
    text = BOOKS.read_text(encoding="utf-8") if BOOKS.exists() else ""
    return [Line.model_validate_json(line) for line in text.splitlines()]


# --- steps, each after what undoes it -----------------------------------------------------------


def put_back(order: Order) -> None:
    """Undo `reserve`."""
    book(f"put {order.item} back", order)


@step(compensate=put_back)
def reserve(order: Order) -> None:
    """Take the item off the shelf."""
    book(f"reserve {order.item}", order)


def refund(order: Order, result: Receipt) -> None:
    """Undo `charge`; `result` is what that had returned."""
    book(f"refund {result.cents / 100:.2f} of {result.payment}", order)


@step(retry=Retry(max_attempts=5, delay="2s"), timeout="1m", compensate=refund)
def charge(order: Order) -> Receipt:
    """Take the money."""
    book(f"charge {order.cents / 100:.2f}", order)
    return Receipt(payment=f"payment-{order.number}", cents=order.cents)


@step(retry=Retry(max_attempts=5, delay="2s"))
def ship(order: Order, label: Label, receipt: Receipt) -> Shipment:
    """Hand the parcel over.  Raises Terminal for a country where no carrier goes: another attempt would not help."""
    if order.country == "Atlantis":
        raise Terminal(f"no carrier goes to {order.country}")
    book(f"ship {order.item} as {label.tracking}", order)
    return Shipment(tracking=label.tracking, payment=receipt.payment)


# --- the workflow ---------------------------------------------------------------------------------


@workflow
async def fulfil(order: Order) -> Shipment:
    """From order to parcel, or back to where it began."""
    reserve(order)
    receipt = charge(order)
    label = await wait_for_signal("label", Label, timeout="7d")
    return ship(order, label, receipt)


async def main() -> None:
    """Fulfil an order that can be shipped, and one that cannot."""
    orders = [
        Order(number=7, item="a lamp", cents=4900, country="Norway"),
        Order(number=8, item="a harp", cents=99900, country="Atlantis"),
    ]
    async with App("sqlite:///.ripresa/orders.db", workflows=[fulfil]) as app:
        for order in orders:
            run = await app.start(fulfil, order, id=f"order-{order.number}")
            with suppress(RunFinished):  # in an earlier life of this program
                await app.signal(run, "label", Label(tracking=f"PARCEL-{order.number}"))
            try:
                shipment = await run.result()
                print(f"order {order.number}: shipped as {shipment.tracking}")
            except RunFailed as error:
                print(f"order {order.number}: undone, for {error.cause.message if error.cause else error}")
            for line in books():
                if line.order == order.number:
                    print(f"    {line.what}")


if __name__ == "__main__":
    asyncio.run(main())
