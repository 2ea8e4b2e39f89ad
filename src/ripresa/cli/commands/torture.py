"""`ripresa torture`: engines under faults, on a database of yours, and the proof that nothing is lost or done twice."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ripresa.cli.exits import FAILED, INTERRUPTED, Ended, UsageProblem, say
from ripresa.cli.options import FormatGiven
from ripresa.cli.output import emit, write

if TYPE_CHECKING:
    from ripresa.testing.torture.harness import Torture
    from ripresa.testing.torture.plan import Faults
    from ripresa.testing.torture.session import Session

_LINE_S = 10.0
_LEASE_S_MAX = 3_600.0
_SHOWN_MAX = 30


def torture(
    *,
    dsn: Annotated[
        str | None,
        typer.Option(
            "--dsn",
            metavar="URL",
            help="postgresql://… or sqlite:///FILE; without it a PostgreSQL is started for the purpose.",
            show_default=False,
        ),
    ] = None,
    kills: Annotated[int, typer.Option("--kills", metavar="N", help="kill -9 of an engine, at work or opening.")] = 100,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="S", help="The order of faults.", show_default="drawn")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="M", help="So many seeds, one after the other.")] = 1,
    stops: Annotated[
        int | None,
        typer.Option(
            "--stops", metavar="N", help="SIGSTOP until others took over, then SIGCONT.", show_default="kills/4"
        ),
    ] = None,
    holds: Annotated[
        int | None,
        typer.Option(
            "--holds", metavar="N", help="Nothing passes to the database for so long.", show_default="kills/10"
        ),
    ] = None,
    cuts: Annotated[
        int | None,
        typer.Option("--cuts", metavar="N", help="The connection breaks during a commit.", show_default="as --kills"),
    ] = None,
    terminations: Annotated[
        int | None,
        typer.Option(
            "--terminations", metavar="N", help="The server ends one of our connections.", show_default="kills/4"
        ),
    ] = None,
    crashes: Annotated[
        int | None,
        typer.Option("--crashes", metavar="N", help="kill -9 of the server that we started.", show_default="kills/12"),
    ] = None,
    restarts: Annotated[
        int | None,
        typer.Option(
            "--restarts", metavar="N", help="Restarts of the server that we started.", show_default="kills/12"
        ),
    ] = None,
    rolls: Annotated[
        int | None,
        typer.Option("--rolls", metavar="N", help="Upgrades of all engines, one by one.", show_default="kills/50"),
    ] = None,
    broker: Annotated[
        list[str] | None,
        typer.Option(
            "--broker",
            metavar="NAME",
            help="redis, rabbitmq (of our own), an address of yours, or none.",
            show_default="of our own, if installed",
        ),
    ] = None,
    wipes: Annotated[
        int | None,
        typer.Option("--wipes", metavar="N", help="A broker loses all that waits in it.", show_default="kills/10"),
    ] = None,
    worker_kills: Annotated[
        int | None,
        typer.Option("--worker-kills", metavar="N", help="kill -9 of a Celery worker.", show_default="kills/4"),
    ] = None,
    worker_stops: Annotated[
        int | None,
        typer.Option(
            "--worker-stops", metavar="N", help="SIGSTOP of one until it was given up.", show_default="kills/10"
        ),
    ] = None,
    nested: Annotated[bool, typer.Option("--nested", help="Kill engines while they take over.")] = False,
    engines: Annotated[int, typer.Option("--engines", metavar="N", help="Engines at work at once.")] = 3,
    lease: Annotated[float, typer.Option("--lease", metavar="SECONDS", help="Their lease.")] = 3.0,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write the report here.", show_default=False)
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the schema or file, and the ledger.")] = False,
    output: FormatGiven = None,
) -> None:
    """Kill, stop and cut off engines that are at work on a database, and check that nothing is lost or done twice.

    It works in a schema of its own (ripresa_torture_…), removes it afterwards, and touches nothing else.
    Ctrl-C ends it with a report of what was seen so far.
    """
    from ripresa.testing.torture.plan import Options, default_faults
    from ripresa.testing.torture.session import Session, Where

    if kills < 0 or seeds < 1 or engines < 1:
        raise UsageProblem("torture: --kills is 0 or more, --seeds and --engines are 1 or more")
    shared = dsn is None or dsn.startswith("postgres")
    brokers = _brokers(broker, shared=shared)
    usual = default_faults(
        kills,
        shared=shared,
        own_server=dsn is None,
        brokers=bool(brokers),
        own_brokers=bool(brokers) and not any("://" in one for one in brokers),
    )
    given = {
        "stops": stops,
        "holds": holds,
        "cuts": cuts,
        "terminations": terminations,
        "crashes": crashes,
        "restarts": restarts,
        "rolls": rolls,
        "wipes": wipes,
        "worker_kills": worker_kills,
        "worker_stops": worker_stops,
    }
    faults = usual._replace(**{name: number for name, number in given.items() if number is not None})
    _require_sound(given, lease, report)
    chosen = seed if seed is not None else random.SystemRandom().randrange(10**6)
    options = Options(faults, chosen, engines=engines, lease_s=lease, nested=nested)
    session = Session(options, Where(dsn, keep=keep, brokers=brokers), seeds=seeds)
    told = asyncio.run(_run(session))
    where = "" if dsn is None else f" --dsn {_without_password(dsn)}"
    where += "".join(f" --broker {_without_password(one)}" for one in broker or ())
    told["again"] = _again(told, where, faults, usual, {"--nested": nested, "--engines": engines, "--lease": lease})
    if report is not None:
        report.write_text(json.dumps(told, indent=1) + "\n")
    emit(told, output, lambda: _write(told, session))
    if any(run["violations"] for run in told["runs"]):
        raise Ended(FAILED)
    if told["interrupted"]:
        raise Ended(INTERRUPTED)


def _require_sound(given: dict[str, int | None], lease: float, report: Path | None) -> None:
    """Raise UsageProblem for what would come to light only when all is over."""
    for name, number in given.items():
        if number is not None and number < 0:
            raise UsageProblem(f"torture: --{name.replace('_', '-')} is 0 or more")
    if not 0 < lease <= _LEASE_S_MAX:
        raise UsageProblem(f"torture: --lease {lease:g}: it is more than 0 and at most {_LEASE_S_MAX:g} seconds")
    if report is not None:
        try:
            report.open("a").close()
        except OSError as error:
            raise UsageProblem(f"--report {report}: {error.strerror or error}") from None


def _brokers(given: list[str] | None, *, shared: bool) -> tuple[str, ...]:
    """Those that were asked for, or all of our own that can be had, if several processes may share the store."""
    from ripresa.testing.torture.brokers import NONE, usual

    if given is None:
        return tuple(usual()) if shared else ()
    brokers = tuple(one for one in given if one != NONE)
    if brokers and not shared:
        raise UsageProblem("torture: --broker goes with PostgreSQL")
    if len({one.partition(":")[0] for one in brokers}) < len(brokers):
        raise UsageProblem("torture: --broker is given once for each kind")
    return brokers


async def _run(session: Session) -> dict[str, Any]:
    loop = asyncio.get_running_loop()

    def first() -> None:
        say("\nending: no more faults; Ctrl-C again stops at once")
        session.stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first)
    return await session.run(_Progress().tell)


class _Progress:
    """How it goes: a line that is written anew on a terminal, else one now and then."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._next = 0.0
        self._began = time.monotonic()

    def tell(self, torture: Torture) -> None:
        now = time.monotonic()
        if not self._live and now < self._next:
            return
        self._next = now + _LINE_S
        fired = ", ".join(f"{number} {name}" for name, number in torture.fired.items() if number) or "no faults yet"
        cuts = torture.cuts_so_far
        fired += f", {cuts} cuts" if cuts and "cuts" not in torture.fired else ""
        line = (
            f"{now - self._began:5.0f} s  seed {torture.options.seed}  {torture.phase}: {fired}; "
            f"{torture.events} events; {len(torture.broken)} violations"
        )
        if self._live:
            sys.stderr.write(f"\r\033[K{line}")
            sys.stderr.flush()
        else:
            say(line)


def _again(told: dict[str, Any], where: str, faults: Faults, usual: Faults, rest: dict[str, Any]) -> str:
    """The line that repeats the first seed that broke something, or the first."""
    seed = next((run["seed"] for run in told["runs"] if run["violations"]), told["runs"][0]["seed"])
    words = [f"ripresa torture{where} --kills {faults.kills} --seed {seed}"]
    words += [
        f"--{name.replace('_', '-')} {number}"
        for name, number in faults._asdict().items()
        if number != getattr(usual, name)
    ]
    words += [name if value is True else f"{name} {value}" for name, value in rest.items() if value is not False]
    return " ".join(words)


def _without_password(dsn: str) -> str:
    head, at, tail = dsn.rpartition("@")
    scheme, _, who = head.partition("://")
    return f"{scheme}://{who.partition(':')[0]}{at}{tail}" if at else dsn


def _write(told: dict[str, Any], session: Session) -> None:
    """For people."""
    if sys.stderr.isatty():
        say("")
    for run in told["runs"]:
        _write_run(run)
    if any(run["violations"] for run in told["runs"]):
        write(f"again: {told['again']}")
    for kept in session.kept:
        write(f"kept: {kept}")


def _write_run(run: dict[str, Any]) -> None:
    faults = ", ".join(f"{number} {name}" for name, number in run["faults"].items() if number) or "no faults"
    write(f"seed {run['seed']}: {faults}, in {run['seconds']:.0f} s")
    write(
        f"  {run['runs']} runs, {run['steps_begun']} steps begun, {run['steps_repeated_after_a_fault']} repeated; "
        f"{run['commits_of_unknown_fate']} commits looked up"
    )
    for what in ("zombies", "wipes", "workers"):
        for name, number in run[what].items():
            write(f"  {number:>6} {name}")
    for name, number in run["checked"].items():
        write(f"  {number:>6} {name}")
    for kind, times in run["recovery_lone"].items():
        if times["number"]:
            write(f"  next step after {kind}: p50 {times['p50_s']} s, p99 {times['p99_s']} s, max {times['max_s']} s")
    for line in run["violations"][:_SHOWN_MAX]:
        write(f"  BROKEN: {line}")
    write(f"  {len(run['violations'])} violations")
