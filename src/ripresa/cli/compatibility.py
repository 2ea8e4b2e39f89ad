"""Compatibility: would the runs in flight go on with the code on disk?  Each is replayed, and nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.cli.process import steps_write_to_stderr
from ripresa.cli.reading import opened
from ripresa.contracts.errors import Diverged
from ripresa.contracts.status import TERMINAL, RunStatus
from ripresa.engine.known import Known
from ripresa.engine.rows import generation_seed
from ripresa.kernel.live import LiveRun
from ripresa.ports.reading import RunFilter

if TYPE_CHECKING:
    from ripresa.ports.reading import Loaded
    from ripresa.ports.store import Store

_PAGE = 200
_OPEN = tuple(status.value for status in RunStatus if status not in TERMINAL)


async def verdicts(url: str, workflows: list[Any]) -> list[dict[str, Any]]:
    """For each open run: run, workflow, status, verdict (compatible | blocked | unknown), why."""
    async with opened(url) as store:
        known = Known(workflows)
        await known.learn(store)
        with steps_write_to_stderr():
            return [_verdict(loaded, known) async for loaded in _open_runs(store)]


async def _open_runs(store: Store) -> Any:
    cursor = None
    while True:
        page = await store.list_runs(RunFilter(status=_OPEN), limit=_PAGE, cursor=cursor)
        for loaded in await store.load([run.id for run in page.runs]):
            yield loaded
        cursor = page.cursor
        if cursor is None:
            return


def _verdict(loaded: Loaded, known: Known) -> dict[str, Any]:
    run = loaded.run
    told = {"run": run.key or run.id, "workflow": run.definition, "status": run.status}
    workflow = known.find(run.definition, run.version)
    if workflow is None:
        return {**told, "verdict": "unknown", "why": f"the code has no workflow {run.definition!r}"}
    try:
        _replay(loaded, workflow)
    except Diverged as error:
        return {**told, "verdict": "blocked", "why": str(error)}
    return {**told, "verdict": "compatible", "why": None}


def _replay(loaded: Loaded, workflow: Any) -> None:
    run = loaded.run
    live = LiveRun(
        run.id, workflow, run.input or "{}", name=run.key or run.id, tracing=True, seed=generation_seed(run),
        correlation_id=run.correlation_id,
    )  # fmt: skip
    try:
        live.replay(loaded.history)
    finally:
        live.discard()
