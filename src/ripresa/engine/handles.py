"""Handles: a run, or a page of runs, as a program holds them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.errors import RunError
from ripresa.contracts.payload import load
from ripresa.contracts.status import RunStatus
from ripresa.ports.reading import RunFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.engine.app import App
    from ripresa.ports import rows

R = TypeVar("R")


class Run(Generic[R]):
    """A handle of one run; `refresh` brings its fields up to date."""

    def __init__(self, app: App, row: rows.Run) -> None:
        self._app = app
        self.row = row

    @property
    def id(self) -> str:
        """The id given at start, else the run's UUID."""
        return self.row.key or self.row.id

    @property
    def uuid(self) -> str:
        """The run's UUID (version 7)."""
        return self.row.id

    @property
    def definition(self) -> str:
        """Name of the workflow."""
        return self.row.definition

    @property
    def status(self) -> RunStatus:
        """Status as of the last look: start, `refresh` or `result`."""
        return RunStatus(self.row.status)

    async def refresh(self) -> Self:
        """Look again."""
        self.row = await self._app.opened().verbs.find(self.row.id)
        return self

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait for the output.

        Raises RunFailed (with `cause`), RunCancelled, RunQuarantined, RunBlocked; TimeoutError if `timeout` (real
        time) runs out: the run goes on.
        """
        seconds = None if timeout is None else micros(timeout, where="result(timeout)") / 1e6
        engine = self._app.opened()
        try:
            if seconds is None:
                self.row = await engine.verbs.result(self.row.id)
            else:
                async with asyncio.timeout(seconds):
                    self.row = await engine.verbs.result(self.row.id)
        except TimeoutError:
            msg = f"run {self.id!r} has not ended within {timeout}; it goes on"
            raise TimeoutError(msg) from None
        except RunError:
            await self.refresh()
            raise
        workflow = self._app.find_workflow(self.row.definition, self.row.version)
        text = self.row.output or "null"
        value: R = load(text) if workflow is None else workflow.decode(text)
        return value

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.definition}: {self.row.status}>"


class RunList(list[Run[Any]]):
    """A page of runs; `cursor` asks for the next one, None: this was the last."""

    def __init__(self, runs: Iterable[Run[Any]], cursor: str | None) -> None:
        super().__init__(runs)
        self.cursor = cursor


def run_filter(
    *,
    status: str | Iterable[str] | None = None,
    workflow: Any = None,
    tags: dict[str, str] | None = None,
    id_prefix: str | None = None,
) -> RunFilter:
    """A store's filter from what people give.  Raises ValueError for a status that does not exist."""
    wanted = (status,) if isinstance(status, str) else tuple(status or ())
    known = {one.value for one in RunStatus}
    for one in wanted:
        if one not in known:
            msg = f"status {one!r} does not exist (there are: {', '.join(sorted(known))})"
            raise ValueError(msg)
    name = workflow if workflow is None or isinstance(workflow, str) else workflow.name
    return RunFilter(tuple(str(one) for one in wanted), name, None, tuple(sorted((tags or {}).items())), id_prefix)


def ref_of(run: Run[Any] | str) -> str:
    """What the store knows the run by: an id as given, a handle's UUID."""
    if isinstance(run, str):
        return run
    if not isinstance(run, Run):
        msg = f"run: {run!r} is neither a run nor its id"
        raise TypeError(msg)
    return run.uuid
