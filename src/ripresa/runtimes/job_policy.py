"""Job policy: what the platform allows jobs, wherever their containers run.  It is applied last; no order can bend it.

The tables of `ripresa.toml` that hold a policy are read strictly: a field that is unknown or of the wrong kind is an
error which names it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final, NamedTuple, Self

from ripresa.contracts.job_order import JobOrder, split_image
from ripresa.contracts.quantities import cpu_millis, memory_bytes
from ripresa.runtimes.job_outcome import cannot_start
from ripresa.runtimes.toml_tables import only

_PULL: Final = ("missing", "always", "never")
_SOCKETS: Final = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")
_QUANTITIES: Final = {"cpu": cpu_millis, "cpu_max": cpu_millis, "memory": memory_bytes, "memory_max": memory_bytes}


class Volume(NamedTuple):
    """A volume as an order has it: `source` is a name, or a path of the host."""

    source: str
    target: str
    read_only: bool

    @property
    def is_path(self) -> bool:
        """Whether it is a path of the host."""
        return self.source.startswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPolicy:
    """What every kind of container is held to.

    `registries`: patterns of full image names (`ghcr.io/acme/*`, `docker.io/library/python`); empty: any.
    `host_paths`: directories of the host that jobs may mount, with all below them; none by default.
    `pull`: missing, always or never.  `user` runs images that would run as root; `image` leaves them to.
    `read_only`: the container's own file system, but for /tmp.  `cpu`, `memory`: what a job gets that asks for nothing;
    `cpu_max`, `memory_max`: the most that it may ask for.  Raises ValueError naming the field.
    """

    WHERE: ClassVar[str] = "runtimes"
    READ: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {}
    """How to read the fields that are more than a text, a number, a truth or a list of texts, given their place."""

    registries: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()
    pull: str = "missing"
    user: str = "65534:65534"
    read_only: bool = False
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
                raise ValueError(f"{self.WHERE}.{name}: {error}") from None
        if self.pull not in _PULL:
            raise ValueError(f"{self.WHERE}.pull: {self.pull!r} is not one of {', '.join(_PULL)}")
        for path in self.host_paths:
            if not path.startswith("/"):
                raise ValueError(f"{self.WHERE}.host_paths: {path!r} does not begin at the root")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From the table.  Raises ValueError naming the field."""
        only(told, tuple(field.name for field in fields(cls)), cls.WHERE)
        given: dict[str, Any] = {}
        for field in fields(cls):
            if field.name in told:
                place = f"{cls.WHERE}.{field.name}"
                read = cls.READ.get(field.name)
                value = told[field.name]
                given[field.name] = (
                    _typed(field.name, place, value, field.default) if read is None else read(place, value)
                )
        return cls(**given)

    # --- what is allowed -----------------------------------------------------------------------

    def require_image(self, order: JobOrder) -> None:
        """Raise JobFailed if no pattern of `registries` fits the image."""
        full = full_name(order.image)
        if self.registries and not any(_fits(pattern, full) for pattern in self.registries):
            allowed = ", ".join(self.registries)
            raise cannot_start(f"job {order.name!r}: image {full} is not from an allowed registry ({allowed})")

    def volumes(self, order: JobOrder) -> list[Volume]:
        """The order's volumes.  Raises JobFailed for one that is not allowed."""
        return [self._volume(order.name, volume) for volume in order.volumes]

    def _volume(self, job: str, volume: str) -> Volume:
        source, _, rest = volume.partition(":")
        target, _, mode = rest.partition(":")
        if not source or not target.startswith("/") or mode not in ("", "ro", "rw"):
            raise cannot_start(f"job {job!r}: volume {volume!r} cannot be read (write name:/path or /host:/path:ro)")
        if not source.startswith("/"):
            if source.startswith(".") or "/" in source:
                raise cannot_start(f"job {job!r}: volume {volume!r}: a host path begins at the root, a name has no /")
            return Volume(source, target, mode == "ro")
        path = posixpath.normpath(source)
        if ".." in source.split("/") or not any(_within(path, allowed) for allowed in self.host_paths):
            raise cannot_start(
                f"job {job!r}: volume {volume!r}: this path of the host is not allowed;"
                f" the platform's owner lists paths under {self.WHERE}.host_paths"
            )
        if posixpath.basename(path) in _SOCKETS:
            raise cannot_start(f"job {job!r}: volume {volume!r}: no job gets the socket of a container engine")
        return Volume(path, target, mode == "ro")

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


def _typed(name: str, place: str, value: Any, default: Any) -> Any:
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
