"""Containers outlive the engine that started them: killed, crashed or closed, the next one goes on with them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from ripresa.contracts.step_context import StepContext
from ripresa.runtimes.container.spec import LABEL, container_name, context_of, labels_of
from tests.support.adoption import CANARY, WITHIN, AdoptionContract, Scene
from tests.support.jobs import until


class Containers(Scene):
    """A container engine of our own."""

    runtime = "container"
    running, failed, done = "running", "exited", "exited"
    forgets = "ripresa.runtimes.container.runtime.ContainerRuntime.forget"

    def __init__(self, engine, folder):
        super().__init__(folder)
        self.engine = engine

    def there(self, run="r"):
        labels = [(one["Labels"] or {}, one["State"]) for one in self.engine.containers()]
        ours = [(known, state) for known, state in labels if known.get(f"{LABEL}run_id") == run]
        return {int(known[f"{LABEL}attempt"]): state for known, state in ours}

    def who(self):
        return {one["Id"] for one in self.engine.containers()}

    def remove(self):
        for one in self.who():
            self.engine.call("DELETE", f"/containers/{one}?force=1&v=1")


@pytest.fixture
async def scene(engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    tmp_path.chmod(0o755)
    (tmp_path / "ripresa.toml").write_text(
        f'[runtimes.container]\nhost = "{engine.host}"\nnetwork = "none"\npull = "never"\nhost_paths = ["{tmp_path}"]\n'
    )
    scene = Containers(engine, tmp_path)
    yield scene
    await scene.clear()


class TestAdoption(AdoptionContract):
    """Of containers."""


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
    await until(lambda: scene.there() == {} or 2 in scene.there())
    assert await (await app.get("r")).result(WITHIN) == {"attempt": 2}
    assert await scene.attempts(app) == [(1, "timeout"), (2, "succeeded")]
    assert (await app.store.attempts(run.row.id))[0].error is not None


def test_what_a_container_is_called_tells_its_attempt():
    context = StepContext("r", "u", "w", "extract", "extract", 1, "u:extract", "c")
    assert context_of(labels_of(context)) == context
    assert context_of({"other": "label"}) is None
    names = {container_name(one) for one in (context, replace(context, attempt=2), replace(context, attempt=1))}
    assert len(names) == 2
    assert all(name.startswith("ripresa-extract-") for name in names)
