"""Cursors: where the next page of runs begins, as a text that only we can read.

A cursor names the last row of a page (keyset paging), so a page costs the same however far on it is,
and runs that start meanwhile neither shift nor repeat a row.  It belongs to the filter that gave it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from ripresa.ports.reading import RunFilter

_CHECK_BYTES = 6


def cursor_after(last: str, where: RunFilter) -> str:
    """The cursor for the page that begins after `last`."""
    return base64.urlsafe_b64encode(_check(last, where) + last.encode()).decode().rstrip("=")


def read_cursor(cursor: str, where: RunFilter) -> str:
    """The row that the cursor names; ValueError if it was not made for this filter, or was altered."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        last = raw[_CHECK_BYTES:].decode()
    except (binascii.Error, ValueError):
        raise _unreadable(cursor) from None
    if _check(last, where) != raw[:_CHECK_BYTES]:
        raise _unreadable(cursor)
    return last


def _check(last: str, where: RunFilter) -> bytes:
    return hashlib.blake2b(repr((last, tuple(where))).encode(), digest_size=_CHECK_BYTES).digest()


def _unreadable(cursor: str) -> ValueError:
    return ValueError(f"cursor {cursor[:80]!r} does not belong to this list: ask for the first page without a cursor")
