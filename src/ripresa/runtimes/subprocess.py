"""The subprocess runtime: containerised jobs as processes of this machine, where no container engine is wanted.

An image stands for a local directory (`local_images`); the job's command runs there, never through a shell unless the
Dockerfile there says so.  Limits of processor and memory, volumes and users hold in containers only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from ripresa.contracts.job_order import JobOrder, JobResult
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes import RuntimeClosed, WorkerLost
from ripresa.runtimes.ending import to_the_end
from ripresa.runtimes.guard import Guard
from ripresa.runtimes.job_outcome import OUTPUT_FILE_BYTES_MAX, cannot_start, outcome, silent
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.local_images import argv_of
from ripresa.runtimes.masking import Secrets
from ripresa.runtimes.output_lines import OutputLines
from ripresa.runtimes.secrets import resolved
from ripresa.runtimes.subprocess_handle import JobProcess

GRACE_S: Final = 10.0
STREAMS: Final = ("stdout", "stderr")
_FROM_OURS: Final = ("HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR")
_MACHINE_IS_FULL: Final = (11, 12, 23, 24)  # EAGAIN, ENOMEM, ENFILE, EMFILE


class _Start(NamedTuple):
    """What to execute, where, and with which variables."""

    argv: tuple[str, ...]
    directory: Path
    env: dict[str, str]


class SubprocessRuntime:
    """Runs job orders as processes; how many at once is the engine's to say.

    `settings` is asked when the first job runs.  `grace_s`: from SIGTERM to SIGKILL, unless the order says otherwise.
    """

    attempts_max = None

    def __init__(self, settings: Callable[[], JobSettings], *, grace_s: float = GRACE_S) -> None:
        self._settings = settings
        self._grace_s = grace_s
        self._guard = Guard()
        self._running: set[JobProcess] = set()
        self._closed = False

    async def run(self, work: Work) -> str:
        """Run to the end; raises JobFailed for whatever the job came to, WorkerLost if this machine is full."""
        order: JobOrder = work.args[0]
        self._refuse_if_closed()
        settings = self._known(order)
        directory = settings.images.directory(order.image)
        argv = argv_of(order, directory)
        values = await resolved(order.secrets, settings.secrets)
        folder = Path(tempfile.mkdtemp(prefix="ripresa-job-"))
        try:
            file = folder / "output.json"
            env = {**_ours(), **_environment(order, work, file), **values}
            result = await self._carry_out(_Start(argv, directory, env), work, Secrets(values.values()))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return work.dump(result)

    async def close(self) -> None:
        """End all jobs, whose work gets `RuntimeClosed`; closing twice is fine."""
        self._closed = True
        await asyncio.gather(*(process.stop(self._grace_s) for process in list(self._running)))
        await self._guard.close()

    def _known(self, order: JobOrder) -> JobSettings:
        try:
            return self._settings()
        except ValueError as error:
            raise cannot_start(f"job {order.name!r}: {error}") from None

    async def _carry_out(self, start: _Start, work: Work, secrets: Secrets) -> JobResult:
        order: JobOrder = work.args[0]
        outputs = {name: OutputLines(name, work.log, masker=secrets.stream()) for name in STREAMS}
        process = self._begin(start, order, outputs)
        grace_s = self._grace_s if order.limits.grace_s is None else order.limits.grace_s
        try:
            exit_code = await _heard(process, order.limits.heartbeat_s)
        except (asyncio.CancelledError, TimeoutError) as ended:
            await to_the_end(process.stop(grace_s))
            if isinstance(ended, TimeoutError):
                raise silent(order) from None
            raise
        finally:
            self._running.discard(process)
            self._guard.forget(process.pid)
        self._refuse_if_closed()
        left = await asyncio.to_thread(_read, Path(start.env["JOB_OUTPUT"]))
        said = outputs["stderr"].last or outputs["stdout"].last
        return outcome(order, exit_code, left, secrets=secrets, said=said)

    def _begin(self, start: _Start, order: JobOrder, outputs: dict[str, OutputLines]) -> JobProcess:
        try:
            self._guard.start()
            process = JobProcess(start.argv, cwd=start.directory, env=start.env, outputs=outputs)
        except OSError as error:
            if error.errno in _MACHINE_IS_FULL:
                raise WorkerLost(f"cannot start job {order.name!r}: {error}") from error
            what = f"cannot execute {start.argv[0]!r} in {start.directory}"
            raise cannot_start(f"job {order.name!r}: {what}: {error.strerror or error}") from None
        self._running.add(process)
        self._guard.watch(process.pid, start.env["JOB_OUTPUT"])
        return process

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeClosed("the subprocess runtime is closed")


async def _heard(process: JobProcess, heartbeat_s: float | None) -> int:
    """The exit code.  Raises TimeoutError if it was silent for too long."""
    if heartbeat_s is None:
        return await process.wait()
    loop = asyncio.get_running_loop()
    while True:
        until = process.heard_at + heartbeat_s
        if loop.time() >= until:
            raise TimeoutError
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                return await process.wait()


def _ours() -> dict[str, str]:
    """What of our environment any program needs; credentials are in none of it."""
    told = {name: value for name, value in os.environ.items() if name in _FROM_OURS or name.startswith("LC_")}
    here = os.path.dirname(sys.executable)  # noqa: PTH120 - so that `python` is found as in an image made for it
    told["PATH"] = os.pathsep.join(filter(None, (os.environ.get("PATH", os.defpath), here)))
    told["PYTHONUNBUFFERED"] = "1"  # lines are shown as they are written
    return told


def _environment(order: JobOrder, work: Work, file: Path) -> dict[str, str]:
    context: StepContext = work.context() if callable(work.context) else work.context
    return order.environment(
        run_id=context.run_id,
        attempt=context.attempt,
        idempotency_key=context.idempotency_key,
        correlation_id=context.correlation_id,
        job_output=str(file),
    )


def _read(file: Path) -> bytes | None:
    """What the job left, as far as it is a file; None: nothing."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return opened.read(OUTPUT_FILE_BYTES_MAX + 1)
