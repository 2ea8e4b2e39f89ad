"""Definitions of graphs: what an App is given, and a store keeps, of a graph.

As `author.workflow.WorkflowDefinition` is for functions: the same members, so that the engine knows no difference.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.program import follow
from ripresa.author.running import running
from ripresa.contracts.payload import dump, load

if TYPE_CHECKING:
    from ripresa.author.graph.plan import Graph

    Dates = Callable[[datetime], Mapping[str, Any]]


class GraphDefinition:
    """A workflow that is a graph.

    `label` is the author's version, `body` what is kept of it in the store, `config` what values know as `config`.
    """

    __ripresa__ = "workflow"
    kind = "graph"

    name: str
    label: str | None
    graph: Graph
    signature: GraphInput
    body: str
    schedule: Any = None
    timezone: str | None = None
    config: Mapping[str, Any] = {}

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
        params, date = self.signature.decode(text)
        moment = datetime.fromtimestamp(run.started_us / 1e6, UTC) if date is None else _aware(date)
        values = {
            **self.dates(moment),
            "params": params,
            "config": self.config,
            "run_id": run.name,
        }
        return await follow(run, self.graph, values)

    def dates(self, moment: datetime) -> Mapping[str, Any]:
        """The date variables for a logical date."""
        return {"execution_date": moment.isoformat(), "ds": moment.date().isoformat(), "ts": moment.isoformat()}

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


def _aware(date: str) -> datetime:
    moment = datetime.fromisoformat(date)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
