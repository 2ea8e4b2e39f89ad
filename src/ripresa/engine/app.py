"""App: the front door for programs.

    app = App("sqlite:///shop.db", workflows=[fulfil])
    async with app:
        run = await app.start(fulfil, order, id="order-7")
        shipment = await run.result()

An App is a value: it holds a store and definitions, and owns an engine while it is open.  There is
no global one.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, TypeVarTuple, overload

from ripresa.contracts.durations import micros
from ripresa.contracts.errors import RipresaError, UnknownDefinition
from ripresa.contracts.events import EventSettings
from ripresa.contracts.payload import dump
from ripresa.engine import pool_act
from ripresa.engine.config import Config, evict_after_us
from ripresa.engine.given import require_id, require_priority, require_tags, require_text
from ripresa.engine.handles import Run, RunList, ref_of, run_filter
from ripresa.engine.known import Known
from ripresa.engine.opening import Given, Opening
from ripresa.engine.pool_look import pool_records, wait_records
from ripresa.engine.reasons import label_waits
from ripresa.engine.rows import run_key
from ripresa.kernel import guard

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from ripresa.author.graph.definition import GraphDefinition
    from ripresa.contracts.durations import Duration
    from ripresa.contracts.pool_records import PoolRecord, WaitRecord
    from ripresa.contracts.pools import Pool
    from ripresa.engine.engine import Engine
    from ripresa.engine.sources import Sources
    from ripresa.engine.watching import Notice
    from ripresa.ports.clock import Clock
    from ripresa.ports.rows import HistoryEvent, Quality
    from ripresa.ports.runtime import Runtime
    from ripresa.ports.store import Store
    from ripresa.ports.tasks import Carrier

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class App:
    """Definitions and a store; open (`async with`) it runs them.

    `store`: a URL (`sqlite:///shop.db`, `memory://`) or a Store.  `workflows`: functions with @workflow, DAGs, paths of
    definition files.
    `clock`: `ripresa.testing.VirtualClock()` in tests.  `evict_after`: how long a run that only waits stays in
    memory; 0 evicts at every await.  `config`: see `ripresa.engine.config.Config`.  `pools`: what steps that name one
    wait for.  `runtimes`: further ones, by name, as `{"celery": CeleryRuntime("redis://…")}`.  `events`: what is
    published, and what others' events do.
    Opening raises StoreInUse, StoreCorrupt, StoreTooNew, StoreBusy.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Store,
        workflows: Iterable[Any] = (),
        *,
        clock: Clock | None = None,
        evict_after: Duration = "30s",
        config: Config | dict[str, Any] | None = None,
        sources: Sources | None = None,
        runtimes: Mapping[str, Runtime | Carrier] | None = None,
        pools: Iterable[Pool] = (),
        events: EventSettings | None = None,
    ) -> None:
        self._store_given = store
        self._known_ones = Known(workflows)
        self._given = Given(
            known=self._known_ones,
            clock=clock,
            evict_after_us=evict_after_us(evict_after),
            config=Config.of(config),
            sources=sources,
            runtimes=dict(runtimes or {}),
            events=events or EventSettings(),
            pools=tuple(pools),
        )
        self._opening: Opening
        self.observers: list[Callable[[Notice], None]] = []
        """Told of what happens at its engine, from the first moment; for showing, not for deciding."""
        self.store: Store | None = None
        self.engine: Engine | None = None

    def find_workflow(self, name: str, version: str | None) -> Any:
        """The definition a run goes on with: that of its version, else the one listed last."""
        return self._known_ones.find(name, version)

    @property
    def config(self) -> Config:
        """How its engine works."""
        return self._given.config

    @property
    def workflows(self) -> list[Any]:
        """The definitions given."""
        return self._known_ones.workflows

    # --- opening and closing -------------------------------------------------------------------

    async def open(self) -> Self:
        """Open the store, become its owner, take over what was left."""
        if self.engine is not None:
            msg = "this App is open already"
            raise RipresaError(msg)
        guard.install()
        self.store = self._make_store()
        self._opening = Opening(self._given, self.store)
        await self._opening.begin(self)
        return self

    async def close(self) -> None:
        """Write what is known and let the runs go; they go on with the next App on the store.  Twice is fine."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await self._opening.end(engine)

    async def crash(self) -> None:
        """Stop as a crash would: nothing more is written of any run.  For tests.

        The lease ends, as that of a process which is seen to be gone: another App may open the store at once, and what
        of this one is still on its way to the disk is refused.
        """
        engine, self.engine = self.engine, None
        if engine is not None:
            await self._opening.drop(engine)

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _make_store(self) -> Store:
        given = self._store_given
        if isinstance(given, str | os.PathLike):
            from ripresa.stores import open_store  # noqa: PLC0415 - floor 3, and only when opened

            return open_store(os.fspath(given), lock_timeout_s=self.config.lock_timeout_s)
        if not hasattr(given, "commit"):
            msg = f"App(store): {given!r} is neither an address (sqlite:///shop.db, memory://) nor a store"
            raise TypeError(msg)
        return given

    def opened(self) -> Engine:
        """The engine.  Raises RipresaError if the App is not open, or what ended its engine."""
        if self.engine is None:
            msg = "this App is not open: use `async with app:`"
            raise RipresaError(msg)
        if self.engine.failure is not None:
            raise self.engine.failure
        return self.engine

    # --- verbs ---------------------------------------------------------------------------------

    @overload
    async def start(
        self,
        workflow: Callable[[*Ts], Coroutine[Any, Any, R]],
        *args: *Ts,
        id: str | None = None,
        priority: int = 0,
        tags: dict[str, str] | None = None,
        correlation_id: str | None = None,
        connection: Any = None,
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        workflow: Callable[[*Ts], R],
        *args: *Ts,
        id: str | None = None,
        priority: int = 0,
        tags: dict[str, str] | None = None,
        correlation_id: str | None = None,
        connection: Any = None,
    ) -> Run[R]: ...
    @overload
    async def start(
        self,
        workflow: GraphDefinition | str,
        params: Mapping[str, Any] | None = None,
        /,
        *,
        id: str | None = None,
        priority: int = 0,
        tags: dict[str, str] | None = None,
        correlation_id: str | None = None,
        connection: Any = None,
    ) -> Run[Any]: ...
    async def start(  # type: ignore[misc]  # the overloads are the signature
        self,
        workflow: Any,
        *args: Any,
        id: str | None = None,
        priority: int = 0,
        tags: dict[str, str] | None = None,
        correlation_id: str | None = None,
        connection: Any = None,
    ) -> Run[Any]:
        """Start a run; it is on disk when this returns.

        `id`: the same id again gives the same run (RunConflict if workflow or input differ).  `priority`: higher
        first.  `tags`: to search by.  `connection`: yours to the store's database, with your transaction open: the run
        is part of that, and begins when you commit; it never was if you roll back.  Raises UnknownDefinition,
        PayloadError, StoreUnavailable.
        """
        engine = self.opened()
        known = self._known(workflow)
        text = known.encode(args, {})
        return await self.start_text(
            engine,
            known,
            text,
            id=id,
            priority=priority,
            tags=tags,
            correlation_id=correlation_id,
            connection=connection,
        )

    async def start_text(
        self,
        engine: Engine,
        workflow: Any,
        text: str,
        *,
        id: str | None = None,
        priority: int = 0,
        tags: dict[str, str] | None = None,
        correlation_id: str | None = None,
        connection: Any = None,
    ) -> Run[Any]:
        """Start a run from the input's JSON text."""
        require_id(id)
        require_id(correlation_id, what="correlation_id")
        require_priority(priority)
        require_tags(tags or {})
        derived = None if id is not None else run_key(workflow, text, engine.now())
        require_id(derived)
        start = engine.verbs.start if connection is None else partial(engine.verbs.start_within, connection)
        row = await start(
            workflow,
            text,
            key=id or derived,
            priority=priority or getattr(workflow, "priority", 0),
            tags=tags or {},
            correlation_id=correlation_id,
            any_input=derived is not None,
        )
        return Run(self, row)

    def _known(self, workflow: Any) -> Any:
        if isinstance(workflow, str):
            found = self.find_workflow(workflow, None)
        else:
            group = self._known_ones.given.get(getattr(workflow, "name", ""), [])
            found = workflow if any(one is workflow for one in group) else None
        if found is None:
            name = getattr(workflow, "name", workflow)
            if name in self._known_ones.given:
                msg = f"this App has another workflow called {name!r}: start the one it was given, or rename this"
                raise UnknownDefinition(msg)
            have = ", ".join(self._known_ones.given) or "none"
            msg = f"this App does not know workflow {name!r} (it has: {have}); add it to App(workflows=[…])"
            raise UnknownDefinition(msg)
        return found

    async def get(self, run: Run[R] | str) -> Run[Any]:
        """The run of this id.  Raises RunNotFound."""
        return Run(self, await self.opened().verbs.find(ref_of(run)))

    async def list(
        self,
        *,
        status: str | Iterable[str] | None = None,
        workflow: Any = None,
        parent: Run[Any] | str | None = None,
        tags: dict[str, str] | None = None,
        id_prefix: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunList:
        """Runs, newest first, that fit every filter given; `.cursor` of the list asks for the next page."""
        engine = self.opened()
        if limit < 1:
            msg = f"limit: {limit} is not 1 or more"
            raise ValueError(msg)
        where = run_filter(status=status, workflow=workflow, tags=tags, id_prefix=id_prefix)
        if parent is not None:
            where = where._replace(parent=(await engine.verbs.find(ref_of(parent))).id)
        page = await engine.store.list_runs(where, limit=limit, cursor=cursor)
        return RunList((Run(self, row) for row in page.runs), page.cursor)

    async def signal(self, run: Run[Any] | str, name: str, data: Any = None, *, connection: Any = None) -> None:
        """Send a signal; it is on disk when this returns, and kept until the run waits for it.

        `connection`: yours to the store's database, with your transaction open: the signal is part of that.  Raises
        RunNotFound, RunFinished, PayloadError (the run waits for another shape; not within your transaction).
        """
        require_text(name, what="signal name")
        text = dump(data, where=f"signal {name!r}")
        verbs = self.opened().verbs
        if connection is None:
            await verbs.signal(ref_of(run), name, text)
        else:
            await verbs.signal_within(connection, ref_of(run), name, text)

    async def update(self, run: Run[Any] | str, name: str, *args: Any, **kwargs: Any) -> Any:
        """Have the run's update handler answer; its value, once it is on disk.

        Raises UpdateRejected (nothing was recorded), UnknownHandler, RunError (the handler raised).
        """
        return await self.opened().verbs.update(ref_of(run), name, dump([args, kwargs], where=f"update {name!r}"))

    async def query(self, run: Run[Any] | str, name: str, *args: Any) -> Any:
        """What the run's query handler says of its state; of an ended run too.  Raises UnknownHandler."""
        return await self.opened().verbs.query(ref_of(run), name, args)

    async def cancel(self, run: Run[Any] | str) -> None:
        """Ask the run to stop: its code gets CancelledError and may undo.  An ended run stays as it is."""
        await self.opened().control.cancel(ref_of(run))

    async def pause(self, run: Run[Any] | str) -> None:
        """Let the run start nothing more; what is under way ends and is recorded."""
        await self.opened().control.pause(ref_of(run))

    async def resume(self, run: Run[Any] | str) -> None:
        """Let a paused run go on; try a blocked run again."""
        await self.opened().control.resume(ref_of(run))

    async def retry(self, run: Run[Any] | str) -> None:
        """Go on with a failed or cancelled run from what failed; recorded successes are not repeated."""
        await self.opened().control.retry(ref_of(run))

    async def fork(self, run: Run[R] | str, *, from_step: str, id: str | None = None) -> Run[Any]:
        """Start a new run with this one's history up to before `from_step`, an operation's identity as `charge#2`."""
        require_id(id)
        return Run(self, await self.opened().control.fork(ref_of(run), from_step, key=id))

    async def release(self, run: Run[Any] | str, *, output: Any = ..., discard: bool = False) -> None:
        """End a quarantine: repeat the step; or take `output` for its outcome; or let it fail (`discard=True`)."""
        text = None if output is ... else dump(output, where="release(output)")
        await self.opened().control.release(ref_of(run), output=text, discard=discard)

    async def pools(self) -> Sequence[PoolRecord]:
        """How the pools of the store stand, by name: slots in use, steps that wait, breakers, cooldowns."""
        engine = self.opened()
        return await pool_records(engine.store, engine.now())

    async def waits(self, run: Run[Any] | str | None = None, *, pool: str | None = None) -> Sequence[WaitRecord]:
        """Steps that hold a slot of a pool, and those that wait for one, in order: how many go before, and why.

        Of one run or one pool, if given; of one run also the steps that wait for an engine with labels.  Raises
        RunNotFound.
        """
        engine = self.opened()
        row = None if run is None else await engine.verbs.find(ref_of(run))
        found = await wait_records(engine.store, engine.now(), run=None if row is None else row.id, pool=pool)
        return found if row is None or pool is not None else [*found, *await label_waits(engine.store, row)]

    async def set_pool(self, pool: Pool) -> None:
        """Let the pool be so from now on, whatever it was; it holds at once on all engines of the store."""
        engine = self.opened()
        await engine.store.put_pool(pool.name, dump(pool.to_json()))
        engine.pools.known[pool.name] = pool
        engine.pools.news()

    async def trip_breaker(self, pool: str, *, step: str | None = None, duration: Duration | None = None) -> None:
        """Open a pool's breaker, or that of one of its steps: for so long, or until it is reset.

        Raises UnknownPool, ValueError.
        """
        engine = self.opened()
        for_us = None if duration is None else micros(duration, where="duration")
        await pool_act.trip(engine.store, pool, step=step, now=engine.now(), for_us=for_us)
        engine.pools.news()

    async def reset_pool(self, pool: str, *, step: str | None = None) -> None:
        """Close a pool's breakers, or that of one of its steps, and end its cooldowns.  Raises UnknownPool."""
        await pool_act.reset(self.opened().store, pool, step=step)
        self.opened().pools.news()

    async def quality(self, workflow: Any, step: str | None = None, *, limit: int = 20) -> Sequence[Quality]:
        """What a workflow's steps (or one of them) measured of their data, newest first: `row.metrics` is JSON text.

        Raises ValueError if `limit` is less than 1.
        """
        if limit < 1:
            msg = f"limit: {limit} is not 1 or more"
            raise ValueError(msg)
        name = workflow if isinstance(workflow, str) else workflow.name
        return await self.opened().store.quality(name, step, limit=limit)

    async def history(self, run: Run[Any] | str) -> Sequence[HistoryEvent]:
        """The run's journal, oldest first."""
        engine = self.opened()
        return await engine.store.history((await engine.verbs.find(ref_of(run))).id)
