"""What the tests of jobs share: directories that stand for images, and Works that carry an order."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from ripresa.runtimes.job_settings import JobSettings
from tests.support.container_engines import KINDS, ContainerEngine, missing
from tests.support.jobs import Log, make_work


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
    return partial(make_work, log)


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
