"""Stamped lines: output as a kubelet sends it, with a time in front of each line, cut into times and bytes.

Container engines write long lines in parts of 16 KiB.  Kubelets before 1.21 put a time in front of every part, newer
ones in front of every line; so a time that stands just where a part begins is none of the job's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ripresa.runtimes.listening import split_time

PART_BYTES: Final = 16_384
_STAMP_BYTES_MAX: Final = 40


class StampedLines:
    """Cuts output however it comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._at: int | None = None
        self._left = 0
        """How many bytes there are at most until the next time may come."""

    def feed(self, data: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Time and bytes of what can be told by now; a line may come in several pieces."""
        data, self._rest = self._rest + data, b""
        while data:
            if not self._left:
                head = data[:_STAMP_BYTES_MAX]
                if len(head) < _STAMP_BYTES_MAX and b" " not in head and b"\n" not in head:
                    self._rest = data  # not all of the time may be there
                    return
                at, words = split_time(head)
                if at is not None:
                    self._at, data = at, data[len(head) - len(words) :]
                self._left = PART_BYTES
            line, newline, _ = data[: self._left].partition(b"\n")
            piece = line + newline
            data = data[len(piece) :]
            self._left = 0 if newline else self._left - len(piece)
            if piece:
                yield self._at, piece

    def end(self) -> Iterator[tuple[int | None, bytes]]:
        """What was held back."""
        rest, self._rest = self._rest, b""
        if rest:
            yield self._at, rest
