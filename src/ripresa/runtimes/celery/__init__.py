"""The Celery runtime: steps and jobs on the workers of a Celery queue, over RabbitMQ or Redis.

    [runtimes.celery]
    broker = "amqp://user@rabbit:5672//"

    celery -A ripresa.runtimes.celery worker -Q ripresa

Celery carries ids and nothing else: what is to be done, who does it and what came of it are rows of the store, which
every worker opens itself.  So a broker that is wiped costs time and nothing more.  `app` is the Celery application of
the workers, made when it is asked for.
"""

from __future__ import annotations

from typing import Any

from ripresa.runtimes.celery.settings import CelerySettings

__all__ = ["CelerySettings", "app"]

_made: list[Any] = []


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _made:
        from ripresa.runtimes.celery.application import make_app

        _made.append(make_app())
    return _made[0]
