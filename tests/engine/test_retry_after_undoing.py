"""A retried run does again what its saga had undone, and under another idempotency key."""

import pytest

from ripresa import App, RunFailed, context, step, workflow
from ripresa.kernel import history as h


@pytest.mark.parametrize("evict_after", ["30s", 0])
async def test_what_was_undone_is_done_again_on_retry(evict_after):
    ledger: list[tuple[str, str]] = []

    def note(what: str) -> None:
        ledger.append((what, context().idempotency_key))

    @step
    async def refund(item: str, result: int) -> None:
        note(f"refund {item} {result}")

    @step(compensate=refund)
    async def charge(item: str) -> int:
        note(f"charge {item}")
        return len(item)

    @step
    async def look() -> str:
        note("look")
        return "seen"

    @step
    async def ship() -> str:
        note("ship")
        if [what for what, _ in ledger].count("ship") == 1:
            raise ConnectionError
        return "shipped"

    @workflow
    async def order() -> str:
        await look()
        await charge("hat")
        await charge("scarf")
        return await ship()

    async with App("memory://", [order], evict_after=evict_after) as app:
        run = await app.start(order, id="order")
        with pytest.raises(RunFailed, match="ship"):
            await run.result("10s")
        await app.retry("order")
        assert await run.result("10s") == "shipped"
        undone = [event.operation for event in await app.history("order") if event.kind == h.STEP_COMPLETED]
        assert undone.count("undo:charge") == 1
        assert undone.count("undo:charge#2") == 1

    assert [what for what, _ in ledger] == [
        *("look", "charge hat", "charge scarf", "ship", "refund scarf 5", "refund hat 3"),
        *("charge hat", "charge scarf", "ship"),
    ]
    keys = dict.fromkeys(key for what, key in ledger if what == "charge hat")
    assert len(keys) == 2, "another charge than the one that was refunded"
