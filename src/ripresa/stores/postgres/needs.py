"""Needs on PostgreSQL: the port's verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ripresa.ports.lease import Lease
from ripresa.ports.needs import Need
from ripresa.ports.rows import Micros
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.postgres.batch import packed
from ripresa.stores.postgres.hold import Hold, call

SQL = NamedSql("ripresa.stores.postgres", "needs.sql")

CLAIM_FITTING = call("claim_fitting_2", 8)


class NeedVerbs(Hold, ABC):
    """The verbs of `ports.needs.NeedStore`, for the PostgreSQL store."""

    @abstractmethod
    async def _take(self, query: str, lease: Lease, *about: Any, leave: frozenset[tuple[str, str]]) -> list[str]:
        """What the store itself does."""

    async def claim_fitting(
        self, lease: Lease, *, labels: frozenset[str], limit: int, leave: frozenset[tuple[str, str]] = frozenset()
    ) -> list[str]:
        return await self._take(CLAIM_FITTING, lease, packed(sorted(labels)), limit, leave=leave)

    async def needs(self, runs: list[str]) -> list[Need]:
        return [Need(*row) for row in await self._look(lambda one: one.fetch(SQL["needs"], runs))]

    async def dues(self, runs: list[str]) -> dict[str, Micros]:
        return dict(await self._look(lambda one: one.fetch(SQL["dues"], runs)))
