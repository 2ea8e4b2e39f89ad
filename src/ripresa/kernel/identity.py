"""Identity and fingerprint of operations, and what is derived from a run's id.

An operation is known by where and what: the scope of the task that asked, the name, and a counter
per name in that scope – `charge`, `charge#2`, `item[3]/resize` – or the `key=` that the caller gave.
The fingerprint (kind, name, arguments) tells whether the code still asks for the same.
"""

from __future__ import annotations

import random
import uuid
from functools import lru_cache
from hashlib import blake2b

from ripresa.contracts.errors import RipresaError

_SHORT = 64


class Identities:
    """Hands out the identities of one run."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def take(self, scope: str, name: str) -> str:
        """The next identity of `name` in `scope`."""
        base = scope + name
        count = self._counts.get(base, 0) + 1
        self._counts[base] = count
        return base if count == 1 else f"{base}#{count}"

    def take_keyed(self, scope: str, name: str, key: str) -> str:
        """The identity that the caller chose; a key serves once in its scope."""
        base = f"{scope}{name}[{key}]"
        if base in self._counts:
            msg = f"key {key!r} of {name!r} is used twice in this scope: give each call a key of its own"
            raise RipresaError(msg)
        self._counts[base] = 1
        return base


def fingerprint(kind: str, name: str, arguments: str) -> int:
    """64-bit signed hash of what is asked for."""
    return _remembered(kind, name, arguments) if len(arguments) <= _SHORT else _hash(kind, name, arguments)


@lru_cache(maxsize=4096)
def _remembered(kind: str, name: str, arguments: str) -> int:
    """Loops ask for the same again and again."""
    return _hash(kind, name, arguments)


def _hash(kind: str, name: str, arguments: str) -> int:
    digest = blake2b(f"{kind}\0{name}\0{arguments}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def derived_uuid(run: str, *, now_us: int, salt: str) -> uuid.UUID:
    """A version 7 UUID (RFC 9562 §5.7) whose random bits are a hash of `run` and `salt`."""
    bits = int.from_bytes(blake2b(f"{run}\0{salt}".encode(), digest_size=10).digest(), "big")
    value = ((now_us // 1000) & (2**48 - 1)) << 80 | 0x7 << 76 | (bits >> 62 & 0xFFF) << 64
    return uuid.UUID(int=value | 0x2 << 62 | bits & (2**62 - 1))


def derived_uuid4(run: str, salt: str) -> uuid.UUID:
    """A version 4 UUID whose bits are a hash of `run` and `salt`."""
    return uuid.UUID(bytes=blake2b(f"{run}\0uuid4\0{salt}".encode(), digest_size=16).digest(), version=4)


def derived_float(run: str, salt: str) -> float:
    """A number in [0, 1) that is a hash of `run` and `salt`."""
    return random.Random(f"{run}\0{salt}").random()  # noqa: S311 - not for secrets; seeded, so the same on replay
