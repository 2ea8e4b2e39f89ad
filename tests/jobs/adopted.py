"""A program with a job that takes as long as a test wants, for engines that are killed.

python adopted.py STORE FOLDER RUNTIME    runs the workflow, and prints what comes of it
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ripresa import App, Retry, job, workflow

LIMIT = "10m"

# Waits until told to end; says each time it is started.
SCRIPT = """
echo "started $ATTEMPT $TOKEN"
until [ -e /shared/go$ATTEMPT ]; do sleep 0.05; done
echo "ended $ATTEMPT"
echo "{\\"attempt\\": $ATTEMPT}" > $JOB_OUTPUT
[ ! -e /shared/fail$ATTEMPT ]
"""


def waits(folder, runtime):
    return job(
        "waits",
        "lakehouse/box:1.0",
        command=["/bin/sh", "-c", SCRIPT],
        volumes=[f"{folder}:/shared:ro"],
        secrets={"TOKEN": "env:SHOP_TOKEN"},
        retry=Retry(max_attempts=2, delay="10ms"),
        timeout={"attempt": LIMIT, "grace": 0},
        runtime=runtime,
    )


@workflow
async def adopted(folder: str, runtime: str = "container") -> dict[str, object]:
    return dict(await waits(folder, runtime))


async def main(store, folder, runtime):
    async with App(store, workflows=[adopted]) as app:
        run = await app.start(adopted, folder, runtime, id="r")
        print("open", flush=True)
        print(await run.result(), flush=True)


if __name__ == "__main__":
    os.chdir(Path(sys.argv[2]))
    asyncio.run(main(*sys.argv[1:]))
