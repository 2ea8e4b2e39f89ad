"""`python -m ripresa.testing --seed 7`: see a simulation again."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from ripresa.contracts.errors import StoreUnavailable
from ripresa.testing.again import fault_called, scenario_called
from ripresa.testing.faults import Plan
from ripresa.testing.scenarios import ALL
from ripresa.testing.simulation import Simulation

if TYPE_CHECKING:
    from ripresa.contracts.durations import Duration
    from ripresa.testing.faults import Fault
    from ripresa.testing.sim_postgres import SimPostgres
    from ripresa.testing.simulation import Scenario


def main() -> int:
    """Run seeds; the exit code says whether all laws held."""
    parser = argparse.ArgumentParser(
        prog="python -m ripresa.testing", description="Run simulations of the engine under faults."
    )
    parser.add_argument("--scenario", default="mixed", help=f"file.py:name, module:name, or one of {', '.join(ALL)}")
    parser.add_argument("--seed", default="0", help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument(
        "--fault", action="append", default=[], metavar="KIND@POINT", help="this fault instead of drawn ones"
    )
    parser.add_argument("--evict-after", metavar="DURATION", help="instead of one that is drawn")
    parser.add_argument(
        "--on", metavar="URL", help="keep runs in this PostgreSQL database, in a schema that is made for it"
    )
    args = parser.parse_args()
    try:
        scenario = scenario_called(args.scenario)
        faults = [fault_called(text) for text in args.fault]
        on = None if args.on is None else _database(args.on)
    except ValueError as error:
        parser.error(str(error))
    if args.evict_after is not None:
        scenario = replace(scenario, evict_after=(_duration(args.evict_after),))
    try:
        with nullcontext() if on is None else on:
            return 1 if _run(scenario, args, faults, on) else 0
    except StoreUnavailable as error:
        parser.error(str(error))


def _run(scenario: Scenario, args: argparse.Namespace, faults: list[Fault], on: SimPostgres | None) -> int:
    """Run all seeds; how many have failed."""
    failed = turns = fired = 0
    began = time.perf_counter()
    for i in range(args.seeds):
        seed = int(args.seed) + i if args.seed.isdigit() else args.seed
        report = Simulation(seed, plan=Plan(list(faults)) if faults else None, on=on).run(scenario)
        turns += report.turns
        fired += len(report.faults_fired)
        if report.violations or args.seeds == 1:
            print(report)  # noqa: T201 - it is what the command is for
        failed += bool(report.violations)
    rate = args.seeds / (time.perf_counter() - began)
    sums = f"{args.seeds} seeds, {failed} with violations, {fired} faults fired, {turns} turns, {rate:.1f} seeds/s"
    print(sums)  # noqa: T201
    return failed


def _database(url: str) -> SimPostgres:
    """Raises ValueError if it is none, or cannot be spoken to for want of a driver."""
    try:
        from ripresa.testing.sim_postgres import SimPostgres  # noqa: PLC0415 - it needs a driver that few have
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is not installed: pip install 'ripresa[postgres]'") from error
    return SimPostgres(url)


def _duration(text: str) -> Duration:
    return float(text) if text.replace(".", "", 1).isdigit() else text


if __name__ == "__main__":
    sys.exit(main())
