"""Policy: what the platform allows the containers of jobs.  It is applied last, and no order can bend it.

    [runtimes.container]
    registries = ["ghcr.io/acme/*"]
    host_paths = ["/srv/data"]
    memory_max = "4Gi"

A job's code is hostile: it gets no capabilities, no new privileges, no root, and never the engine's socket.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, Final, Self

from ripresa.contracts.job_order import JobOrder, split_image
from ripresa.contracts.quantities import cpu_millis, memory_bytes
from ripresa.runtimes.job_outcome import cannot_start
from ripresa.runtimes.toml_tables import only

_WHERE: Final = "runtimes.container"
_PULL: Final = ("missing", "always", "never")
_SOCKETS: Final = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")
_QUANTITIES: Final = {"cpu": cpu_millis, "cpu_max": cpu_millis, "memory": memory_bytes, "memory_max": memory_bytes}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPolicy:
    """The table `[runtimes.container]`.

    `host`: the engine's address, `unix:///run/docker.sock` or `tcp://…`; left out, DOCKER_HOST, else the usual sockets.
    `registries`: patterns of full image names (`ghcr.io/acme/*`, `docker.io/library/python`); empty: any.
    `host_paths`: directories of the host that jobs may mount, with all below them; none by default.
    `pull`: missing, always or never.  `network`: bridge, none, or a network's name.  `user` runs images that would run
    as root; `image` leaves them to.  `read_only`: the container's own file system, but for /tmp.
    `pids`: processes at most.  `cpu`, `memory`: what a job gets that asks for nothing; `cpu_max`, `memory_max`: the
    most that it may ask for.  Raises ValueError naming the field.
    """

    host: str | None = None
    registries: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()
    pull: str = "missing"
    network: str = "bridge"
    user: str = "65534:65534"
    read_only: bool = False
    pids: int = 512
    cpu: str | None = None
    cpu_max: str | None = None
    memory: str | None = None
    memory_max: str | None = None

    def __post_init__(self) -> None:
        for name, read in _QUANTITIES.items():
            value = getattr(self, name)
            try:
                if value is not None:
                    read(str(value))
            except ValueError as error:
                raise ValueError(f"{_WHERE}.{name}: {error}") from None
        if self.pull not in _PULL:
            raise ValueError(f"{_WHERE}.pull: {self.pull!r} is not one of {', '.join(_PULL)}")
        if self.pids < 1:
            raise ValueError(f"{_WHERE}.pids: {self.pids} is not 1 or more")
        for path in self.host_paths:
            if not path.startswith("/"):
                raise ValueError(f"{_WHERE}.host_paths: {path!r} does not begin at the root")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the table.  Raises ValueError naming the field."""
        only(told, tuple(field.name for field in fields(cls)), _WHERE)
        given: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in told:
                given[field.name] = _typed(field.name, told[field.name], field.default)
        return cls(**given)

    # --- what is allowed -----------------------------------------------------------------------

    def require_image(self, order: JobOrder) -> None:
        """Raise JobFailed if no pattern of `registries` fits the image."""
        full = full_name(order.image)
        if self.registries and not any(_fits(pattern, full) for pattern in self.registries):
            allowed = ", ".join(self.registries)
            raise cannot_start(f"job {order.name!r}: image {full} is not from an allowed registry ({allowed})")

    def binds(self, order: JobOrder) -> list[str]:
        """The order's volumes as the engine takes them.  Raises JobFailed for one that is not allowed."""
        return [self._bind(order.name, volume) for volume in order.volumes]

    def _bind(self, job: str, volume: str) -> str:
        source, _, rest = volume.partition(":")
        target, _, mode = rest.partition(":")
        if not source or not target.startswith("/") or mode not in ("", "ro", "rw"):
            raise cannot_start(f"job {job!r}: volume {volume!r} cannot be read (write name:/path or /host:/path:ro)")
        if not source.startswith("/"):
            if source.startswith(".") or "/" in source:
                raise cannot_start(f"job {job!r}: volume {volume!r}: a host path begins at the root, a name has no /")
            return f"{source}:{target}:{mode or 'rw'}"
        path = posixpath.normpath(source)
        if ".." in source.split("/") or not any(_within(path, allowed) for allowed in self.host_paths):
            raise cannot_start(
                f"job {job!r}: volume {volume!r}: this path of the host is not allowed;"
                f" the platform's owner lists paths under {_WHERE}.host_paths"
            )
        if posixpath.basename(path) in _SOCKETS:
            raise cannot_start(f"job {job!r}: volume {volume!r}: no job gets the socket of a container engine")
        return f"{path}:{target}:{mode or 'rw'}"

    def cpu_millis(self, order: JobOrder) -> int | None:
        """Thousandths of a processor for the job.  Raises JobFailed if it asks for too much."""
        asked = order.resources.cpu_millis
        most = None if self.cpu_max is None else cpu_millis(self.cpu_max)
        if asked is None:
            return most if self.cpu is None else cpu_millis(self.cpu)
        if most is not None and asked > most:
            raise cannot_start(f"job {order.name!r}: resources.cpu {order.resources.cpu} is more than {self.cpu_max}")
        return int(asked)

    def memory_bytes(self, order: JobOrder, attempt: int) -> int | None:
        """Bytes for this attempt.  Raises JobFailed if the first would get too much; later ones get that at most."""
        asked = order.resources.memory_bytes(attempt)
        most = None if self.memory_max is None else memory_bytes(self.memory_max)
        if asked is None:
            return most if self.memory is None else memory_bytes(self.memory)
        if most is None:
            return int(asked)
        if (order.resources.memory_bytes(1) or 0) > most:
            wanted = order.resources.memory
            raise cannot_start(f"job {order.name!r}: resources.memory {wanted} is more than {self.memory_max}")
        return min(int(asked), most)

    def user_for(self, image: Mapping[str, Any]) -> str | None:
        """Who runs in a container of an image, by the image's own configuration; None: as the image says."""
        own = str((image.get("Config") or {}).get("User") or "")
        if self.user == "image" or own.partition(":")[0] not in ("", "0", "root"):
            return None
        return self.user


def full_name(image: str) -> str:
    """An image's name as registries have it, without a tag: `python` is `docker.io/library/python`."""
    name, _ = split_image(image)
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


def _fits(pattern: str, full: str) -> bool:
    return fnmatchcase(full, pattern) or ("/" not in pattern and full.startswith(f"{pattern}/"))


def _within(path: str, directory: str) -> bool:
    directory = posixpath.normpath(directory)
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _typed(name: str, value: Any, default: Any) -> Any:
    place = f"{_WHERE}.{name}"
    if isinstance(default, tuple):
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise ValueError(f"{place}: {value!r} is not a list of texts")
    kind = str if default is None or default is MISSING else type(default)
    if name in _QUANTITIES:
        return str(value)
    if type(value) is not kind:
        wanted = {str: "a text", bool: "true or false", int: "a whole number"}[kind]
        raise ValueError(f"{place}: {value!r} is not {wanted}")
    return value
