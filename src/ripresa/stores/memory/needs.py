"""Needs in memory: the verbs of the port that are about them."""

from __future__ import annotations

import json
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING

from ripresa.stores.memory.database import GOING
from ripresa.stores.memory.hold import Hold

if TYPE_CHECKING:
    from ripresa.ports.lease import Lease
    from ripresa.ports.needs import Need
    from ripresa.ports.rows import Micros


class NeedVerbs(Hold):
    """The verbs of `ports.needs.NeedStore`, for the memory store."""

    async def claim_fitting(
        self, lease: Lease, *, labels: frozenset[str], limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        self.database.confirm(lease)
        fitting = sorted(
            (need.labels, -need.priority, need.since, need.run)
            for of_run in self.database.needs.values()
            for need in of_run.values()
            if labels.issuperset(json.loads(need.labels))
        )
        ids = dict.fromkeys(run for *_, run in fitting if self._may_fit(run, leave))
        runs = list(islice(ids, limit))
        for run in runs:
            self.database.runs[run] = self.database.runs[run]._replace(owner=lease.engine)
            self.database.ready.remove(run)
        if runs:
            self._wrote()
        return runs

    def _may_fit(self, run: str, leave: frozenset[tuple[str, str]]) -> bool:
        known = self.database.runs[run]
        return known.owner is None and known.status in GOING and (known.definition, known.version) not in leave

    async def needs(self, runs: list[str]) -> list[Need]:
        found = [need for run in runs for need in self.database.needs.get(run, {}).values()]
        return sorted(found, key=attrgetter("since", "run", "operation"))

    async def dues(self, runs: list[str]) -> dict[str, Micros]:
        return {run: due for run in runs if (due := self.database.ready.due_of(run)) is not None}
