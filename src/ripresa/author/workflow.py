"""Workflows: durable functions, and how a definition is known (name, label, content hash)."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from ripresa.author.signature import Signature, local_names
from ripresa.contracts.errors import ForbiddenInWorkflow, NotInWorkflow
from ripresa.contracts.labels import Labels, labels_of
from ripresa.kernel.guard import scan
from ripresa.kernel.live import current_run

P = ParamSpec("P")
R = TypeVar("R")


class WorkflowDefinition(Generic[P, R]):
    """A durable function.  Made by `@workflow`."""

    __ripresa__ = "workflow"
    kind = "code"

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        names: dict[str, Any] | None,
        name: str | None,
        version: str | None,
        labels: Labels | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name or function.__name__
        self.label = version
        self.labels = labels_of(labels, where=f"workflow {self.name}: labels")
        """What each of its steps needs of the engine that carries it out."""
        self.signature = Signature(function, self.name, names)
        self._output_where = f"output of workflow {self.name}"

    @functools.cached_property
    def body(self) -> str:
        """The source, as recorded with the definition."""
        try:
            return inspect.getsource(self.function)
        except (OSError, TypeError):
            code = self.function.__code__
            return f"{code.co_code.hex()} {code.co_consts!r}"

    @functools.cached_property
    def version(self) -> str:
        """Content hash of the source."""
        return hashlib.blake2b(f"{self.label}\0{self.body}".encode("utf-8", "replace"), digest_size=8).hexdigest()

    @functools.cached_property
    def _forbidden(self) -> ForbiddenInWorkflow | None:
        findings = scan(self.function)
        return ForbiddenInWorkflow("; ".join(str(finding) for finding in findings)) if findings else None

    def call(self, text: str) -> Any:
        """Run the function on an input's JSON text.  Raises ForbiddenInWorkflow before anything has happened."""
        if self._forbidden is not None:
            raise self._forbidden
        args, kwargs = self.signature.decode(text)
        return self.function(*args, **kwargs)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The input as checked JSON text.  Raises PayloadError, TypeError."""
        return self.signature.encode(args, kwargs)[0]

    def dump(self, value: Any) -> str:
        """The output as checked JSON text.  Raises PayloadError."""
        return self.signature.result.write(value, self._output_where)

    def decode(self, text: str) -> Any:
        """The output from its JSON text.  Raises PayloadError."""
        return self.signature.result.read(text, self._output_where)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        run = current_run()
        if run is not None:
            msg = f"{self.name}: start a workflow from a workflow with child({self.name}, …) or start_child"
            raise NotInWorkflow(msg)
        value: R = self.function(*args, **kwargs)
        return value

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


@overload
def workflow(function: Callable[P, R], /) -> WorkflowDefinition[P, R]: ...
@overload
def workflow(
    *, name: str | None = None, version: str | None = None, labels: Labels | None = None
) -> Callable[[Callable[P, R]], WorkflowDefinition[P, R]]: ...
def workflow(
    function: Any = None, /, *, name: str | None = None, version: str | None = None, labels: Labels | None = None
) -> Any:
    """Make a function (`async def` or `def`) a workflow: durable, deterministic, resumed where it was.

    `name` is its name in the store (the function's, if left out).  `version` is a label: a run goes on with the
    code of the label that it was started with as long as the App has it.  `labels` are what all its steps need of the
    engine that carries them out, beside what each needs of its own.
    """
    names = local_names(1)

    def make(target: Any) -> WorkflowDefinition[Any, Any]:
        if not callable(target):
            msg = f"@workflow: {target!r} is not a function"
            raise TypeError(msg)
        return WorkflowDefinition(target, names=names, name=name, version=version, labels=labels)

    return make(function) if function is not None else make
