"""The runtimes of containerised jobs, each made and its library loaded when the first job asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ripresa.ports.runtime import Runtime, Work
    from ripresa.runtimes.job_settings import JobSettings


class Later:
    """A runtime that is made when the first work comes."""

    attempts_max = None

    def __init__(self, make: Callable[[], Runtime]) -> None:
        self._make = make
        self._made: Runtime | None = None

    async def run(self, work: Work) -> str:
        """As the runtime does it."""
        self._made = self._made or self._make()
        return await self._made.run(work)

    async def close(self) -> None:
        """Close it, if it was made."""
        if self._made is not None:
            await self._made.close()


def job_runtimes(*, grace_s: float) -> dict[str, Runtime]:
    """By the engine's names for them; settings come from `ripresa.toml` in the current directory."""

    @cache
    def settings() -> JobSettings:
        from ripresa.runtimes.job_settings import JobSettings

        return JobSettings.from_file()

    def subprocess() -> Runtime:
        from ripresa.runtimes.subprocess import SubprocessRuntime

        return SubprocessRuntime(settings, grace_s=grace_s)

    return {"subprocess": Later(subprocess)}
