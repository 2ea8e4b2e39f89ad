"""What an engine and its worker processes say to each other: JSON, each message behind its length.

The engine says `{"path": […]}` once, then `{"target", "file", "input", "context"}` for each attempt.
The worker answers each attempt with `{"output": text}` or `{"failure": {…}}`.  Nothing is pickled.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]

_LENGTH = struct.Struct("!I")


def pack(message: Message) -> bytes:
    """One message, ready to send."""
    body = json.dumps(message, ensure_ascii=True).encode("ascii")
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Gathers bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Every message that is whole now; raises `ValueError` for what is not a message."""
        self._buffer += data
        while (end := self._end()) is not None:
            body = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield json.loads(body)

    def _end(self) -> int | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        end = _LENGTH.size + int(length)
        return end if len(self._buffer) >= end else None
