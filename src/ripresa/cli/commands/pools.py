"""`ripresa pools list|show|watch|set|remove|trip|reset`: named capacities, and who waits for them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from ripresa.cli.exits import UsageProblem, say
from ripresa.cli.options import FormatGiven, StoreOption
from ripresa.cli.output import emit, write
from ripresa.cli.settings import Settings, settings

NameArgument = Annotated[str, typer.Argument(metavar="POOL", help="Name of the pool.", show_default=False)]
StepOption = Annotated[
    str | None, typer.Option("--step", metavar="STEP", help="The breaker of this step, if each has one.")
]


def list_(*, output: FormatGiven = None, store: StoreOption = None) -> None:
    """List the pools: slots in use, steps that wait, limits, breakers that are open."""
    from ripresa.cli import pool_tables, pooling, tables

    set_up = settings(store)
    found = asyncio.run(pooling.pools(set_up.store.value))

    def text() -> None:
        tables.columns(pool_tables.rows(found), head=pool_tables.HEAD if found else ())

    emit([one.model_dump(mode="json") for one in found], output, text)
    if not found:
        say(_none(set_up))


def _none(set_up: Settings) -> str:
    if set_up.pools:
        named = ", ".join(pool.name for pool in set_up.pools)
        return (
            f"no pool is in the store yet: those of ripresa.toml ({named}) are put there by `ripresa run` or a worker"
        )
    return "no pool is declared: App(pools=[…]), [pools.NAME] in ripresa.toml, or `ripresa pools set`"


def show(
    name: NameArgument,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many steps at the most.")] = 50,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Show one pool: who holds a slot of it, and who waits, in order and why."""
    from ripresa.cli import pool_tables, pooling

    seen = asyncio.run(pooling.pool(settings(store).store.value, name, limit))
    emit(seen.told(), output, lambda: pool_tables.pool(*seen, hidden=seen.hidden))


def watch(
    name: Annotated[
        str | None, typer.Argument(metavar="[POOL]", help="One pool with its steps; all, if left out.")
    ] = None,
    *,
    store: StoreOption = None,
) -> None:
    """Follow the pools, or one of them with its steps, until Ctrl-C.

    On a terminal it is drawn over itself; in a pipe it is written again whenever it has changed.
    """
    from ripresa.cli import pooling

    asyncio.run(pooling.watch(settings(store).store.value, name))


def set_(
    name: NameArgument,
    limits: Annotated[
        list[str],
        typer.Argument(
            metavar="FIELD=VALUE...",
            help="As in ripresa.toml: slots=4 rate=10/s breaker.failures=5; none takes a limit away.",
            show_default=False,
        ),
    ],
    *,
    output: FormatGiven = None,
    store: StoreOption = None,
) -> None:
    """Change what limits a pool, or make a new one; it holds at once, for whoever waits.

    It stays until a program declares something else than it did before.
    """
    from ripresa.cli import pooling

    pool = asyncio.run(pooling.set_limits(settings(store).store.value, name, limits))
    told: dict[str, Any] = {"name": name, "settings": pool.to_json()}
    emit(told, output, lambda: write(f"pool {name}: {pooling.in_words(pool)}"))


def remove(name: NameArgument, *, store: StoreOption = None) -> None:
    """Forget a pool: what waits for it starts."""
    from ripresa.cli import pooling

    asyncio.run(pooling.remove(settings(store).store.value, name))
    say(f"pool {name} is removed: what waited for it starts")


def trip(
    name: NameArgument,
    *,
    step: StepOption = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="As 10m; until it is reset, if left out.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Open a pool's breaker by hand: its steps wait, and none starts."""
    from ripresa.cli import pooling
    from ripresa.contracts.durations import micros

    try:
        for_us = None if for_ is None else micros(for_, where="--for")
    except ValueError as error:
        raise UsageProblem(str(error)) from None
    asyncio.run(pooling.trip(settings(store).store.value, name, step, for_us))
    how = f"for {for_}, then probes try it" if for_ else f"until `ripresa pools reset {name}`"
    say(f"breaker of {step or name} is open {how}")


def reset(name: NameArgument, *, step: StepOption = None, store: StoreOption = None) -> None:
    """Close a pool's breakers, and end its cooldowns."""
    from ripresa.cli import pooling

    did = asyncio.run(pooling.reset(settings(store).store.value, name, step))
    say("\n".join(did) if did else f"pool {name}: no breaker is open, and nothing rests")
