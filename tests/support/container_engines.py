"""Real container engines for tests: a Docker Engine and a Podman service of our own, with an image and no registry.

Each is started in a folder of its own, on a socket there, and ended with all its containers; should the tests be
killed, a guard ends it.  Both need root and Debian's packages, which `tools/install_engines` installs.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlencode

from ripresa.runtimes.guard import Guard

IMAGE = "lakehouse/box:1.0"
KINDS = ("docker", "podman")
UP_WITHIN_S = 60

_PODMAN_CONF = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def missing(kind):
    """Why the engine cannot be started here; None: it can."""
    programs = {"docker": ["dockerd"], "podman": ["podman", "runc"]}[kind]
    lacking = [program for program in [*programs, "busybox"] if shutil.which(program) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed: tools/install_engines"
    return None if os.geteuid() == 0 else "container engines are started by root only"


class ContainerEngine:
    """One engine; `start` before use, `stop` after, and both again to have it come back with its containers."""

    def __init__(self, kind):
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix=f"ripresa-{kind}-"))
        self.socket = self.folder / "engine.sock"
        self.host = f"unix://{self.socket}"
        self._process = None
        self._guard = Guard()

    def start(self):
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, env=self._environment(), start_new_session=True
            )
        self._guard.start()
        self._guard.watch(self._process.pid)
        deadline = time.monotonic() + UP_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self):
        """Stop it; Docker ends what runs in its containers, Podman lets it be."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()
        self._guard.forget(self._process.pid)

    def close(self):
        """End all containers and the engine, and clear its folder away."""
        if self._answers():
            for container in self.containers():
                self.call("DELETE", f"/containers/{container['Id']}?force=1&v=1")
            self.stop()
        for mount in self._mounts():
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._guard.close_now()

    def _command(self):
        if self.kind == "docker":
            options = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
            placed = [f"--{name}={self.folder / place}" for name, place in options.items()]
            return ["dockerd", *placed, f"--host={self.host}", "--bridge=none", "--iptables=false"]
        (self.folder / "containers.conf").write_text(_PODMAN_CONF)
        placed = [f"--{name}={self.folder / name}" for name in ("root", "runroot", "tmpdir")]
        return ["podman", *placed, "system", "service", "--time=0", self.host]

    def _environment(self):
        return {**os.environ, "CONTAINERS_CONF": str(self.folder / "containers.conf")}

    def _mounts(self):
        """Deepest first."""
        lines = Path("/proc/self/mounts").read_text().splitlines()
        below = [line.split()[1] for line in lines if line.split()[1].startswith(f"{self.folder}/")]
        return sorted(below, key=len, reverse=True)

    # --- talking to it -------------------------------------------------------------------------

    def _answers(self):
        try:
            return self.call("GET", "/_ping", raw=True) == b"OK"
        except OSError:
            return False

    def call(self, method, path, body=None, *, raw=False):
        """One call of the engine's API, and its answer."""
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        with closing(_UnixConnection(self.socket)) as connection:
            connection.request(method, f"/v1.41{path}", data, {"Content-Type": kind})
            answer = connection.getresponse()
            said = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:500]!r}")
        return said if raw else json.loads(said.strip() or b"null")

    def import_image(self, name=IMAGE, *changes):
        """A tiny image: busybox and its commands."""
        repo, _, tag = name.partition(":")
        changed = urlencode({"fromSrc": "-", "changes": ["ENV PATH=/bin", *changes]}, doseq=True)
        told = self.call("POST", f"/images/create?{changed}", rootfs(), raw=True)
        made = json.loads(told.splitlines()[-1])["status"]
        repo, _, tag = name.partition(":")
        self.call("POST", f"/images/{made}/tag?{urlencode({'repo': repo, 'tag': tag})}", raw=True)

    def containers(self):
        """All that there are, running or not."""
        return self.call("GET", "/containers/json?all=1")

    def inspect(self, name):
        """All that it knows of a container."""
        return self.call("GET", f"/containers/{quote(name)}/json")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def rootfs():
    """An archive with busybox, which brings all its commands, and the folders that programs expect."""
    busybox = shutil.which("busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        archive.add(busybox, "bin/busybox")
        for name in names:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            if name != "busybox":
                archive.addfile(link)
    return packed.getvalue()
