"""What every store promises, as tests.

    class TestMyStore(StoreContract):
        def make_store(self) -> Store:
            return MyStore(...)

All stores that one test makes must lie on one database, empty when the test begins: a second store
stands for another process.  Time is what the tests say it is; a store that renews leases by itself
must be told not to.  Needs pytest and pytest-asyncio in its auto mode.
"""

from __future__ import annotations

from ripresa.testing.store_contract.adopting import Adopting
from ripresa.testing.store_contract.batches import Batches
from ripresa.testing.store_contract.claiming import Claiming
from ripresa.testing.store_contract.lists import Lists
from ripresa.testing.store_contract.loading import Loading
from ripresa.testing.store_contract.messages import Messages
from ripresa.testing.store_contract.opening import Opening
from ripresa.testing.store_contract.owning import Owning
from ripresa.testing.store_contract.places import Places
from ripresa.testing.store_contract.reading import Reading
from ripresa.testing.store_contract.refusing import Refusing
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
)

__all__ = [
    # The contract
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
]


class StoreContract(Opening, Batches, Refusing, Messages, Owning, Claiming, Adopting, Loading, Reading, Lists, Places):
    """The promises; a subclass says how a store is made."""
