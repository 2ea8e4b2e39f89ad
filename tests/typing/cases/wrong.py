"""Each marked line is a mistake that a type checker finds."""

from __future__ import annotations

from ripresa import App, blocking, map_, step, workflow


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


@workflow
async def three(values: list[int], words: list[str]) -> None:
    await map_(double, words)  # WRONG: items
    await map_(triple, words)  # WRONG: items
    await map_(len, [words])  # WRONG: neither a step nor a workflow
    texts: list[str] = await map_(one, values)  # WRONG: result
    numbers: list[int] = await map_(one, values, min_success=1)  # WRONG: a failure may stand in the place of a number
    fewer: list[str] = blocking.map_(triple, values)  # WRONG: result
    blocking.map_(two, words)  # WRONG: items
    print(texts, numbers, fewer)


@step(retries=3)  # WRONG: option
def four() -> None: ...


async def main(app: App) -> None:
    await app.start(one, "one")  # WRONG: argument
    await app.start(one)  # WRONG: too few
    run = await app.start(one, 1)
    text: str = await run.result()  # WRONG: result
    print(text)
