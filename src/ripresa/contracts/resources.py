"""Resources: how much processor and memory a job may use, and how that grows with its attempts.

Quantities are texts, written as `contracts.quantities` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from ripresa.contracts.quantities import MEMORY_BYTES_MAX, MEMORY_BYTES_MIN, cpu_millis, memory_bytes

_FACTOR = re.compile(r"\*\s*(\d{1,3}(?:\.\d{1,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a job may use; None: no limit of its own.

    `cpu` and `memory` as written.  `memory_factor` multiplies the memory with each further attempt (`"*2"`), up to
    `memory_max`.  Raises ValueError naming the field.
    """

    cpu: str | None = None
    memory: str | None = None
    memory_factor: str | None = None
    memory_max: str | None = None

    def __post_init__(self) -> None:
        _check(cpu_millis, self.cpu, "cpu")
        _check(memory_bytes, self.memory, "memory")
        _check(memory_bytes, self.memory_max, "on_retry.max")
        if self.memory_factor is not None:
            _factor(self.memory_factor)
            if self.memory is None:
                raise ValueError("resources.on_retry.memory: there is no resources.memory to multiply")

    @classmethod
    def of(cls, given: Any) -> Self:
        """From the contract's mapping, `{cpu, memory, on_retry: {memory, max}}`.  Raises ValueError."""
        if isinstance(given, cls):
            return given
        known = _only(dict(given or {}), ("cpu", "memory", "on_retry"), "resources")
        retried = _only(dict(known.get("on_retry") or {}), ("memory", "max"), "resources.on_retry")
        return cls(
            cpu=_text(known.get("cpu")),
            memory=_text(known.get("memory")),
            memory_factor=_text(retried.get("memory")),
            memory_max=_text(retried.get("max")),
        )

    def to_json(self) -> dict[str, Any]:
        """The contract's mapping, without empty fields."""
        retried = {"memory": self.memory_factor, "max": self.memory_max}
        retried = {key: value for key, value in retried.items() if value is not None}
        told: dict[str, Any] = {"cpu": self.cpu, "memory": self.memory, "on_retry": retried or None}
        return {key: value for key, value in told.items() if value is not None}

    @property
    def cpu_millis(self) -> int | None:
        """Thousandths of a processor."""
        return None if self.cpu is None else cpu_millis(self.cpu)

    def memory_bytes(self, attempt: int) -> int | None:
        """Bytes for the attempt of this number, counted from 1."""
        if self.memory is None:
            return None
        size = Decimal(memory_bytes(self.memory))
        most = Decimal(MEMORY_BYTES_MAX if self.memory_max is None else memory_bytes(self.memory_max))
        for _ in range(attempt - 1):
            if self.memory_factor is None or size >= most:
                break
            size *= _factor(self.memory_factor)
        return max(int(min(size, most)), MEMORY_BYTES_MIN)


def _check(read: Callable[[str], int], text: str | None, where: str) -> None:
    try:
        if text is not None:
            read(text)
    except ValueError as error:
        raise ValueError(f"resources.{where}: {error}") from None


def _factor(text: str) -> Decimal:
    found = _FACTOR.fullmatch(text)
    if found is None or not 1 <= (factor := Decimal(found[1])) <= 100:
        raise ValueError(f'resources.on_retry.memory: {text!r} is no factor from *1 to *100 (write "*2")')
    return factor


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _only(given: dict[str, Any], known: tuple[str, ...], where: str) -> dict[str, Any]:
    for name in given:
        if name not in known:
            from difflib import get_close_matches  # noqa: PLC0415 - only for the message

            near = get_close_matches(str(name), known, 1)
            hint = f'; did you mean "{near[0]}"?' if near else f" (there are: {', '.join(known)})"
            raise ValueError(f"{where}.{name}: unknown field{hint}")
    return given
