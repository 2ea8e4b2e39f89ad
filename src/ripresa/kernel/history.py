"""Kinds of history events: what a run can learn.

A run's journal is a list of these, in the order in which they became true; everything else about
the run is derived from them.  `docs/how-it-works.md` tells the story of each.
"""

from __future__ import annotations

from typing import Final

RUN_STARTED: Final = "run_started"
STEP_COMPLETED: Final = "step_completed"
STEP_FAILED: Final = "step_failed"
TIMER_FIRED: Final = "timer_fired"
SIGNAL_RECEIVED: Final = "signal_received"
UPDATE_RECEIVED: Final = "update_received"
UPDATE_COMPLETED: Final = "update_completed"
CHILD_FINISHED: Final = "child_finished"
SIGNAL_SENT: Final = "signal_sent"
EVENT_PUBLISHED: Final = "event_published"
PATCH_TAKEN: Final = "patch_taken"
NODE_SETTLED: Final = "node_settled"
"""What a graph's program decided of a node: it was skipped, chose, waited.  Derived, and kept for those who look."""
CANCEL_REQUESTED: Final = "cancel_requested"
PAUSE_REQUESTED: Final = "pause_requested"
RESUME_REQUESTED: Final = "resume_requested"
QUARANTINED: Final = "quarantined"
RELEASED: Final = "released"
RETRIED: Final = "retried"
CONTINUED: Final = "continued_as_new"
FINISHED: Final = "finished"

MAIL: Final = frozenset({SIGNAL_RECEIVED, UPDATE_RECEIVED, CANCEL_REQUESTED})
"""Events that others send: a run that begins anew takes those along that it has not taken yet."""

OUTCOMES: Final = frozenset({STEP_COMPLETED, STEP_FAILED, TIMER_FIRED, CHILD_FINISHED, SIGNAL_SENT, EVENT_PUBLISHED})
"""Events that answer an operation which the code asked for."""

KINDS: Final = OUTCOMES | {
    RUN_STARTED,
    SIGNAL_RECEIVED,
    UPDATE_RECEIVED,
    UPDATE_COMPLETED,
    PATCH_TAKEN,
    NODE_SETTLED,
    CANCEL_REQUESTED,
    PAUSE_REQUESTED,
    RESUME_REQUESTED,
    QUARANTINED,
    RELEASED,
    RETRIED,
    CONTINUED,
    FINISHED,
}
