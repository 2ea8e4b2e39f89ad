"""DAGs: graphs written in Python.

    with DAG("order_processing", schedule="@daily") as dag:
        a = task(validate)
        b = task(charge, retry=Retry(max_attempts=5))
        c, d = task(ship), task(notify)
        a >> b >> [c, d]

A task's function gets its parameters by name: the output of the task of that name which comes before it,
`params` (all of them) or `context`, else the param of that name.  It is an ordinary step: recorded,
retried, undone as `@step` says, whose options `task` takes too.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Self

from ripresa.author.graph.ancestry import Ancestry
from ripresa.author.graph.binding import Binding, Bound
from ripresa.author.graph.definition import GraphDefinition
from ripresa.author.graph.inputs import GraphInput
from ripresa.author.graph.plan import Dependency, ForEach, Graph, Node, OnError, OnFailure, RunIf, When
from ripresa.author.graph.works import Call
from ripresa.author.step import as_step, require_known
from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.errors import GraphError
from ripresa.contracts.labels import Labels, labels_of

if TYPE_CHECKING:
    from types import TracebackType

    from ripresa.author.step import Step

_OPEN: ContextVar[DAG | None] = ContextVar("ripresa_dag", default=None)
_OF_STEP = ("retry", "timeout", "runtime", "compensate", "pool", "pool_key", "labels")
_OF_NODE = ("run_if", "on_error", "total_timeout", "depends_on", "description", "finally_")


class Tasks(list["Task"]):
    """Tasks side by side: `a >> [b, c] >> d`."""

    def __rshift__(self, other: Task | Iterable[Task]) -> Any:
        return _link(self, other)

    def __lshift__(self, other: Task | Iterable[Task]) -> Any:
        return _link_back(self, other)

    def __rrshift__(self, other: Iterable[Task]) -> Tasks:
        _link(other, self)
        return self

    def __rlshift__(self, other: Iterable[Task]) -> Tasks:
        _link_back(other, self)
        return self


class Task:
    """A node of a DAG.  Made by `task`; `a >> b`: b depends on a."""

    def __init__(self, dag: DAG, step: Step[..., Any], name: str, options: dict[str, Any]) -> None:
        self.dag = dag
        self.name = name
        self.step = step
        self._run_if: RunIf = options.get("run_if", "all_success")
        self._on_error: OnError = options.get("on_error", "stop")
        total = options.get("total_timeout")
        self._timeout_us = None if total is None else micros(total, where=f"task {name}: total_timeout")
        self._description: str = options.get("description") or step.function.__doc__ or ""
        self._dependencies: dict[str, When | None] = {}
        self._condition: Callable[..., Any] | None = None
        self._items: Any = None
        self._each: dict[str, Any] = {}
        for one in options.get("depends_on", ()):
            self.after(*one) if isinstance(one, tuple) else self.after(one)

    # --- edges ---------------------------------------------------------------------------------

    def after(self, other: Task, when: When | None = None) -> Task:
        """Depend on another task; `when` says what must have become of it (default: as `run_if` has it)."""
        if not isinstance(other, Task):
            raise TypeError(f"task {self.name}: {other!r} is not a task; make one of it with task(…)")
        if other.dag is not self.dag:
            raise ValueError(f"task {self.name}: {other.name!r} belongs to another DAG, {other.dag.name!r}")
        self.dag.require_open()
        self._dependencies[other.name] = when
        return self

    def __rshift__(self, other: Task | Iterable[Task]) -> Any:
        return _link([self], other)

    def __lshift__(self, other: Task | Iterable[Task]) -> Any:
        return _link_back([self], other)

    def __rrshift__(self, other: Iterable[Task]) -> Task:
        _link(other, self)
        return self

    def __rlshift__(self, other: Iterable[Task]) -> Task:
        _link_back(other, self)
        return self

    # --- conditions and fan-out ----------------------------------------------------------------

    def when(self, condition: Callable[..., Any]) -> Task:
        """Skip the task unless the condition holds.

        Its parameters are bound as a task's are; it runs in workflow code, so it may only look at them.
        """
        self.dag.require_open()
        self._condition = condition
        return self

    def map(
        self,
        items: Task | Iterable[Any] | str,
        *,
        max_parallel: int | None = None,
        min_success: int | None = None,
        batch: int | None = None,
    ) -> Task:
        """Do the task for each item: of another task's output, of a list, or of the param of that name.

        The item is the parameter `item`, or the first that nothing else is bound to.  The output is the list of
        outputs, in order.  `max_parallel` items at a time; `min_success` may fail in part; `batch` items make one.
        """
        self.dag.require_open()
        if isinstance(items, Task) and items.name not in self._dependencies:
            self.after(items)
        self._items = items if isinstance(items, Task | str) else list(items)
        self._each = {"max_parallel": max_parallel, "min_success": min_success, "batch": batch}
        return self

    # --- compiling -----------------------------------------------------------------------------

    def node(self, ancestry: Ancestry, params: frozenset[str]) -> Bound[Node]:
        """The node, and the params that it needs.  Raises GraphError."""
        binding = Binding(self.dag.name, self.name, ancestry, params)
        arguments = binding.of_call(self.step.function, mapped=self._items is not None)
        condition = None if self._condition is None else binding.of_condition(self._condition)
        call = Call.of(self.name, self.step, arguments.value, quarantine=self._on_error == "quarantine")
        node = Node(
            name=self.name,
            work=call,
            depends_on=tuple(Dependency(name, when) for name, when in self._dependencies.items()),
            run_if=self._run_if,
            when=None if condition is None else condition.value,
            on_error=self._on_error,
            for_each=None if self._items is None else ForEach(items=binding.items(self._items), **self._each),
            timeout_us=self._timeout_us,
            uses=arguments.uses | (frozenset() if condition is None else condition.uses),
            description=self._description.strip().partition("\n")[0],
        )
        needs = arguments.needs | (frozenset() if condition is None else condition.needs)
        return Bound(node, node.uses, needs | ({self._items} if isinstance(self._items, str) else set()))

    @property
    def upstream(self) -> Collection[str]:
        """The tasks that it depends on."""
        return self._dependencies.keys()

    def described(self) -> dict[str, Any]:
        """What its definition's version depends on."""
        items = self._items.name if isinstance(self._items, Task) else self._items
        return {
            "task": self.name,
            "call": _source(self.step.function),
            "options": repr((self.step.retry, self.step.timeout_us, self.step.runtime, self._timeout_us)),
            "compensate": None if self.step.compensate is None else _source(self.step.compensate),
            "depends_on": self._dependencies,
            "run_if": self._run_if,
            "on_error": self._on_error,
            "when": None if self._condition is None else _source(self._condition),
            "map": {"items": repr(items), **self._each} if self._items is not None else None,
        }

    def __repr__(self) -> str:
        return f"<task {self.name}>"


class DAG(GraphDefinition):
    """A graph of tasks, to be given to `App(workflows=[…])` or named on the command line as `file.py:dag`.

    `params`: the run's params with their defaults, `...` for one that must be given.  `version` is a label.
    `on_failure`: "stop" (what depends on a failed task does not start), "abort" or "continue".  `timeout` limits the
    run.  `schedule` is a cron text or `@daily` and the like, in `timezone`.  `labels` are what all its steps need of
    the engine that carries them out.  Raises GraphError, when it is first used, with all that is wrong.
    """

    def __init__(
        self,
        name: str,
        *,
        schedule: str | None = None,
        timezone: str = "UTC",
        params: Mapping[str, Any] | None = None,
        version: str | None = None,
        on_failure: OnFailure = "stop",
        timeout: Duration | None = None,
        description: str = "",
        labels: Labels | None = None,
    ) -> None:
        self.name = name
        self.label = version
        self.labels = labels_of(labels, where=f"DAG {name}: labels")
        self.schedule = schedule if schedule is None else _in_zone(schedule, timezone)
        self.description = description
        self._params = None if params is None else dict(params)
        self._on_failure: OnFailure = on_failure
        self._timeout_us = None if timeout is None else micros(timeout, where=f"DAG {name}: timeout")
        self._tasks: dict[str, Task] = {}
        self._steps: dict[Any, Step[..., Any]] = {}
        self._twice: list[str] = []
        self._finally: set[str] = set()
        self._tokens: list[Token[DAG | None]] = []

    def __enter__(self) -> Self:
        self.require_open()
        self._tokens.append(_OPEN.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _OPEN.reset(self._tokens.pop())

    def task(self, function: Callable[..., Any], name: str | None = None, **options: Any) -> Task:
        """As `task`, for this DAG."""
        self.require_open()
        step = self._steps.get(function) or self._steps.setdefault(function, as_step(function))
        of_step = {key: options.pop(key) for key in _OF_STEP if key in options}
        require_known("task()", options, _OF_NODE + _OF_STEP)
        made = Task(self, step.using(**of_step) if of_step else step, name or step.name, options)
        if made.name in self._tasks:
            self._twice.append(made.name)
        self._tasks[made.name] = made
        if options.get("finally_"):
            self._finally.add(made.name)
        return made

    def require_open(self) -> None:
        """Raise if the DAG is in use, so that it can be changed no more."""
        if "graph" in self.__dict__:
            raise GraphError(self.name, ["it is in use already: make all its tasks before it is given to an App"])

    @functools.cached_property
    def _compiled(self) -> tuple[Graph, frozenset[str]]:
        if self._twice:
            names = ", ".join(repr(name) for name in dict.fromkeys(self._twice))
            raise GraphError(self.name, [f"two tasks are called {names}; give one a name: task(fn, name=…)"])
        ancestry = Ancestry({name: one.upstream for name, one in self._tasks.items()})
        params = frozenset(self._params or ())
        bound = {name: one.node(ancestry, params) for name, one in self._tasks.items()}
        needs = frozenset(need for one in bound.values() for need in one.needs)
        missing = needs - params if self._params is not None else frozenset()
        if missing:
            remedy = f'add them with a default, or "{min(missing)}": ... for one that must be given at start'
            told = f"its tasks need {', '.join(sorted(missing))}, and params has none of these; {remedy}"
            raise GraphError(self.name, [told])
        graph = Graph(
            name=self.name,
            nodes=tuple(one.value for name, one in bound.items() if name not in self._finally),
            finally_=tuple(one.value for name, one in bound.items() if name in self._finally),
            on_failure=self._on_failure,
            timeout_us=self._timeout_us,
        )
        return graph, needs

    @functools.cached_property
    def graph(self) -> Graph:  # type: ignore[override]  # worked out at first use
        """The graph.  Raises GraphError."""
        return self._compiled[0]

    @functools.cached_property
    def signature(self) -> GraphInput:  # type: ignore[override]  # as graph
        """The params."""
        given = self._params or {}
        needs = sorted(self._compiled[1] | {name for name, value in given.items() if value is ...})
        defaults = {name: {"default": value} for name, value in given.items() if value is not ...}
        properties = {**{name: {} for name in needs}, **defaults}
        return GraphInput(self.name, {"properties": properties, "required": needs, "additionalProperties": True})

    @functools.cached_property
    def body(self) -> str:  # type: ignore[override]  # as graph
        """The tasks with their sources, as recorded with the definition."""
        tasks = [one.described() for one in self._tasks.values()]
        options = {"on_failure": self._on_failure, "timeout_us": self._timeout_us, "schedule": self.schedule}
        return json.dumps({"dag": self.name, **options, "finally": sorted(self._finally), "tasks": tasks}, indent=1)

    def __repr__(self) -> str:
        return f"<DAG {self.name}>"


def task(function: Callable[..., Any], name: str | None = None, **options: Any) -> Task:
    """Add a task to the DAG of the `with` block around.

    `function` is a plain function or a step; `name` is the task's (the function's, if left out).  Options are those of
    `@step` – retry, timeout, runtime, compensate – and: `run_if` (all_success, all_done, any_failed, none_failed,
    any_success), `on_error` (stop, continue, quarantine), `total_timeout` over all attempts, `depends_on` (tasks, or
    pairs of task and `when`), `finally_` (run it at the end, whatever happened), `description`.
    Raises TypeError for an unknown option, GraphError outside of a `with DAG(…)` block.
    """
    dag = _OPEN.get()
    if dag is None:
        raise GraphError("task", ["no DAG is open here: write `with DAG(…) as dag:` around it, or call dag.task(…)"])
    return dag.task(function, name, **options)


def _link(before: Iterable[Task], after: Any) -> Any:
    """`before >> after`; gives what is after, to go on with."""
    following = [after] if isinstance(after, Task) else _tasks(after)
    for one in following:
        for other in _tasks(before):
            one.after(other)
    return after if isinstance(after, Task) else Tasks(following)


def _link_back(after: Iterable[Task], before: Any) -> Any:
    """`after << before`; gives what is before, to go on with."""
    _link([before] if isinstance(before, Task) else _tasks(before), Tasks(after))
    return before if isinstance(before, Task) else Tasks(before)


def _tasks(given: Any) -> list[Task]:
    found = list(given) if isinstance(given, Iterable) else [given]
    for one in found:
        if not isinstance(one, Task):
            raise TypeError(f">>: {one!r} is not a task; make one of it with task(…)")
    return found


def _in_zone(schedule: str, timezone: str) -> dict[str, str]:
    """The schedule as the contract has it."""
    kind = "cron" if schedule.startswith("@") or " " in schedule.strip() else "interval"
    return {kind: schedule, "timezone": timezone}


@functools.lru_cache(maxsize=4096)
def _source(function: Any) -> str:
    function = getattr(function, "function", function)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return getattr(function, "__qualname__", repr(function))
