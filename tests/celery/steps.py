"""What runs on the workers, and the workflows that ask for it; found by its name on both sides."""

import os
import time
from pathlib import Path

from ripresa import Retry, Terminal, context, job, step, workflow


@step(runtime="celery")
async def add(a: int, b: int) -> int:
    print(f"adding {a} and {b}")
    return a + b


@step(runtime="celery")
def where() -> dict[str, object]:
    return {"pid": os.getpid(), "attempt": context().attempt, "step": context().step}


@step(runtime="celery", retry=Retry(max_attempts=2, delay="10ms"))
def refuses(why: str) -> None:
    raise Terminal(why)


@step(runtime="celery")
def waits_for(file: str, note: str) -> int:
    """Notes that it began, and waits until the file is there."""
    with Path(note).open("a") as notes:
        notes.write(f"{context().attempt} {os.getpid()}\n")
    while not Path(file).exists():
        time.sleep(0.02)
    return context().attempt


@step(runtime="celery", timeout="2s")
def takes_too_long(note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    time.sleep(600)


@step(pool="video")
def transcode() -> int:
    return os.getpid()


@workflow
def transcoded() -> int:
    return transcode()


@workflow
async def sum_of(numbers: list[int]) -> int:
    total = 0
    for number in numbers:
        total = await add(total, number)
    return total


@workflow
def many(count: int) -> list[int]:
    handles = [add.start(number, 1) for number in range(count)]
    return [handle.result() for handle in handles]


@workflow
def told_where() -> dict[str, object]:
    return where()


@workflow
def refused(why: str) -> None:
    refuses(why)


@workflow
def held_up(file: str, note: str) -> int:
    return waits_for(file, note)


@workflow
def late(note: str) -> None:
    takes_too_long(note)


count_up = job(
    "count",
    "tools/count:1",
    command=["python3", "count.py"],
    params={"to": 3},
    outputs={"total": "integer"},
    runtime="celery",
)


@workflow
async def counted() -> int:
    print_out = await count_up
    return int(print_out["total"])


ALL = [sum_of, many, told_where, refused, held_up, late, counted, transcoded]
