"""Containers outlive the engine that started them: killed, crashed or closed, the next one goes on with them."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ripresa import App
from ripresa.contracts.step_context import StepContext
from ripresa.runtimes.container.spec import LABEL, container_name, context_of, labels_of
from tests.jobs import adopted
from tests.support.jobs import until

CANARY = "c4n4ry-of-the-vault"


class Scene:
    """A store, a folder that jobs see, and the container engine."""

    def __init__(self, engine, tmp_path):
        self.engine = engine
        self.folder = tmp_path
        self.file = tmp_path / "runs.db"
        self.store = f"sqlite:///{self.file}"
        self.apps = []

    async def open(self, **options):
        app = await App(self.store, workflows=[adopted.adopted], **options).open()
        self.apps.append(app)
        return app

    async def start(self, app):
        return await app.start(adopted.adopted, str(self.folder), id="r")

    def tell(self, word):
        (self.folder / word).touch()

    def containers(self):
        """Ours, by attempt, with their state."""
        labels = [(one["Labels"] or {}, one["State"]) for one in self.engine.containers()]
        ours = [(known, state) for known, state in labels if known.get(f"{LABEL}run_id") == "r"]
        return {int(known[f"{LABEL}attempt"]): state for known, state in ours}

    async def spoken(self, app, count):
        """Wait until so many lines are in the store."""
        while len(await app.store.logs((await app.get("r")).row.id)) < count:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)

    async def told(self, app):
        row = (await app.get("r")).row
        return [line.text for _, line in await app.store.logs(row.id)]

    async def attempts(self, app):
        row = (await app.get("r")).row
        return [(one.number, one.status) for one in await app.store.attempts(row.id)]


@pytest.fixture
async def scene(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    tmp_path.chmod(0o755)
    (tmp_path / "ripresa.toml").write_text(
        f'[runtimes.container]\nhost = "{engine.host}"\nnetwork = "none"\npull = "never"\nhost_paths = ["{tmp_path}"]\n'
    )
    scene = Scene(engine, tmp_path)
    yield scene
    for app in scene.apps:
        await app.close()
    for one in engine.containers():
        engine.call("DELETE", f"/containers/{one['Id']}?force=1&v=1")


async def test_a_container_outlives_a_killed_engine_and_is_not_started_twice(scene):
    """`kill -9` in the middle: the same attempt, no loss, each line once, and nothing is left in the end."""
    engine = await asyncio.create_subprocess_exec(
        *(sys.executable, adopted.__file__, scene.store, str(scene.folder), "container"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])},
    )
    assert await engine.stdout.readline() == b"open\n"
    await until(lambda: scene.containers() == {1: "running"})
    engine.send_signal(signal.SIGKILL)
    await engine.wait()
    assert scene.containers() == {1: "running"}
    app = await scene.open()
    scene.tell("go1")
    assert await (await app.get("r")).result("60s") == {"attempt": 1}
    assert await scene.told(app) == ["started 1 ***", "ended 1"]
    assert await scene.attempts(app) == [(1, "succeeded")]
    await app.close()
    assert scene.containers() == {}
    assert CANARY not in scene.file.read_bytes().decode("latin-1")


async def test_a_container_that_ended_while_nobody_looked_gives_its_outcome(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    scene.tell("go1")
    scene.tell("fail1")
    await until(lambda: scene.containers() == {1: "exited"})
    scene.tell("go2")
    app = await scene.open()
    assert await (await app.get("r")).result("60s") == {"attempt": 2}
    assert await scene.told(app) == ["started 1 ***", "ended 1", "started 2 ***", "ended 2"]
    assert await scene.attempts(app) == [(1, "failed"), (2, "succeeded")]
    await app.close()
    assert scene.containers() == {}


async def test_an_engine_that_closes_lets_its_containers_run_and_the_next_goes_on(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    for _ in range(2):
        await app.close()
        assert scene.containers() == {1: "running"}
        app = await scene.open()
    scene.tell("go1")
    assert await (await app.get("r")).result("60s") == {"attempt": 1}
    assert await scene.told(app) == ["started 1 ***", "ended 1"]
    assert await scene.attempts(app) == [(1, "succeeded")]


async def test_a_container_that_is_gone_counts_as_a_loss(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    for one in scene.engine.containers():
        scene.engine.call("DELETE", f"/containers/{one['Id']}?force=1")
    scene.tell("go2")
    app = await scene.open()
    assert await (await app.get("r")).result("60s") == {"attempt": 2}
    assert await scene.attempts(app) == [(1, "lost"), (2, "succeeded")]


async def test_an_engine_that_ended_before_it_could_clear_away_is_tidied_up_after(scene, monkeypatch):
    """The outcome is on disk, and the container still there: it is not run again, and removed by the next."""
    app = await scene.open()
    scene.tell("go1")
    with monkeypatch.context() as patched:
        patched.setattr("ripresa.runtimes.container.runtime.ContainerRuntime.forget", lambda *_: None)
        run = await scene.start(app)
        await run.result("60s")
        await app.close()
    assert scene.containers() == {1: "exited"}
    app = await scene.open()
    scene.tell("go1")
    other = await app.start(adopted.adopted, str(scene.folder), id="other")
    await other.result("60s")
    await until(lambda: scene.containers() == {})


async def test_a_cancelled_run_ends_its_container_even_after_a_crash(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    app = await scene.open()
    await app.cancel("r")
    await until(lambda: scene.containers() == {})
    assert (await app.get("r")).status == "cancelled"


async def test_the_time_limit_counts_from_the_start_whoever_started_it(scene):
    app = await scene.open()
    run = await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    with closing(sqlite3.connect(scene.file)) as file:
        file.execute("UPDATE attempt SET started_at = started_at - 3600000000")  # an hour longer ago
        file.commit()
    app = await scene.open()
    scene.tell("go2")
    await until(lambda: scene.containers() == {} or 2 in scene.containers())
    assert await (await app.get("r")).result("60s") == {"attempt": 2}
    assert await scene.attempts(app) == [(1, "timeout"), (2, "succeeded")]
    assert (await app.store.attempts(run.row.id))[0].error is not None


def test_what_a_container_is_called_tells_its_attempt():
    context = StepContext("r", "u", "w", "extract", "extract", 1, "u:extract", "c")
    assert context_of(labels_of(context)) == context
    assert context_of({"other": "label"}) is None
    names = {container_name(one) for one in (context, replace(context, attempt=2), replace(context, attempt=1))}
    assert len(names) == 2
    assert all(name.startswith("ripresa-extract-") for name in names)
