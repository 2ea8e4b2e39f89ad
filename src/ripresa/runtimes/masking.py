"""Masking: secrets on their way to the log become `***`, however the output is cut into pieces.

Invariant: what was fed, masked as one text, is what comes out, whatever the pieces were.  So the end of a piece that
may be the beginning of a secret is held back until more has come.  What a job writes backwards, encrypted or encoded
cannot be known again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

SECRET_CHARS_MIN = 6
"""Shorter ones would mask half of every log."""
MASK = "***"


class Secrets:
    """The values of one attempt's secrets, to be masked in all it writes."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        found = {part for value in values for part in (value, value.strip(), *map(str.strip, value.splitlines()))}
        self._texts = sorted((one for one in found if len(one) >= SECRET_CHARS_MIN), key=len, reverse=True)
        self.patterns = [text.encode("utf-8", "surrogateescape") for text in self._texts]
        self.search = re.compile(b"|".join(map(re.escape, self.patterns))) if self.patterns else None

    def stream(self) -> Masker:
        """A masker for one stream of output."""
        return Masker(self)

    def text(self, text: str) -> str:
        """A whole text, masked."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text

    def tree(self, value: object) -> object:
        """A JSON value with every text in it masked."""
        if not self._texts:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.tree(item) for key, item in value.items()}
        return value


class Masker:
    """Masks one stream, piece by piece."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._reach = max((len(pattern) for pattern in secrets.patterns), default=1) - 1
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What can be told of the output by now."""
        if self._secrets.search is None:
            return data
        return self._masked(self._rest + data, final=False)

    def end(self) -> bytes:
        """What was held back."""
        return self._masked(self._rest, final=True) if self._rest else b""

    def _masked(self, data: bytes, *, final: bool) -> bytes:
        search = self._secrets.search
        assert search is not None  # noqa: S101 - else nothing is held back
        told = bytearray()
        at = 0
        while True:
            held = len(data) if final else self._held_from(data, at)
            found = search.search(data, at)
            if found is None or found.start() >= held:
                self._rest = data[held:]
                return bytes(told + data[at:held])
            told += data[at : found.start()] + MASK.encode()
            at = found.end()

    def _held_from(self, data: bytes, at: int) -> int:
        """From where on the data may be the beginning of a secret that is not all there yet."""
        for start in range(max(at, len(data) - self._reach), len(data)):
            tail = data[start:]
            if any(len(pattern) > len(tail) and pattern.startswith(tail) for pattern in self._secrets.patterns):
                return start
        return len(data)
