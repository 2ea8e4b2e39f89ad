"""A flaky stand-in for a climate service: it serves real normals, after it has failed a few times.

What it serves is real: the normal temperature of each month of the year at Seattle–Tacoma airport, from NOAA's 30-year
averages for every hour of the year, which `vega_datasets` ships as `seattle-temps.csv`.  That it fails first is staged,
and the same each time: the first `failures` requests are answered "503 Service Unavailable".
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from statistics import fmean
from threading import Thread
from types import TracebackType
from typing import Self

from observations import packaged


def monthly_normals() -> list[float]:
    """Normal temperature of January to December, °C; a day counts half-way between its extremes, as in `months`."""
    days: dict[str, list[float]] = defaultdict(list)
    with packaged("seattle-temps.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):  # date is 2010/01/31 23:00, whatever the year; temp is in °F
            days[row["date"][:10]].append((float(row["temp"]) - 32) / 1.8)
    months: dict[str, list[float]] = defaultdict(list)
    for day, hours in days.items():
        months[day[5:7]].append((max(hours) + min(hours)) / 2)
    return [round(fmean(months[month]), 2) for month in sorted(months)]


class FlakyNormals:
    """The service, on a free port of this machine, for as long as the `with` block lasts."""

    def __init__(self, failures: int = 2) -> None:
        self.failures = failures
        self.answers: list[int] = []
        self._body = json.dumps({"unit": "celsius", "monthly_mean": monthly_normals()}).encode()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the terminal for the demo."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """Where the normals are."""
        return f"http://127.0.0.1:{self._server.server_port}/normals"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Fail as often as was asked for, then serve."""
        status = 503 if len(self.answers) < self.failures else 200
        self.answers.append(status)
        request.send_response(status)
        request.end_headers()
        request.wfile.write(self._body if status == 200 else b"")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
