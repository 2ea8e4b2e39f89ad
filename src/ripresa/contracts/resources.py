"""Resources: how much processor and memory a job may use, and how that grows with its attempts.

Quantities are written as Kubernetes writes them: `500m` or `2` processors, `512Mi`, `2Gi`, `1.5G` bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

_CPU = re.compile(r"(\d{1,6})(m?)|(\d{1,4}\.\d{1,3})", re.ASCII)
_MEMORY = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)([kKMGTP]i?|)", re.ASCII)
_FACTOR = re.compile(r"\*\s*(\d{1,3}(?:\.\d{1,3})?)", re.ASCII)
_UNITS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
MEMORY_BYTES_MIN = 6 * 1024 * 1024
"""What Docker asks for at least."""


def cpu_millis(text: str | float, *, where: str = "cpu") -> int:
    """Thousandths of a processor in `text`.  Raises ValueError naming `where` and the form it should have."""
    found = _CPU.fullmatch(str(text))
    millis = 0
    if found is not None and not isinstance(text, bool):
        whole, unit, decimal = found.groups()
        millis = int(Decimal(decimal) * 1000) if decimal else int(whole) * (1 if unit else 1000)
    if not 1 <= millis <= 1_000_000:
        raise ValueError(f"{where}: {text!r} is no number of processors (write 500m, 2 or 0.5)")
    return millis


def memory_bytes(text: str | int, *, where: str = "memory") -> int:
    """Bytes in `text`.  Raises ValueError naming `where` and the form it should have."""
    found = _MEMORY.fullmatch(str(text))
    size = 0
    if found is not None and not isinstance(text, bool):
        number, unit = found.groups()
        base = 1024 if unit.endswith("i") else 1000
        size = int(Decimal(number) * base ** _UNITS[unit.removesuffix("i")])
    if not MEMORY_BYTES_MIN <= size < 1 << 60:
        raise ValueError(f"{where}: {text!r} is no amount of memory from 6Mi on (write 512Mi, 2Gi or 2G)")
    return size


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
        if self.cpu is not None:
            cpu_millis(self.cpu, where="resources.cpu")
        if self.memory is not None:
            memory_bytes(self.memory, where="resources.memory")
        if self.memory_max is not None:
            memory_bytes(self.memory_max, where="resources.on_retry.max")
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
        most = Decimal((1 << 60) - 1 if self.memory_max is None else memory_bytes(self.memory_max))
        for _ in range(attempt - 1):
            if self.memory_factor is None or size >= most:
                break
            size *= _factor(self.memory_factor)
        return max(int(min(size, most)), MEMORY_BYTES_MIN)


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
