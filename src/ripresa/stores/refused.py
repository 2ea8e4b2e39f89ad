"""A batch without the runs that were refused, and without all that belongs to them."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from ripresa.ports.batch import Batch


def without(batch: Batch, refused: AbstractSet[str]) -> Batch:
    """The same batch, every row of the refused runs left out; the batch itself if none is refused."""
    if not refused:
        return batch
    return Batch(
        number=batch.number,
        at=batch.at,
        runs=[row for row in batch.runs if row.id not in refused],
        changes=[row for row in batch.changes if row.id not in refused],
        history=[row for row in batch.history if row.run not in refused],
        attempts=[row for row in batch.attempts if row.run not in refused],
        ready=[row for row in batch.ready if row.run not in refused],
        unready=[run for run in batch.unready if run not in refused],
        messages=[row for row in batch.messages if row.run not in refused],
        taken=batch.taken,
        outgoing=[row for row in batch.outgoing if row.run not in refused],
        logs=[row for row in batch.logs if row.run not in refused],
        tags=[row for row in batch.tags if row[0] not in refused],
        definitions=batch.definitions,
        quality=[row for row in batch.quality if row.run not in refused],
        effects=[row for row in batch.effects if row.run not in refused],
        given_up=batch.given_up,
        leaving=[row for row in batch.leaving if row[0] not in refused],
        needs=[row for row in batch.needs if row.run not in refused],
        needless=[row for row in batch.needless if row[0] not in refused],
        freed=[row for row in batch.freed if row.run not in refused],
        tasks=[row for row in batch.tasks if row.run not in refused],
        tasks_done=batch.tasks_done,
    )
