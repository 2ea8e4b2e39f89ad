"""A store, looked at and written to beside the workers on it: quicker than a command for each look."""

from __future__ import annotations

import asyncio

from ripresa import workflow
from ripresa.cli import looking
from ripresa.cli.submitting import submitted
from ripresa.contracts.payload import dump
from ripresa.stores import open_store

WITHIN_S = 90


async def until(is_so, what=lambda: ""):
    """Wait until it is so; `is_so` may be a coroutine function."""
    found = None
    try:
        async with asyncio.timeout(WITHIN_S):
            while not found:
                found = is_so()
                if asyncio.iscoroutine(found):
                    found = await found
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"it did not come to be so within {WITHIN_S} s: {what()}") from None
    return found


class Beside:
    """A store beside the workers on it."""

    def __init__(self, url):
        self.url = url

    async def submit(self, name, id, *, version=None, definition=None, **params):
        """Put a run into the store, of a workflow that workers know by this name and version."""

        async def any_of_this_name(*given): ...

        store = open_store(self.url)
        await store.open()
        try:
            chosen = definition or workflow(name=name, version=version)(any_of_this_name)
            text = dump(params) if definition is None else definition.encode((), {})
            await submitted(store, chosen, text, key=id, priority=0, tags={})
        finally:
            await store.close()

    async def run(self, id):
        """The run, its steps and children."""
        return await looking.whole(self.url, id)

    async def all(self):
        """All runs, by id."""
        found, _ = await looking.page(self.url, looking.run_filter([], None, [], None), 100, None)
        return {one.id: one for one in found}

    async def until(self, id, status):
        """Wait until the run has this status."""

        async def has_it():
            return (await self.run(id))[0].status == status

        await until(has_it, lambda: f"{id} {status}")

    async def says(self, id, why):
        """Wait until the run says that it waits for this reason, or for none."""
        told = []

        async def does():
            told[:] = [(await self.run(id))[0].reason, (await self.all())[id].reason]
            return told == [why, why]

        await until(does, lambda: f"{id} says {told}, not {why}")
