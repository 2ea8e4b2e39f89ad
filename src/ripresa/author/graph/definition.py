"""Definitions of graphs: what an App is given, and a store keeps, of a graph.

As `author.workflow.WorkflowDefinition` is for functions: the same members, so that the engine knows no difference.
"""

from __future__ import annotations

import functools
import hashlib
from datetime import UTC, datetime
from datetime import date as Day  # noqa: N812 - `date` is a run's
from typing import TYPE_CHECKING, Any, NamedTuple

from ripresa.author.dates import RunDates, Schedule
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.program import follow
from ripresa.author.running import running
from ripresa.contracts.line import Line, LinePolicy
from ripresa.contracts.payload import dump, load

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Expression, Graph


class Concurrency(NamedTuple):
    """How many runs with the same key go on at a time, and what one more does."""

    key: Expression
    limit: int
    policy: LinePolicy


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
    priority: int = 0
    """Of its runs, if none is given at start."""
    labels: tuple[str, ...] = ()
    """What each of its steps needs of the engine that carries it out."""
    concurrency: Concurrency | None = None
    idempotency_key: Expression | None = None
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
        return await follow(run, self.graph, {**self.values(text, run.started_us), "run_id": run.name})

    def values(self, text: str, started_us: int) -> dict[str, Any]:
        """What values may refer to before anything has run: params, settings, dates.  `started_us` since 1970."""
        given = self.signature.decode(text)
        started = datetime.fromtimestamp(started_us / 1e6, UTC)
        dates = self.dates(started if given.date is None else self.moment_of(given.date))
        return {
            **dates.variables(), "date_texts": dates.texts(), "params": given.params, "config": given.config,
        }  # fmt: skip

    def line_of(self, text: str, created_us: int) -> Line | None:
        """The line that a run of this input stands in.  Raises what rendering its key raises."""
        rule = self.concurrency
        if rule is None:
            return None
        key = str(rule.key(self.values(text, created_us)))
        return Line(f"{self.name}:{key}" if key else self.name, rule.limit, rule.policy)

    def run_key(self, text: str, now_us: int) -> str | None:
        """The id of a run of this input, if the definition says what makes two starts one run."""
        if self.idempotency_key is None:
            return None
        return f"{self.name}:{self.idempotency_key(self.values(text, now_us))}"

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
