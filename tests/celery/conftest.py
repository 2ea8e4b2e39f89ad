"""Workers as people start them, with `celery -A ripresa.runtimes.celery worker`, beside an App in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa import App
from ripresa.runtimes.celery.runtime import CeleryRuntime
from ripresa.runtimes.celery.settings import CelerySettings
from ripresa.runtimes.guard import Guard
from tests.celery import steps

ROOT = Path(__file__).parents[2]
WITHIN_S = 90


class Place:
    """A store, a broker, and those who work with them."""

    def __init__(self, folder, broker):
        self.folder = folder
        self.broker = broker
        self.queue = f"q-{folder.name}"
        self.store = f"sqlite:///{folder}/runs.db"
        self.lease, self.resend = "2s", "1s"
        self.workers = []
        self.guard = Guard()
        self.apps = []

    def write_settings(self, port=None):
        (self.folder / "jobs").mkdir(exist_ok=True)
        (self.folder / "ripresa.toml").write_text(
            f'store = "{self.store}"\n'
            "[runtimes.celery]\n"
            f'broker = "{self.broker.url(port)}"\nqueue = "{self.queue}"\njobs = "process"\n'
            f'lease = "{self.lease}"\nresend = "{self.resend}"\ngrace = "5s"\n'
            '[runtimes.process.images]\n"tools/*" = "jobs"\n'
        )

    def worker(self, slots=2):
        """Start a worker; it is up when it takes its first task."""
        self.write_settings()
        command = [sys.executable, "-m", "celery", "-A", "ripresa.runtimes.celery", "worker"]
        command += ["-Q", self.queue, "-c", str(slots), "-n", f"w{len(self.workers)}@%h", "--loglevel", "INFO"]
        command += ["--without-mingle", "--without-gossip"]
        with (self.folder / f"worker{len(self.workers)}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
                start_new_session=True,
            )
        self.guard.start()
        self.guard.watch(process.pid)
        self.workers.append(process)
        return process

    def logs(self):
        return "\n".join(path.read_text(errors="replace")[-6000:] for path in self.folder.glob("worker*.log"))

    def runtime(self, port=None):
        settings = CelerySettings(broker=self.broker.url(port), queue=self.queue, lease=self.lease, resend=self.resend)
        return CeleryRuntime(settings)

    async def app(self, **options):
        runtimes = {"celery": self.runtime()}
        app = App(self.store, workflows=steps.ALL, runtimes=runtimes, **options)
        self.apps.append(app)
        return await app.open()

    async def until(self, is_so):
        """Wait until it is so."""
        async with asyncio.timeout(WITHIN_S):
            while not (found := is_so()):  # noqa: ASYNC110 - it is in a file or another process
                await asyncio.sleep(0.02)
        return found

    async def command(self, *arguments):
        """What `ripresa` prints, here."""
        command = [Path(sys.executable).parent / "ripresa", "--store", self.store, *arguments]
        process = await asyncio.create_subprocess_exec(*command, cwd=self.folder, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
        assert process.returncode == 0
        return said.decode()

    async def close(self):
        for app in self.apps:
            await app.close()
        for process in self.workers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.guard.forget(process.pid)
        if self.guard._process is not None:
            self.guard._process.stdin.close()
            self.guard._process.wait()


@pytest.fixture
def broker(request):
    return request.getfixturevalue(f"{getattr(request, 'param', 'redis')}_server")


@pytest.fixture
async def place(tmp_path, broker):
    place = Place(tmp_path, broker)
    yield place
    await place.close()
    print(place.logs())
