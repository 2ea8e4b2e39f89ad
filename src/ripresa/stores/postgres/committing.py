"""Committing: a batch in one round trip, taken back and written again where that is all it takes.

Commits carry a number for each engine, noted in the same transaction: one whose answer was lost is looked up, and one
that reaches the server late – a proxy may hold it for long – is refused if it was written meanwhile.
"""

from __future__ import annotations

from typing import Any

from ripresa.contracts.errors import CommitUnknown
from ripresa.ports.batch import Batch
from ripresa.ports.lease import Lease
from ripresa.stores.postgres import faults, pieces
from ripresa.stores.postgres.batch import laid_out
from ripresa.stores.postgres.connection import Lane
from ripresa.stores.postgres.hold import TRIES, call, rest
from ripresa.stores.postgres.promoted import Promoted
from ripresa.stores.postgres.texts import storable
from ripresa.stores.refused import without

_WRITE_BATCH = call("write_batch_1", 4 + 14 + 12 + 11 + 3 + 1 + 2 + 2 + 1)


async def write(
    lane: Lane, lease: Lease, batch: Batch, *, lease_us: int, where: str, promoted: Promoted
) -> frozenset[str]:
    """Write the batch; return the ids of refused new runs.  Raises as the port's `commit` does."""
    refused: frozenset[str] = frozenset()
    tries = 0
    while True:
        call_it = _in_pieces if pieces.is_large(batch) else _at_once
        try:
            answer = await lane.raw(lambda one: call_it(one, lease, batch, lease_us, promoted))  # noqa: B023 - at once
        except faults.ERRORS as error:
            tries += 1
            if faults.state_of(error) == faults.RUNS_EXIST:
                known = faults.existing_runs(error)
                refused |= known
                batch = without(batch, known)
            elif faults.is_unstorable_text(error) and tries == 1:
                batch = storable(batch)
            elif faults.is_conflict(error) and tries < TRIES:
                await rest(tries)
            else:
                raise faults.store_error(error, where, committing=True) from error
            continue
        if answer is None:
            raise faults.fenced(lease)
        if answer:
            raise CommitUnknown(f"batch {batch.number} of engine {lease.engine} was written before")
        promoted.written = batch.number
        return refused


async def _at_once(connection: Any, lease: Lease, batch: Batch, lease_us: int, promoted: Promoted) -> Any:
    """What the server answers: null, if the lease is broken; something, if it was written before."""
    await promoted.check(connection, lease)
    return await connection.fetchval(_WRITE_BATCH, lease.engine, batch.number, batch.at, lease_us, *laid_out(batch))


async def _in_pieces(connection: Any, lease: Lease, batch: Batch, lease_us: int, promoted: Promoted) -> Any:
    """The same, for a batch that is too large for one message."""
    await promoted.check(connection, lease)
    small, ahead, after = pieces.taken_apart(batch)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await pieces.put_ahead(connection, ahead)
        answer = await connection.fetchval(
            _WRITE_BATCH, lease.engine, batch.number, batch.at, lease_us, *laid_out(small)
        )
        if answer is None or answer:
            await transaction.rollback()
            return answer
        await pieces.put_after(connection, after)
    except BaseException:
        if connection.is_in_transaction():
            await transaction.rollback()
        raise
    await transaction.commit()
    return answer
