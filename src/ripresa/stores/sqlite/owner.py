"""Who owns the store: taking it, letting go, and taking the runs that wait for an owner.

Every function works within a transaction that the caller has begun.  A lease is a row, not a lock:
it ends by itself, or at once if its process is seen to be gone.  Invariant: an epoch is given once.
"""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from typing import NamedTuple

from ripresa.contracts.errors import EngineFenced, StoreInUse
from ripresa.ports.lease import Lease
from ripresa.ports.rows import Micros
from ripresa.stores.named_sql import NamedSql
from ripresa.stores.process import Process, is_gone, this_process

SQL = NamedSql("ripresa.stores.sqlite", "owner.sql")


class Owner(NamedTuple):
    """The row of the engine that owns the store, or did."""

    epoch: int
    last_batch: int
    lease_until: Micros
    since: Micros
    who: str
    instance: str
    host: str
    boot: str
    namespace: str
    pid: int
    started: int
    about: str | None

    @property
    def process(self) -> Process:
        """Where it runs."""
        return Process(self.host, self.boot, self.namespace, self.pid, self.started)

    def as_told(self, now: Micros) -> dict[str, object]:
        """What the port tells of it."""
        told = {name: getattr(self, name) for name in ("epoch", "who", "lease_until", "since", "host", "pid", "about")}
        return {"engine": self.epoch, **told, "alive": self.is_alive(now)}

    def is_alive(self, now: Micros) -> bool:
        """Whether its lease holds at `now`, and its process is not seen to be gone."""
        return self.lease_until > now and not is_gone(self.process, here=this_process())


def owner_of(connection: sqlite3.Connection) -> Owner | None:
    """The last owner; None: there never was one."""
    row = connection.execute(SQL["owner"]).fetchone()
    return None if row is None else Owner._make(row)


def take(
    connection: sqlite3.Connection,
    path: str,
    *,
    now: Micros,
    lease_us: int,
    who: str,
    instance: str,
    about: str | None,
) -> Lease:
    """Become the owner.  Raises StoreInUse while another is alive."""
    owner = owner_of(connection)
    if owner is not None and owner.is_alive(now):
        raise StoreInUse(_in_use(owner, path, now))
    ours = (now + lease_us, now, who, instance, *this_process(), about)
    (epoch,) = connection.execute(SQL["take_over"], ours).fetchone()
    return Lease(engine=epoch, epoch=epoch)


def confirm(connection: sqlite3.Connection, lease: Lease) -> int:
    """The number of the last batch under this lease.  Raises EngineFenced if it is broken."""
    row = connection.execute(SQL["holds"], (lease.epoch,)).fetchone()
    if row is None:
        raise fenced(lease)
    return int(row[0])


def fenced(lease: Lease) -> EngineFenced:
    """The error for a lease that is broken."""
    return EngineFenced(f"engine {lease.engine} no longer owns the store: another took over, or it has let go")


def renew(connection: sqlite3.Connection, lease: Lease, until: Micros) -> None:
    """Prolong the lease.  Raises EngineFenced if it is broken."""
    if not connection.execute(SQL["renew"], (until, lease.epoch)).rowcount:
        raise fenced(lease)


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """End the lease, unless another's has begun."""
    connection.execute(SQL["release"], (lease.epoch,))


def adopt(connection: sqlite3.Connection, lease: Lease, now: Micros, limit: int | None = None) -> list[str]:
    """Make every run ours that some engine held, or `limit` that were not ours; return their ids, oldest first."""
    confirm(connection, lease)
    params = {"engine": None if limit is None else lease.engine, "limit": -1 if limit is None else limit}
    runs = [run for (run,) in connection.execute(SQL["orphans"], params).fetchall()]
    connection.execute(SQL["bereave_tickets"], {"engine": lease.engine})
    if runs:
        ours = {"runs": json.dumps(runs), "engine": lease.engine, "now": now}
        connection.execute(SQL["own_all"], ours)
        connection.execute(SQL["lose_attempts"], ours)
    return runs


def owned(connection: sqlite3.Connection, lease: Lease) -> list[str]:
    """Ids of the runs that are ours and not over, oldest first."""
    confirm(connection, lease)
    return [run for (run,) in connection.execute(SQL["owned"], {"engine": lease.engine}).fetchall()]


def any_due(connection: sqlite3.Connection, lease: Lease, now: Micros) -> bool:
    """Whether there is a run to claim.  Raises EngineFenced."""
    confirm(connection, lease)
    return bool(_due(connection, lease, now, 1))


def next_due(connection: sqlite3.Connection, after: Micros | None = None) -> Micros | None:
    """When the next run falls due, after some time if that is given."""
    due: Micros | None = connection.execute(SQL["next_due"], {"after": -1 if after is None else after}).fetchone()[0]
    return due


def claim_due(connection: sqlite3.Connection, lease: Lease, now: Micros, limit: int) -> list[str]:
    """Make the due runs ours."""
    confirm(connection, lease)
    runs = _due(connection, lease, now, limit)
    own(connection, lease, runs)
    return runs


def own(connection: sqlite3.Connection, lease: Lease, runs: list[str]) -> None:
    """Make these runs ours; nothing is to wake them."""
    ours = {"runs": json.dumps(runs), "engine": lease.engine}
    connection.execute(SQL["own_all"], ours)
    connection.execute(SQL["no_longer_ready"], ours)


def claim(connection: sqlite3.Connection, lease: Lease, run: str) -> bool:
    """Make one run ours."""
    confirm(connection, lease)
    if not connection.execute(SQL["own"], {"run": run, "engine": lease.engine}).rowcount:
        return False
    connection.execute(SQL["no_longer_ready"], {"runs": json.dumps([run])})
    return True


def _due(connection: sqlite3.Connection, lease: Lease, now: Micros, limit: int) -> list[str]:
    found = connection.execute(SQL["due"], {"now": now, "limit": limit, "engine": lease.engine}).fetchall()
    return [run for (run,) in found]


def _in_use(owner: Owner, path: str, now: Micros) -> str:
    since = datetime.fromtimestamp(owner.since / 1e6, UTC).isoformat(timespec="seconds")
    left = (owner.lease_until - now) / 1e6
    return (
        f"{path} is in use by {owner.who} (process {owner.pid} on {owner.host}) since {since}, with a lease for "
        f"{left:.1f} s more: stop it, or use another store"
    )
