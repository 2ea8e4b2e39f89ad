"""`ripresa validate`: definition files and folders, checked without running anything."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ripresa.cli.exits import USAGE, Ended, say
from ripresa.cli.options import FormatGiven
from ripresa.cli.output import emit, write


def validate(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, or folders with definitions.", show_default=False),
    ],
    *,
    portable: Annotated[
        bool, typer.Option("--portable", help="Also say what cannot run on other orchestrators.")
    ] = False,
    output: FormatGiven = None,
) -> None:
    """Check workflow and job files: every problem at once, each with its place and a remedy.

    Ends with 2 if anything is wrong.  Warnings are told beside; they refuse nothing.
    """
    from ripresa.cli.validating import validated

    reports = validated(paths, portable=portable)
    shown = [{key: value for key, value in report.items() if not key.startswith("_")} for report in reports]
    emit(shown, output, lambda: _write(reports))
    wrong = sum(not report["ok"] for report in reports)
    if wrong:
        count = sum(len(report["problems"]) for report in reports)
        say(f"{count} problem{'s'[: count != 1]} in {wrong} of {len(reports)} file{'s'[: len(reports) != 1]}")
        raise Ended(USAGE)


def _write(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        if report["ok"]:
            write(_line(report))
        for problem in report["_"]:
            for line in problem.lines():
                say(line)
        for warning in report.get("_warnings", ()):
            for number, line in enumerate(warning.lines()):
                say(line if number else f"warning: {line}")


def _line(report: dict[str, Any]) -> str:
    label = f" {report['label']}" if report.get("label") else ""
    line = f"ok  {report['file']}: {report['kind']} {report['name']}{label}, version {report['version']}"
    if "jobs" in report:
        line += f", {report['jobs']} job{'s'[: report['jobs'] != 1]}"
    if report.get("starts"):
        line += f", next {report['starts'][0]}"
    return line
