"""`ripresa.run`: one workflow, to its end, from a plain script."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from ripresa.engine.app import App

if TYPE_CHECKING:
    from ripresa.engine.handles import Run


def run(workflow: Any, *args: Any, store: str | None = None, id: str | None = None) -> Any:
    """Run a workflow to its end and return its output: `ripresa.run(fulfil, order)`.

    `store` is a URL; left out, it is `.ripresa/ripresa.db` in the current directory.  Raises as `Run.result` does.
    """

    async def main() -> Any:
        async with App(store or default_store(), [workflow]) as app:
            started: Run[Any] = await app.start(workflow, *args, id=id)
            return await started.result()

    return asyncio.run(main())


def default_store() -> str:
    """URL of the store that is used when none is named: `RIPRESA_STORE`, else `.ripresa/ripresa.db` here."""
    return os.environ.get("RIPRESA_STORE") or "sqlite:///.ripresa/ripresa.db"
