"""What the tests of definition files share: a folder with a definition, and an App that runs it."""

from __future__ import annotations

import sys
import textwrap

import pytest

from ripresa.contracts.step_records import steps_of
from ripresa.engine.definitions import file_definition
from tests.engine.conftest import World

SETTINGS = """
[runtimes.process.images]
"demo/*" = "jobs"
"""


class Flows:
    """A folder with definition files, and a world in which they run."""

    def __init__(self, folder, world):
        self.folder = folder
        self.world = world
        (folder / "jobs").mkdir()
        (folder / "ripresa.toml").write_text(SETTINGS)

    def write(self, text, name="flow.yaml"):
        (self.folder / name).write_text(textwrap.dedent(text))
        return self.folder / name

    def load(self, text, name="flow.yaml", **options):
        return file_definition(self.write(text, name), **options)

    async def run(self, text, params=None, *, with_=()):
        """A run of the definition, once it has come to a stop."""
        definition = self.load(text)
        app = await self.world.open(definition, *with_)
        run = await app.start(definition, params or {})
        return app, run

    async def steps(self, app, run):
        await run.refresh()
        rows = await app.engine.store.history(run.row.id), await app.engine.store.attempts(run.row.id)
        return {step.operation: step for step in steps_of(run.row, *rows)}


@pytest.fixture
async def flows(tmp_path, monkeypatch):
    folder = tmp_path / "flows"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = list(sys.path)
    modules = set(sys.modules)
    world = World("memory", "30s", tmp_path)
    yield Flows(folder, world)
    await world.close()
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(folder)):
            del sys.modules[name]
