"""A worker in a process of its own: it starts runs, whose steps note when they begin and end, and serves."""

import asyncio
import os
import sys
import time

from ripresa import App, Pool, map_, step, workflow

URL, LEDGER = sys.argv[1:3]
RUNS, STEPS, SLOTS = map(int, sys.argv[3:6])


def note(what: str) -> None:
    """A line that no other process's line gets into."""
    file = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{what} {os.getpid()} {time.monotonic_ns()}\n".encode())
    os.close(file)


@step(pool="lake", pool_key=lambda name: name.partition("-")[0])
async def load(name: str) -> str:
    note(f"begins {name}")
    await asyncio.sleep(0.1)
    note(f"ends {name}")
    return name


@workflow
async def loads(run: str) -> int:
    return len(await map_(load, [f"{run}-{number}" for number in range(STEPS)]))


async def main() -> None:
    pools = [Pool("lake", slots=SLOTS)]
    async with App(URL, [loads], pools=pools, config={"lease_s": 1.5}) as app:
        for number in range(RUNS):
            await app.start(loads, f"{os.getpid()}.{number}")
        note("started -")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
