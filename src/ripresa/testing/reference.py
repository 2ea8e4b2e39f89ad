"""Reference workflows: small programs that between them use everything which can go wrong.

Simulations and the exhaustive search run these; a store or runtime of your own can be tried with them too.
"""

from __future__ import annotations

import asyncio

from ripresa import (
    Quarantine,
    Retry,
    Retryable,
    StepFailed,
    Terminal,
    child,
    context,
    continue_as_new,
    map_,
    on_query,
    on_update,
    sleep,
    step,
    wait_for_signal,
    wait_until,
    workflow,
)

# --- steps -----------------------------------------------------------------------------------


@step
async def add(a: int, b: int) -> int:
    """A short step."""
    await asyncio.sleep(0.005)
    return a + b


@step
async def slow(name: str, seconds: float) -> str:
    """A step that takes its time."""
    await asyncio.sleep(seconds)
    return name


@step
def plain(x: int) -> int:
    """A `def` step."""
    return x * 2


@step(retry=Retry(max_attempts=4, delay="2s", max_delay="8s"))
async def flaky(name: str, fails: int) -> str:
    """Fails in its first `fails` attempts."""
    await asyncio.sleep(0.03)
    if context().attempt <= fails:
        raise Retryable(f"attempt {context().attempt} of {name} fails")
    return name


@step(retry=Retry(max_attempts=3, delay="500ms"))
async def hopeless(name: str) -> str:
    """Fails whenever it is tried."""
    await asyncio.sleep(0.01)
    raise Retryable(f"{name} never works")


@step
async def suspicious(name: str) -> str:
    """Wants a person to look."""
    raise Quarantine(f"{name} looks odd")


@step
async def unreserve(item: str) -> str:
    """Undoes `reserve`."""
    await asyncio.sleep(0.01)
    return f"unreserved {item}"


@step(retry=Retry(max_attempts=5, delay="300ms"))
async def refund(item: str, fails: int) -> str:
    """Undoes `charge`, and may need more than one attempt too."""
    await asyncio.sleep(0.01)
    if context().attempt <= fails:
        raise Retryable("the bank is closed")
    return f"refunded {item}"


@step(compensate=unreserve)
async def reserve(item: str) -> str:
    """Can be undone."""
    await asyncio.sleep(0.01)
    return f"reserved {item}"


@step(compensate=refund, retry=Retry(max_attempts=4, delay="400ms"))
async def charge(item: str, fails: int) -> str:
    """Can be undone, and may need more than one attempt."""
    await asyncio.sleep(0.02)
    if context().attempt <= fails:
        raise Retryable("declined for now")
    return f"charged {item}"


@step
async def ship(item: str) -> str:
    """Cannot be done at all if the item is "lead"."""
    await asyncio.sleep(0.01)
    if item == "lead":
        raise Terminal("too heavy")
    return f"shipped {item}"


# --- workflows -------------------------------------------------------------------------------


@workflow
async def sequential(n: int) -> int:
    """One step after the other."""
    total = 0
    for i in range(n):
        total = await add(total, i)
    return total


@workflow
async def retrying(fails: int) -> str:
    """Steps that need several attempts, one of which never works."""
    first = await flaky("a", fails)
    try:
        await hopeless("b")
    except StepFailed as error:
        return f"{first}, not {error.step}"
    return "?"


@workflow
async def approval(patience: float) -> list[str]:
    """Waits for three signals, each for a while, then sleeps."""
    got: list[str] = []
    for _ in range(3):
        try:
            got.append(await wait_for_signal("approve", str, timeout=patience))
        except TimeoutError:
            got.append("late")
        await sleep(seconds=0.2)
    await sleep(seconds=1)
    return got


@workflow
async def leaf(x: int) -> int:
    """A child."""
    if x % 3 == 2:
        await sleep(seconds=0.7)
    return await add(x, 10)


@workflow
async def family(n: int) -> list[int]:
    """Children side by side, then one more."""
    grown = await asyncio.gather(*(child(leaf, i) for i in range(n)))
    return [*grown, await child(leaf, 100)]


@workflow
async def fan(n: int) -> list[int]:
    """Many of the same, a few at a time; then many children."""
    doubled = await map_(plain, range(n), max_parallel=2)
    return await map_(leaf, doubled, max_parallel=3)


@workflow
async def purchase(item: str, fails: int) -> str:
    """A saga: what was done is undone if the last step cannot be done."""
    await reserve(item)
    await charge(item, fails)
    await reserve(f"{item} box")
    return await ship(item)


@workflow
async def patient(seconds: float) -> str:
    """Something to cancel: a long retry, beside a long sleep."""
    async with asyncio.TaskGroup() as group:
        group.create_task(flaky("never", 9))
        group.create_task(sleep(seconds=seconds))
        await slow("here", 0.3)
    return "done"


@workflow
async def counter(left: int, total: int) -> int:
    """Begins again with an empty journal, several times."""
    await sleep(seconds=0.1)
    total = await add(total, left)
    if left:
        continue_as_new(left - 1, total)
    return total


@workflow
async def account() -> int:
    """Answers updates and queries until it is told to close."""
    balance = 0
    seen: list[int] = []

    @on_update("deposit")
    async def deposit(amount: int) -> int:
        nonlocal balance
        balance = await add(balance, amount)
        seen.append(amount)
        return balance

    @on_query("seen")
    def _seen() -> list[int]:
        return seen

    await wait_for_signal("close")
    await wait_until(lambda: True)
    return len(seen)


@workflow
async def odd(name: str) -> str:
    """Goes to quarantine on its way."""
    await add(1, 2)
    return await suspicious(name)


@workflow
def plainly(n: int) -> int:
    """A `def` workflow."""
    total = 0
    for i in range(n):
        total += plain(i)
    return total


@workflow
async def race() -> str:
    """The first of several wins, the others are cancelled."""
    tasks = [asyncio.create_task(slow(name, seconds)) for name, seconds in (("a", 0.4), ("b", 0.1), ("c", 0.9))]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    try:
        async with asyncio.timeout(0.5):
            await slow("d", 30)
    except TimeoutError:
        return f"{len(done)} first"
    return "?"


WORKFLOWS = [sequential, retrying, approval, leaf, family, fan, purchase, patient, counter, account, odd, plainly, race]
