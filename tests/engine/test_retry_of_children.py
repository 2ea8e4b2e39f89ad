"""A retried run has its failed children tried again too, and neither repeats what had succeeded."""

import pytest

from ripresa import App, RunFailed, child, step, workflow


@pytest.mark.parametrize("evict_after", ["30s", 0])
async def test_a_retried_parent_has_its_failed_child_tried_again(evict_after):
    calls: list[str] = []

    @step
    async def sure() -> int:
        calls.append("sure")
        return 1

    @step
    async def shaky() -> int:
        calls.append("shaky")
        if calls.count("shaky") == 1:
            raise ValueError
        return 2

    @workflow
    async def inner() -> int:
        return await sure() + await shaky()

    @workflow
    async def outer() -> int:
        return await sure() + await child(inner)

    async with App("memory://", [inner, outer], evict_after=evict_after) as app:
        run = await app.start(outer, id="outer")
        with pytest.raises(RunFailed, match="shaky"):
            await run.result("10s")
        await app.retry("outer")
        assert await run.result("10s") == 4
        assert calls == ["sure", "sure", "shaky", "shaky"]
        assert len(await app.list()) == 2
