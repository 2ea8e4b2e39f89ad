"""Letting plain code wait for the driver: it runs in a greenlet that steps aside while the loop waits.

For `stores.granting`, which is written once for stores that answer at once and for this one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from greenlet import getcurrent, greenlet

Result = TypeVar("Result")


async def aside(work: Callable[[], Result]) -> Result:
    """Do the work, in which `wait` may be called."""
    doing = greenlet(work)
    asked = doing.switch()
    while not doing.dead:
        try:
            answer = await asked
        except BaseException as error:  # noqa: BLE001 - handed on to the work
            asked = doing.throw(error)
        else:
            asked = doing.switch(answer)
    done: Result = asked
    return done


def wait(what: Awaitable[Result]) -> Result:
    """What it comes to; only within work that is done `aside`."""
    above = getcurrent().parent
    assert above is not None  # noqa: S101 - `aside` has begun it
    answer: Result = above.switch(what)
    return answer
