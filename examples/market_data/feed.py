"""The feed: a file of prices for each partition – one symbol as of one month – and what is wrong with some of them.

The prices are real: five symbols, month by month from 2000 to March 2010, as vega_datasets ships them.  What is damaged
is written down in `DAMAGE` and nowhere else; a delivery without it is the source as it is.
"""

from __future__ import annotations

import csv
from datetime import date, datetime
from functools import cache
from pathlib import Path

from vega_datasets import local_data

MONTHS = 24
"""A delivery holds the months up to the one that it is as of."""

DAMAGE = {
    ("IBM", "2010-03"): {"2009-03": "", "2009-04": ""},
    ("GOOG", "2010-03"): dict.fromkeys(["2008-10", "2008-11", "2008-12", "2009-01", "2009-02", "2009-03"], "-1")
    | {"2009-07": "n/a", "2009-08": "1e999"},
}
"""Prices as a careless source would send them: by delivery, then by month.  Two gaps; and eight of every kind."""


def path_of(feed: Path, symbol: str, as_of: date) -> Path:
    """Where a delivery lies."""
    return feed / f"{as_of:%Y-%m}" / f"{symbol}.csv"


def deliver(feed: Path, symbol: str, as_of: date, *, damaged: bool) -> None:
    """Write a delivery, with its damage or as it is at the source."""
    damage = DAMAGE.get((symbol, f"{as_of:%Y-%m}"), {}) if damaged else {}
    rows = [(month, price) for month, price in prices(symbol) if month <= as_of][-MONTHS:]
    path = path_of(feed, symbol, as_of)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["month", "price"])
        table.writerows([month, damage.get(f"{month:%Y-%m}", price)] for month, price in rows)


@cache
def prices(symbol: str) -> tuple[tuple[date, str], ...]:
    """All months of a symbol with their prices, oldest first.  Raises KeyError if there is no such symbol."""
    found: dict[str, list[tuple[date, str]]] = {}
    with Path(local_data.stocks.filepath).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            month = datetime.strptime(row["date"], "%b %d %Y").date()  # noqa: DTZ007 - a day has no zone
            found.setdefault(row["symbol"], []).append((month, row["price"]))
    return tuple(sorted(found[symbol]))
