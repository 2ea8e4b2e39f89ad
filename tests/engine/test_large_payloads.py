"""What is larger than a payload may be is refused with the limit and the remedy, where it comes from, once."""

from __future__ import annotations

import pytest

from ripresa import App, PayloadError, RunFailed, step, wait_for_signal, workflow

TOO_LARGE = "x" * (40 << 20)
TOLD = r"41,943,042 bytes of JSON, and the limit is 33,554,432; keep it in a file or object store and pass its address"

calls: list[str] = []


@step
async def inline() -> str:
    calls.append("inline")
    return TOO_LARGE


@step
def thread() -> str:
    calls.append("thread")
    return TOO_LARGE


@workflow
async def steps(runtime: str) -> int:
    return len(await inline() if runtime == "inline" else thread())


@workflow
async def outputs() -> str:
    return TOO_LARGE


@workflow
async def takes(text: str) -> int:
    return len(text) + len(await wait_for_signal("more", str))


async def test_what_is_too_large_is_refused_where_it_comes_from_and_ends_no_engine(tmp_path):
    calls.clear()
    async with App(f"sqlite:///{tmp_path}/a.db", [steps, outputs, takes]) as app:
        for runtime in ("inline", "thread"):
            with pytest.raises(RunFailed, match=TOLD):
                await (await app.start(steps, runtime)).result("60s")
        assert calls == ["inline", "thread"], "it is not tried again"
        with pytest.raises(RunFailed, match=TOLD):
            await (await app.start(outputs)).result("60s")
        with pytest.raises(PayloadError, match=TOLD):
            await app.start(takes, TOO_LARGE)
        run = await app.start(takes, "ab")
        with pytest.raises(PayloadError, match=TOLD):
            await app.signal(run.uuid, "more", TOO_LARGE)
        await app.signal(run.uuid, "more", "c")
        assert await run.result("60s") == 3
