"""An engine with runs to finish, that says when they are, or why it had to stop."""

import asyncio
import sys

from ripresa import App, StoreError, StoreInUse, step, workflow
from ripresa.testing.torture.program import effect, end

RUNS = 6
STEPS = 20


@step
async def slow(number: int, index: int) -> int:
    told = await effect(number, index)
    await asyncio.sleep(0.05)
    end(told)
    return index


@workflow
async def slow_steps(number: int) -> int:
    for index in range(STEPS):
        await slow(number, index)
    return number


async def opened(url: str) -> App:
    """The App, as soon as the store is free: a lease of a second has to run out."""
    while True:
        try:
            return await App(url, workflows=[slow_steps], config={"lease_s": 1.0}).open()
        except StoreInUse:
            await asyncio.sleep(0.1)


async def main(url: str) -> int:
    app = await opened(url)
    try:
        runs = [await app.start(slow_steps, number, id=f"slow-{number}") for number in range(RUNS)]
        await asyncio.gather(*(run.result() for run in runs))
        print("all done", flush=True)
    except StoreError as error:
        print(type(error).__name__, error, flush=True)
        return 3
    finally:
        await app.close()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
