"""Lists: filters, pages and cursors."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa.ports.reading import RunFilter
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import (
    A,
    B,
    C,
    D,
    Engine,
    ids,
    new_run,
    run_id,
)


class Lists(Promises):
    """What holds of lists of runs."""

    async def test_each_filter_lists_the_runs_that_fit_newest_first(self, engine: Engine) -> None:
        await engine.commit(
            runs=[
                new_run(A, key="order-1"),
                new_run(B, key="order-2", status="failed", parent=A),
                new_run(C, key="bill-1", definition="bills", parent=A),
                new_run(D, status="waiting", definition="bills"),
            ],
            tags=[(A, "region", "eu"), (B, "region", "eu"), (D, "region", "us"), (B, "tier", "1")],
        )
        store = engine.store
        assert await ids(store) == [D, C, B, A]
        assert await ids(store, status=("running",)) == [C, A]
        assert await ids(store, status=("failed", "waiting", "running", "failed")) == [D, C, B, A]
        assert await ids(store, definition="bills") == [D, C]
        assert await ids(store, parent=A) == [C, B]
        assert await ids(store, tags=(("region", "eu"),)) == [B, A]
        assert await ids(store, tags=(("region", "eu"), ("tier", "1"))) == [B]
        assert await ids(store, key_prefix="order-") == [A, B]  # this one in order of keys
        assert await ids(store, status=("nonsense",)) == []

    async def test_every_filter_that_is_given_must_fit(self, engine: Engine) -> None:
        fits = {"key": "order-1", "status": "failed", "parent": D, "definition": "orders"}
        misses = [{"key": "x"}, {"status": "waiting"}, {"parent": C}, {"definition": "bills"}]
        runs = [new_run(A, **fits)]
        for number, miss in enumerate(misses, start=5):
            # Keys are unique: only one run can fit in all but another thing than the key.
            runs.append(new_run(run_id(number), **{**fits, "key": f"order-1-{number}", **miss}))
        runs.append(new_run(run_id(99), **{**fits, "key": "order-99"}))  # all but the tag
        tags = [(run.id, "region", "us" if run.id == run_id(99) else "eu") for run in runs]
        await engine.commit(runs=runs, tags=tags)
        where: dict[str, Any] = {
            "status": ("failed",),
            "definition": "orders",
            "parent": D,
            "tags": (("region", "eu"),),
            "key_prefix": "order-",
        }
        assert await ids(engine.store, **where) == [A]
        for left_out in where:
            found = await ids(engine.store, **{name: value for name, value in where.items() if name != left_out})
            assert A in found
            assert len(found) == 2

    @pytest.mark.parametrize(
        "where",
        [
            RunFilter(),
            RunFilter(status=("running", "failed")),
            RunFilter(definition="orders"),
            RunFilter(parent=A),
            RunFilter(tags=(("region", "eu"),)),
            RunFilter(key_prefix="k"),
        ],
    )
    async def test_pages_neither_repeat_nor_leave_out_a_run(self, engine: Engine, where: RunFilter) -> None:
        many = [run_id(number) for number in range(100, 125)]
        fields = [{"key": f"k{run}", "parent": A, "status": "failed" if run > many[12] else "running"} for run in many]
        await engine.commit(
            runs=[new_run(run, **given) for run, given in zip(many, fields, strict=True)],
            tags=[(run, "region", "eu") for run in many],
        )
        seen: list[str] = []
        page = await engine.store.list_runs(where, limit=10)
        newer = run_id(999)
        await engine.commit(runs=[new_run(newer, key="k", parent=A)], tags=[(newer, "region", "eu")])
        for size in (10, 5):
            assert len(page.runs) == 10
            seen += [run.id for run in page.runs]
            assert page.cursor is not None
            page = await engine.store.list_runs(where, limit=size, cursor=page.cursor)
        seen += [run.id for run in page.runs]
        assert page.cursor is None  # a full page, and the last one
        assert seen == (many if where.key_prefix else many[::-1])

    async def test_a_cursor_that_was_altered_or_is_anothers_is_refused(self, engine: Engine) -> None:
        await engine.commit(runs=[new_run(A), new_run(B), new_run(C)])
        cursor = (await engine.store.list_runs(RunFilter(), limit=1)).cursor
        assert cursor is not None
        altered = ("A" if cursor[0] != "A" else "B") + cursor[1:]
        for wrong in (altered, cursor[:-3], cursor + "!", "", "é", "AAAA", run_id(1)):
            with pytest.raises(ValueError, match="first page without a cursor"):
                await engine.store.list_runs(RunFilter(), limit=1, cursor=wrong)
        with pytest.raises(ValueError, match="first page without a cursor"):
            await engine.store.list_runs(RunFilter(definition="orders"), limit=1, cursor=cursor)
