"""Ancestry: which nodes come before which, as numbers whose bits are nodes; worked out when first asked."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Ancestry:
    """Over `upstream`: by name, the names that a node depends on.  Names that are none, and cycles, are passed over."""

    def __init__(self, upstream: Mapping[str, Collection[str]]) -> None:
        self._upstream = upstream

    def before(self, name: str, other: str) -> bool:
        """Whether `other` comes before `name`."""
        if other in self._upstream[name]:
            return True
        return other in self._bit and bool(self._bits.get(name, 0) & self._bit[other])

    def all_before(self, name: str) -> list[str]:
        """All that come before `name`, in the order of writing."""
        bits = self._bits.get(name, 0)
        return [other for other, bit in self._bit.items() if bits & bit]

    @cached_property
    def _bit(self) -> dict[str, int]:
        return {name: 1 << index for index, name in enumerate(self._upstream)}

    @cached_property
    def _bits(self) -> dict[str, int]:
        downstream: dict[str, list[str]] = {name: [] for name in self._upstream}
        waits = dict.fromkeys(self._upstream, 0)
        for name, others in self._upstream.items():
            for other in others:
                if other in downstream:
                    downstream[other].append(name)
                    waits[name] += 1
        bits = dict.fromkeys(self._upstream, 0)
        ready = [name for name, count in waits.items() if not count]
        while ready:
            name = ready.pop()
            seen = bits[name] | self._bit[name]
            for after in downstream[name]:
                bits[after] |= seen
                waits[after] -= 1
                if not waits[after]:
                    ready.append(after)
        return bits
