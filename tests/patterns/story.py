"""Stories: what a run did, as its journal tells it, in the run's own (virtual) time."""

from __future__ import annotations

from ripresa.testing.clock import EPOCH_US

HOUR = 3_600_000_000
"""Microseconds."""


async def completed(app, run):
    """The names of the steps that succeeded, in that order."""
    return [event.name for event in await app.history(run) if event.kind == "step_completed"]


async def statuses(app, run):
    """What became of each node of a graph."""
    return {name: node["status"] for name, node in (await app.query(run, "graph")).items()}


async def hours(app, run):
    """How many hours the run took."""
    events = await app.history(run)
    return (events[-1].at - events[0].at) / HOUR


async def hours_of(app, run, step):
    """The hours, from the beginning of time, in which the step of this name was begun."""
    events = await app.history(run)
    return [(one.started_at - EPOCH_US) / HOUR for one in events if one.kind == "step_completed" and one.name == step]
