"""The address of a PostgreSQL store: what the driver is told, which schema it is, and what people may see.

`postgresql://user:password@host:port/database`, with `?schema=` or `?options=-csearch_path%3D` for another schema
than `ripresa`.  Of several hosts (`a:5432,b:5432`) one is wanted that takes writes.  Everything else in the address
(`sslmode`, `host` of a socket's directory) is the driver's.
Invariant: what people see holds no password, and no part of one that was written without its percent signs.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from ripresa.stores.postgres.servers import Servers

SCHEMA = "ripresa"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
_SEARCH_PATH = re.compile(r"(?:^|\s)(?:-c\s*|--)search_path=(\S+)")
_SECRET = {"password", "passfile", "sslpassword"}
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:@]*)(?::(\d{0,5}))?")
_PORT_MAX = 65_535
_TARGET = "target_session_attrs"


class Address(NamedTuple):
    """Where a store is."""

    servers: Servers
    """For the driver; may hold a password."""
    schema: str
    shown: str
    """For people; `open_store` takes it, if the password comes from elsewhere."""


def address_of(url: str) -> Address:
    """Read an address.  Raises ValueError without repeating a password."""
    parts = _parted(url)
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    user, password = (quote(unquote(part), safe="") for part in (user, password))
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
    host = f"{user}@{hosts}" if user else hosts
    if not _NAME.fullmatch(schema):
        raise ValueError(
            f"store postgresql://{host}{parts.path}: schema {schema!r} is no plain name (letters, digits, _)"
        )
    open_to_all = [(name, value) for name, value in kept if name not in _SECRET]
    if schema != SCHEMA:
        open_to_all.append(("schema", schema))
    several = hosts.split(",")
    if len(several) > 1 and _TARGET not in dict(kept):
        kept.append((_TARGET, "read-write"))
    dsns = [_url(f"{user}{colon}{password}{at}{one}", parts.path, kept) for one in several]
    return Address(Servers(tuple(dsns)), schema, _url(host, parts.path, open_to_all))


def _parted(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None or not _is_plain(parts, parts.netloc.rpartition("@")[2]):
        raise ValueError(
            "store postgresql://…: what follows user and password is no host, port (up to 65535) and database; "
            "write @ : / ? # % in a password as %40 %3A %2F %3F %23 %25"
        )
    return parts


def _is_plain(parts: SplitResult, hosts: str) -> bool:
    """Whether a password seems to have been told apart from what follows it."""
    if "@" in parts.path or parts.fragment:
        return False
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    return all(host is not None and int(host[1] or 0) <= _PORT_MAX for host in found)


def _url(place: str, path: str, settings: list[tuple[str, str]]) -> str:
    query = urlencode(settings, quote_via=quote)
    return f"postgresql://{place}{path}{'?' if query else ''}{query}"
