"""One attempt of a job as one container, which outlives the engine that started it.

    named container? ── no ──> create ─> start ─┐
         │                                      ├─> listen ─> exit code, output ─> outcome
         └── yes: adopt (start it, listen, or take what it came to)               │ on disk
                                                                       forget: remove <┘

A container's name is made of its run, operation and attempt, so that the engine after a crash finds the one that the
engine before has started, and none is started twice.  It is removed when the journal holds its outcome, not before: a
crash in between finds it there, ended, with its exit code.  `tests/jobs/test_adoption.py` kills engines to prove it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from ripresa.contracts.job_order import CANNOT_START, JobOrder, JobResult
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes import JobFailed, RuntimeClosed, WorkerLost
from ripresa.runtimes.container import spec
from ripresa.runtimes.container.client import Client, NoEngine, address
from ripresa.runtimes.ending import to_the_end
from ripresa.runtimes.job_outcome import cannot_start, no_image, outcome, silent
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.listening import Listening
from ripresa.runtimes.masking import Secrets
from ripresa.runtimes.remote import Refused, Unreachable, asked
from ripresa.runtimes.secrets import resolved

logger = logging.getLogger("ripresa.container")

T = TypeVar("T")
GRACE_S: Final = 10.0
PATIENCE_S: Final = 20.0
_ENDED = ("exited", "stopped", "dead")
_NOT_YET = ("created", "configured", "initialized")
_LOOK_AGAIN_S = 0.2


class ContainerRuntime:
    """Runs job orders as containers; how many at once is the engine's to say.

    `settings` is asked when the first job runs.  `grace_s`: from SIGTERM to SIGKILL, unless the order says otherwise.
    `patience_s`: how long a container engine that does not answer is waited for before the attempt counts as lost.
    """

    adopts = True
    attempts_max = None

    def __init__(
        self, settings: Callable[[], JobSettings], *, grace_s: float = GRACE_S, patience_s: float = PATIENCE_S
    ) -> None:
        self._settings = settings
        self._grace_s = grace_s
        self._patience_s = patience_s
        self._active: dict[str, asyncio.Future[None]] = {}
        self._tidying: set[asyncio.Task[None]] = set()
        self._closed = False

    async def run(self, work: Work) -> str:
        """Run to the end, or go on with what is there; raises JobFailed, and WorkerLost if it is not there any more."""
        if self._closed:
            raise RuntimeClosed("the container runtime is closed")
        context: StepContext = work.context() if callable(work.context) else work.context
        name = spec.container_name(context)
        self._active[name] = asyncio.get_running_loop().create_future()
        try:
            async with Client(self._host()) as client:
                patience = _Patience(self._grace_s, self._patience_s)
                return work.dump(await _Attempt(self._known(), client, work, context, patience).result())
        finally:
            self._active.pop(name).set_result(None)

    def forget(self, context: StepContext) -> None:
        """The journal holds the attempt's outcome: remove its container."""
        task = asyncio.get_running_loop().create_task(self._remove(spec.container_name(context)))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def left(self) -> list[StepContext]:
        """The attempts whose containers are still there, of any engine.  Raises Unreachable, Refused."""
        async with Client(self._host()) as client:
            found = [spec.context_of(labels) for _, labels in await client.ours()]
        return [context for context in found if context is not None]

    async def close(self) -> None:
        """Wait until what was asked for is done; containers stay as they are.  Closing twice is fine."""
        self._closed = True
        while pending := [*self._active.values(), *self._tidying]:
            await asyncio.wait(pending)
            await asyncio.sleep(0)

    async def _remove(self, name: str) -> None:
        if (active := self._active.get(name)) is not None:
            await asyncio.wait([active])
        try:
            async with Client(self._host()) as client:
                await client.remove(name)
        except (Unreachable, Refused, NoEngine, JobFailed) as error:
            logger.warning("container %s could not be removed: %s", name, error)

    def _known(self) -> JobSettings:
        try:
            return self._settings()
        except ValueError as error:
            raise cannot_start(str(error)) from None

    def _host(self) -> str:
        try:
            return address(self._known().container.host)
        except NoEngine as error:
            raise cannot_start(str(error)) from None


class _Patience(NamedTuple):
    """How long the job has to end, and its engine to answer, in seconds."""

    grace_s: float
    engine_s: float


class _Attempt:
    """One attempt, from the order to the result."""

    def __init__(
        self, settings: JobSettings, client: Client, work: Work, context: StepContext, patience: _Patience
    ) -> None:
        self._settings = settings
        self._policy = settings.container
        self._client = client
        self._work = work
        self._context = context
        self._order: JobOrder = work.args[0]
        self._name = spec.container_name(context)
        limits = self._order.limits
        self._grace_s = patience.grace_s if limits.grace_s is None else limits.grace_s
        self._patience_s = patience.engine_s
        self._pieces = partial(self._client.pieces, self._name)
        self._adopted = True
        """It was there before this attempt of ours at it."""

    async def result(self) -> JobResult:
        """How the job ended.  Cancelled, it ends the container, unless the work is left to the next engine."""
        listening: Listening | None = None
        try:
            secrets = Secrets(await self._begun())
            listening = Listening(self._work.log, secrets, self._work.told)
            state = await self._ended(listening)
            return await self._outcome(state, listening, secrets)
        except Refused as error:
            raise WorkerLost(f"container {self._name}: {error}") from None
        except asyncio.CancelledError:
            if not self._work.leave:
                await to_the_end(self._stop(listening))
            raise

    # --- beginning -----------------------------------------------------------------------------

    async def _begun(self) -> list[str]:
        """See to it that the container is there and has been started; the values of its secrets."""
        found = await self._asked(self._client.inspect, self._name)
        if found is None:
            if self._work.resumed:
                raise WorkerLost(f"container {self._name} is gone: somebody removed it, or it is on another machine")
            found = await self._created(await resolved(self._order.secrets, self._settings.secrets))
            self._adopted = False
        self._require_ours(found)
        if found["State"]["Status"] in _NOT_YET:
            await self._start()
        variables = dict(one.split("=", 1) for one in found["Config"]["Env"] or () if "=" in one)
        return [variables[name] for name in self._order.secrets if name in variables]

    async def _created(self, values: dict[str, str]) -> dict[str, Any]:
        await self._clear_others()
        image = await self._image()
        env = self._order.environment(
            run_id=self._context.run_id,
            attempt=self._context.attempt,
            idempotency_key=self._context.idempotency_key,
            correlation_id=self._context.correlation_id,
            job_output=spec.JOB_OUTPUT,
        )
        env = {"PYTHONUNBUFFERED": "1", **env, **values}
        config = spec.create_config(self._order, self._context, self._policy, image, env)
        try:
            await self._asked(self._client.create, self._name, config)
        except Refused as error:
            found = await self._asked(self._client.inspect, self._name)  # an answer that was lost, and asked for again
            if found is None:
                raise cannot_start(f"job {self._order.name!r}: {error}") from None
        found = await self._asked(self._client.inspect, self._name)
        if found is None:
            raise WorkerLost(f"container {self._name} vanished as soon as it was created")
        return found

    async def _clear_others(self) -> None:
        """No earlier attempt of the job may still run: one that was given up for lost may have come back."""
        for name, _ in await self._asked(self._client.ours, self._context.idempotency_key):
            if name != self._name:
                await self._asked(self._client.remove, name)

    async def _image(self) -> dict[str, Any]:
        """The image, pulled if need be."""
        order, policy = self._order, self._policy
        policy.require_image(order)
        image = None if policy.pull == "always" else await self._asked(self._client.image, order.image)
        if image is None and policy.pull != "never":
            try:
                await self._asked(self._client.pull, order.image)
            except Refused as error:
                raise no_image(order, str(error)) from None
            image = await self._asked(self._client.image, order.image)
        if image is None:
            raise cannot_start(
                f"job {order.name!r}: image {order.image!r} is not here, and runtimes.container.pull is {policy.pull}"
            )
        return image

    async def _start(self) -> None:
        """Start it, once: one that has ended would be started anew, so it is looked at before it is asked for again."""
        base, modes = ("/", {spec.OURS[1:]: 0o755, f"{spec.OURS[1:]}/job": 0o1777})
        if self._policy.read_only:
            base, modes = spec.OURS, {"job": 0o1777}
        try:
            await self._asked(self._client.put_directory, self._name, base, modes)
        except Refused as error:
            raise cannot_start(f"job {self._order.name!r}: {error}") from None
        refused: Refused | None = None
        until = asyncio.get_running_loop().time() + self._patience_s
        while (found := await self._asked(self._client.inspect, self._name)) is not None:
            if found["State"]["Status"] not in _NOT_YET:
                return
            if refused is not None:
                raise cannot_start(f"job {self._order.name!r}: {refused}")
            if asyncio.get_running_loop().time() > until:
                raise WorkerLost(f"container {self._name} could not be started: the engine does not answer")
            try:
                await self._client.start(self._name)
            except Refused as error:
                refused = error
            except Unreachable:
                await asyncio.sleep(_LOOK_AGAIN_S)

    def _require_ours(self, found: dict[str, Any]) -> None:
        """Nobody else's container is taken for ours."""
        labels = found.get("Config", {}).get("Labels") or {}
        if labels.get(spec.KEY_LABEL) != self._context.idempotency_key:
            raise cannot_start(f"container {self._name} exists and is not of this job; remove it")

    # --- the end -------------------------------------------------------------------------------

    async def _ended(self, listening: Listening) -> dict[str, Any]:
        """The container's state, when it has ended and all it wrote is kept."""
        anew = not self._adopted
        while True:
            found = await self._asked(self._client.inspect, self._name)
            if found is None:
                raise WorkerLost(f"container {self._name} is gone: somebody removed it under the job")
            state: dict[str, Any] = found["State"]
            ended = state["Status"] in _ENDED
            if ended or not anew:
                await self._read_whole(listening, ended=ended)
            if ended:
                return state
            await self._follow(listening)
            anew = False

    async def _follow(self, listening: Listening) -> None:
        """Listen until it or the connection ends.  Raises JobFailed, when it was silent for too long and is ended."""
        hearing = asyncio.ensure_future(listening.follow(self._pieces))
        try:
            while not hearing.done():
                left_s = self._may_be_silent_for(listening)
                if left_s is not None and left_s <= 0:
                    await to_the_end(self._stop(listening))
                    raise silent(self._order)
                await asyncio.wait([hearing], timeout=left_s)
            hearing.result()
        except (Unreachable, Refused) as error:
            logger.info("the output of container %s broke off: %s", self._name, error)
            await asyncio.sleep(_LOOK_AGAIN_S)
        finally:
            hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await hearing

    async def _read_whole(self, listening: Listening, *, ended: bool) -> None:
        try:
            await self._asked(lambda: listening.whole(self._pieces, ended=ended))
        except Refused as error:
            logger.warning("the output of container %s cannot be read: %s", self._name, error)

    def _may_be_silent_for(self, listening: Listening) -> float | None:
        limit_s = self._order.limits.heartbeat_s
        return None if limit_s is None else listening.heard_at + limit_s - asyncio.get_running_loop().time()

    async def _outcome(self, state: dict[str, Any], listening: Listening, secrets: Secrets) -> JobResult:
        exit_code = int(state["ExitCode"])
        if exit_code in CANNOT_START and state.get("Error"):
            raise cannot_start(f"job {self._order.name!r}: {state['Error']}")
        left = None
        if exit_code == 0:
            left = await self._asked(self._client.read, self._name, spec.JOB_OUTPUT)
        oom = bool(state.get("OOMKilled"))
        return outcome(self._order, exit_code & 255, left, secrets=secrets, said=listening.last, oom=oom)

    async def _stop(self, listening: Listening | None) -> None:
        """End it, and hear what it said while it tidied up."""
        try:
            await self._asked(self._client.stop, self._name, self._grace_s)
        except (Refused, WorkerLost) as error:
            logger.warning("container %s could not be ended: %s", self._name, error)
            return
        if listening is not None:
            with contextlib.suppress(Refused, Unreachable):
                await listening.whole(self._pieces, ended=True)

    async def _asked(self, verb: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The engine's answer; asked again while it does not answer, as long as patience lasts.  Raises WorkerLost."""
        return await asked("the container engine", self._patience_s, verb, *args)
