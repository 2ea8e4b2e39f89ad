"""Again: how a simulation is told to a command line, and how that finds it.

    python -m ripresa.testing --scenario shop.py:shop --seed 7 --fault crash_after@commit3 --evict-after 0

A scenario is a value: it is found by the name that a module gives it.  One that no module names, and faults that
were drawn otherwise than by default, can be told in Python only.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ripresa.testing.faults import Fault, Faults, Kind

if TYPE_CHECKING:
    from ripresa.testing.faults import Plan
    from ripresa.testing.sim_postgres import SimPostgres
    from ripresa.testing.simulation import Scenario

_FAULT = re.compile(r"(?P<kind>[a-z_]+)@(?P<point>[a-z_]*)(?P<number>[0-9]+)")
_FILES: dict[str, str] = {}
"""By name of a module that was read from a file: how the file was called."""


@dataclass(frozen=True, slots=True)
class Again:
    """What a simulation was made of."""

    scenario: Scenario
    seed: int | str
    faults: Faults
    plan: Plan | None
    on: SimPostgres | None = None

    def __str__(self) -> str:
        """How to see it again: a command, or else the Python that does it."""
        target = _target(self.scenario)
        if target is None or not self._can_be_told():
            return f"Simulation({self.seed!r}, {self._how()}).run(…), where … is the scenario {self.scenario.name!r}"
        scenario, evict_after = target
        words = ["python", "-m", "ripresa.testing", "--scenario", scenario, "--seed", str(self.seed)]
        for fault in self.plan.faults if self.plan else ():
            words += ["--fault", str(fault)]
        if evict_after is not None:
            words += ["--evict-after", evict_after]
        if self.on is not None:
            words += ["--on", self.on.shown]
        return shlex.join(words)

    def _how(self) -> str:
        on = "" if self.on is None else f", on=SimPostgres({self.on.shown!r})"
        plan = self.plan
        if plan is None:
            return f"{self.faults!r}{on}"
        chances = f"trouble={plan.trouble}, slow={plan.slow}, latency_s={plan.latency_s}"
        return f"plan=Plan({plan.faults}, {plan.at_times}, {chances}){on}"

    def _can_be_told(self) -> bool:
        plan = self.plan
        if plan is None:
            return self.faults == Faults()
        return bool(plan.faults) and not plan.at_times and not (plan.trouble or plan.slow or plan.latency_s)


def scenario_called(target: str) -> Scenario:
    """The scenario of this name: one of ours, or `file.py:name`, or `module:name`.  Raises ValueError."""
    from ripresa.testing.scenarios import ALL  # noqa: PLC0415 - it is made of what this file helps to tell
    from ripresa.testing.simulation import Scenario  # noqa: PLC0415 - as above

    place, colon, name = target.rpartition(":")
    if not colon:
        if target not in ALL:
            msg = f"there is no scenario {target!r}: say file.py:name, module:name, or one of {', '.join(sorted(ALL))}"
            raise ValueError(msg)
        return ALL[target]
    module = _module(place)
    found = getattr(module, name, None)
    if not isinstance(found, Scenario):
        have = [known for known, value in vars(module).items() if isinstance(value, Scenario)]
        raise ValueError(f"{place} has no scenario {name!r} (it has: {', '.join(have) or 'none'})")  # noqa: TRY004 - a word is wrong
    return found


def fault_called(text: str) -> Fault:
    """The fault that is written so: `crash_after@commit3`, the third commit, or `crash_after@12`, the twelfth point.

    Raises ValueError.
    """
    found = _FAULT.fullmatch(text)
    if found is None or found["kind"] not in set(Kind):
        kinds = ", ".join(Kind)
        raise ValueError(f"{text!r} is not a fault: write kind@12 or kind@commit3, where kind is one of {kinds}")
    return Fault(Kind(found["kind"]), int(found["number"]), found["point"] or None)


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise ValueError(f"there is no module {place!r} ({error}): say file.py:name or module:name") from None
    path = Path(place)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"there is no file {place}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    sys.modules[path.stem] = module
    _FILES[path.stem] = place
    spec.loader.exec_module(module)
    return module


def _target(scenario: Scenario) -> tuple[str, str | None] | None:
    """What the command line calls it, and the only `evict_after` that it was left with, if it was."""
    for name, known in _known(scenario):
        if known == scenario:
            return name, None
        if len(scenario.evict_after) == 1 and replace(known, evict_after=scenario.evict_after) == scenario:
            return name, str(scenario.evict_after[0])
    return None


def _known(scenario: Scenario) -> list[tuple[str, Scenario]]:
    """Scenarios by what the command line calls them: ours, then those that modules name."""
    from ripresa.testing.scenarios import ALL  # noqa: PLC0415 - it is made of what this file helps to tell

    known = list(ALL.items())
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if type(value) is type(scenario):
                known.append((f"{_place(module)}:{name}", value))
    return known


def _place(module: ModuleType) -> str:
    name = module.__name__
    if name in _FILES:
        return _FILES[name]
    if name != "__main__" or not getattr(module, "__file__", None):
        return name
    path, here = Path(str(module.__file__)).resolve(), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
