"""The part of the store port that keeps tasks, and the port that carries their ids to workers.

A *task* is one attempt of a step that a worker elsewhere is to carry out.  Its row is the truth: what a broker carries
is only the row's id, and may be lost, come late or come twice.

    batch ─> row ─> carrier ─> claim (token, lease) ─> renew … ─> report ─> the engine takes it in: row gone
                                      └── no sign of life: lapse ─────────> the attempt is lost: row gone

Invariant: of all who claim a task one has its token, and nothing is written for a worker whose token is not the row's
any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ripresa.ports.lease import Lease
    from ripresa.ports.rows import LogLine, Micros

FORGOTTEN_US = 24 * 3600 * 1_000_000
"""A worker that was silent for so long is forgotten."""


class Task(NamedTuple):
    """An attempt for a worker, as its engine puts it out."""

    id: str
    """The same for the same attempt, on whichever engine, and never for another."""
    run: str
    operation: str
    attempt: int
    step: str
    runtime: str
    queue: str
    work: str
    """JSON: what is to be done."""
    at: Micros


class TaskState(NamedTuple):
    """A task as it stands, without its work."""

    id: str
    run: str
    operation: str
    attempt: int
    step: str
    runtime: str
    queue: str
    at: Micros
    worker: str | None
    """Who has claimed it; None: nobody yet."""
    claimed_at: Micros | None
    beat_at: Micros | None
    """When its worker last gave a sign of life."""
    lease_until: Micros | None
    outcome: str | None
    """What its worker has reported, JSON."""


class WorkerState(NamedTuple):
    """A worker, as it tells of itself."""

    name: str
    runtime: str
    about: str
    """JSON object: host, pid, queues, slots."""
    since: Micros
    beat_at: Micros


class TaskStore(Protocol):
    """Keeps tasks; an engine puts them out and removes them with its batches.  The errors are those of `Store`.

    Workers hold no lease of the store: their proof is the token of their task, which they make up.
    """

    async def claim_task(self, task: str, *, worker: str, token: str, now: Micros, lease_us: int) -> Task | None:
        """Give the task to this worker, unless somebody has it; asked for with the same token, it is given again.

        None: another has it, it was reported, or it is gone.
        """

    async def renew_task(
        self, task: str, token: str, *, now: Micros, lease_us: int, logs: Sequence[LogLine] = ()
    ) -> bool:
        """The worker lives and goes on until `now + lease_us`; keep what its work has written meanwhile.

        False: the task is not its own any more, and nothing was written: it is to end the work.
        """

    async def report_task(
        self, task: str, token: str, outcome: str, *, now: Micros, logs: Sequence[LogLine] = ()
    ) -> bool:
        """Keep what came of it, and its last lines, for its engine; reported again, the first report stands.

        False: the task is not this worker's any more, and nothing was written.
        """

    async def lapse_task(self, lease: Lease, task: str, *, now: Micros) -> bool:
        """Remove the task if its worker's lease has run out by `now` without a report.  Raises EngineFenced.

        True: it is gone, and whatever its worker says from now on is refused.
        """

    async def task_outcomes(self, tasks: list[str]) -> dict[str, str]:
        """What was reported of those of the tasks of which something was; cheap enough to ask 50 times a second."""

    async def tasks(self, ids: list[str] | None = None) -> list[TaskState]:
        """These tasks, or all there are, oldest first."""

    async def put_worker(self, worker: WorkerState) -> None:
        """Keep that a worker lives; those that were silent for a day are forgotten."""

    async def remove_worker(self, name: str) -> None:
        """Forget a worker that has ended."""

    async def workers(self) -> list[WorkerState]:
        """All workers, by name."""


class Carrier(Protocol):
    """Carries ids of tasks to where workers wait for them; it may lose some, and may double some."""

    @property
    def queue(self) -> str:
        """The queue of tasks for which no other is named."""

    @property
    def lease_us(self) -> int:
        """For how long a worker may be silent."""

    @property
    def resend_us(self) -> int:
        """A task that nobody has claimed for so long is carried again."""

    def carry(self, queue: str, tasks: Sequence[str]) -> None:
        """Send these ids on their way, soon and in the background; what cannot be sent is dropped."""

    async def depth(self, queue: str) -> int | None:
        """How many ids wait in the queue; None: that cannot be found out."""

    async def close(self) -> None:
        """Let go of the connection; closing twice is fine."""
