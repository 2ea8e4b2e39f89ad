"""Policy: what the platform allows the containers of jobs.

    [runtimes.container]
    registries = ["ghcr.io/acme/*"]
    host_paths = ["/srv/data"]
    memory_max = "4Gi"

A job's code is hostile: it gets no capabilities, no new privileges, no root, and never the engine's socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ripresa.contracts.job_order import JobOrder
from ripresa.runtimes.job_policy import JobPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPolicy(JobPolicy):
    """The table `[runtimes.container]`: what is in `JobPolicy`, and more.

    `host`: the engine's address, `unix:///run/docker.sock` or `tcp://…`; left out, DOCKER_HOST, else the usual sockets.
    `network`: bridge, none, or a network's name.  `pids`: processes at most.
    """

    WHERE: ClassVar[str] = "runtimes.container"

    host: str | None = None
    network: str = "bridge"
    pids: int = 512

    def __post_init__(self) -> None:
        JobPolicy.__post_init__(self)
        if self.pids < 1:
            raise ValueError(f"{self.WHERE}.pids: {self.pids} is not 1 or more")

    def binds(self, order: JobOrder) -> list[str]:
        """The order's volumes as the engine takes them.  Raises JobFailed for one that is not allowed."""
        volumes = self.volumes(order)
        return [f"{one.source}:{one.target}:{'ro' if one.read_only else 'rw'}" for one in volumes]

    def user_for(self, image: Mapping[str, Any]) -> str | None:
        """Who runs in a container of an image, by the image's own configuration; None: as the image says."""
        own = str((image.get("Config") or {}).get("User") or "").partition(":")[0]
        return self.user if self.user != "image" and _is_root(own) else None


def _is_root(user: str) -> bool:
    """Whether an engine takes this for root: by name, or by any way of writing 0."""
    try:
        return user in ("", "root") or int(user) == 0
    except ValueError:
        return False
