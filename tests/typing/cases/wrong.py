"""Each marked line is a mistake that a type checker finds."""

from __future__ import annotations

from ripresa import App, blocking, step, workflow


@step
async def double(value: int) -> int:
    return 2 * value


@step
def triple(value: int) -> int:
    return 3 * value


@workflow
async def one(value: int) -> int:
    await double("one")  # WRONG: argument
    triple("one")  # WRONG: argument
    await triple(1)  # WRONG: a def step is called
    double.start("one")  # WRONG: argument
    triple(1, 2)  # WRONG: too many
    text: str = triple(1)  # WRONG: result
    word: str = await double(1)  # WRONG: result
    number: str = await double.start(1)  # WRONG: result
    return len(text + word + number)


@workflow
def two(value: int) -> int:
    word: str = blocking.wait_for_signal("n", int)  # WRONG: result
    print(word)
    return double(value)  # WRONG: an async step gives no value


@step(retries=3)  # WRONG: option
def three() -> None: ...


async def main(app: App) -> None:
    await app.start(one, "one")  # WRONG: argument
    await app.start(one)  # WRONG: too few
    run = await app.start(one, 1)
    text: str = await run.result()  # WRONG: result
    print(text)
