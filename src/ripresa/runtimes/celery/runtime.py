"""The engine's end: ids of tasks on their way to a Celery queue, in the background.

One thread sends, with the broker's confirmation where it gives one.  What cannot be sent is dropped: the engine sends
again what nobody claims.  So no engine waits for a broker, however it is blocked or wiped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ripresa.runtimes.celery.settings import CelerySettings
from ripresa.runtimes.celery.wire import ANSWER_S, TASK, celery_app
from ripresa.runtimes.job_outcome import cannot_start

logger = logging.getLogger("ripresa.celery")

_WAITING_MAX: Final = 100_000
_REST_S: Final = 1.0
_IDLE_S: Final = 30.0


class CeleryRuntime:
    """Has steps and jobs carried out by Celery workers: `App(runtimes={"celery": CeleryRuntime("redis://…")})`.

    `settings`: the broker's address, a `CelerySettings`, or what gives them when the first task is put out.
    """

    attempts_max = None

    def __init__(self, settings: str | CelerySettings | Callable[[], CelerySettings]) -> None:
        if isinstance(settings, str):
            settings = CelerySettings(broker=settings)
        self._settings = settings
        self._waiting: queue.Queue[tuple[str, str] | None] = queue.Queue(_WAITING_MAX)
        self._thread: threading.Thread | None = None
        self._closed = False
        self._app: Any = None

    @property
    def queue(self) -> str:
        """The queue of tasks for which no other is named.  Raises JobFailed if the settings are wrong."""
        return self._known().queue

    @property
    def lease_us(self) -> int:
        """For how long a worker may be silent."""
        return self._known().lease_us

    @property
    def resend_us(self) -> int:
        """A task that nobody has claimed for so long is sent again."""
        return self._known().resend_us

    def carry(self, queue: str, tasks: Sequence[str]) -> None:
        """Send these ids; what cannot be sent is dropped."""
        self._begin()
        for task in tasks:
            with contextlib.suppress(_Full):
                self._waiting.put_nowait((queue, task))

    async def depth(self, queue: str) -> int | None:
        """How many ids wait in the queue; None: the broker does not say."""
        self._begin()
        try:
            async with asyncio.timeout(2 * ANSWER_S):
                return await asyncio.to_thread(self._depth, queue)
        except Exception as error:  # noqa: BLE001 - whatever kept it from answering
            logger.warning("the broker does not say how long queue %s is: %s", queue, error)
            return None

    async def close(self) -> None:
        """Send what waits, if that can be done soon; closing twice is fine."""
        if self._thread is not None and not self._closed:
            self._closed = True
            with contextlib.suppress(_Full):
                self._waiting.put_nowait(None)
            await asyncio.to_thread(self._thread.join, ANSWER_S)

    def _known(self) -> CelerySettings:
        if callable(self._settings):
            try:
                self._settings = self._settings()
                self._settings.require_broker()
            except ValueError as error:
                raise cannot_start(str(error)) from None
        return self._settings

    def _begin(self) -> None:
        if self._thread is None:
            settings = self._known()
            try:
                self._app = celery_app(settings)
            except ModuleNotFoundError as error:
                raise cannot_start(
                    f"runtime celery needs the package {error.name}: pip install 'ripresa[celery]'"
                ) from None
            self._thread = threading.Thread(target=self._send_all, name="ripresa celery", daemon=True)
            self._thread.start()

    # --- in the thread -------------------------------------------------------------------------

    def _send_all(self) -> None:
        """Send what comes, until told to end; a connection that breaks is made again."""
        trouble = False
        while True:
            try:
                with self._app.connection_for_write() as connection:
                    connection.ensure_connection(max_retries=1, timeout=ANSWER_S)
                    producer = self._app.amqp.Producer(connection)
                    if trouble:
                        logger.warning("the broker takes tasks again")
                        trouble = False
                    while True:
                        if not self._send(producer):
                            return
            except Exception as error:  # noqa: BLE001 - drivers raise of every kind; the engine sends again
                if self._closed:
                    return
                if not trouble:
                    logger.warning("the broker takes no tasks for now; they will be sent again: %s", error)
                trouble = True
                time.sleep(_REST_S)

    def _send(self, producer: Any) -> bool:
        """Send one, or keep the connection alive; False: that was all."""
        try:
            wanted = self._waiting.get(timeout=_IDLE_S)
        except queue.Empty:
            with contextlib.suppress(NotImplementedError, AttributeError):
                producer.connection.heartbeat_check()
            return True
        if wanted is None:
            return False
        name, task = wanted
        self._app.send_task(
            TASK,
            args=[task],
            queue=name,
            producer=producer,
            retry=False,
            ignore_result=True,
            confirm_timeout=ANSWER_S,
        )
        return True

    def _depth(self, name: str) -> int:
        with self._app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=ANSWER_S)
            channel = connection.channel()
            try:
                return int(channel.queue_declare(queue=name, passive=True).message_count)
            except connection.channel_errors:  # there is no such queue: it was wiped
                return 0


_Full = queue.Full
