"""Pictures: a run and its descendants as the store has them, for those who watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.cli.looking import steps_standing, why_they_wait
from ripresa.cli.progress import RunView

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store

_CHILDREN_MAX = 1_000
_DEPTH_MAX = 8


async def picture(store: Store, row: Run) -> RunView:
    """The run as it stands on disk."""
    return await _picture(store, row, (await why_they_wait(store, [row])).get(row.id), _DEPTH_MAX)


async def _picture(store: Store, row: Run, why: str | None, depth: int) -> RunView:
    view = RunView.of(row)
    history, attempts = await store.history(row.id, after=row.base_seq), await store.attempts(row.id)
    view.see_steps(await steps_standing(store, row, history, attempts))
    view.waits = [] if why is None else [why]
    children = (await store.children(row.id))[:_CHILDREN_MAX] if depth else []
    reasons = await why_they_wait(store, children) if children else {}
    for child in children:
        view.items[child.id] = await _picture(store, child, reasons.get(child.id), depth - 1)
    view.items = dict(sorted(view.items.items(), key=lambda item: item[1].started))
    return view
