"""`ripresa workers`: who carries out steps and jobs elsewhere, and what."""

from __future__ import annotations

import asyncio

from ripresa.cli.exits import say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit
from ripresa.cli.settings import settings


def workers(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """List the workers of a store's queues: where they are, when they last gave a sign of life, what they work on.

    What nobody has taken yet is listed without a worker.
    """
    from ripresa.cli import working

    found = asyncio.run(working.workers(settings(store).store.value))
    shown = {name: [one.model_dump(mode="json") for one in rows] for name, rows in found.items()}
    emit(shown, output, lambda: working.tables(found))
    if not found["workers"]:
        say("no worker is there: celery -A ripresa.runtimes.celery worker -Q QUEUE")
