"""Prices, one partition at a time: read, gate, measure, publish.

    read ── measure ── wild? ──┬── explain ── publish
     │                         └──────────────── │
    gate: valid ≥ 90 %                           needs the warehouse

A run is about one partition – a symbol, as of a month – which its context says to every step.  A step is a function of
that context; what it returns is all that the next one learns of it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import feed

from ripresa import (
    App,
    PartitionKey,
    QualityMetrics,
    QualityThresholds,
    RunStatus,
    Step,
    StepResult,
    Workflow,
    WorkflowContext,
    WorkflowResult,
    WorkflowRunner,
)

SYMBOLS = ("AAPL", "AMZN", "GOOG", "IBM", "MSFT")
FEBRUARY, MARCH = date(2010, 2, 1), date(2010, 3, 1)


# --- steps ----------------------------------------------------------------------------------------


def read(context: WorkflowContext) -> StepResult:
    """The partition's prices; what is no price is left out, and counted."""
    path = feed.path_of(Path(context.get_param("feed")), symbol_of(context), as_of(context))
    if not path.exists():
        return StepResult.fail(f"there is no delivery at {path}", "not_found")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    good = [{"month": row["month"], "price": price} for row in rows if (price := _price(row["price"])) is not None]
    quality = QualityMetrics(
        record_count=len(rows), valid_count=len(good), null_count=sum(row["price"] == "" for row in rows)
    )
    return StepResult.ok(good, quality=quality)


def measure(context: WorkflowContext) -> StepResult:
    """What the prices did: return and volatility of a year, and the deepest fall."""
    growth = [math.log1p(change) for _, change in _changes(context.get_output("read"))]
    volatility = round(stdev(growth) * math.sqrt(12), 4)
    measured = {
        "annual_return": round(math.expm1(fmean(growth) * 12), 4),
        "volatility": volatility,
        "drawdown": round(max(_falls(context.get_output("read"))), 4),
    }
    return StepResult.ok(measured, context_updates={"volatility": volatility})


def explain(context: WorkflowContext) -> dict[str, Any]:
    """The month with the greatest change, for the reader of a wild series."""
    month, change = max(_changes(context.get_output("read")), key=lambda one: abs(one[1]))
    return {"month": month, "change": round(change, 4)}


def publish(context: WorkflowContext) -> StepResult:
    """Put what was measured where others look for it: one file a partition."""
    warehouse = Path(context.get_param("warehouse"))
    if not warehouse.is_dir():
        return StepResult.fail(f"the warehouse {warehouse.name} is away", "dependency")
    path = warehouse / f"{context.partition}" / f"{as_of(context)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {**context.get_output("measure"), "wildest": context.get_output("explain")}
    path.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")  # again is fine: the same facts at the same place
    return StepResult.ok(str(path.relative_to(warehouse)), events=["prices_published"])


monthly_prices = Workflow(
    "monthly_prices",
    [
        Step.lambda_(
            "read",
            read,
            quality_thresholds=QualityThresholds(min_valid_rate=0.9, min_record_count=12, on_breach="quarantine"),
        ),
        Step.lambda_("measure", measure),
        Step.choice("wild", "params.volatility > 0.35", then_step="explain", else_step="publish"),
        Step.lambda_("explain", explain),
        Step.lambda_("publish", publish),
    ],
    description="Prices of one symbol as of one month",
)


def symbol_of(context: WorkflowContext) -> str:
    """Whose prices the run is about."""
    assert context.partition is not None
    return str(context.partition["symbol"])


def as_of(context: WorkflowContext) -> date:
    """The month that the run is about."""
    assert context.as_of_date is not None
    return context.as_of_date


def _price(text: str) -> float | None:
    try:
        price = float(text)
    except ValueError:
        return None
    return price if 0 < price < math.inf else None


def _changes(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """How much each price is above the one of the month before; a month after a gap has no change."""
    for before, after in pairwise(rows):
        if (date.fromisoformat(after["month"]) - date.fromisoformat(before["month"])).days <= 31:
            yield after["month"], after["price"] / before["price"] - 1


def _falls(rows: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    """How far each price is below the highest before it, as a share of that."""
    highest = 0.0
    for row in rows:
        highest = max(highest, row["price"])
        yield 1 - row["price"] / highest


# --- the story ------------------------------------------------------------------------------------


class Desk:
    """Somebody who runs this each month: a feed that comes in, a warehouse, and a store of runs."""

    def __init__(self, folder: Path) -> None:
        self.feed = folder / "feed"
        self.warehouse = folder / "warehouse"
        self.warehouse.mkdir(parents=True)
        self.store = f"sqlite:///{folder / 'runs.db'}"
        self.runner = WorkflowRunner(self.store, workflows=[monthly_prices])

    def run(self, symbol: str, month: date, *, warehouse: str = "warehouse") -> WorkflowResult:
        """One partition, from its delivery to the warehouse."""
        feed.deliver(self.feed, symbol, month, damaged=True)
        context = WorkflowContext.new(
            {"feed": str(self.feed), "warehouse": str(self.warehouse.with_name(warehouse))},
            partition=PartitionKey(symbol=symbol),
            as_of_date=month,
        )
        return self.runner.execute(monthly_prices, context, run_id=f"{symbol}-{month:%Y-%m}")

    def measured(self) -> list[tuple[str, int, float]]:
        """What `read` measured of its data in each run, oldest first: run, records, share of valid ones."""

        async def look() -> list[tuple[str, int, float]]:
            async with App(self.store, [monthly_prices]) as app:
                found = []
                for row in reversed(await app.quality(monthly_prices, "read")):
                    quality = QualityMetrics.from_json(json.loads(row.metrics))
                    found.append(((await app.get(row.run)).id, quality.record_count or 0, quality.valid_rate or 0))
                return found

        return asyncio.run(look())

    def published(self, run_id: str) -> list[str]:
        """The events that a run has published, by type."""

        async def look() -> list[str]:
            async with App(self.store, [monthly_prices]) as app:
                return [one.name or "" for one in await app.history(run_id) if one.kind == "event_published"]

        return asyncio.run(look())


def tell(result: WorkflowResult) -> None:
    """One line a run."""
    facts = result.context.get_output("measure", default={})
    if result.status == RunStatus.SUCCEEDED:
        wildest = result.context.get_output("explain")
        words = f"{facts['annual_return']:+7.1%} a year, volatility {facts['volatility']:.0%}"
        words += f", wildest {wildest['month'][:7]} {wildest['change']:+.0%}" if wildest else ""
    else:
        words = f"{result.status}: {result.error}"
    print(f"  {result.run_id:<13} {words}")


def story(folder: Path) -> Desk:
    """Two months of five symbols: one bad delivery, one that is worse than usual, and a warehouse that is away."""
    desk = Desk(folder)
    print("February: all is well")
    for symbol in SYMBOLS:
        tell(desk.run(symbol, FEBRUARY))

    print("\nMarch: the warehouse is away for one, and two deliveries are damaged")
    for symbol in SYMBOLS:
        tell(desk.run(symbol, MARCH, warehouse="elsewhere" if symbol == "AMZN" else "warehouse"))
    print(f"  IBM-2010-03 passed its gate, and published: {', '.join(desk.published('IBM-2010-03'))}")

    print("\nA better delivery of GOOG comes, and a person releases what was set aside")
    feed.deliver(desk.feed, "GOOG", MARCH, damaged=False)
    tell(desk.runner.resume("GOOG-2010-03"))

    print("\nAMZN goes on from its checkpoint, to a warehouse that is there")
    state = desk.runner.checkpoint("AMZN-2010-03")
    print(f"  done: {', '.join(state.completed_steps)}; next: {state.next_step}")
    there = {"warehouse": str(desk.warehouse)}
    tell(desk.runner.execute(monthly_prices, there, checkpoint=state, run_id="AMZN-2010-03b"))

    print("\nWhat read measured, run after run")
    for run_id, records, valid in desk.measured():
        print(f"  {run_id:<13} {records} records, {valid:.0%} valid")
    return desk


def main() -> None:
    """Tell the story in a fresh folder."""
    parser = argparse.ArgumentParser(description="Monthly prices, one partition at a time.")
    parser.add_argument("--dir", type=Path, default=Path(".ripresa"), help="where to work (.ripresa)")
    folder = parser.parse_args().dir.resolve() / "market-data"
    shutil.rmtree(folder, ignore_errors=True)
    story(folder)


if __name__ == "__main__":
    main()
