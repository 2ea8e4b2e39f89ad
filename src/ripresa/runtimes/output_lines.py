"""Output of a step, from bytes as they come to lines in the log, never more than a cap.

What is past the cap is read and dropped, with one line to say so: a full pipe would stop the step.
"""

from __future__ import annotations

from collections.abc import Callable

LINE_BYTES_MAX = 16_384
OUTPUT_BYTES_MAX = 1_048_576

Keep = Callable[[str, str | None, str], None]


class OutputLines:
    """The lines of one stream of one attempt; a line longer than `LINE_BYTES_MAX` is broken up."""

    def __init__(self, stream: str, keep: Keep, bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._stream = stream
        self._keep = keep
        self._left = bytes_max
        self._bytes_max = bytes_max
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Keep every line that is whole now."""
        if self._left < 0:
            return
        kept = data[: self._left]
        *lines, self._rest = (self._rest + kept).split(b"\n")
        for line in lines:
            self._keep_line(line)
        while len(self._rest) > LINE_BYTES_MAX:
            self._keep_line(self._rest[:LINE_BYTES_MAX])
            self._rest = self._rest[LINE_BYTES_MAX:]
        self._left -= len(data)
        if self._left < 0:
            self.end()
            self._keep(self._stream, "warning", f"[output past {self._bytes_max} bytes is not kept]")

    def end(self) -> None:
        """Keep what is left, a line without its end."""
        rest, self._rest = self._rest, b""
        if rest:
            self._keep_line(rest)

    def _keep_line(self, line: bytes) -> None:
        for start in range(0, len(line) or 1, LINE_BYTES_MAX):
            self._keep(self._stream, None, line[start : start + LINE_BYTES_MAX].decode("utf-8", "replace"))
