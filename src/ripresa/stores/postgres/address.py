"""The address of a PostgreSQL store: what the driver is told, which schema it is, and what people may see.

`postgresql://user:password@host:port/database`, with `?schema=` or `?options=-csearch_path%3D` for another schema
than `ripresa`.  Everything else in the address (`sslmode`, `host` of a socket's directory) is the driver's.
Invariant: what people see holds no password.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

SCHEMA = "ripresa"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_SEARCH_PATH = re.compile(r"(?:^|\s)(?:-c\s*|--)search_path=(\S+)")
_SECRET = {"password", "passfile", "sslpassword"}


class Address(NamedTuple):
    """Where a store is."""

    dsn: str
    """For the driver; may hold a password."""
    schema: str
    shown: str
    """For people; `open_store` takes it, if the password comes from elsewhere."""


def address_of(url: str) -> Address:
    """Read an address.  Raises ValueError without repeating a password."""
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    schema = SCHEMA
    kept: list[tuple[str, str]] = []
    for name, value in given:
        if name == "schema":
            schema = value
        elif name == "options":
            found = _SEARCH_PATH.search(value)
            schema = found[1] if found else schema
            rest = _SEARCH_PATH.sub("", value).strip()
            if rest:
                kept.append((name, rest))
        else:
            kept.append((name, value))
    shown_host = parts.netloc.rpartition("@")
    user = shown_host[0].partition(":")[0]
    host = f"{user}@{shown_host[2]}" if user else shown_host[2]
    if not _NAME.fullmatch(schema):
        raise ValueError(
            f"store postgresql://{host}{parts.path}: schema {schema!r} is no plain name (letters, digits, _)"
        )
    open_to_all = [(name, value) for name, value in kept if name not in _SECRET]
    if schema != SCHEMA:
        open_to_all.append(("schema", schema))
    return Address(
        urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(kept, quote_via=quote), "")),
        schema,
        urlunsplit(("postgresql", host, parts.path, urlencode(open_to_all, quote_via=quote), "")),
    )
