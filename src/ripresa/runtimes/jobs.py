"""The runtimes of containerised jobs, each made and its library loaded when the first job asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ripresa.runtimes import JobFailed

if TYPE_CHECKING:
    from ripresa.contracts.step_context import StepContext
    from ripresa.ports.runtime import Runtime, Work
    from ripresa.ports.tasks import Carrier
    from ripresa.runtimes.celery.settings import CelerySettings
    from ripresa.runtimes.job_settings import JobSettings

logger = logging.getLogger("ripresa.jobs")


class Later:
    """A runtime that is made when the first work comes; `adopts` says which kind."""

    attempts_max = None

    def __init__(self, make: Callable[[], Runtime], *, adopts: bool = False) -> None:
        self._make = make
        self._made: Any = None
        self.adopts = adopts

    def _runtime(self) -> Any:
        self._made = self._made or self._make()
        return self._made

    async def run(self, work: Work) -> str:
        """As the runtime does it."""
        output: str = await self._runtime().run(work)
        return output

    def forget(self, context: StepContext) -> None:
        """As the runtime does it; one that cannot be made has nothing to forget."""
        try:
            self._runtime().forget(context)
        except JobFailed as error:
            logger.debug("nothing to forget of step %s of run %s: %s", context.step, context.run_id, error)

    async def left(self) -> list[StepContext]:
        """As the runtime does it."""
        found: list[StepContext] = await self._runtime().left()
        return found

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

    def container() -> Runtime:
        try:
            from ripresa.runtimes.container.runtime import ContainerRuntime
        except ModuleNotFoundError as error:
            raise _needs("container", error) from None
        return ContainerRuntime(settings, grace_s=grace_s)

    def kubernetes() -> Runtime:
        try:
            from ripresa.runtimes.kubernetes.runtime import KubernetesRuntime
        except ModuleNotFoundError as error:
            raise _needs("kubernetes", error) from None
        return KubernetesRuntime(settings, grace_s=grace_s)

    return {
        "subprocess": Later(subprocess),
        "container": Later(container, adopts=True),
        "kubernetes": Later(kubernetes, adopts=True),
    }


def carriers() -> dict[str, Carrier]:
    """What tells workers elsewhere of their tasks; settings come from `ripresa.toml` in the current directory."""
    from ripresa.runtimes.celery.runtime import CeleryRuntime

    def settings() -> CelerySettings:
        from ripresa.runtimes.job_settings import JobSettings

        return JobSettings.from_file().celery

    return {"celery": CeleryRuntime(settings)}


def _needs(runtime: str, error: ModuleNotFoundError) -> JobFailed:
    from ripresa.runtimes.job_outcome import cannot_start

    return cannot_start(f"runtime {runtime} needs the package {error.name}: pip install 'ripresa[{runtime}]'")
