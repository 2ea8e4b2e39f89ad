"""Secrets of an attempt: which entries of which Secret its variables come from, and what is to be masked.

A reference to a Secret in the job's own namespace stays a reference: the pod reads it.  All else – variables and files
of the engine, other secret stores, other namespaces – is put into a Secret made for the attempt, which its Job owns, so
that it goes when the Job goes.  Values are in no pod's specification, and no label or annotation.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.secret_ref import SecretRef
from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed
from ripresa.runtimes.job_outcome import failed
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.manifest import SecretKey
from ripresa.runtimes.secrets import resolved
from ripresa.runtimes.secrets.unavailable import SecretUnavailable, entry

Find = Callable[[str], Awaitable[dict[str, Any] | None]]
"""A Secret of the job's namespace by its name."""


@dataclass(slots=True)
class AttemptSecrets:
    """`keys`: by variable.  `own`: the values for the attempt's own Secret.  `values`: all of them, to be masked."""

    keys: dict[str, SecretKey] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)


async def gathered(order: JobOrder, settings: JobSettings, namespace: str, own_name: str, find: Find) -> AttemptSecrets:
    """What the attempt needs.  Raises JobFailed `secret_unavailable` that names variable and reference."""
    found = AttemptSecrets()
    others: dict[str, str] = {}
    for variable, text in order.secrets.items():
        reference = SecretRef.parse(text, where=variable)
        name = _in_namespace(reference, settings, namespace)
        if name is None:
            others[variable] = text
            continue
        found.keys[variable], value = await _entry_of(variable, reference, name, find)
        found.values.append(value)
    found.own = await resolved(others, settings.secrets)
    found.keys |= {variable: SecretKey(name=own_name, key=variable) for variable in found.own}
    found.values += found.own.values()
    return found


async def known_again(keys: Mapping[str, SecretKey], find: Find) -> list[str]:
    """The values behind these entries, as far as they are still there: what an adopted job has to be masked with."""
    values = []
    for name in {one.name for one in keys.values()}:
        data = ((await find(name)) or {}).get("data") or {}
        values += [_text(data[one.key]) for one in keys.values() if one.name == name and one.key in data]
    return values


def keys_of(pod: Mapping[str, Any], container: str) -> dict[str, SecretKey]:
    """The entries that a container of a pod's specification gets, by variable."""
    found = {}
    for one in [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]:
        for variable in one.get("env") or () if one.get("name") == container else ():
            if (key := (variable.get("valueFrom") or {}).get("secretKeyRef")) is not None:
                found[str(variable["name"])] = SecretKey(name=str(key["name"]), key=str(key["key"]))
    return found


def _in_namespace(reference: SecretRef, settings: JobSettings, namespace: str) -> str | None:
    """The name of the Secret in the job's namespace that is meant; None: it is somewhere else."""
    known = settings.secrets
    if reference.kind != "secret" or known.store not in (None, "kubernetes") or known.kubernetes.api is not None:
        return None
    where, slash, name = reference.path.rpartition("/")
    return name if (where if slash else known.kubernetes.namespace or namespace) == namespace else None


async def _entry_of(variable: str, reference: SecretRef, name: str, find: Find) -> tuple[SecretKey, str]:
    found = await find(name)
    if found is None:
        raise _unavailable(variable, reference, "the cluster has no such Secret in the namespace of the job")
    data = found.get("data") or {}
    try:
        value = _text(entry(data, reference.key))
    except SecretUnavailable as error:
        raise _unavailable(variable, reference, str(error)) from None
    return SecretKey(name=name, key=reference.key or next(iter(data))), value


def _text(value: Any) -> str:
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError, TypeError):
        raise SecretUnavailable("the entry is not UTF-8 text") from None


def _unavailable(variable: str, reference: SecretRef, why: str) -> JobFailed:
    return failed(
        f"secret {variable} ({reference}): {why}", code="secret_unavailable", failure_class=FailureClass.TERMINAL
    )
