"""Reading in memory: the port's verbs."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from itertools import islice
from operator import attrgetter

from ripresa.ports.reading import Loaded, Page, RunFilter
from ripresa.ports.rows import Attempt, Definition, HistoryEvent, LogLine, Message, Outgoing, Quality, Run
from ripresa.stores.counting import by_version
from ripresa.stores.memory.hold import Hold
from ripresa.stores.paging import cursor_after, read_cursor
from ripresa.stores.undecided import by_start, undecided


class ReadingVerbs(Hold):
    """The verbs of `ports.reading.ReadingStore`, for the memory store."""

    async def load(self, runs: list[str]) -> list[Loaded]:
        return [self._load(run) for run in runs if run in self.database.runs]

    async def statuses(self, runs: list[str]) -> dict[str, str]:
        return {run: known.status for run in runs if (known := self.database.runs.get(run)) is not None}

    async def get_run(self, ref: str) -> Run | None:
        runs = self.database.runs
        return runs.get(ref) or runs.get(self.database.keys.get(ref, ""))

    async def list_runs(self, where: RunFilter, *, limit: int, cursor: str | None = None) -> Page:
        last = None if cursor is None else read_cursor(cursor, where)
        by_key = where.key_prefix is not None
        found = self.database.by_key(where, last) if by_key else self.database.newest_first(where, last)
        runs = [run for run, _ in zip(found, range(limit + 1), strict=False)]
        if len(runs) <= limit:
            return Page(runs, None)
        runs.pop()
        return Page(runs, cursor_after((runs[-1].key or "") if by_key else runs[-1].id, where))

    async def count_runs(self) -> dict[str, int]:
        return dict(Counter(run.status for run in self.database.runs.values()))

    async def count_by_version(self, definition: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
        return by_version(
            (run.definition, run.version, run.status, 1)
            for run in self.database.runs.values()
            if definition in (None, run.definition)
        )

    async def history(self, run: str, *, after: int = 0, limit: int | None = None) -> list[HistoryEvent]:
        return _after(self.database.journal.get(run, []), after)[:limit]

    async def attempts(self, run: str) -> list[Attempt]:
        return sorted(self.database.attempts.get(run, {}).values(), key=by_start)

    async def logs(self, run: str, *, operation: str | None = None, after: int = 0) -> list[tuple[int, LogLine]]:
        return [
            (number, line)
            for number, line in self.database.logs.get(run, [])
            if number > after and operation in {None, line.operation}
        ]

    async def tags(self, run: str) -> dict[str, str]:
        return dict(sorted(self.database.tags.get(run, {}).items()))

    async def children(self, run: str) -> list[Run]:
        return [known for known in map(self.database.runs.__getitem__, self.database.ids) if known.parent == run]

    async def messages(self, run: str) -> list[Message]:
        return list(self.database.inbox.get(run, {}).values())

    async def outgoing(self, *, limit: int) -> list[Outgoing]:
        return list(self.database.outbox.values())[:limit]

    async def definitions(self) -> list[Definition]:
        return sorted(self.database.definitions.values(), key=attrgetter("name", "created_at", "version"))

    async def quality(
        self, definition: str, step: str | None = None, *, limit: int, not_of: str | None = None
    ) -> list[Quality]:
        newest = reversed(self.database.quality.get(definition, []))
        return list(islice((row for row in newest if step in {None, row.step} and row.run != not_of), limit))

    def _load(self, id: str) -> Loaded:
        run = self.database.runs[id]
        journal = self.database.journal.get(id, [])
        history = _after(journal, run.base_seq)
        tried = self.database.attempts.get(id, {}).values()
        attempts = undecided((attempt for attempt in tried if attempt.generation == run.base_seq), history)
        messages = list(self.database.inbox.get(id, {}).values())
        needs = sorted(self.database.needs.get(id, {}).values(), key=attrgetter("since", "operation"))
        return Loaded(run, history, attempts, messages, history[-1].seq if history else run.base_seq, needs)


def _after(journal: list[HistoryEvent], seq: int) -> list[HistoryEvent]:
    """Events with a higher number."""
    return journal[bisect_left(journal, seq + 1, key=attrgetter("seq")) :]
