"""Buses: adapters of the bus port, each loaded only when an address asks for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ripresa.contracts.events import EventSource, EventTarget
    from ripresa.ports.bus import Sink, Source

__all__ = ["open_sink", "open_source", "secret_of"]


def open_sink(target: EventTarget, *, secret: str | None = None) -> Sink:
    """Where these events go: RabbitMQ, Redis or a webhook.  Raises ValueError for an address of another kind."""
    match urlsplit(target.to).scheme:
        case "amqp" | "amqps":
            from ripresa.buses.rabbitmq import RabbitMqSink

            return RabbitMqSink(target.to, exchange=target.exchange)
        case "redis" | "rediss":
            from ripresa.buses.redis import RedisSink

            return RedisSink(target.to, stream=target.stream, length_max=target.length_max)
        case "https" | "http":
            from ripresa.buses.webhook import WebhookSink

            return WebhookSink(target.to, secret=secret, private=target.private)
        case scheme:
            raise ValueError(f"events.publish: {scheme or 'no'}:// is not one of amqp, redis, https")


def open_source(source: EventSource) -> Source:
    """Where these events come from: RabbitMQ or Redis.  Raises ValueError for an address of another kind."""
    match urlsplit(source.address).scheme:
        case "amqp" | "amqps":
            from ripresa.buses.rabbitmq import RabbitMqSource

            return RabbitMqSource(source.address, queue=source.queue)
        case "redis" | "rediss":
            from ripresa.buses.redis import RedisSource

            return RedisSource(source.address, stream=source.stream, group=source.group)
        case scheme:
            raise ValueError(f"events.consume: {scheme or 'no'}:// is not one of amqp, redis")


async def secret_of(target: EventTarget) -> str | None:
    """What its `secret` refers to, `env:NAME` or `file:/path`; None: it names none.  Raises ValueError."""
    if target.secret is None:
        return None
    kind, _, place = target.secret.partition(":")
    if kind == "env" and place in os.environ:
        return os.environ[place]
    if kind == "file":
        try:
            return (await asyncio.to_thread(Path(place).read_text, "utf-8")).strip()
        except OSError as error:
            raise ValueError(f"events.publish.secret: {error}") from None
    raise ValueError(
        f"events.publish.secret: {target.secret!r} refers to nothing: env:NAME (set) or file:/path is needed"
    )
