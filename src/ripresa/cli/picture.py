"""Pictures: a run and its descendants as the store has them, for those who watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.cli.looking import steps_standing
from ripresa.cli.progress import RunView

if TYPE_CHECKING:
    from ripresa.ports.rows import Run
    from ripresa.ports.store import Store

_CHILDREN_MAX = 1_000
_DEPTH_MAX = 8


async def picture(store: Store, row: Run, *, depth: int = _DEPTH_MAX) -> RunView:
    """The run as it stands on disk."""
    view = RunView.of(row)
    history, attempts = await store.history(row.id, after=row.base_seq), await store.attempts(row.id)
    view.see_steps(await steps_standing(store, row, history, attempts))
    children = await store.children(row.id) if depth else []
    for child in children[:_CHILDREN_MAX]:
        view.items[child.id] = await picture(store, child, depth=depth - 1)
    view.items = dict(sorted(view.items.items(), key=lambda item: item[1].started))
    return view
