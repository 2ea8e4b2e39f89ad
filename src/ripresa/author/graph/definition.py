"""Definitions of graphs: what an App is given, and a store keeps, of a graph.

As `author.workflow.WorkflowDefinition` is for functions: the same members, so that the engine knows no difference.
"""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime
from datetime import date as Day  # noqa: N812 - `date` is a run's
from typing import TYPE_CHECKING, Any

from ripresa.author.dates import RunDates, Schedule
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.program import follow
from ripresa.author.running import running
from ripresa.contracts.payload import dump, load

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Graph


class GraphDefinition:
    """A workflow that is a graph.

    `label` is the author's version, `body` what is kept of it in the store.
    """

    __ripresa__ = "workflow"
    kind = "graph"

    name: str
    label: str | None
    graph: Graph
    signature: GraphInput
    body: str
    schedule: Any = None
    """As `ripresa.author.dates.Schedule.of` takes it."""

    def __init__(
        self, graph: Graph, *, signature: GraphInput | None = None, label: str | None = None, body: str | None = None
    ) -> None:
        self.name = graph.name
        self.label = label
        self.graph = graph
        self.signature = signature or GraphInput(graph.name, {})
        self.body = body or ", ".join(graph.by_name)

    @functools.cached_property
    def version(self) -> str:
        """Content hash of the body."""
        return hashlib.blake2b(f"{self.label}\0{self.body}".encode("utf-8", "replace"), digest_size=8).hexdigest()

    def call(self, text: str) -> Any:
        """Run the graph on an input's JSON text."""
        return self._follow(text)

    async def _follow(self, text: str) -> Any:
        run = running(self.name)
        given = self.signature.decode(text)
        started = datetime.fromtimestamp(run.started_us / 1e6, UTC)
        dates = self.dates(started if given.date is None else self.moment_of(given.date))
        values = {
            **dates.variables(),
            "date_texts": dates.texts(),
            "params": given.params,
            "config": given.config,
            "run_id": run.name,
        }
        return await follow(run, self.graph, values)

    @functools.cached_property
    def ticks(self) -> Schedule:
        """When its schedule ticks."""
        return Schedule.of(self.schedule)

    def dates(self, moment: datetime) -> RunDates:
        """The dates of the run of this logical date; one without a zone is of the schedule's."""
        return RunDates.of(self.ticks, moment)

    def moment_of(self, date: str) -> datetime:
        """The logical date that a text means; of a day alone, the first tick on that day, else its beginning."""
        if len(date) <= len("2026-01-31"):
            return self.ticks.logical_date_on(Day.fromisoformat(date))
        return datetime.fromisoformat(date)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The input as checked JSON text.  Raises PayloadError, TypeError."""
        return self.signature.encode(args, kwargs)

    def dump(self, value: Any) -> str:
        """The output as checked JSON text.  Raises PayloadError."""
        return dump(value, where=f"output of workflow {self.name}")

    def decode(self, text: str) -> Any:
        """The output from its JSON text."""
        return load(text)

    def __repr__(self) -> str:
        return f"<graph {self.name}>"
