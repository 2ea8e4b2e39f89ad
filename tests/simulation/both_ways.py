"""Both ways: a random program with its code kept in memory, and evicted at every await, while outsiders speak to it.

    python -m tests.simulation.both_ways --seed 7             # one program, and where the two executions part
    python -m tests.simulation.both_ways --seed 0 --seeds 10000

Time is virtual, steps go one at a time (`ripresa.testing.steps_in_turn`), and outsiders speak at given moments, so that
the two executions may differ by nothing at all: not in an outcome, not in an event, not in a moment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from typing import Any

from ripresa import App, RipresaError, Run, RunError, RunFailed, UnknownHandler, UpdateRejected
from ripresa.kernel import history as h
from ripresa.testing import VirtualClock, export_history, replay, run_both_ways
from ripresa.testing.fixtures import Outcome
from tests.simulation.drawing import generate
from tests.simulation.programs import TRIED, Program, interpret

_RUNS_MAX = 1_000


async def both_ways(seed: int) -> Outcome:
    """Execute the program of this seed both ways.  Raises AssertionError, which names the seed, if they differ."""
    program = generate(seed)
    given = {name: program[name] for name in ("root", "raises", "left")}
    takes = ("0s", "300ms", "3s")[seed % 3]
    try:
        return await run_both_ways(interpret, given, drive=_driver(program), seed=seed, steps_take=takes)
    except (AssertionError, RipresaError) as error:
        raise AssertionError(
            f"{type(error).__name__}: {error}\nrerun: python -m tests.simulation.both_ways --seed {seed}"
        ) from error


def _driver(program: Program) -> Any:
    async def drive(app: App, run: Run[Any], clock: VirtualClock) -> list[str]:
        TRIED.clear()
        said = []
        for seconds, verb, word in program["outside"]:
            await clock.advance(seconds=seconds)
            said.append(await _begun(app, run, verb, word))
        if program["outside"]:
            await clock.advance(seconds=0)  # until all that was said has been heard
            said.append(await _begun(app, run, "resume", ""))
        clock.run_free()
        try:
            await run.result()
        except RunFailed:
            if program["retry"]:
                await app.retry(run)
        except RunError:
            pass  # the outcome tells
        told = [await one for one in said]
        for each in await app.list(limit=_RUNS_MAX):  # children may outlive their parent
            await _ended(each)
            told.append(await _replayed(app, each))
        return told

    return drive


async def _ended(run: Run[Any]) -> None:
    with contextlib.suppress(RunError):
        await run.result()


async def _begun(app: App, run: Run[Any], verb: str, word: str) -> asyncio.Task[str]:
    """Let an outsider speak; an update is under way when it is in the journal, any other verb is done by then."""
    before = await _updates(app, run)
    task = asyncio.ensure_future(_said(app, run, verb, word))
    while not task.done() and (verb != "update" or await _updates(app, run) == before):  # noqa: ASYNC110 - there is none
        await asyncio.sleep(0)
    return task


async def _updates(app: App, run: Run[Any]) -> int:
    return sum(event.kind == h.UPDATE_RECEIVED for event in await app.history(run))


async def _said(app: App, run: Run[Any], verb: str, word: str) -> str:
    """What an outsider is told."""
    try:
        answer = await _ask(app, run, verb, word)
    except (RunError, UpdateRejected, UnknownHandler) as error:
        return f"{verb}: {type(error).__name__}: {error}"
    return f"{verb}: {answer}"


async def _ask(app: App, run: Run[Any], verb: str, word: str) -> Any:
    if verb == "signal":
        return await app.signal(run, word[0], word)
    if verb == "poke":
        return await app.signal(run, "poke", word)
    if verb in ("update", "refused"):
        return await app.update(run, "add", word if verb == "update" else "")
    if verb == "query":
        return await app.query(run, "log")
    return await {"pause": app.pause, "resume": app.resume, "cancel": app.cancel}[verb](run)


async def _replayed(app: App, run: Run[Any]) -> str:
    """Apply the journal to the code once more, here and now: it must end as the run did."""
    replayed = replay(await export_history(app, run), interpret)
    if replayed.status != str(run.status):
        raise AssertionError(f"run {run.id} {run.status}, and replayed it {replayed.status}")
    return f"{run.id}: {replayed.status} {replayed.output} {replayed.error}"


def main() -> int:
    """Try seeds; the exit code says whether both ways were always the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.both_ways", description=both_ways.__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    args = parser.parse_args()
    began, bad = time.process_time(), 0
    for seed in range(args.seed, args.seed + args.seeds):
        try:
            asyncio.run(both_ways(seed))
        except AssertionError as error:
            bad += 1
            sys.stderr.write(f"{error}\n")
    sys.stdout.write(f"{args.seeds} programs, {bad} differ, {time.process_time() - began:.1f} s of CPU\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
