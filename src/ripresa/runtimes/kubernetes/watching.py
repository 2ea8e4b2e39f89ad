"""Watching: one attempt's pod, from one look at it to the next, until it is told to stop.

    list ──> watch ── ends, breaks off, or is forgotten (410) ──> list

A list says how things stand, a watch what changes from there.  Where a watch tells nothing any more a list is due, so
that a connection which died in silence costs time only.  Invariant: once a pod was seen no other is taken for it; a
cluster may replace a pod that was deleted, and an attempt is made once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ripresa.runtimes.kubernetes.client import Client, Expired
from ripresa.runtimes.kubernetes.manifest import NAME_LABEL
from ripresa.runtimes.remote import Refused, Unreachable, asked

logger = logging.getLogger("ripresa.kubernetes")

WATCH_S: Final = 120
_NO_POD_YET_S: Final = 5
"""Without a pod its Job is looked at again after this long: it may have failed."""
_LOOK_AGAIN_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Look:
    """How things stand: the pod; without one, the Job.  `gone`: there was a pod, and it is not there any more."""

    pod: Mapping[str, Any] | None
    job: Mapping[str, Any] | None = None
    gone: bool = False


async def looks(client: Client, name: str, patience_s: float) -> AsyncIterator[Look]:
    """All looks at the attempt of this name.  Raises WorkerLost if the cluster does not answer, Refused."""
    uid: str | None = None
    selector = f"{NAME_LABEL}={name}"
    while True:
        pods, version = await asked("the cluster", patience_s, client.pods, selector)
        pod = _same(pods, uid)
        if pod is None:
            yield Look(None, await asked("the cluster", patience_s, client.job, name), gone=uid is not None)
        else:
            uid = pod["metadata"]["uid"]
            yield Look(pod)
        try:
            async for kind, changed in client.changes(selector, version, WATCH_S if pod else _NO_POD_YET_S):
                if uid is None:
                    uid = changed["metadata"]["uid"]
                if changed["metadata"]["uid"] == uid:
                    yield Look(changed, gone=kind == "DELETED")
        except Expired:
            logger.info("the watch of job %s has expired", name)
        except (Unreachable, Refused) as error:
            logger.info("the watch of job %s broke off: %s", name, error)
            await asyncio.sleep(_LOOK_AGAIN_S)


class Looking:
    """Looks, one by one; a wait for the next that takes too long is given up, and taken up where it was."""

    def __init__(self, stream: AsyncIterator[Look]) -> None:
        self._stream = stream
        self._coming: asyncio.Task[Look] | None = None

    async def next(self, within_s: float | None) -> Look | None:
        """The next look; None: there was none in that time.  Raises what the looks raise."""
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._one())
        await asyncio.wait([self._coming], timeout=within_s)
        if not self._coming.done():
            return None
        come, self._coming = self._coming, None
        return come.result()

    async def close(self) -> None:
        """Look no more."""
        if (coming := self._coming) is not None:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled():
                coming.exception()
        await self._stream.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def _one(self) -> Look:
        return await anext(self._stream)


def _same(pods: list[dict[str, Any]], uid: str | None) -> dict[str, Any] | None:
    """The pod that was seen before; if none was, the newest."""
    if uid is not None:
        return next((one for one in pods if one["metadata"]["uid"] == uid), None)
    return max(pods, key=lambda one: str(one["metadata"].get("creationTimestamp") or ""), default=None)
