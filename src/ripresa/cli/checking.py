"""Checking: settings with their origins, the store's integrity, and what workflow code may not do."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ripresa.cli.reading import existing
from ripresa.cli.settings import Settings
from ripresa.cli.target import all_of
from ripresa.contracts.errors import StoreUnavailable
from ripresa.engine.config import Config
from ripresa.kernel.guard import scan
from ripresa.stores import shown_address
from ripresa.stores.missing import StoreMissing


async def checked(set_up: Settings, targets: list[str]) -> dict[str, Any]:
    """All that was looked at, as data.  Raises UsageProblem, StoreError for a store that cannot be opened."""
    workflows = all_of(targets or list(set_up.workflows), set_up.workflows)
    return {
        "settings": _settings(set_up),
        "store": await _store(set_up.store.value),
        "workflows": [
            {"workflow": one.name, "findings": [str(finding) for finding in _findings(one)]} for one in workflows
        ],
    }


def _findings(workflow: Any) -> list[Any]:
    """What workflow code does that it may not; a graph has none of its own."""
    function = getattr(workflow, "function", None)
    return [] if function is None else scan(function)


def _settings(set_up: Settings) -> list[dict[str, Any]]:
    defaults = Config()
    told = [{"name": "store", "value": shown_address(set_up.store.value), "origin": set_up.store.origin}]
    for field in fields(Config):
        given = set_up.engine.get(field.name)
        value, origin = (getattr(defaults, field.name), "default") if given is None else given
        told.append({"name": f"engine.{field.name}", "value": value, "origin": origin})
    named = [
        {"name": f"workflows.{name}", "value": target, "origin": "ripresa.toml"}
        for name, target in set_up.workflows.items()
    ]
    jobs = [{"name": name, "value": given.value, "origin": given.origin} for name, given in set_up.jobs.items()]
    pools = [
        {"name": f"pools.{pool.name}.{name}", "value": value, "origin": "ripresa.toml"}
        for pool in set_up.pools
        for name, value in _dotted(pool.to_json()).items()
    ]
    return told + named + jobs + pools


def _dotted(table: dict[str, Any]) -> dict[str, Any]:
    """Fields of a field by their names with dots."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        found |= {f"{name}.{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
    return found


async def _store(url: str) -> dict[str, Any]:
    shown = shown_address(url)
    missing: dict[str, Any] = {"url": shown, "exists": False, "problems": []}
    try:
        store = existing(url)
    except StoreUnavailable:
        return missing
    try:
        await store.open()
    except StoreMissing:
        return missing
    try:
        return {"url": shown, "exists": True, "problems": await store.check()}
    finally:
        await store.close()
