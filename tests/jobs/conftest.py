"""What the tests of jobs share: directories that stand for images, and Works that carry an order."""

from __future__ import annotations

import asyncio
import os
import uuid
from pathlib import Path

import pytest

from ripresa.author.job_step import JobStep
from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes.job_settings import JobSettings
from tests.support.container_engines import KINDS, ContainerEngine, missing


class Log(list):
    """Lines of output as `(stream, level, text, at)`."""

    def __call__(self, stream, level, text, at=None, /):
        self.append((stream, level, text, at))

    def texts(self, stream="stdout"):
        return [line[2] for line in self if line[0] == stream]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def images(tmp_path):
    """`images(name, file=text…)` makes the directory that stands for `jobs/NAME`; a `#!` makes a file executable."""

    def make(name, files):
        directory = tmp_path / "jobs" / name
        directory.mkdir(parents=True)
        for file, text in files.items():
            (directory / file).write_text(text)
            if text.startswith("#!"):
                (directory / file).chmod(0o755)
        return directory

    return make


@pytest.fixture
def settings(tmp_path):
    return JobSettings.of({"process": {"images": {"jobs/*": "{name}", "here": "."}}}, tmp_path)


@pytest.fixture
def work_of(log):
    """A Work for one attempt of a job of these fields."""

    def make(image="here", *, attempt=1, run=None, **fields):
        run = run or str(uuid.uuid4())
        order = JobOrder(**{"name": "extract", "image": image, **fields})
        step = JobStep("extract", runtime="process")
        text, args, kwargs = step.encode((order,), {})
        context = StepContext(
            run_id="order-7",
            run_uuid=run,
            workflow="daily",
            step="extract",
            operation="extract",
            attempt=attempt,
            idempotency_key=f"{run}:extract",
            correlation_id="c-1",
        )
        return Work(step.function, step.target, args, kwargs, text, step.dump, context, log)

    return make


def runs(pid):
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- containers --------------------------------------------------------------------------------


@pytest.fixture(scope="session", params=KINDS)
def engine(request):
    """A container engine of our own; each process of the tests starts its own."""
    if (why := missing(request.param)) is not None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(why)
    started = ContainerEngine(request.param)
    started.start()
    started.import_image()
    yield started
    started.close()


@pytest.fixture
def container_settings(engine, tmp_path):
    """Settings for that engine; `make(memory_max="64Mi")` makes others."""

    def make(**policy):
        told = {"container": {"host": engine.host, "network": "none", "pull": "never", **policy}}
        return JobSettings.of(told, tmp_path)

    return make


async def until(condition):
    """Wait for what a file, a process or a container tells."""
    while not condition():  # noqa: ASYNC110 - another process: there is no event for it
        await asyncio.sleep(0.01)
