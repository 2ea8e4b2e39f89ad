"""Opening: what an App has open beside its definitions, the order in which it is opened, and the end of it.

    store ─> lease ─> runtimes ─> engine, pools ─> hands (events out and in)

It is closed in the other order.  Invariant: an opening that fails leaves nothing open and nothing at work, for what
nobody knows of would keep its lease, and the runs that it has taken over.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ripresa.contracts.errors import RipresaError
from ripresa.engine.consuming import Consumer
from ripresa.engine.engine import Engine
from ripresa.engine.fleet import about
from ripresa.engine.hands import Hands
from ripresa.engine.publishing import Publisher, telling
from ripresa.engine.sources import SystemSources
from ripresa.ports.clock import SystemClock

if TYPE_CHECKING:
    from ripresa.contracts.events import EventSettings, EventSource
    from ripresa.contracts.pools import Pool
    from ripresa.engine.app import App
    from ripresa.engine.config import Config
    from ripresa.engine.known import Known
    from ripresa.engine.sources import Sources
    from ripresa.ports.clock import Clock
    from ripresa.ports.lease import Lease
    from ripresa.ports.runtime import Runtime
    from ripresa.ports.store import Store
    from ripresa.ports.tasks import Carrier

_PASSWORD = re.compile(r"(?<=:)(?!//).*(?=@)|(?<=password=)[^&]*")
_WHO_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an App was given to open with."""

    known: Known
    clock: Clock | None
    evict_after_us: int
    config: Config
    sources: Sources | None
    runtimes: dict[str, Runtime | Carrier]
    events: EventSettings
    pools: tuple[Pool, ...]


class Opening:
    """One time that an App is open."""

    def __init__(self, given: Given, store: Store) -> None:
        self._given = given
        self._store = store
        self._lease: Lease | None = None
        self._logs: Any = None
        self._hands = Hands()
        self.runtimes: dict[str, Runtime | Carrier] = {}

    async def begin(self, app: App) -> None:
        """Open all, and give the App its engine."""
        given, store = self._given, self._store
        clock = given.clock or SystemClock()
        await store.open()
        try:
            if store.shared and isinstance(clock, SystemClock):
                await clock.follow(store.time)
            self._lease = await store.acquire(
                now=clock.wall(),
                lease_us=int(given.config.lease_s * 1e6),
                who=_who(),
                about=telling(about(given.known, given.config), published=bool(given.events.publish)),
            )
        except BaseException:
            await store.close()
            raise
        try:
            await self._set_to_work(app, self._lease, clock)
        except BaseException:
            engine, app.engine = app.engine, None
            if engine is not None:
                engine.abort()
            await self._close(release=True)
            raise

    async def _set_to_work(self, app: App, lease: Lease, clock: Clock) -> None:
        given = self._given
        await given.known.learn(self._store)
        own = {} if "inline" in given.runtimes else _runtimes(given.config)
        self.runtimes = {**own, **given.runtimes}
        app.engine = engine = Engine(
            self._store,
            lease,
            clock=clock,
            sources=given.sources or SystemSources(),
            config=given.config,
            runtimes=self.runtimes,
            known=given.known,
            evict_after_us=given.evict_after_us,
            announces=bool(given.events.publish),
            observers=app.observers,
        )
        if given.config.capture_logs:
            from ripresa.engine.logs import StepLogHandler  # noqa: PLC0415 - only with an engine

            self._logs = StepLogHandler.attach(engine)
        await engine.pools.open(given.pools)
        await engine.start()
        if given.events.publish or given.events.consume:
            await self._open_events(app, engine)

    async def _open_events(self, app: App, engine: Engine) -> None:
        from ripresa.buses import open_sink, open_source, secret_of  # noqa: PLC0415 - only with events

        events = self._given.events
        if events.publish:
            sinks = [(target, open_sink(target, secret=await secret_of(target))) for target in events.publish]
            publisher = Publisher(engine, events.source, sinks)
            engine.announcing.published = publisher.kick
            self._hands.begin(engine, [publisher])
        rules: dict[tuple[str, ...], list[EventSource]] = {}
        for rule in events.consume:  # those for one queue are for whoever takes from it
            rules.setdefault((rule.address, rule.queue, rule.stream, rule.group), []).append(rule)
        consumers = [Consumer(app, engine, those, open_source(those[0])) for those in rules.values()]
        self._hands.begin(engine, consumers)

    async def end(self, engine: Engine) -> None:
        """Write what is known, let the runs go, close all."""
        await self._hands.end()
        await engine.stop()
        await self._close(release=engine.failure is None)

    async def drop(self, engine: Engine) -> None:
        """Write nothing more, close all."""
        engine.abort()
        await self._close(release=engine.failure is None)

    async def _close(self, *, release: bool) -> None:
        if self._logs is not None:
            self._logs.detach()
            self._logs = None
        try:
            await self._hands.end()
            for runtime in self.runtimes.values():
                await runtime.close()
        finally:
            if release and self._lease is not None:
                with contextlib.suppress(RipresaError):  # the lease ends by itself
                    await self._store.release(self._lease)
            await self._store.close()


def _runtimes(config: Config) -> dict[str, Runtime | Carrier]:
    from ripresa.runtimes.inline import InlineRuntime  # noqa: PLC0415 - only when opened
    from ripresa.runtimes.jobs import carriers, job_runtimes  # noqa: PLC0415 - only when opened
    from ripresa.runtimes.process import ProcessRuntime  # noqa: PLC0415 - only when opened
    from ripresa.runtimes.thread import ThreadRuntime  # noqa: PLC0415 - only when opened

    return {
        "inline": InlineRuntime(),
        "thread": ThreadRuntime(config.threads),
        "process": ProcessRuntime(config.processes, grace_s=config.process_grace_s),
        **job_runtimes(grace_s=config.job_grace_s),
        **carriers(),
    }


def _who() -> str:
    words = [os.path.basename(sys.argv[0]) or "python", *map(_without_password, sys.argv[1:])]  # noqa: PTH119 - a name
    return shlex.join(words)[:_WHO_MAX]


def _without_password(word: str) -> str:
    """It is kept in the store, where others see it."""
    return _PASSWORD.sub("…", word) if "://" in word else word
