"""Output of a step, from bytes as they come to lines in the log, never more than a cap.

What is past the cap is read and dropped, with one line to say so: a full pipe would stop the step.  Invariant: the
lines are the same however the bytes were cut into pieces, so that output which is read again gives the same lines.
"""

from __future__ import annotations

from ripresa.ports.runtime import Keep
from ripresa.runtimes.masking import Masker

LINE_BYTES_MAX = 16_384
OUTPUT_BYTES_MAX = 1_048_576


class OutputLines:
    """The lines of one stream of one attempt; a line longer than `LINE_BYTES_MAX` is broken up."""

    def __init__(
        self, stream: str, keep: Keep, bytes_max: int = OUTPUT_BYTES_MAX, *, masker: Masker | None = None
    ) -> None:
        self._stream = stream
        self._keep = keep
        self._left = bytes_max
        self._bytes_max = bytes_max
        self._masker = masker
        self._at: int | None = None
        self._rest = b""
        self.last = ""
        """The last line that was not blank."""

    @property
    def full(self) -> bool:
        """Whether no more is kept."""
        return self._left < 0

    def feed(self, data: bytes, at: int | None = None) -> None:
        """Keep every line that is whole now; `at` is when the data was written."""
        self._at = at
        self._take(data if self._masker is None else self._masker.feed(data))

    def end(self) -> None:
        """Keep what is left, a line without its end."""
        if self._masker is not None:
            self._take(self._masker.end())
        rest, self._rest = self._rest, b""
        if rest:
            self._keep_line(rest)

    def _take(self, data: bytes) -> None:
        if self._left < 0 or not data:
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
            rest, self._rest = self._rest, b""
            if rest:
                self._keep_line(rest)
            self._keep(self._stream, "warning", f"[output past {self._bytes_max} bytes is not kept]", self._at)

    def _keep_line(self, line: bytes) -> None:
        for start in range(0, len(line) or 1, LINE_BYTES_MAX):
            text = line[start : start + LINE_BYTES_MAX].decode("utf-8", "replace")
            self.last = text if text.strip() else self.last
            self._keep(self._stream, None, text, self._at)
