"""Looks at the schema in which a simulation keeps its runs, by a connection and by queries of its own."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ripresa.ports.rows import Attempt, HistoryEvent, Message, Run
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.loading import whole
from ripresa.testing.sim_disk import Found, Held, PoolSeen, Slot

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

SQL = NamedSql("ripresa.testing", "sim_postgres.sql")


class Inspector:
    """What `sim_disk.Disk` tells, of a schema; `do` awaits the driver's answers."""

    def __init__(self, do: Callable[[Coroutine[Any, Any, Any]], Any], connection: Any) -> None:
        self._do = do
        self._connection = connection

    def close(self) -> None:
        """Look no more."""
        self._do(self._connection.close())

    def sql(self, statement: str) -> list[Any]:
        """Do something."""
        rows: list[Any] = self._do(self._connection.fetch(statement))
        return rows

    def empty(self) -> None:
        """Forget all that is there."""
        self._do(self._connection.execute(SQL["empty"]))

    def living(self) -> set[int]:
        return {number for (number,) in self._rows("living")}

    def held(self, runs: Iterable[str]) -> dict[str, Held]:
        return {run: Held(status, owner) for run, status, owner in self._rows("held", list(runs))}

    def run(self, ref: str) -> Run | None:
        return next(iter(self._whole(Run, "run", ref)), None)

    def journal(self, run: str) -> list[HistoryEvent]:
        return self._whole(HistoryEvent, "journal", run)

    def inbox(self, run: str) -> list[Message]:
        return self._whole(Message, "inbox", run)

    def open_keys(self) -> list[str | None]:
        return [key for (key,) in self._rows("open_keys")]

    def granted(self) -> set[tuple[str, str]]:
        return {(run, operation) for run, operation in self._rows("granted")}

    def needs(self) -> list[tuple[str, str]]:
        return [(run, operation) for run, operation in self._rows("needs")]

    def pools(self) -> list[PoolSeen]:
        slots: defaultdict[str, list[Slot]] = defaultdict(list)
        for pool, *slot in self._rows("slots"):
            slots[pool].append(Slot(*slot))
        return [PoolSeen(name, circuit, slots[name]) for name, circuit in self._rows("pools")]

    def found(self) -> Found:
        runs = self._whole(Run, "runs")
        ids = [run.id for run in runs]
        return Found(
            runs=runs,
            history=_by_run(ids, self._whole(HistoryEvent, "all_history")),
            attempts=_by_run(ids, self._whole(Attempt, "all_attempts")),
            messages=_by_run(ids, self._whole(Message, "all_messages")),
            ready={run for (run,) in self._rows("ready")},
            tickets=[(run, operation) for run, operation in self._rows("tickets")],
        )

    def _rows(self, query: str, *params: Any) -> list[Any]:
        rows: list[Any] = self._do(self._connection.fetch(SQL[query], *params))
        return rows

    def _whole(self, kind: type[Any], query: str, *params: Any) -> list[Any]:
        rows: list[Any] = self._do(whole(self._connection, kind, self._rows(query, *params)))
        return rows


def _by_run(runs: list[str], rows: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {run: [] for run in runs}
    for row in rows:
        found.setdefault(row.run, []).append(row)
    return found
