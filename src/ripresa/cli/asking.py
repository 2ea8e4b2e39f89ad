"""Asking: one message to one run of a store, and word of who will take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.cli.inputs import require_fit_to_start
from ripresa.cli.reading import find, opened
from ripresa.cli.sending import engine_of, sent, who_will
from ripresa.contracts.errors import RunFinished, RunNotFinished
from ripresa.contracts.status import TERMINAL, RunStatus

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store

_RETRIED = {RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUARANTINED, RunStatus.BLOCKED}


async def asked(
    url: str, ref: str, kind: str, *, name: str | None = None, data: Any = None
) -> tuple[dict[str, Any], str]:
    """What was sent, as data, and who will take it.  Raises RunNotFound, RunFinished, RunNotFinished."""
    async with opened(url) as store:
        run = await find(store, ref)
        if kind == "cancel" and run.status in TERMINAL:
            return await _told(store, run, kind, is_sent=False), f"it has {run.status} already, and stays as it is"
        _require(run, kind)
        try:
            await sent(store, run, kind, name=name, data=data)
        except RunFinished:
            row = await find(store, run.id)
            raise RunFinished(ref, f"run {ref!r} has {row.status} and takes no more messages") from None
        return await _told(store, run, kind), await who_will(store)


def _require(run: Run, kind: str) -> None:
    ref = run.key or run.id
    if kind == "retry" and run.status not in _RETRIED:
        raise RunNotFinished(
            ref,
            f"run {ref!r} {_stands(run.status)}: only a failed, cancelled, quarantined or blocked run can be retried",
        )
    if kind == "release" and run.status != RunStatus.QUARANTINED:
        raise RunNotFinished(ref, f"run {ref!r} {_stands(run.status)}, not quarantined")


def _stands(status: str) -> str:
    return f"has {status}" if status in {RunStatus.SUCCEEDED, RunStatus.FAILED} else f"is {status}"


async def _told(store: Store, run: Run, kind: str, *, is_sent: bool = True) -> dict[str, Any]:
    engine = await engine_of(store)
    return {
        "id": run.key or run.id,
        "uuid": run.id,
        "sent": kind if is_sent else None,
        "engine": None if engine is None else engine["pid"],
    }


async def forked(url: str, ref: str, from_step: str, key: str | None) -> tuple[dict[str, Any], str]:
    """The new run, as data, and who will take it.  Raises RunNotFound, RunConflict, UsageProblem."""
    from ripresa.cli import submitting
    from ripresa.contracts.records import JobRun

    require_fit_to_start(key)
    async with opened(url) as store:
        run = await submitting.forked(store, await find(store, ref), from_step, key=key)
        return JobRun.of(run).model_dump(mode="json"), await who_will(store)
