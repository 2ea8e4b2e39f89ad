"""Jobs of a cluster outlive the engine that started them: killed, crashed or closed, the next one goes on with them."""

from __future__ import annotations

import asyncio

import pytest

from ripresa.runtimes.kubernetes.manifest import context_of
from tests.jobs import adopted
from tests.support.adoption import CANARY, AdoptionContract, Scene
from tests.support.jobs import until


class Jobs(Scene):
    """A namespace of our own."""

    runtime = "kubernetes"
    running, failed, done = "Running", "Failed", "Succeeded"
    forgets = "ripresa.runtimes.kubernetes.runtime.KubernetesRuntime.forget"

    def __init__(self, space, folder):
        super().__init__(folder)
        self.space = space

    def there(self, run="r"):
        """By attempt, the phase of its pod; a Job without a pod is None."""
        contexts = {name: context_of(one["metadata"]) for name, one in self.space.jobs().items()}
        phases = {pod["metadata"]["labels"]["job-name"]: pod["status"]["phase"] for pod in self.space.pods()}
        return {one.attempt: phases.get(name) for name, one in contexts.items() if one.run_id == run}

    def who(self):
        return {pod["metadata"]["uid"] for pod in self.space.pods()}

    def remove(self):
        for name in self.space.jobs():
            self.space.call("DELETE", "jobs", name, propagationPolicy="Background")


@pytest.fixture
async def scene(space, shared, monkeypatch):
    monkeypatch.chdir(shared)
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    (shared / "ripresa.toml").write_text(
        f'[runtimes.kubernetes]\nkubeconfig = "{space.cluster.kubeconfig}"\nnamespace = "{space.name}"\n'
        f'pull = "never"\nhost_paths = ["{shared}"]\n'
    )
    scene = Jobs(space, shared)
    yield scene
    await scene.clear()


class TestAdoption(AdoptionContract):
    """Of Jobs."""


async def test_a_job_that_is_done_leaves_no_secret_behind(scene):
    app = await scene.open()
    run = await scene.start(app)
    scene.tell("go1")
    assert await run.result("200s") == {"attempt": 1}
    await app.close()
    await until(lambda: scene.space.call("GET", "secrets")["items"] == [])


async def test_a_timeout_ends_the_pod(scene, monkeypatch):
    monkeypatch.setattr(adopted, "LIMIT", "5s")
    app = await scene.open()
    run = await scene.start(app)
    while (1, "timeout") not in await scene.attempts(app):  # noqa: ASYNC110 - the store tells nobody
        await asyncio.sleep(0.02)
    await until(lambda: 1 not in scene.there())
    await app.cancel(run.id)
    await until(lambda: scene.there() == {})
