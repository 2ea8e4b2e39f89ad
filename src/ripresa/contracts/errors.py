"""Every error of ripresa, in one tree.  A docstring says whose move it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ripresa.contracts.durations import Duration, micros
from ripresa.contracts.status import FailureClass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ripresa.contracts.failure import Failure
    from ripresa.contracts.problems import Problem


class RipresaError(Exception):
    """Root of all errors raised by ripresa."""


# --- raised by step code: what the failure means -----------------------------------------


class Retryable(RipresaError):
    """Raise in a step: this attempt failed, another may succeed.

    `retry_after`: no sooner than so long from now, as a busy service may say; if the step has a pool, no other step of
    its key starts before that either.  It does not allow more attempts than the step's policy does.
    """

    failure_class = FailureClass.RETRYABLE
    retry_after_us: int | None = None

    def __init__(self, *args: object, retry_after: Duration | None = None) -> None:
        super().__init__(*args)
        if retry_after is not None:
            self.retry_after_us = micros(retry_after, where="retry_after")


class Terminal(RipresaError):
    """Raise in a step: no further attempt can succeed, whatever the policy allows."""

    failure_class = FailureClass.TERMINAL


class Quarantine(RipresaError):
    """Raise in a step or a workflow: set the run aside until a person releases it."""

    failure_class = FailureClass.QUARANTINE

    def __init__(self, reason: str = "set aside by the code") -> None:
        super().__init__(reason)
        self.reason = reason


class StepResultFailed(RipresaError):
    """A context-first step returned `StepResult.fail`; `code` is its error category, `details` the result as JSON."""

    def __init__(self, message: str, *, failure_class: FailureClass, code: str, details: Any) -> None:
        super().__init__(message)
        self.failure_class = failure_class
        self.code = code
        self.details = details


class EffectConflict(RipresaError):
    """Two steps name the same effect but are not the same call: give each effect a name of its own."""

    failure_class = FailureClass.TERMINAL


# --- seen by workflow code ---------------------------------------------------------------


class StepFailed(RipresaError):
    """A step failed for good: its policy is spent, or the failure was terminal.

    `cause` is the recorded failure, `failure_class` its class, `attempts` how many were made (0: it failed before).
    """

    def __init__(self, step: str, cause: Failure, attempts: int) -> None:
        after = f" after {attempts} attempt{'s'[: attempts != 1]}" if attempts else ""
        super().__init__(f"step {step!r} failed{after}: {cause}")
        self.step = step
        self.cause = cause
        self.failure_class = cause.failure_class
        self.attempts = attempts


class StepInterrupted(StepFailed):
    """An `at_most_once` step was cut off: nobody knows whether it has happened, and it is not attempted again.

    Find out, then go on: catch it in the workflow, or retry the run, which attempts the step once more.
    """


class ChildFailed(RipresaError):
    """A child run ended other than well; `cause` says why, `status` how."""

    def __init__(self, child: str, status: str, cause: Failure) -> None:
        super().__init__(f"child run {child!r} {status}: {cause}")
        self.child = child
        self.status = status
        self.cause = cause
        self.failure_class = cause.failure_class


class NotInWorkflow(RipresaError):
    """The call belongs in workflow code, and this is not: move it into a workflow."""


class ForbiddenInWorkflow(RipresaError):
    """Workflow code did what a replay cannot repeat (I/O, clock, dice, thread): move it into a step."""


class Diverged(RipresaError):
    """The code asks for something else than its history holds: the run is blocked until fitting code is back.

    `operation` is the first operation that differs, `line` the code that asked, `recorded` what history holds.
    """

    def __init__(self, message: str, *, operation: str, line: str, recorded: str) -> None:
        super().__init__(message)
        self.operation = operation
        self.line = line
        self.recorded = recorded


class PayloadError(RipresaError):
    """A value cannot be written as JSON, is too large, or does not fit its annotation: mend the value."""

    failure_class = FailureClass.TERMINAL


# --- raised by templates -------------------------------------------------------------------


class TemplateError(RipresaError):
    """A template cannot be read or rendered; the subclass says why.

    `where` names the field that the template stands in, `line` and `column` (from 1) the place within its text;
    `problem` says what is wrong, `remedy` what to write instead, `what` names the construct, name or filter.
    """

    code = "template_error"
    failure_class = FailureClass.TERMINAL

    def __init__(
        self,
        problem: str,
        *,
        remedy: str = "",
        what: str = "",
        where: str | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        place = f"line {line}, column {column}" if line is not None else ""
        heads = [part for part in (where or "template", place, problem) if part]
        super().__init__(": ".join(heads) + (f"; {remedy}" if remedy else ""))
        self.problem = problem
        self.remedy = remedy
        self.what = what
        self.where = where
        self.line = line
        self.column = column


class TemplateSyntax(TemplateError):
    """The text is no Jinja2: mend it at the place that is named."""

    code = "template_syntax"


class TemplateForbidden(TemplateError):
    """The template uses what templates here do not have (a call, a loop, arithmetic …): compute it in a step."""

    code = "template_forbidden"


class TemplateUndefined(TemplateError):
    """A name or key has no value in this run: correct it, or give one with `| default(…)`."""

    code = "template_undefined"


class TemplateValue(TemplateError):
    """A value does not fit what the template does with it (`null` in a text, `int` of `"abc"`): convert it before."""

    code = "template_value"


# --- seen by callers ---------------------------------------------------------------------


class RunError(RipresaError):
    """A run did not give a result; `run` is its id."""

    def __init__(self, run: str, message: str, *, cause: Failure | None = None) -> None:
        super().__init__(message)
        self.run = run
        self.cause = cause


class RunFailed(RunError):
    """The run failed; `cause` holds the failure.  `App.retry` goes on from the failed step."""


class RunCancelled(RunError):
    """Somebody cancelled the run."""


class RunQuarantined(RunError):
    """The run is set aside; a person releases, overrides or discards it."""


class RunBlocked(RunError):
    """The code on disk does not fit the run's history; it goes on when fitting code is back."""


class RunConflict(RunError):
    """A run of this id exists with another definition or input: choose another id."""


class RunNotFound(RunError):
    """No run has this id: look it up with `ripresa runs list`."""


class RunFinished(RunError):
    """The run has ended, so it takes no more messages."""


class RunNotFinished(RunError):
    """The verb needs a run that has ended, and this one has not."""


class UpdateRejected(RipresaError):
    """The update's validator refused it; nothing was recorded."""


class UnknownHandler(RipresaError):
    """The workflow has no query or update handler of this name (`known` lists those it has)."""

    def __init__(self, kind: str, name: str, known: Any = ()) -> None:
        have = ", ".join(sorted(known)) or "none"
        super().__init__(f"the run has no {kind} handler {name!r} (it has: {have})")
        self.known = tuple(known)


class UnknownPool(RipresaError):
    """The store has no pool of this name: declare it, or correct the name."""


class UnknownDefinition(RipresaError):
    """The App was not given this workflow: add it to `App(workflows=[…])`."""


class SpecInvalid(RipresaError):
    """A definition file is not as the contract has it: mend each of its `problems`.

    `problems` holds all that is wrong, each with file, line, column, path, and a remedy.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        told = [line for problem in self.problems for line in problem.lines()]
        count = len(self.problems)
        return "\n".join([f"{count} problem{'s'[: count != 1]}", *told])


class GraphError(RipresaError, ValueError):
    """A graph cannot be run as it is written; `problems` holds all that is wrong, a line each."""

    def __init__(self, graph: str, problems: list[str]) -> None:
        super().__init__("\n".join(f"{graph}: {problem}" for problem in problems))
        self.graph = graph
        self.problems = tuple(problems)


# --- stores and engines ------------------------------------------------------------------


class StoreError(RipresaError):
    """The store could not do what was asked; the subclass says whose move it is."""


class StoreUnavailable(StoreError):
    """The store is out of reach for now (locked, full, I/O error); nothing was written, the engine tries again."""


class StoreBusy(StoreUnavailable):
    """Another process holds the database's write lock: end its transaction."""


class StoreFull(StoreUnavailable):
    """The disk is full: free space; the engine goes on by itself."""


class CommitUnknown(StoreUnavailable):
    """The connection broke during commit: only `last_batch` can tell whether it took effect."""


class StoreInUse(StoreError):
    """A live engine owns this store: stop it, or use another store."""


class NoTransactions(StoreError):
    """This store has no database whose transactions a step could join: use `sqlite:///…` or `postgresql://…`."""

    failure_class = FailureClass.TERMINAL


class StoreCorrupt(StoreError):
    """The file is damaged or is not a ripresa database: restore a backup; the file was not changed."""


class StoreTooNew(StoreError):
    """A newer ripresa wrote this database: upgrade ripresa."""


class EngineFenced(StoreError):
    """Another engine took over: this one drops its runs and writes nothing more."""
