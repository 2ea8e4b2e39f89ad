"""Versions of the contract: `1.0` is this one.

The rule: a minor version only adds fields and values, so a reader of 1.3 reads every file of 1.0 to 1.3.  A file of a
newer minor version is read as long as it uses nothing new; what is new to this reader is named.  A file of another
major version is refused; an older one can be migrated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ripresa.contracts.problems import Problem
from ripresa.contracts.spec.sources import Sources

MAJOR, MINOR = 1, 0
CONTRACT = f"{MAJOR}.{MINOR}"
OLDER = ("0.9",)
"""What `ripresa migrate` reads."""
_VERSION = re.compile(r"(?P<major>[0-9]{1,4})\.(?P<minor>[0-9]{1,4})", re.ASCII)


def version_problems(sources: Sources) -> Iterator[Problem]:
    """Why this file's version of the contract cannot be read, if it cannot."""
    value = sources.value
    if not isinstance(value, dict) or "contract" not in value:
        return
    given = value["contract"]
    path = ("contract",)
    if not isinstance(given, str):
        raw = sources.raw(path)
        yield sources.problem("contract_invalid", "the version is a text", f'write contract: "{raw or CONTRACT}"', path)
        return
    found = _VERSION.fullmatch(given)
    if not found:
        yield sources.problem(
            "contract_invalid", f"{given[:40]!r} is no version", f'write contract: "{CONTRACT}"', path
        )
    elif given in OLDER:
        said = f"the file is of contract {given}, and this ripresa reads {MAJOR}.x"
        yield sources.problem("contract_too_old", said, "ripresa migrate --write brings it up to date", path)
    elif int(found["major"]) != MAJOR:
        said = f"the file is of contract {given}, and this ripresa reads {MAJOR}.x"
        newer = int(found["major"]) > MAJOR
        remedy = "upgrade ripresa" if newer else f'write it for contract "{CONTRACT}"'
        yield sources.problem("contract_too_new" if newer else "contract_too_old", said, remedy, path)


def newer_minor(sources: Sources) -> str | None:
    """The file's version, if it is a newer minor one than ours."""
    given = sources.value.get("contract") if isinstance(sources.value, dict) else None
    found = _VERSION.fullmatch(given) if isinstance(given, str) else None
    return given if found and int(found["major"]) == MAJOR and int(found["minor"]) > MINOR else None
