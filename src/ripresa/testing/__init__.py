"""The public test kit: virtual clock, simulation, enumeration of faults, replay, fixtures, the store contract."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ripresa.testing.checker import check
    from ripresa.testing.clock import VirtualClock
    from ripresa.testing.enumeration import enumerate_faults
    from ripresa.testing.evidence import Evidence, Violation
    from ripresa.testing.faults import Fault, Faults, Kind, Plan
    from ripresa.testing.fixtures import app_fixture, run_both_ways
    from ripresa.testing.replaying import Replayed, export_history, replay
    from ripresa.testing.sim_postgres import SimPostgres
    from ripresa.testing.simulation import Report, Scenario, Simulation
    from ripresa.testing.store_contract import SharedStoreContract, StoreContract

__all__ = [
    # Time
    "VirtualClock",
    # One workflow
    "app_fixture",
    "run_both_ways",
    "Replayed",
    "export_history",
    "replay",
    # The engine under faults
    "Fault",
    "Faults",
    "Kind",
    "Plan",
    "Report",
    "Scenario",
    "SimPostgres",
    "Simulation",
    "enumerate_faults",
    # What must hold
    "Evidence",
    "Violation",
    "check",
    # Stores
    "SharedStoreContract",
    "StoreContract",
]

_HOMES = {
    "checker": "check",
    "clock": "VirtualClock",
    "enumeration": "enumerate_faults",
    "evidence": "Evidence Violation",
    "faults": "Fault Faults Kind Plan",
    "fixtures": "app_fixture run_both_ways",
    "replaying": "Replayed export_history replay",
    "sim_postgres": "SimPostgres",
    "simulation": "Report Scenario Simulation",
    "store_contract": "SharedStoreContract StoreContract",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'ripresa.testing' has no attribute {name!r}")
    value = getattr(import_module(f"ripresa.testing.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
