"""`ripresa db upgrade|check`: the store's schema and its integrity."""

from __future__ import annotations

import asyncio

from ripresa.cli.exits import FAILED, Ended, say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import settings


def upgrade(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Bring a store to the schema of this ripresa; other commands do so too when they open it."""
    from ripresa.cli.reading import opened

    async def open_it() -> str:
        async with opened(settings(store).store.value) as source:
            return source.url

    url = asyncio.run(open_it())
    emit({"store": url, "upgraded": True}, output, lambda: write(f"{url} has the schema of this ripresa"))


def check(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """Look for damage in a store: pages, settings, rows that belong to nothing."""
    from ripresa.cli.reading import opened

    async def look() -> tuple[str, list[str]]:
        async with opened(settings(store).store.value) as source:
            return source.url, await source.check()

    url, problems = asyncio.run(look())
    found = {"store": url, "problems": problems}
    emit(found, output, lambda: write("\n".join(problems) if problems else f"{url}: nothing is wrong"))
    if problems:
        say(f"{url}: {len(problems)} problem{'s'[: len(problems) > 1]}")
        raise Ended(FAILED)
