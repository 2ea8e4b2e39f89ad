"""Reading on PostgreSQL: the port's verbs."""

from __future__ import annotations

from ripresa.ports.reading import Loaded, Page, RunFilter
from ripresa.ports.rows import Attempt, Definition, HistoryEvent, LogLine, Message, Quality, Run
from ripresa.stores.counting import by_version
from ripresa.stores.postgres.hold import Hold
from ripresa.stores.postgres.lists import list_runs
from ripresa.stores.postgres.loading import SQL, load_runs, rows_of, run_of
from ripresa.stores.postgres.texts import restored, storable_value


class ReadingVerbs(Hold):
    """The verbs of `ports.reading.ReadingStore`, for the PostgreSQL store."""

    async def load(self, runs: list[str]) -> list[Loaded]:
        return await self._work.do(lambda one: load_runs(one, runs))

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        return dict(await self._look(lambda one: one.fetch(SQL["statuses"], runs)))

    async def get_run(self, ref: str) -> Run | None:
        return await self._look(lambda one: run_of(one, storable_value(ref)))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        return await self._look(lambda one: list_runs(one, where, limit=limit, cursor=cursor))

    async def count_runs(self) -> dict[str, int]:
        return dict(await self._look(lambda one: one.fetch(SQL["counts"])))

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        return by_version(await self._look(lambda one: one.fetch(SQL["counts_by_version"], definition)))

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        return await self._rows(HistoryEvent, "history", run, after, limit)

    async def attempts(self, run: str) -> list[Attempt]:
        return await self._rows(Attempt, "attempts", run)

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        rows = await self._look(lambda one: one.fetch(SQL["logs"], run, after, operation))
        return [(number, LogLine._make([*line, restored(text)])) for number, *line, text in rows]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(await self._look(lambda one: one.fetch(SQL["tags"], run)))

    async def children(self, run: str) -> list[Run]:
        return await self._rows(Run, "children", run)

    async def messages(self, run: str) -> list[Message]:
        return await self._work.do(lambda one: rows_of(one, Message, "messages", run))

    async def definitions(self) -> list[Definition]:
        return await self._rows(Definition, "definitions")

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        if step is None:
            return await self._rows(Quality, "quality", definition, not_of, limit)
        return await self._rows(Quality, "quality_of_step", definition, not_of, limit, step)
