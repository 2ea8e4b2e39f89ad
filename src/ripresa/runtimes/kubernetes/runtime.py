"""The runtime: work orders in, outcomes out; one client for all of them, and the clearing away.

A Job's name is made of its run, operation and attempt, so that the engine after a crash finds the one that the engine
before has started, and none is started twice (`attempt`).  It is removed when the journal holds its outcome, not
before: a crash in between finds it there, ended, with its exit code and its log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes import JobFailed, RuntimeClosed, WorkerLost
from ripresa.runtimes.job_outcome import cannot_start
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.attempt import Attempt
from ripresa.runtimes.kubernetes.client import Client, NoCluster
from ripresa.runtimes.kubernetes.manifest import context_of, job_name
from ripresa.runtimes.remote import Refused, Unreachable, asked

logger = logging.getLogger("ripresa.kubernetes")

GRACE_S: Final = 10.0
_CLEARING_S: Final = 30.0
"""How long clearing away is tried; what is left is found by the next engine."""


class KubernetesRuntime:
    """Runs job orders as Jobs of a cluster; how many at once is the engine's to say, and where is the cluster's.

    `settings` is asked when the first job runs.  `grace_s`: from SIGTERM to SIGKILL, unless the order says otherwise.
    """

    adopts = True
    attempts_max = None

    def __init__(self, settings: Callable[[], JobSettings], *, grace_s: float = GRACE_S) -> None:
        self._settings = settings
        self._grace_s = grace_s
        self._connected: asyncio.Task[Client] | None = None
        self._active: dict[str, asyncio.Future[None]] = {}
        self._tidying: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, work: Work) -> str:
        """Run to the end, or go on with what is there; raises JobFailed, and WorkerLost if it is not there any more."""
        if self._closed:
            raise RuntimeClosed("the Kubernetes runtime is closed")
        context: StepContext = work.context() if callable(work.context) else work.context
        name = job_name(context)
        self._active[name] = asyncio.get_running_loop().create_future()
        try:
            attempt = Attempt(self._known(), await self._client(), work, context, grace_s=self._grace_s)
            return work.dump(await attempt.result())
        finally:
            self._active.pop(name).set_result(None)

    def forget(self, context: StepContext) -> None:
        """The journal holds the attempt's outcome: remove its Job, pod and Secret."""
        task = asyncio.get_running_loop().create_task(self._remove(job_name(context)))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def left(self) -> list[StepContext]:
        """The attempts of which something is still in the namespace, of any engine.  Raises Unreachable, Refused."""
        client = await self._client()
        found = await client.jobs()
        try:
            found += await client.secrets()
        except Refused as error:
            if error.status != 403:  # who may not list Secrets does without
                raise
        contexts = {one["metadata"]["name"]: context_of(one["metadata"]) for one in found}
        return [context for context in contexts.values() if context is not None]

    async def close(self) -> None:
        """Wait until what was asked for is done; Jobs stay as they are.  Closing twice is fine."""
        self._closed = True
        while pending := [*self._active.values(), *self._tidying]:
            await asyncio.wait(pending)
            await asyncio.sleep(0)
        if (connected := self._connected) is not None:
            self._connected = None
            await asyncio.wait([connected])
            if not connected.cancelled() and connected.exception() is None:
                await connected.result().close()

    async def _remove(self, name: str) -> None:
        if (active := self._active.get(name)) is not None:
            await asyncio.wait([active])
        try:
            client = await self._client()
            await asked("the cluster", _CLEARING_S, client.delete_job, name)
            await asked("the cluster", _CLEARING_S, client.delete_secret, name)
        except (WorkerLost, Unreachable, Refused, JobFailed) as error:
            logger.warning("job %s could not be removed: %s", name, error)

    async def _client(self) -> Client:
        """The cluster, found once; looked for again if it was not to be found."""
        if self._connected is None:
            policy = self._known().kubernetes
            self._connected = asyncio.get_running_loop().create_task(Client.connect(policy))
        connecting = self._connected
        try:
            return await asyncio.shield(connecting)
        except NoCluster as error:
            if self._connected is connecting:
                self._connected = None
            raise cannot_start(str(error)) from None

    def _known(self) -> JobSettings:
        try:
            return self._settings()
        except ValueError as error:
            raise cannot_start(str(error)) from None
