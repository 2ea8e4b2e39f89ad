"""Handlers that a workflow declares: for signals, for updates, for queries.

    @on_signal("approve")
    def approve(by: str) -> None: ...

A signal handler gets the signal's value (or nothing, if it has no parameter).  An update handler gets
the update's arguments and answers; its validator may refuse them before anything is recorded.  A
query handler looks at the state and must not change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ripresa.author.code import running
from ripresa.author.signature import Signature, Type, local_names
from ripresa.contracts.errors import PayloadError
from ripresa.contracts.payload import load

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound="Callable[..., Any]")


def on_signal(name: str) -> Callable[[F], F]:
    """Call the decorated function (`def` or `async def`) with each signal of this name, early ones first."""
    run = running("@on_signal")
    names = local_names(1)

    def register(function: F) -> F:
        run.mail.on_signal(name, function, _signal_reader(Signature(function, f"signal {name!r}", names)))
        return function

    return register


def _signal_reader(signature: Signature) -> Callable[[str], tuple[Any, ...]]:
    if not signature.names:
        return lambda _: ()
    kind: Type = signature.types[signature.names[0]]
    return lambda text: (kind.read(text, signature.name),)


class UpdateHandler:
    """A function that answers updates, with what may refuse them."""

    def __init__(
        self, function: Callable[..., Any], validator: Callable[..., Any] | None, signature: Signature
    ) -> None:
        self._function = function
        self._validator = validator
        self._signature = signature

    def call(self, text: str) -> Any:
        """Answer the update whose arguments `text` holds."""
        args, kwargs = self._signature.decode(self._object(text))
        return self._function(*args, **kwargs)

    def validate(self, text: str) -> None:
        """Raise if the update is to be refused."""
        args, kwargs = self._signature.decode(self._object(text))
        if self._validator is not None:
            self._validator(*args, **kwargs)

    def dump(self, value: Any) -> str:
        """The answer as JSON text."""
        return self._signature.result.write(value, f"answer of {self._signature.name}")

    def _object(self, text: str) -> str:
        """Arguments come as `[[positional], {keyword}]`; the signature reads an object."""
        args, kwargs = load(text)
        try:
            return self._signature.encode(tuple(args), kwargs)[0]
        except TypeError as error:
            raise PayloadError(str(error)) from None


def on_update(name: str, *, validator: Callable[..., Any] | None = None) -> Callable[[F], F]:
    """Answer updates of this name with the decorated function; `validator` raises to refuse one without a trace."""
    run = running("@on_update")
    names = local_names(1)

    def register(function: F) -> F:
        run.mail.on_update(name, UpdateHandler(function, validator, Signature(function, f"update {name!r}", names)))
        return function

    return register


def on_query(name: str) -> Callable[[F], F]:
    """Answer queries of this name with the decorated function; it may only look."""
    run = running("@on_query")

    def register(function: F) -> F:
        run.mail.queries[name] = function
        return function

    return register
