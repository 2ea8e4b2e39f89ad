"""`python -m ripresa.testing --seed 7`: see a simulation again."""

from __future__ import annotations

import argparse
import sys
import time

from ripresa.testing.scenarios import ALL
from ripresa.testing.simulation import Simulation


def main() -> int:
    """Run seeds; the exit code says whether all laws held."""
    parser = argparse.ArgumentParser(
        prog="python -m ripresa.testing", description="Run simulations of the engine under faults."
    )
    parser.add_argument("--scenario", default="mixed", choices=sorted(ALL))
    parser.add_argument("--seed", default="0", help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    args = parser.parse_args()
    failed = turns = fired = 0
    began = time.perf_counter()
    for i in range(args.seeds):
        seed = int(args.seed) + i if args.seed.isdigit() else args.seed
        report = Simulation(seed).run(ALL[args.scenario])
        turns += report.turns
        fired += len(report.faults_fired)
        if report.violations or args.seeds == 1:
            print(report)  # noqa: T201 - it is what the command is for
        failed += bool(report.violations)
    rate = args.seeds / (time.perf_counter() - began)
    sums = f"{args.seeds} seeds, {failed} with violations, {fired} faults fired, {turns} turns, {rate:.1f} seeds/s"
    print(sums)  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
