"""Remote: what runs jobs for us – a container engine, a cluster – and asking it again while it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from ripresa.runtimes import WorkerLost

T = TypeVar("T")
_ASK_AGAIN_S: Final = 0.1
_ASK_AGAIN_S_MAX: Final = 2.0


class Unreachable(Exception):
    """It does not answer: it is down, on its way up or busy; ask again.  `after_s`: not before, if it said so."""

    def __init__(self, message: str, *, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class Refused(Exception):
    """It answered with an error.  `status` is HTTP's, `reason` a word for it, if there is one."""

    def __init__(self, status: int, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


async def asked(what: str, patience_s: float, verb: Callable[..., Awaitable[T]], *args: Any) -> T:
    """What `what` answers to `verb`; asked again while it does not, as long as patience lasts.  Raises WorkerLost."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    wait_s = _ASK_AGAIN_S
    while True:
        try:
            return await verb(*args)
        except Unreachable as error:
            if loop.time() > until:
                raise WorkerLost(f"{what} does not answer: {error}") from None
            after_s = min(error.after_s, max(0.0, until - loop.time()))
        await asyncio.sleep(max(wait_s, after_s))
        wait_s = min(wait_s * 2, _ASK_AGAIN_S_MAX)
