"""The PostgreSQL that is measured: the one whose address is given, else one of our own, ended with the measurement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ripresa.testing.torture.postgres_server import OwnPostgres


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Its address.  One of our own is Debian's as installed, in a temporary folder."""
    if url is not None:
        yield url
        return
    own = OwnPostgres()
    try:
        own.start()
        yield own.url
    finally:
        own.close()
