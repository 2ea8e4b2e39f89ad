"""Stamped lines: output as a kubelet sends it, with a time in front of each line, cut into times and bytes.

Container engines write long lines in parts of 16 KiB.  Kubelets before 1.21 put a time in front of every part, newer
ones in front of every line; so a time that stands just where a part begins is none of the job's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ripresa.runtimes.listening import split_time
from ripresa.runtimes.remote import Unreachable

PART_BYTES: Final = 16_384
_STAMP_BYTES_MAX: Final = 40
_SHOWN_MAX: Final = 200


class StampedLines:
    """Cuts output however it comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._at: int | None = None
        self._left = 0
        """How many bytes there are at most until the next time may come."""
        self._begins = True
        """What comes next is the beginning of a line."""

    def feed(self, data: bytes) -> Iterator[tuple[int | None, bytes]]:
        """Time and bytes of what can be told by now; a line may come in several pieces.  Raises Unreachable."""
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
                elif self._begins:
                    raise _said_by_kubelet(data)
                self._left = PART_BYTES
            line, newline, _ = data[: self._left].partition(b"\n")
            piece = line + newline
            data = data[len(piece) :]
            self._left = 0 if newline else self._left - len(piece)
            self._begins = bool(newline)
            if piece:
                yield self._at, piece

    def end(self) -> Iterator[tuple[int | None, bytes]]:
        """What was held back.  Raises Unreachable."""
        rest, self._rest = self._rest, b""
        if rest and self._begins:
            raise _said_by_kubelet(rest)
        if rest:
            yield self._at, rest


def _said_by_kubelet(data: bytes) -> Unreachable:
    words = data.partition(b"\n")[0][:_SHOWN_MAX].decode("utf-8", "replace")
    return Unreachable(f"the kubelet says: {words}")
