"""Engines of a store, for the commands that show them and have them drain."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ripresa.cli import tables
from ripresa.cli.exits import UsageProblem
from ripresa.cli.following import follow
from ripresa.cli.reading import opened
from ripresa.cli.tables import Cell
from ripresa.contracts.record_base import moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from ripresa.ports.store import Store

HEAD = ("engine", "state", "process", "host", "since", "labels", "definitions")
_COLOURS = {"at work": "32", "draining": "33", "gone": "2"}


async def engines(url: str, *, every: bool) -> list[dict[str, Any]]:
    """Those that are at work, newest first; with `every` those that are gone too."""
    async with opened(url) as store:
        return [one for one in await _records(store) if every or one["state"] != "gone"]


async def engine(url: str, number: int) -> dict[str, Any]:
    """One of them.  Raises UsageProblem if it is not known."""
    async with opened(url) as store:
        return await _one(store, number)


async def _one(store: Store, number: int) -> dict[str, Any]:
    found = {one["engine"]: one for one in await _records(store)}
    if number not in found:
        raise UsageProblem(
            f"no engine {number} is known to {store.url}: `ripresa engine list --all` shows those that are"
        )
    return found[number]


async def _records(store: Store) -> list[dict[str, Any]]:
    return [_record(one) for one in await store.engines()]


def _record(told: dict[str, Any]) -> dict[str, Any]:
    """An engine as programs are told of it."""
    state = "gone" if not told["alive"] else "draining" if told.get("draining") else "at work"
    about = json.loads(told["about"]) if told.get("about") else {}
    return {
        "engine": told["engine"],
        "state": state,
        "who": told["who"],
        "host": told["host"],
        "pid": told["pid"],
        "since": moment(told["since"]).isoformat(),
        "lease_until": moment(told["lease_until"]).isoformat() if told["lease_until"] else None,
        "labels": about.get("labels", []),
        "definitions": about.get("definitions", {}),
    }


def rows(found: list[dict[str, Any]]) -> list[tuple[Cell | str, ...]]:
    """A line an engine."""
    return [
        (
            str(one["engine"]),
            Cell(one["state"], _COLOURS[one["state"]]),
            str(one["pid"] or ""),
            one["host"] or "",
            tables.at(datetime.fromisoformat(one["since"])),
            ", ".join(one["labels"]),
            ", ".join(_versions(one)),
        )
        for one in found
    ]


def facts(one: dict[str, Any]) -> list[tuple[Cell | str, ...]]:
    """One engine, a fact a line."""
    told = {
        "engine": str(one["engine"]),
        "state": Cell(one["state"], _COLOURS[one["state"]]),
        "command": one["who"],
        "process": f"{one['pid']} on {one['host']}",
        "since": tables.at(datetime.fromisoformat(one["since"])),
        "lease until": tables.at(datetime.fromisoformat(one["lease_until"]))
        if one["lease_until"]
        else "it was given up",
    }
    return [
        *((Cell(name, "2"), value) for name, value in told.items()),
        *((Cell("label", "2"), label) for label in one["labels"]),
        *((Cell("definition", "2"), version) for version in _versions(one)),
    ]


def _versions(one: dict[str, Any]) -> list[str]:
    return [
        name if label is None else f"{name} {label}"
        for name, labels in sorted(one["definitions"].items())
        for label in labels
    ]


async def drain(url: str, number: int) -> str:
    """Have the engine drain; what a person is told.  Raises UsageProblem."""
    async with opened(url) as store:
        one = await _one(store, number)
        if one["state"] == "gone":
            raise UsageProblem(f"engine {number} is gone already")
        if await store.drain(number):
            return f"engine {number} drains: it ends when its steps have ended, and its runs go to the others"
        if store.shared or one["host"] != os.uname().nodename:
            raise UsageProblem(f"engine {number} cannot be told: its process is {one['pid']} on {one['host']}")
        os.kill(one["pid"], signal.SIGTERM)
        return f"engine {number} was sent SIGTERM (process {one['pid']})"


async def watch(url: str) -> None:
    """Show the engines that are at work, and those that leave meanwhile, until Ctrl-C.  Raises Ended then."""
    seen: set[int] = set()
    async with opened(url) as store:

        async def look() -> Callable[[], None]:
            known = await _records(store)
            seen.update(one["engine"] for one in known if one["state"] != "gone")
            found = [one for one in known if one["engine"] in seen]
            return lambda: tables.columns(rows(found), head=HEAD)

        await follow(look)
