"""The client: the verbs that we need of an engine's API, over aiodocker, with errors that say whose move it is.

One client serves one attempt, so that a job which streams its output for hours holds no other's connection.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import os
import struct
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import aiodocker
import aiohttp

from ripresa.runtimes.container.spec import KEY_LABEL, LABEL
from ripresa.runtimes.job_outcome import OUTPUT_FILE_BYTES_MAX
from ripresa.runtimes.listening import split_time
from ripresa.runtimes.remote import Refused, Unreachable

_SOCKETS: Final = (
    "/run/docker.sock",
    "/var/run/docker.sock",
    "~/.docker/run/docker.sock",
    "$XDG_RUNTIME_DIR/docker.sock",
    "/run/podman/podman.sock",
    "$XDG_RUNTIME_DIR/podman/podman.sock",
)
_TAR_BYTES = 1 << 16
_FRAME_BYTES = 8
_STREAMS: Final = {1: "stdout", 2: "stderr"}
_NO_ANSWER: Final = (502, 503, 504, 900)
"""900: aiodocker could not connect."""
_IN_BETWEEN: Final = ("no such process", "broken pipe")
"""Podman, when it looks for the process of a container that has just ended, or unpacks faster than it reads."""
_GO_SYMLINK: Final = 1 << 27
_API_TIMEOUT_S: Final = 120.0


class NoEngine(Exception):
    """No container engine is to be found on this machine."""


def address(configured: str | None) -> str:
    """Where the engine listens.  Raises NoEngine that says where was looked."""
    known = configured or os.environ.get("DOCKER_HOST")
    if known:
        return known
    for name in _SOCKETS:
        path = Path(os.path.expandvars(name)).expanduser()
        if path.is_socket():
            return f"unix://{path}"
    raise NoEngine(
        "no container engine was found: start Docker or the Podman service, or say where it listens with DOCKER_HOST"
        " or runtimes.container.host in ripresa.toml"
    )


class Client:
    """A connection to an engine; `async with` closes it."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._docker = aiodocker.Docker(
            url=host, timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_API_TIMEOUT_S)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._docker.close()

    # --- containers ----------------------------------------------------------------------------

    async def inspect(self, name: str) -> dict[str, Any] | None:
        """All that the engine knows of a container; None: there is none of this name or id."""
        with self._told():
            try:
                return dict(await self._docker.containers.container(name).show())
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise

    async def create(self, name: str, config: Mapping[str, Any]) -> None:
        """Create a container.  Raises Refused, with status 409 if the name is taken."""
        with self._told():
            await self._docker.containers.create(dict(config), name=name)

    async def start(self, name: str) -> None:
        """Start it; one that runs is let be.  Raises Refused."""
        with self._told():
            await self._docker.containers.container(name).start()

    async def stop(self, name: str, grace_s: float) -> None:
        """SIGTERM, and SIGKILL after the grace; returns when it has ended.  One that is not there has ended."""
        with self._told(), _gone():
            await self._docker.containers.container(name).stop(t=math.ceil(grace_s))

    async def remove(self, name: str) -> None:
        """Remove it with its own volumes, running or not; one that is not there is fine."""
        with self._told(), _gone():
            await self._docker.containers.container(name).delete(force=True, v=True)

    async def wait(self, name: str) -> None:
        """Return when it has ended.  Raises Refused if it is not there."""
        with self._told():
            await self._docker.containers.container(name).wait()

    async def ours(self, key: str | None = None) -> list[tuple[str, dict[str, str]]]:
        """Names and labels of the containers that ripresa made, of every engine; or those with this key."""
        label = f"{LABEL}run_uuid" if key is None else f"{KEY_LABEL}={key}"
        with self._told():
            found = await self._docker.containers.list(all="1", filters=json.dumps({"label": [label]}))
        return [(str(one["Names"][0]).lstrip("/"), dict(one["Labels"] or {})) for one in found]

    # --- what it says and leaves ---------------------------------------------------------------

    async def pieces(self, name: str, *, follow: bool) -> AsyncIterator[tuple[str, int | None, bytes]]:
        """What it has written, and writes (`follow`): the stream, the time in microseconds, and the bytes."""
        params = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": str(int(follow))}
        endless = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None)
        with self._told():
            async with self._docker.session.get(self._url(f"{name}/logs"), params=params, timeout=endless) as answer:
                await self._require_fine(answer)
                async for stream, piece in _frames(answer):
                    yield stream, *split_time(piece)

    async def put_directory(self, name: str, path: str, modes: Mapping[str, int]) -> None:
        """Make directories below `path` of a container, with these modes."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for directory, mode in modes.items():
                entry = tarfile.TarInfo(directory)
                entry.type = tarfile.DIRTYPE
                entry.mode = mode
                archive.addfile(entry)
        with self._told():
            container: Any = self._docker.containers.container(name)  # this one method is without types
            await container.put_archive(path, packed.getvalue())

    async def read(self, name: str, path: str) -> bytes | None:
        """A file of a container, running or not, up to one byte more than an output may have; None: no such file."""
        most = OUTPUT_FILE_BYTES_MAX + _TAR_BYTES
        with self._told():
            async with self._docker.session.get(self._url(f"{name}/archive"), params={"path": path}) as answer:
                if answer.status == 404:
                    return None
                await self._require_fine(answer)
                if _is_link(answer.headers.get("X-Docker-Container-Path-Stat", "")):
                    return None
                packed = bytearray()
                async for piece in answer.content.iter_chunked(_TAR_BYTES):
                    packed += piece
                    if len(packed) > most:
                        break
        return _first_file(bytes(packed))

    # --- images --------------------------------------------------------------------------------

    async def image(self, name: str) -> dict[str, Any] | None:
        """What the engine knows of an image; None: it does not have it."""
        with self._told():
            try:
                return dict(await self._docker.images.inspect(name))
            except aiodocker.DockerError as error:
                if error.status == 404:
                    return None
                raise

    async def pull(self, name: str) -> None:
        """Fetch an image from its registry.  Raises Refused."""
        with self._told():
            await self._docker.images.pull(name, timeout=None)

    # --- plumbing ------------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return f"{self._docker.docker_host}/{self._docker.api_version}/containers/{path}"

    async def _require_fine(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status >= 400:
            text = await answer.text()
            with contextlib.suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["message"]
            raise Refused(answer.status, text)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except aiodocker.DockerError as error:
            if error.status in _NO_ANSWER or (
                error.status == 500 and any(one in str(error.message) for one in _IN_BETWEEN)
            ):
                raise Unreachable(f"{self.host}: {error.message}") from None
            raise Refused(error.status, str(error.message)) from None
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"{self.host}: {str(error) or type(error).__name__}") from None


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except aiodocker.DockerError as error:
        if error.status not in (404, 409):  # 409: its removal is under way
            raise


async def _frames(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, bytes]]:
    """The frames of an engine's stream, each with eight bytes in front that tell stream and size."""
    rest = b""
    async for piece in answer.content.iter_any():
        rest += piece
        at = 0
        while len(rest) - at >= _FRAME_BYTES:
            stream, size = struct.unpack_from(">BxxxL", rest, at)
            if len(rest) - at - _FRAME_BYTES < size:
                break
            at += _FRAME_BYTES + size
            yield _STREAMS.get(stream, "stdout"), rest[at - size : at]
        rest = rest[at:]
    if rest:
        raise aiohttp.ClientPayloadError("the stream ended within a frame")


def _is_link(header: str) -> bool:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return bool(json.loads(base64.b64decode(header))["mode"] & _GO_SYMLINK)
    return False


def _first_file(packed: bytes) -> bytes | None:
    """The first entry of an archive that may be cut off, if it is a plain file.

    Raises Unreachable if there is less than it should be: Podman may answer with nothing just when a container ends.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            entry = archive.next()
            if entry is None:
                raise tarfile.ReadError("there is no entry")
            if not entry.isreg():
                return None
            if entry.size > OUTPUT_FILE_BYTES_MAX:
                return bytes(OUTPUT_FILE_BYTES_MAX + 1)
            file = archive.extractfile(entry)
            return b"" if file is None else file.read()
    except (tarfile.TarError, EOFError) as error:
        raise Unreachable(f"an archive came in part only: {error}") from None
