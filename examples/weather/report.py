"""The report: one HTML page that needs nothing else.

The same values give the same page, byte for byte: writing it twice leaves what writing it once leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from html import escape

from months import MonthSummary, RecordSummary
from observations import QuarantinedRow

STYLE = """
:root{color-scheme:light dark;--ink:light-dark(#0b0b0b,#fff);--soft:light-dark(#52514e,#c3c2b7);
--paper:light-dark(#fcfcfb,#1a1a19);--line:light-dark(#e1e0d9,#2c2c2a);--bad:light-dark(#a83030,#ef8d8d)}
body{margin:0 auto;max-width:1120px;padding:32px 16px 64px;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
h1{font-size:28px;margin:0} h2{font-size:18px;margin:40px 0 8px} p,footer{color:var(--soft);max-width:75ch}
figure{margin:24px 0;overflow-x:auto} svg{min-width:720px;width:100%;height:auto;display:block}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:24px;margin:24px 0}
dt{color:var(--soft);font-size:14px} dd{margin:0;font-size:24px;font-weight:600}
dd small{display:block;font-size:14px;font-weight:400}
.wide{overflow-x:auto} table{border-collapse:collapse;font-size:14px;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:500} th:first-child,td:first-child{text-align:left}
.words td,.words th{text-align:left;white-space:normal;vertical-align:top} .words td:last-child{color:var(--bad)}
summary{cursor:pointer;padding:8px 0;font-weight:500} code{font-size:13px}
"""


def page(
    chart: str,
    months: Sequence[MonthSummary],
    record: RecordSummary,
    quarantined: Sequence[QuarantinedRow],
    approved_by: str | None = None,
) -> str:
    """The report as HTML."""
    years = f"{record.first_month[:4]}–{record.last_month[:4]}"
    approval = f" Its publication was approved by {escape(approved_by)}." if approved_by else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Seattle weather, {years}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Seattle weather, {years}</h1>
<p>{record.days:,} daily observations in {len(months)} months, summarised by a durable workflow.{approval}</p>
{_figures(record)}
<figure>{chart}</figure>
<h2>Years</h2>
{_years(record)}
<h2>Months</h2>
{"".join(_months(months, year.year) for year in record.years)}
<h2>Quarantined rows</h2>
{_quarantined(quarantined)}
<footer>
<p>A wet day has 1 mm or more, and a dry spell is a run of days with less. A day’s mean is half-way between its
extremes. An anomaly is the difference from the normal, which is the same measure of NOAA’s 30-year averages. Four
years say nothing about the climate. Data: NOAA, Seattle–Tacoma airport, as shipped by vega_datasets.</p>
</footer>
</body>
</html>
"""


def _figures(record: RecordSummary) -> str:
    spell = record.longest_dry_spell
    figures = [
        ("Warmest day", degrees(record.warmest.value), long(record.warmest.date)),
        ("Coldest night", degrees(record.coldest.value), long(record.coldest.date)),
        ("Wettest day", f"{record.wettest.value:.0f} mm", long(record.wettest.date)),
    ]
    if spell:
        figures.append(("Longest dry spell", f"{spell.days} days", f"{long(spell.first)} – {long(spell.last)}"))
    tiles = (f"<div><dt>{name}</dt><dd>{value}<small>{when}</small></dd></div>" for name, value, when in figures)
    return f"<dl>{''.join(tiles)}</dl>"


def _years(record: RecordSummary) -> str:
    rows = (
        [year.year, degrees(year.mean), change(year.anomaly), f"{year.precipitation:,.0f} mm", year.wet_days]
        for year in record.years
    )
    return _table(["Year", "Mean", "Anomaly", "Precipitation", "Wet days"], rows)


def _months(months: Sequence[MonthSummary], year: int) -> str:
    names = ["Month", "Mean", "Anomaly", "Mean day", "Mean night", "Warmest", "Coldest", "Trend a week"]
    names += ["Precipitation", "Wet days", "Longest dry spell"]
    rows = (
        [
            month.month, degrees(month.mean), change(month.anomaly), degrees(month.mean_max), degrees(month.mean_min),
            degrees(month.warmest.value), degrees(month.coldest.value), change(month.trend_per_week),
            f"{month.precipitation:.0f} mm", month.wet_days, f"{month.longest_dry_spell} days",
        ]
        for month in months
        if month.month.startswith(str(year))
    )  # fmt: skip
    return f"<details><summary>{year}</summary>{_table(names, rows)}</details>"


def _quarantined(rows: Sequence[QuarantinedRow]) -> str:
    if not rows:
        return "<p>None: every row met the contract.</p>"
    table = _table(
        ["Where", "Row", "Why"],
        ([f"{row.source}:{row.line}", ", ".join(row.row.values()), "; ".join(row.reasons)] for row in rows),
        kind="words",
    )
    return f"<p>{len(rows)} rows broke the contract of an observation and are in no number above.</p>{table}"


def _table(names: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "") -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<div class="wide">{table}</div>'


def long(day: date) -> str:
    """A date as `7 December 2013`."""
    return f"{day.day} {day:%B %Y}"


def degrees(value: float) -> str:
    """A temperature: `−7.1 °C`."""  # noqa: RUF002 - as it is printed
    return f"{value:z.1f} °C".replace("-", "−")  # noqa: RUF001 - a minus sign


def change(value: float | None) -> str:
    """A difference of temperatures: `+0.4 °C`."""
    return "–" if value is None else f"{value:+z.1f} °C".replace("-", "−")  # noqa: RUF001 - a minus sign
