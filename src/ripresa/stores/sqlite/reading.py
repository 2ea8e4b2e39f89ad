"""Reading on SQLite: the port's verbs."""

from __future__ import annotations

import json

from ripresa.ports.reading import Loaded, Page, RunFilter
from ripresa.ports.rows import Attempt, Definition, HistoryEvent, LogLine, Message, Outgoing, Quality, Run
from ripresa.stores.counting import by_version
from ripresa.stores.sqlite.hold import Hold
from ripresa.stores.sqlite.lists import list_runs
from ripresa.stores.sqlite.loading import SQL, load_runs, run_of

# A load beyond these goes to the reading thread.
_RUNS_LOADED_HERE = 8
_EVENTS_LOADED_HERE = 1_000  # of one run


class ReadingVerbs(Hold):
    """The verbs of `ports.reading.ReadingStore`, for the SQLite store."""

    async def load(self, runs: list[str]) -> list[Loaded]:
        if len(runs) <= _RUNS_LOADED_HERE:
            loaded = await self._look_up(lambda connection: load_runs(connection, runs, _EVENTS_LOADED_HERE))
            if all(len(run.history) < _EVENTS_LOADED_HERE for run in loaded):
                return loaded
        return await self._read(lambda connection: load_runs(connection, runs))

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        return dict(await self._fetch("statuses", ("id", "status"), {"runs": json.dumps(runs)}))

    async def get_run(self, ref: str) -> Run | None:
        return await self._look_up(lambda connection: run_of(connection, ref))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        return await self._read(lambda connection: list_runs(connection, where, limit=limit, cursor=cursor))

    async def count_runs(self) -> dict[str, int]:
        return dict(await self._fetch("counts", ("status", "runs"), {}))

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        query = "counts_by_version" if definition is None else "counts_by_version_of"
        columns = ("definition", "version", "status", "runs")
        return by_version(await self._fetch(query, columns, {"definition": definition}))

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        params = {"run": run, "after": after, "limit": -1 if limit is None else limit}
        return await self._rows(HistoryEvent, "history", params)

    async def attempts(self, run: str) -> list[Attempt]:
        return await self._rows(Attempt, "attempts", {"run": run})

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        params = {"run": run, "operation": operation, "after": after}
        rows = await self._fetch("logs", ("number", *LogLine._fields), params)
        return [(number, LogLine._make(line)) for number, *line in rows]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(await self._look_up(lambda connection: connection.execute(SQL["tags"], (run,)).fetchall()))

    async def children(self, run: str) -> list[Run]:
        return await self._rows(Run, "children", {"run": run})

    async def messages(self, run: str) -> list[Message]:
        return await self._rows(Message, "messages", {"run": run})

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        return await self._rows(Outgoing, "outgoing", {"limit": limit})

    async def definitions(self) -> list[Definition]:
        return await self._rows(Definition, "definitions", {})

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        params = {"definition": definition, "step": step, "not_of": not_of, "limit": limit}
        return await self._rows(Quality, "quality" if step is None else "quality_of_step", params)
