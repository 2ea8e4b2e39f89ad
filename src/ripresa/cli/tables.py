"""Tables: records for people, in columns; colours only on a terminal that wants them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ripresa.cli.output import write

if TYPE_CHECKING:
    from ripresa.contracts.records import HistoryRecord, JobRun, StepRecord


def runs(found: list[JobRun]) -> None:
    """A line a run."""
    for one in found:
        write(f"{one.id}  {one.definition}  {one.status}  {one.created_at}")


def run(found: JobRun, steps: list[StepRecord], children: list[JobRun]) -> None:
    """One run and its steps."""
    write(f"{found.id}  {found.definition}  {found.status}")
    for step in steps:
        write(f"  {step.operation}  {step.status}  {short(step.output)}")
    for child in children:
        write(f"  child {child.id}  {child.definition}  {child.status}")


def history(events: list[HistoryRecord]) -> None:
    """A line an event."""
    for event in events:
        write(f"{event.seq:>5}  {event.at}  {event.kind}  {event.operation or ''}  {short(event.output)}")


def short(value: Any, width: int = 60) -> str:
    """A value in a few words."""
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= width else f"{text[: width - 1]}…"
