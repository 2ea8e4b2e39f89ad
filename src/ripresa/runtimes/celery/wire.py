"""What engines and workers agree on: the task's name, how Celery is set up on both sides, and what an id looks like."""

from __future__ import annotations

import re
from typing import Any, Final

from ripresa.runtimes.celery.settings import CelerySettings

TASK: Final = "ripresa.work"
ANSWER_S: Final = 5.0
"""How long a broker may take to answer."""
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


def celery_app(settings: CelerySettings) -> Any:
    """A Celery application that speaks JSON only, keeps no results, and waits for no broker for ever."""
    from celery import Celery

    broker = settings.require_broker()
    app = Celery("ripresa", broker=broker, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_backend=None,
        task_ignore_result=True,
        task_default_queue=settings.queue,
        broker_connection_timeout=ANSWER_S,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_options(broker),
    )
    return app


def _options(broker: str) -> dict[str, Any]:
    if broker.startswith("amqp"):
        return {"confirm_publish": True}
    return {"socket_connect_timeout": ANSWER_S, "socket_timeout": 6 * ANSWER_S, "retry_on_timeout": True}


def is_task_id(given: Any) -> bool:
    """Whether this may be the id of a task."""
    return isinstance(given, str) and _ID.fullmatch(given) is not None
