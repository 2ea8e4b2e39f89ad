"""Lines: runs of which only so many go on at a time (`concurrency` of a definition).

Such a run begins as *queued*, and asks its store for a place when it is brought in.  Without one it waits as a row,
and costs nothing; whoever ends makes the first in line ready, in the same transaction, so that neither a poll nor
a crash has a part in it.

    queued ── place? ─┬─ yes ──────────────────────────────────> running ── ends ──┐
                      └─ no ─┬─ queue ──────────> waits <── ready ─────────────────┘
                             ├─ cancel_running ─> the older ones are cancelled; waits
                             ├─ skip ───────────> cancelled
                             └─ fail ───────────> failed

A run that is under way has its place whatever there is: one that a person has tried again does not wait.  A fork is
a new run, and waits as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ripresa.contracts.errors import RipresaError
from ripresa.contracts.failure import Failure
from ripresa.contracts.payload import dump
from ripresa.contracts.status import TERMINAL, FailureClass, RunStatus
from ripresa.kernel import history as h
from ripresa.ports.lines import Place
from ripresa.ports.rows import NewRun, Ready

if TYPE_CHECKING:
    from ripresa.contracts.line import Line
    from ripresa.engine.engine import Engine
    from ripresa.engine.held import Held
    from ripresa.ports.rows import Run

Does = Literal["go", "wait", "skip", "fail"]


class Verdict(NamedTuple):
    """What becomes of a run that is brought in; the line that it stands in, if it stands in one."""

    does: Does
    line: str | None
    why: str = ""


class Lines:
    """Lets runs in."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def line_of(self, workflow: Any, text: str, created_us: int) -> Line | None:
        """The line that a run of this input stands in.  Raises what rendering its key raises."""
        of = getattr(workflow, "line_of", None)
        line: Line | None = None if of is None else of(text, created_us)
        return line

    def opening(self, new: NewRun, workflow: Any) -> NewRun:
        """How the new run begins: at once, or in line."""
        if self.line_of(workflow, new.input, new.created_at) is None:
            return new
        return new._replace(status=RunStatus.QUEUED.value, owner=None, started_at=None)

    def stand(self, new: NewRun) -> None:
        """Put what brings a queued run in into the open batch."""
        engine = self._engine
        engine.committer.batch.ready.append(Ready(new.id, engine.now(), new.priority))
        engine.committer.then(lambda _: engine.loading.look())

    async def verdict(self, run: Run) -> Verdict:
        """Whether the run may go on."""
        engine = self._engine
        workflow = engine.find_workflow(run.definition, run.version)
        try:
            line = None if workflow is None else self.line_of(workflow, run.input or "{}", run.created_at)
        except RipresaError as error:
            return Verdict("fail", run.definition, str(error))
        if line is None:
            return Verdict("go", None)
        queued = run.status == RunStatus.QUEUED
        wanted = Place(run.id, line.name, line.places, held=False, priority=run.priority, since=run.created_at)
        if await engine.store.admit(engine.lease, wanted, now=engine.now(), force=not queued):
            return Verdict("go", line.name)
        if line.policy == "cancel_running":
            await self._cancel_older(wanted)
        does: Does = line.policy if line.policy in ("skip", "fail") else "wait"
        return Verdict(does, line.name, f"{line.shown} go{'es'[: 2 * (line.places == 1)]} on already")

    async def _cancel_older(self, newest: Place) -> None:
        engine = self._engine
        older = [
            one for one in await engine.store.line(newest.line) if (one.since, one.run) < (newest.since, newest.run)
        ]
        older.sort(key=lambda one: (one.since, one.run), reverse=True)
        for one in older[newest.places - 1 :]:
            message = f"{newest.run}/cancels:{one.run}"  # once, however often the newest looks for its turn
            await engine.messages.post(one.run, "cancel", None, None, id=message)

    def note(self, held: Held, verdict: Verdict) -> None:
        """Note where a run stands."""
        held.line = verdict.line
        held.in_line = verdict.does != "go"

    def tell(self, held: Held, verdict: Verdict) -> None:
        """Tell that a run waits that was just brought in; end it, if its line has no place for it."""
        if verdict.does == "wait" and self._engine.watching.observers:
            self._engine.watching.notify("run_status", held, status=held.status.value)
        if verdict.does in ("skip", "fail") and held.status is RunStatus.QUEUED:
            status = RunStatus.CANCELLED if verdict.does == "skip" else RunStatus.FAILED
            kind, code = FailureClass.TERMINAL, "concurrency"
            self.end(held, status, Failure(type="ripresa.NoPlace", message=verdict.why, failure_class=kind, code=code))

    async def again(self, held: Held) -> None:
        """It may be this run's turn."""
        engine = self._engine
        run = await engine.store.get_run(held.id)
        if run is None or engine.held.get(held.id) is not held or held.status in TERMINAL:
            return
        verdict = await self.verdict(run)
        if held.status in TERMINAL:  # it was ended while it asked, and what it may have been given is not for it
            engine.committer.batch.leaving.append((held.id, engine.now()))
            engine.committer.then(lambda _: engine.loading.look())
        elif verdict.does == "go" and held.in_line and engine.held.get(held.id) is held:
            self.note(held, verdict)
            engine.turns.ask(held)

    def end(self, held: Held, status: RunStatus, failure: Failure | None) -> None:
        """End a run that has not begun."""
        engine = self._engine
        error = None if failure is None else dump(failure.to_json())
        engine.append(held, h.FINISHED, name=status.value, error=error)
        engine.set_status(held, status, write=True, error=error, owned=False)
        engine.children.tell_parent(held, status, None, error)
        engine.committer.then(lambda _: self._gone(held))

    def _gone(self, held: Held) -> None:
        self._engine.let_go(held)
        self._engine.wake_waiters(held.id)
