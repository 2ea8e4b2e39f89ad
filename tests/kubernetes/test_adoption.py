"""Jobs of a cluster outlive the engine that started them: killed, crashed or closed, the next one goes on with them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from ripresa import App
from ripresa.runtimes.kubernetes.manifest import context_of
from tests.jobs import adopted
from tests.support.jobs import until

CANARY = "c4n4ry-of-the-vault"


class Scene:
    """A store, a folder that jobs see, and a namespace."""

    def __init__(self, space, folder):
        self.space = space
        self.folder = folder
        self.file = folder / "runs.db"
        self.store = f"sqlite:///{self.file}"
        self.apps = []

    async def open(self):
        app = await App(self.store, workflows=[adopted.adopted]).open()
        self.apps.append(app)
        return app

    async def start(self, app, run="r"):
        return await app.start(adopted.adopted, str(self.folder), "kubernetes", id=run)

    def tell(self, word):
        (self.folder / word).touch()

    def jobs(self, run="r"):
        """The pods that there are, by attempt, with their phase; a Job without a pod is None."""
        contexts = {name: context_of(one["metadata"]) for name, one in self.space.jobs().items()}
        phases = {pod["metadata"]["labels"]["job-name"]: pod["status"]["phase"] for pod in self.space.pods()}
        return {one.attempt: phases.get(name) for name, one in contexts.items() if one.run_id == run}

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
async def scene(space, shared, monkeypatch):
    monkeypatch.chdir(shared)
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    (shared / "ripresa.toml").write_text(
        f'[runtimes.kubernetes]\nkubeconfig = "{space.cluster.kubeconfig}"\nnamespace = "{space.name}"\n'
        f'pull = "never"\nhost_paths = ["{shared}"]\n'
    )
    scene = Scene(space, shared)
    yield scene
    for app in scene.apps:
        await app.close()


async def test_a_job_outlives_a_killed_engine_and_is_not_started_twice(scene):
    """`kill -9` in the middle: the same attempt, no loss, each line once, and nothing is left in the end."""
    engine = await asyncio.create_subprocess_exec(
        *(sys.executable, adopted.__file__, scene.store, str(scene.folder), "kubernetes"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])},
    )
    assert await engine.stdout.readline() == b"open\n"
    await until(lambda: scene.jobs() == {1: "Running"})
    engine.send_signal(signal.SIGKILL)
    await engine.wait()
    pods = {pod["metadata"]["uid"] for pod in scene.space.pods()}
    app = await scene.open()
    scene.tell("go1")
    assert await (await app.get("r")).result("200s") == {"attempt": 1}
    assert await scene.told(app) == ["started 1 ***", "ended 1"]
    assert await scene.attempts(app) == [(1, "succeeded")]
    assert {pod["metadata"]["uid"] for pod in scene.space.pods()} <= pods
    await app.close()
    assert scene.jobs() == {}
    await until(lambda: scene.space.call("GET", "secrets")["items"] == [])
    assert CANARY not in scene.file.read_bytes().decode("latin-1")


async def test_a_job_that_ended_while_nobody_looked_gives_its_outcome(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    scene.tell("go1")
    scene.tell("fail1")
    await until(lambda: scene.jobs() == {1: "Failed"})
    scene.tell("go2")
    app = await scene.open()
    assert await (await app.get("r")).result("200s") == {"attempt": 2}
    assert await scene.told(app) == ["started 1 ***", "ended 1", "started 2 ***", "ended 2"]
    assert await scene.attempts(app) == [(1, "failed"), (2, "succeeded")]
    await app.close()
    assert scene.jobs() == {}


async def test_an_engine_that_closes_lets_its_jobs_run_and_the_next_goes_on(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    for _ in range(2):
        await app.close()
        assert scene.jobs() == {1: "Running"}
        app = await scene.open()
    scene.tell("go1")
    assert await (await app.get("r")).result("200s") == {"attempt": 1}
    assert await scene.told(app) == ["started 1 ***", "ended 1"]
    assert await scene.attempts(app) == [(1, "succeeded")]


async def test_a_job_that_is_gone_counts_as_a_loss(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    for name in scene.space.jobs():
        scene.space.call("DELETE", "jobs", name, propagationPolicy="Background")
    await until(lambda: scene.jobs() == {})
    scene.tell("go2")
    app = await scene.open()
    assert await (await app.get("r")).result("200s") == {"attempt": 2}
    assert await scene.attempts(app) == [(1, "lost"), (2, "succeeded")]


async def test_an_engine_that_ended_before_it_could_clear_away_is_tidied_up_after(scene, monkeypatch):
    """The outcome is on disk, and the Job still there: it is not run again, and removed by the next."""
    app = await scene.open()
    scene.tell("go1")
    with monkeypatch.context() as patched:
        patched.setattr("ripresa.runtimes.kubernetes.runtime.KubernetesRuntime.forget", lambda *_: None)
        run = await scene.start(app)
        await run.result("200s")
        await app.close()
    assert scene.jobs() == {1: "Succeeded"}
    app = await scene.open()
    other = await scene.start(app, "other")
    await other.result("200s")
    await until(lambda: scene.space.jobs() == {})


async def test_a_cancelled_run_ends_its_job_even_after_a_crash(scene):
    app = await scene.open()
    await scene.start(app)
    await scene.spoken(app, 1)
    await app.crash()
    app = await scene.open()
    await app.cancel("r")
    await until(lambda: scene.jobs() == {})
    assert (await app.get("r")).status == "cancelled"


async def test_a_timeout_ends_the_pod(scene, monkeypatch):
    monkeypatch.setattr(adopted, "LIMIT", "5s")
    app = await scene.open()
    run = await scene.start(app)
    while (1, "timeout") not in await scene.attempts(app):  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0.02)
    await until(lambda: 1 not in scene.jobs())
    await app.cancel(run.id)
    await until(lambda: scene.jobs() == {})
