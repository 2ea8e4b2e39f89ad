"""An order as a graph: what may happen side by side does, and what failed is undone.

            ┌─ reserve ─┐   ┌─ by_air ──┐
    order ──┤           ├───┤           ├── notify          (any of it failed: apologise)
            └─ charge ──┘   └─ by_road ─┘

    ripresa run examples/order_processing/orders.py:dag -p number=7 -p item=lamp -p cents=4900 -p country=Norway

A task gets its parameters by name: `order` is the output of the task of that name, `country` the run's param.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from ripresa import DAG, Retry, Retryable, Terminal, context, task

BOOKS = Path("shop-books.jsonl")
"""The world of this example: a line for each thing that was really done."""

STOCK = {"lamp": 3, "book": 12, "harp": 1}
BY_ROAD = {"Norway", "France", "Poland"}
BY_AIR = BY_ROAD | {"Iceland", "Japan"}
NOT_SO_FAST = 2
"""At this attempt the payment service stops being busy.  Staged, so that there is something to repeat."""


class Order(BaseModel):
    """What a customer wants, checked."""

    number: int
    item: str
    cents: int
    country: str
    express: bool = False


class Receipt(BaseModel):
    """A payment that was taken."""

    payment: str
    cents: int


class Line(BaseModel):
    """One thing that was done in the world."""

    key: str
    order: int
    what: str


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


# --- tasks, and what undoes them ------------------------------------------------------------------


def validate(number: int, item: str, cents: int, country: str, *, express: bool = False) -> Order:
    """The order, if it can be one.  Raises Terminal: asking again would not help."""
    if item not in STOCK:
        raise Terminal(f"there is no {item}; there are: {', '.join(STOCK)}")
    if cents <= 0:
        raise Terminal(f"cents: {cents} is not more than 0")
    return Order(number=number, item=item, cents=cents, country=country, express=express)


def put_back(order: Order) -> None:
    """Undo `reserve`."""
    book(f"put a {order.item} back", order)


def reserve(order: Order) -> str:
    """Take the item off the shelf."""
    book(f"reserve a {order.item}", order)
    return f"shelf {sorted(STOCK).index(order.item) + 1}"


def refund(order: Order, result: Receipt) -> None:
    """Undo `charge`; `result` is what that had returned."""
    book(f"refund {result.cents / 100:.2f} of {result.payment}", order)


def charge(order: Order) -> Receipt:
    """Take the money.  Raises Retryable while the payment service is busy."""
    if context().attempt < NOT_SO_FAST:
        raise Retryable("the payment service is busy")
    book(f"charge {order.cents / 100:.2f}", order)
    return Receipt(payment=f"payment-{order.number}", cents=order.cents)


def in_a_hurry(order: Order) -> bool:
    """Whether the parcel goes by air."""
    return order.express


def not_in_a_hurry(order: Order) -> bool:
    """Whether it goes by road."""
    return not order.express


def by_air(order: Order, reserve: str) -> str:
    """Hand the parcel to the airline, at the shelf where it lies.  Raises Terminal where none goes."""
    return _ship("by air", order, reserve, BY_AIR)


def by_road(order: Order, reserve: str) -> str:
    """Hand the parcel to the haulier, at the shelf where it lies.  Raises Terminal where none goes."""
    return _ship("by road", order, reserve, BY_ROAD)


def _ship(how: str, order: Order, shelf: str, countries: set[str]) -> str:
    if order.country not in countries:
        raise Terminal(f"nothing goes to {order.country} {how}")
    book(f"ship the {order.item} from {shelf} {how}", order)
    return f"PARCEL-{order.number} {how}"


def notify(order: Order, by_air: str | None = None, by_road: str | None = None) -> str:
    """Tell the customer; the way that was not taken has no output, so its parameter has a default."""
    book("write: your parcel is on its way", order)
    return by_air or by_road or ""


def apologise(order: Order) -> None:
    """Tell the customer the other thing."""
    book("write: we are sorry", order)


# --- the graph ------------------------------------------------------------------------------------

with DAG("order_processing") as dag:
    order = task(validate, name="order")
    shelf = task(reserve, compensate=put_back)
    money = task(charge, compensate=refund, retry=Retry(max_attempts=3, delay="200ms"), timeout="1m")
    air = task(by_air).when(in_a_hurry)
    road = task(by_road).when(not_in_a_hurry)
    order >> [shelf, money] >> air
    [shelf, money] >> road
    [air, road] >> task(notify, run_if="any_success")
    [air, road] >> task(apologise, run_if="any_failed")
