"""Add up a day's lines: by department, by hour, by product, and all together, each as a Parquet file."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import duckdb

TOTALS = """
    SELECT COALESCE(SUM(sales_value), 0) AS sales, COALESCE(SUM(discount), 0) AS discount,
           COUNT(DISTINCT basket_id) AS baskets, COUNT(DISTINCT household_id) AS households,
           COUNT(DISTINCT store_id) AS stores, COUNT(*) AS lines
    FROM lines
"""
HOURS = """
    SELECT hour, COALESCE(SUM(sales_value), 0) AS sales
    FROM range(24) AS hours(hour) LEFT JOIN lines ON hour = HOUR(sold_at) GROUP BY hour ORDER BY hour
"""
PRODUCTS = """
    SELECT product_type AS product, department, SUM(quantity) AS units, SUM(sales_value) AS sales
    FROM lines GROUP BY ALL ORDER BY sales DESC, product LIMIT 10
"""
DEPARTMENT = """
    SELECT department, SUM(sales_value) AS sales, SUM(discount) AS discount, COUNT(DISTINCT basket_id) AS baskets
    FROM lines WHERE department = ? GROUP BY department
"""


def main() -> int:
    """Transform what RAW names; the exit code."""
    raw, lake = Path(os.environ["RAW"]), Path(os.environ["LAKE"])
    note(lake)
    mart = lake / "mart" / raw.relative_to(lake / "raw")
    mart.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    database.execute(f"CREATE VIEW every_line AS FROM read_parquet('{raw}/lines.parquet')")
    database.execute("CREATE VIEW lines AS FROM every_line WHERE valid")
    departments = one_by_one(database, float(os.environ.get("PACE_S", "0")))
    for name, query in {"totals": TOTALS, "hours": HOURS, "products": PRODUCTS, "departments": departments}.items():
        write(database, query, mart / f"{name}.parquet")
    sales, count = database.execute(
        f"SELECT SUM(sales), COUNT(*) FROM read_parquet('{mart}/departments.parquet')"  # noqa: S608 - as above
    ).fetchall()[0]
    print(f"{count} departments sold {sales:,.2f}")
    output = {"departments": count, "sales": round(sales, 2), "path": str(mart)}
    Path(os.environ["JOB_OUTPUT"]).write_text(json.dumps(output), "utf-8")
    return 0


def one_by_one(database: duckdb.DuckDBPyConnection, pace_s: float) -> str:
    """Add up each department, staying with it for a while if asked to; a query for them all."""
    names = [row[0] for row in database.execute("SELECT DISTINCT department FROM lines ORDER BY 1").fetchall()]
    database.execute("CREATE TABLE departments (department TEXT, sales DOUBLE, discount DOUBLE, baskets BIGINT)")
    for name in names:
        database.execute(f"INSERT INTO departments {DEPARTMENT}", [name])
        print(f"{name.lower()} is added up", flush=True)
        time.sleep(pace_s)
    return "SELECT * FROM departments ORDER BY sales DESC, department"


def write(database: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """The query's rows as a Parquet file, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.environ['ATTEMPT']}")
    database.sql(query).write_parquet(str(draft))
    draft.replace(path)


def note(lake: Path) -> None:
    """Write into the ledger that this attempt began, before anything else: see demo.py."""
    line = {name.lower(): os.environ[name] for name in ("JOB", "ATTEMPT", "IDEMPOTENCY_KEY")}
    with (lake / "ledger.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "pid": os.getpid()}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
