"""The plan: which faults, how many, and in which order; all of it from the seed."""

from __future__ import annotations

import random
from typing import NamedTuple


class Faults(NamedTuple):
    """How many of each."""

    kills: int = 0
    """`kill -9` of an engine, at work or while it opens."""
    stops: int = 0
    """An engine is stopped (SIGSTOP) until others have taken over, and goes on."""
    holds: int = 0
    """Nothing passes between an engine and the database until others have taken over; then all of it, late."""
    cuts: int = 0
    """The connection breaks while a commit is on its way: before it is passed on, after that, or with its answer."""
    terminations: int = 0
    """The server ends a connection of ours (`pg_terminate_backend`)."""
    crashes: int = 0
    """`kill -9` of PostgreSQL."""
    restarts: int = 0
    """PostgreSQL is stopped at once and started again."""
    rolls: int = 0
    """All engines are replaced, one after the other, by those of the next release of the code."""
    wipes: int = 0
    """A broker loses all that it holds, while messages wait in it."""
    worker_kills: int = 0
    """`kill -9` of a Celery worker at work, or of a process that carries out a step for it."""
    worker_stops: int = 0
    """A Celery worker is stopped (SIGSTOP) until its steps were given up, and goes on."""


WIRED = ("holds", "cuts", "terminations")
"""Need the wire."""
SERVED = ("crashes", "restarts")
"""Need a server of our own."""
CARRIED = ("wipes", "worker_kills", "worker_stops")
"""Need a broker."""


class Options(NamedTuple):
    """What a run of the harness is to do."""

    faults: Faults
    seed: int
    engines: int = 3
    active: int = 60
    """Runs under way at a time."""
    lease_s: float = 3.0
    grace_s: float = 5.0
    nested: bool = False
    """Engines are killed while they open: recovery after recovery."""
    wire_delay_s: float = 0.002


def default_faults(kills: int, *, shared: bool, own_server: bool, brokers: bool, own_brokers: bool) -> Faults:
    """What goes with so many kills.  A broker that is not ours is wiped only if that is asked for."""
    if not shared:
        return Faults(kills=kills, stops=kills // 20)
    served = kills // 12 if own_server else 0
    return Faults(
        kills=kills,
        stops=kills // 4,
        holds=kills // 10,
        cuts=kills,
        terminations=kills // 4,
        crashes=served,
        restarts=served,
        rolls=kills // 50,
        wipes=kills // 10 if own_brokers else 0,
        worker_kills=kills // 4 if brokers else 0,
        worker_stops=kills // 10 if brokers else 0,
    )


def schedule(faults: Faults, dice: random.Random) -> list[str]:
    """One fault after the other; cuts are made beside them."""
    order = [name for name, number in faults._asdict().items() if name != "cuts" for _ in range(number)]
    dice.shuffle(order)
    return order
