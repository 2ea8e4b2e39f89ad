"""One attempt of a job as one Job of a cluster, which outlives the engine that started it.

    Job of this name? ── no ──> clear earlier attempts ─> Secret ─> Job ─┐
         │                                                               ├─> watch ─> ended ─> output, outcome
         └── yes: go on with it, or take what it came to                 │
                                                      lines <── follow ──┘

`tests/kubernetes` kills engines on a real cluster to prove that none is started twice, no line lost, none kept twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from ripresa.contracts.job_order import JobOrder, JobResult
from ripresa.contracts.status import FailureClass
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes import JobFailed, WorkerLost
from ripresa.runtimes.ending import to_the_end
from ripresa.runtimes.job_outcome import cannot_start, failed, no_image, outcome, silent
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes import manifest, output, seen
from ripresa.runtimes.kubernetes.client import Client, Expired
from ripresa.runtimes.kubernetes.manifest import CONTEXT, COURIER, JOB, SecretKey, Wanted, job_name
from ripresa.runtimes.kubernetes.secrets import gathered, keys_of, known_again
from ripresa.runtimes.kubernetes.seen import Ended, Lost, Running, TooLong, Waiting
from ripresa.runtimes.kubernetes.watching import Look, Looking, looks
from ripresa.runtimes.listening import Listening
from ripresa.runtimes.masking import Secrets
from ripresa.runtimes.remote import Refused, Unreachable, asked

logger = logging.getLogger("ripresa.kubernetes")

T = TypeVar("T")
_NO_POD: Final = "the cluster has not made its pod yet"
_LOOK_AGAIN_S: Final = 0.2
_LOOK_AGAIN_S_MAX: Final = 5.0
_SAYS_WHY_S: Final = 10.0
_LAST_WORDS_S: Final = 5.0
"""How long the end of a log is waited for, when its container has ended."""
_LAST_LINES_S: Final = 20.0
"""How long a log that cannot be read is asked for, when all else of the attempt is known."""
_SETTLE_S: Final = 20.0
"""How long what hardly ever passes is given time to pass."""
_TO_VANISH_S: Final = 60.0
"""How long a pod that was deleted may take, beyond its grace: kubelets look after their pods every few seconds."""


class Attempt:
    """One attempt, from the order to the result."""

    def __init__(
        self, settings: JobSettings, client: Client, work: Work, context: StepContext, *, grace_s: float
    ) -> None:
        self._settings = settings
        self._policy = settings.kubernetes
        self._client = client
        self._work = work
        self._context = context
        self._order: JobOrder = work.args[0]
        self._name = job_name(context)
        own = self._order.limits.grace_s
        self._grace_s = grace_s if own is None else own
        self._pod: str | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._stopping = False
        self._waiting: Waiting | None = Waiting(_NO_POD)
        """What it waits for, before it begins."""
        self._begun_at = self._hardly_since = asyncio.get_running_loop().time()

    async def result(self) -> JobResult:
        """How the job ended.  Cancelled, it ends the Job, unless the work is left to the next engine."""
        try:
            job, anew = await self._begun()
            secrets = Secrets(await known_again(keys_of(job["spec"]["template"]["spec"], JOB), self._secret))
            listening = Listening(self._work.log, secrets, self._work.told)
            ended = await self._ended(listening, job, anew=anew)
            return await self._outcome(ended, job, listening, secrets)
        except (Refused, Expired) as error:
            raise WorkerLost(f"job {self._name}: {error}") from None
        except asyncio.CancelledError:
            if not self._work.leave:
                await to_the_end(self._stop())
            raise
        finally:
            await self._stop_hearing()

    # --- beginning -----------------------------------------------------------------------------

    async def _begun(self) -> tuple[dict[str, Any], bool]:
        """See to it that the Job is there; whether that was only now."""
        found = await self._asked(self._client.job, self._name)
        if found is not None:
            self._require_ours(found)
            return found, False
        if self._work.resumed:
            raise WorkerLost(f"job {self._name} is gone: somebody removed it, or it is in another namespace or cluster")
        return await self._created(), True

    async def _created(self) -> dict[str, Any]:
        await self._clear_others()
        order = self._order
        secrets = await gathered(order, self._settings, self._client.namespace, self._name, self._secret)
        wanted = self._wanted(secrets.keys)
        job = manifest.job(order, self._policy, wanted)
        try:
            await self._put(secrets.own, None)
            made = await self._asked(self._create, job)
            await self._put(secrets.own, made)
        except Refused as error:
            raise self._refused(error) from None
        self._require_ours(made)
        return made

    async def _put(self, values: dict[str, str], owner: dict[str, Any] | None) -> None:
        """The attempt's own Secret, if it has any; from when its Job is there, that owns it."""
        if values:
            await self._asked(self._client.put_secret, manifest.attempt_secret(self._context, values, owner))

    async def _create(self, job: dict[str, Any]) -> dict[str, Any]:
        """Create the Job; one that is there already is an answer that was lost, and asked for again."""
        try:
            return await self._client.create_job(job)
        except Refused as error:
            found = None if error.status != 409 else await self._client.job(self._name)
            if found is None:
                raise
            return found

    def _wanted(self, keys: dict[str, SecretKey]) -> Wanted:
        context = self._context
        env = self._order.environment(
            run_id=context.run_id,
            attempt=context.attempt,
            idempotency_key=context.idempotency_key,
            correlation_id=context.correlation_id,
            job_output=manifest.JOB_OUTPUT,
        )
        return Wanted(
            context=context,
            env={"PYTHONUNBUFFERED": "1", **env},
            secrets=keys,
            grace_s=self._grace_s,
            limit_s=self._work.options.get("limit_s"),
        )

    async def _clear_others(self) -> None:
        """No earlier attempt of the job may still run: one that was given up for lost may have come back."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace_s + _TO_VANISH_S
        while others := await self._asked(self._client.jobs, manifest.labels_of(self._context)[manifest.KEY_LABEL]):
            if loop.time() > until:
                raise WorkerLost(f"job {others[0]['metadata']['name']}, an earlier attempt, cannot be removed")
            for one in others:
                if "deletionTimestamp" not in one["metadata"]:
                    await self._asked(partial(self._client.delete_job, wait=True), one["metadata"]["name"])
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _refused(self, error: Refused) -> JobFailed:
        """The API does not take the Job: a quota may have room later, all else is somebody's to change."""
        message = f"job {self._order.name!r}: the cluster does not take it: {error}"
        return failed(message, code="cannot_start") if "exceeded quota" in str(error) else cannot_start(message)

    def _require_ours(self, found: dict[str, Any]) -> None:
        """Nobody else's Job is taken for ours."""
        if manifest.context_of(found["metadata"]) != self._context:
            raise cannot_start(f"job {self._name} exists and is not of this attempt ({CONTEXT}); remove it")
        if "deletionTimestamp" in found["metadata"]:
            raise WorkerLost(f"job {self._name} is being removed by somebody")

    # --- the end -------------------------------------------------------------------------------

    async def _ended(self, listening: Listening, job: dict[str, Any], *, anew: bool) -> Ended:
        """How it ended, when it has and all it wrote is kept.  Raises JobFailed, WorkerLost."""
        looking = Looking(looks(self._client, self._name, self._policy.patience))
        try:
            found = await self._over(looking, listening, job, anew=anew)
            if isinstance(found, Lost):
                found = await self._too_long(job) or found
        finally:
            await looking.close()
        await self._read_whole(listening)
        if isinstance(found, TooLong):
            raise failed(
                f"job {self._order.name!r} took longer than it may and was ended by the cluster", code="timeout"
            )
        if isinstance(found, Lost):
            raise WorkerLost(f"job {self._name}: {found.why}")
        return found

    async def _over(
        self, looking: Looking, listening: Listening, job: dict[str, Any], *, anew: bool
    ) -> Ended | TooLong | Lost:
        while True:
            look = await looking.next(self._alarm_s(listening))
            if look is not None:
                found = self._understood(look)
                if isinstance(found, Ended | TooLong | Lost):
                    return found
                self._note(found, listening, anew=anew)
            await self._require_progress(listening, job)

    async def _too_long(self, job: dict[str, Any]) -> TooLong | None:
        """Whether its pod is gone because the cluster ended it in time; it says so a moment after it did."""
        if "activeDeadlineSeconds" not in job["spec"]:
            return None
        until = asyncio.get_running_loop().time() + _SAYS_WHY_S
        while asyncio.get_running_loop().time() < until:
            known = await self._asked(self._client.job, self._name)
            over = None if known is None else seen.failed_job(known)
            if isinstance(over, TooLong):
                return over
            if known is None or over is not None or "deletionTimestamp" in known["metadata"]:
                return None
            await asyncio.sleep(_LOOK_AGAIN_S)
        return None

    def _understood(self, look: Look) -> seen.Seen:
        """What a look means."""
        if look.pod is None:
            if look.gone:
                return Lost("its pod is gone: somebody removed it, or its node is gone")
            if look.job is None:
                return Lost("it is gone: somebody removed it under the job")
            return seen.failed_job(look.job) or Waiting(_NO_POD)
        self._pod = str(look.pod["metadata"]["name"])
        found = seen.seen(look.pod)
        if isinstance(found, Waiting | Running) and look.gone:
            return Lost("its pod is gone: somebody removed it, or its node is gone")
        return found

    def _note(self, found: seen.Seen, listening: Listening, *, anew: bool) -> None:
        """Something has changed: it waits for something, or runs."""
        now = asyncio.get_running_loop().time()
        if isinstance(found, Waiting):
            if self._waiting is None or found.hardly != self._waiting.hardly:
                self._hardly_since = now
            self._waiting = found
            return
        self._waiting = None
        if self._hearing is None:
            listening.heard_at = now
            self._hearing = asyncio.ensure_future(self._hear(listening, anew=anew))

    def _alarm_s(self, listening: Listening) -> float | None:
        """How long nothing need be done unless something happens."""
        now = asyncio.get_running_loop().time()
        due = []
        if self._waiting is not None:
            due.append(self._begun_at + self._policy.start_within)
            if self._waiting.hardly:
                due.append(self._hardly_since + _SETTLE_S)
        elif self._hearing is not None and (limit_s := self._order.limits.heartbeat_s) is not None:
            due.append(listening.heard_at + limit_s)
        return max(0.0, min(due) - now) if due else None

    async def _require_progress(self, listening: Listening, job: dict[str, Any]) -> None:
        """Raise JobFailed, and end the Job, if it never starts or has fallen silent."""
        if self._hearing is not None and self._hearing.done():
            self._hearing.result()
        why: JobFailed | None = None
        if self._waiting is not None:
            why = await self._will_not_start(self._waiting, job)
        elif self._hearing is not None and self._alarm_s(listening) == 0.0:
            why = silent(self._order)
        if why is not None:
            await to_the_end(self._stop())
            raise why

    async def _will_not_start(self, waiting: Waiting, job: dict[str, Any]) -> JobFailed | None:
        """Why it never will, or not in time; None: it may still."""
        order, now = self._order, asyncio.get_running_loop().time()
        if waiting.hopeless or (waiting.hardly and now >= self._hardly_since + _SETTLE_S):
            return cannot_start(f"job {order.name!r}: {waiting.why}")
        over = now >= self._begun_at + self._policy.start_within
        if waiting.image:
            error = no_image(order, waiting.why)
            return error if over or error.failure_class is FailureClass.TERMINAL else None
        if not over:
            return None
        said = ""
        if waiting.why == _NO_POD:
            said = await self._asked(self._client.complaints, str(job["metadata"]["uid"]))
        return failed(
            f"job {order.name!r} did not start within {self._policy.start_within:g} s: {said or waiting.why}",
            code="cannot_start",
        )

    async def _outcome(self, ended: Ended, job: dict[str, Any], listening: Listening, secrets: Secrets) -> JobResult:
        order = self._order
        if ended.not_started:
            raise cannot_start(f"job {order.name!r}: {ended.not_started}")
        left = None
        if ended.exit_code == 0:
            left = await self._output(ended, job)
        return outcome(order, ended.exit_code & 255, left, secrets=secrets, said=listening.last, oom=ended.oom)

    async def _output(self, ended: Ended, job: dict[str, Any]) -> bytes | None:
        """What it left in `$JOB_OUTPUT`; None: nothing."""
        if not manifest.has_courier(job):
            return output.of_message(self._order, ended.left)
        assert self._pod is not None  # noqa: S101 - it ended, so it was seen
        packed = await self._asked(self._client.written, self._pod, COURIER, output.PACKED_BYTES_MAX)
        return output.of_log(self._order, packed)

    # --- listening -----------------------------------------------------------------------------

    async def _hear(self, listening: Listening, *, anew: bool) -> None:
        """Follow what it writes, however often that breaks off, until it is cancelled, or the Job was ended by us."""
        wait_s = _LOOK_AGAIN_S
        while True:
            try:
                if not anew:
                    await listening.whole(self._pieces, ended=False)
                await listening.follow(self._pieces)
            except (Unreachable, Refused, Expired) as error:
                logger.info("the output of job %s broke off: %s", self._name, error)
            if self._stopping:  # a stream that ends with its container may lack the last words
                with suppress(Unreachable, Refused, Expired):
                    await listening.whole(self._pieces, ended=True)
                return
            anew = False
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, _LOOK_AGAIN_S_MAX)

    def _pieces(self, *, follow: bool) -> AsyncIterator[tuple[str, int | None, bytes]]:
        assert self._pod is not None  # noqa: S101 - it is listened to when it was seen
        return self._client.pieces(self._pod, JOB, follow=follow)

    async def _read_whole(self, listening: Listening) -> None:
        """Keep what it wrote and is not kept yet."""
        await self._stop_hearing()
        if self._pod is None:
            return
        try:
            await asked("the log", _LAST_LINES_S, partial(listening.whole, self._pieces, ended=True))
        except (WorkerLost, Refused, Expired) as error:
            logger.warning("the output of job %s cannot be read: %s", self._name, error)

    async def _stop_hearing(self) -> None:
        if (hearing := self._hearing) is not None:
            hearing.cancel()
            await asyncio.wait([hearing])

    # --- ending it -----------------------------------------------------------------------------

    async def _stop(self) -> None:
        """End it, and hear what it says while it tidies up."""
        self._stopping = True
        try:
            await self._asked(partial(self._client.delete_job, wait=True), self._name)
            await self._vanished()
        except (Refused, Expired, WorkerLost) as error:
            logger.warning("job %s could not be ended: %s", self._name, error)
        if self._hearing is not None:
            await asyncio.wait([self._hearing], timeout=_LAST_WORDS_S)

    async def _vanished(self) -> None:
        """Return when its containers have ended, or should have long ago."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace_s + _TO_VANISH_S
        while True:
            pods, _ = await self._asked(self._client.pods, f"{manifest.NAME_LABEL}={self._name}")
            if all(seen.ended_at_all(pod) for pod in pods):
                return
            if loop.time() > until:
                logger.warning("the pod of job %s has not ended in time: is its node there?", self._name)
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    # --- asking --------------------------------------------------------------------------------

    async def _secret(self, name: str) -> dict[str, Any] | None:
        return await self._asked(self._client.secret, name)

    async def _asked(self, verb: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The cluster's answer; asked again while it does not answer, as long as patience lasts.  Raises WorkerLost."""
        return await asked("the cluster", self._policy.patience, verb, *args)
