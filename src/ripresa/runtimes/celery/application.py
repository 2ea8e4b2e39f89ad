"""The workers' Celery application: its one task claims what the message names, hands it over, and acknowledges.

    message (an id) ─> free slot? ── no, for a second ──> back to the queue, for another worker
                            └── yes ─> claim in the store ─> TaskWorker goes on ─> acknowledged, milliseconds later

So no delivery outlasts a job, and no visibility timeout matters.  A message that is no task's id is dropped with a line
in the log: what it may have been is a row of the store, and sent again.
"""

from __future__ import annotations

import logging
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from ripresa.runtimes.celery.wire import TASK, celery_app, is_task_id
from ripresa.runtimes.celery.worker import TaskWorker
from ripresa.runtimes.job_settings import FILE, JobSettings

logger = logging.getLogger("ripresa.celery")

STORE_VARIABLE = "RIPRESA_STORE"


def make_app() -> Any:
    """The application, set up by `ripresa.toml` in the current directory and the environment.  Raises ValueError."""
    from celery import bootsteps
    from celery.exceptions import Reject

    settings = JobSettings.from_file().celery
    app = celery_app(settings)
    app.conf.update(
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_pool="threads",  # a thread claims and hands over; the work is done in processes of our own
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    workers: list[TaskWorker] = []

    @app.task(name=TASK, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery has no types
    def work(*given: Any, **named: Any) -> None:
        if len(given) != 1 or named or not is_task_id(given[0]):
            logger.error("a message is dropped that names no task: %.200r", (given, named))
        elif not workers or not workers[0].take(given[0]):
            raise Reject("no slot is free", requeue=True)

    class Hands(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
        """Begins before the first message is taken, and ends after the last."""

        requires = ("celery.worker.components:Pool",)

        def start(self, parent: Any) -> None:
            queues = sorted(parent.app.amqp.queues.consume_from)
            worker = TaskWorker(store_url(), settings, name=parent.hostname, slots=parent.concurrency, queues=queues)
            worker.start()
            workers.append(worker)

        def stop(self, parent: Any) -> None:
            while workers:
                workers.pop().stop(settings.grace_s)

        def terminate(self, parent: Any) -> None:
            while workers:
                workers.pop().stop(0.0)

    app.steps["worker"].add(Hands)
    if os.getcwd() not in sys.path:  # noqa: PTH109 - compared with texts
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - where steps are imported from
    return app


def store_url() -> str:
    """The store's address: RIPRESA_STORE, or `store` of `ripresa.toml`.  Raises ValueError if neither names one."""
    if url := os.environ.get(STORE_VARIABLE):
        return url
    path = Path(FILE)
    told = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    url = told.get("store")
    if not isinstance(url, str):
        raise ValueError(  # noqa: TRY004 - what a file lacks
            f'a worker needs the store that its engines use: set {STORE_VARIABLE}, or store = "…" in {FILE}'
        )
    return url
