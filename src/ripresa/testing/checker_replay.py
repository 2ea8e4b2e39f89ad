"""Laws of code: each run's journal, applied to its code, must lead where the journal says.

Covers the order in which the code asks (I8), what it is given (I9), when its timers fire (I10), and that it
is still the definition which the run began with (I17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ripresa.contracts.errors import Diverged
from ripresa.contracts.status import TERMINAL
from ripresa.engine.rows import generation_seed
from ripresa.kernel import commands as c
from ripresa.kernel import guard
from ripresa.kernel import history as h
from ripresa.kernel.greenlets import Runners
from ripresa.kernel.live import LiveRun
from ripresa.kernel.loop import Timer
from ripresa.testing.evidence import Call, Evidence, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ripresa.ports.rows import HistoryEvent, Run


def replay_laws(evidence: Evidence) -> Iterator[Violation]:
    """Replay every run whose code is at hand."""
    guard.install()
    runners = Runners()
    places = {(event.run, event.seq): write.order for write in evidence.writes for event in write.events}
    first: dict[tuple[str, str], Call] = {}
    for call in evidence.calls:
        first.setdefault((call.run, call.key), call)
    for run in evidence.runs:
        workflow = evidence.workflows.get(run.definition)
        if workflow is None:
            continue
        if workflow.version != run.version:
            yield Violation(
                "I17 definition pinned", run.id, f"{run.definition} {run.version} is not {workflow.version}"
            )
            continue
        events = [event for event in evidence.history[run.id] if event.seq > run.base_seq]
        if events:
            asked: dict[str, int] = {}
            yield from _replay(run, workflow, events, runners, asked)
            yield from _justified(run, asked, places, first)


def _justified(
    run: Run, asked: dict[str, int], places: dict[tuple[str, int], int], first: dict[tuple[str, str], Call]
) -> Iterator[Violation]:
    """A step is called only when the events that led the code to ask for it are on disk."""
    generation = f".{run.base_seq}" if run.base_seq else ""
    for operation, seq in asked.items():
        call = first.get((run.id, f"{run.id}{generation}:{operation}"))
        if call is not None and call.order < places.get((run.id, seq), 0):
            text = f"{operation} was called before event {seq}, which led to it, was on disk"
            yield Violation("I8 the code repeats itself", run.id, text)


def _replay(
    run: Run, workflow: Any, events: list[HistoryEvent], runners: Runners, asked: dict[str, int]
) -> Iterator[Violation]:
    live = LiveRun(
        run.id,
        workflow,
        run.input or "{}",
        runners=runners,
        correlation_id=run.correlation_id,
        name=run.key or run.id,
        seed=generation_seed(run),
    )
    retried = any(event.kind == h.RETRIED for event in events)
    try:
        if retried:
            live.replay(events)
        else:
            yield from _one_by_one(run, live, events, asked)
        yield from _same_end(run, live, events)
    except Diverged as error:
        yield Violation("I8 the code repeats itself", run.id, str(error))
    finally:
        live.discard()


def _one_by_one(run: Run, live: LiveRun, events: list[HistoryEvent], asked: dict[str, int]) -> Iterator[Violation]:
    """Apply each event alone; look at timers before they fire, and note after which event each step was asked for."""
    commands = live.replay(events[:1])
    asked.update((command.operation, events[0].seq) for command in commands if isinstance(command, c.ScheduleStep))
    for event in events[1:]:
        timer = live.operations.get(event.operation or "")
        if event.kind == h.TIMER_FIRED and isinstance(timer, Timer) and event.at < timer.due:
            early = (timer.due - event.at) / 1e6
            yield Violation("I10 timers are never early", run.id, f"{event.operation} fired {early:g} s early")
        news = live.activate([event])
        asked.update((command.operation, event.seq) for command in news if isinstance(command, c.ScheduleStep))
        commands += news
    wanted = [
        command.operation for command in commands if isinstance(command, c.ScheduleStep | c.StartChild | c.SetTimer)
    ]
    if len(wanted) != len(set(wanted)):
        yield Violation("I8 the code repeats itself", run.id, "an operation was asked for twice")


def _same_end(run: Run, live: LiveRun, events: list[HistoryEvent]) -> Iterator[Violation]:
    law = "I8 the code repeats itself"
    if run.started_at is None:
        return  # it was ended while it waited for its turn
    if run.status not in TERMINAL or any(event.kind == h.RELEASED for event in events):
        return
    end = live.finished
    if not isinstance(end, c.Finish):
        yield Violation(law, run.id, f"the journal says {run.status}, and the code has not ended")
    elif (end.status, end.output) != (run.status, run.output):
        yield Violation(
            law, run.id, f"the journal says {run.status} {run.output}, and the code {end.status} {end.output}"
        )
