"""Counting up: how far a long command has come, on one line of a terminal that is written over."""

from __future__ import annotations

import sys
import time

_EVERY_S = 0.1


class CountingUp:
    """Tells on stderr, if that is a terminal; elsewhere nothing, as the result tells all."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._shown_at = 0.0
        self._shown = sys.stderr.isatty()

    def at(self, count: int) -> None:
        """So far it is `count`."""
        now = time.monotonic()
        if self._shown and now - self._shown_at >= _EVERY_S:
            self._shown_at = now
            of = "" if self._total is None else f" of {self._total:,}"
            sys.stderr.write(f"\r\x1b[2K{self._what}: {count:,}{of}")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave no line behind."""
        if self._shown and self._shown_at:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
