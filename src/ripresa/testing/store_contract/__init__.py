"""What every store promises, as tests.

    class TestMyStore(StoreContract):
        def make_store(self) -> Store:
            return MyStore(...)

A store that several engines may own runs of at once keeps the `SharedStoreContract`.
All stores that one test makes must lie on one database, empty when the test begins: a second store
stands for another process.  Time is what the tests say it is; a store that renews leases by itself
must be told not to.  Needs pytest and pytest-asyncio in its auto mode.
"""

from __future__ import annotations

from ripresa.testing.store_contract.adopting import Adopting
from ripresa.testing.store_contract.batches import Batches
from ripresa.testing.store_contract.claiming import Claiming
from ripresa.testing.store_contract.effects import Effects
from ripresa.testing.store_contract.events import Events
from ripresa.testing.store_contract.lists import Lists
from ripresa.testing.store_contract.loading import Loading
from ripresa.testing.store_contract.messages import Messages
from ripresa.testing.store_contract.needs import Needs
from ripresa.testing.store_contract.opening import Opening
from ripresa.testing.store_contract.owning import OneOwner, Owning
from ripresa.testing.store_contract.places import Places
from ripresa.testing.store_contract.pools import Pools, SharedPools
from ripresa.testing.store_contract.reading import Reading
from ripresa.testing.store_contract.refusing import Refusing
from ripresa.testing.store_contract.retention import Retention
from ripresa.testing.store_contract.rows import (
    LARGE,
    LEASE,
    A,
    B,
    C,
    D,
    Engine,
    T,
    attempt,
    change,
    event,
    ids,
    measured,
    message,
    new_run,
    place,
    run_id,
    ticket,
)
from ripresa.testing.store_contract.sharing import ManyOwners
from ripresa.testing.store_contract.tasks import Tasks

__all__ = [
    # The contract
    "SharedStoreContract",
    "StoreContract",
    # Rows for further tests
    "A",
    "B",
    "C",
    "D",
    "LARGE",
    "LEASE",
    "T",
    "Engine",
    "attempt",
    "change",
    "event",
    "ids",
    "measured",
    "message",
    "new_run",
    "place",
    "run_id",
    "ticket",
]


class _Common(
    Opening,
    Batches,
    Refusing,
    Messages,
    Owning,
    Claiming,
    Adopting,
    Loading,
    Reading,
    Lists,
    Places,
    Needs,
    Effects,
    Events,
    Pools,
    Retention,
    Tasks,
):
    """What every store promises."""


class StoreContract(_Common, OneOwner):
    """The promises of a store with one owner at a time; a subclass says how a store is made."""


class SharedStoreContract(_Common, ManyOwners, SharedPools):
    """The promises of a store on which several engines are at work at once; a subclass says how a store is made."""
