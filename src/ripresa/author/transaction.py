"""Transactions: steps whose SQL is done in the transaction that records them, and so exactly once.

    @transaction
    def debit(tx: sqlite3.Connection, account: str, cents: int) -> int:
        tx.execute("UPDATE account SET cents = cents - ? WHERE id = ?", (cents, account))
        …

    left = debit("ada", 500)            # in a workflow, without `tx`

The step's first parameter is a connection to the run's store, in a transaction that has begun; what the function
writes and the record that it was done are on disk together or not at all.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from ripresa.author.signature import local_names
from ripresa.author.step import AsyncStep, SyncStep, require_known
from ripresa.contracts.errors import NotInWorkflow
from ripresa.kernel.live import current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ripresa.contracts.durations import Duration
    from ripresa.kernel.retry import Retry

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = ("name", "retry", "timeout", "compensate", "key")


class TransactionStep(SyncStep[P, R]):
    """A `def` step with a connection."""

    given = 1

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        _require_run(self.name)
        return super().__call__(*args, **kwargs)


class AsyncTransactionStep(AsyncStep[P, R]):
    """An `async def` step with a connection."""

    given = 1

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        _require_run(self.name)
        return super().__call__(*args, **kwargs)


@overload
def transaction(  # type: ignore[overload-overlap]  # an async def is a def too; the first that fits is meant
    function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> AsyncStep[P, R]: ...
@overload
def transaction(function: Callable[Concatenate[Any, P], R], /) -> SyncStep[P, R]: ...
@overload
def transaction(
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    compensate: Callable[..., Any] | None = None,
) -> _TransactionDecorator: ...
def transaction(function: Any = None, /, **options: Any) -> Any:
    """Make a function a step that is done in the store's own transaction: its SQL takes effect exactly once.

    The function's first parameter is a connection to the store's database: a `sqlite3.Connection` for a `def`
    function on SQLite, an `asyncpg.Connection` for an `async def` function on PostgreSQL.  It neither commits nor
    rolls back, and it leaves the store's own tables alone; what it raises undoes what it did, and the attempt has
    failed.  Others wait for its locks: keep it short, and call no service in it.  `name`, `retry`, `timeout` and
    `compensate` are as those of `@step`.  Raises TypeError for a function without
    parameters.
    """
    require_known("@transaction", options, _OPTIONS)
    names = local_names(1)
    if function is not None:
        return _make(function, names, options)
    return lambda target: _make(target, names, options)


class _TransactionDecorator(Protocol):
    """What `@transaction(…)` returns: typed for both kinds of function."""

    @overload
    def __call__(  # type: ignore[overload-overlap]  # as `transaction`
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> AsyncStep[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> SyncStep[P, R]: ...


def _make(function: Any, names: dict[str, Any] | None, options: dict[str, Any]) -> Any:
    if not callable(function):
        msg = f"@transaction: {function!r} is not a function"
        raise TypeError(msg)
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        msg = f"@transaction: {function.__name__}() needs a first parameter for the connection"
        raise TypeError(msg)
    kind = cast("Any", AsyncTransactionStep if inspect.iscoroutinefunction(function) else TransactionStep)
    return kind(function, names=names, **{**options, "runtime": "transaction"})


def _require_run(name: str) -> None:
    if current_run() is None:
        msg = f"{name}: a transaction is a store's: call it in a workflow; a test may call {name}.function(tx, …)"
        raise NotInWorkflow(msg)
