"""What is promised of jobs that outlive their engine: one contract, run by each runtime on which they do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from ripresa import App
from tests.jobs import adopted
from tests.support.jobs import until

CANARY = "c4n4ry-of-the-vault"
WITHIN = "200s"


class Scene(ABC):
    """A store, a folder that jobs see, and the place where they run."""

    runtime: str
    """As a workflow names it."""
    running: str
    """What the place calls a job that runs, one that failed, and one that is done."""
    failed: str
    done: str
    forgets: str
    """What removes a job that nobody needs any more."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "runs.db"
        self.store = f"sqlite:///{self.file}"
        self.apps = []

    @abstractmethod
    def there(self, run="r"):
        """How the run's jobs stand that are there, by attempt."""

    @abstractmethod
    def who(self):
        """What tells each that is there from all others."""

    @abstractmethod
    def remove(self):
        """Take all away under their engine."""

    async def clear(self):
        """Close the engines; what they left is away."""
        for app in self.apps:
            await app.close()
        self.remove()

    async def open(self):
        app = await App(self.store, workflows=[adopted.adopted]).open()
        self.apps.append(app)
        return app

    async def start(self, app, run="r"):
        return await app.start(adopted.adopted, str(self.folder), self.runtime, id=run)

    def tell(self, word):
        (self.folder / word).touch()

    async def spoken(self, app, count):
        """Wait until so many lines are in the store."""
        while len(await self.told(app)) < count:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)

    async def told(self, app):
        row = (await app.get("r")).row
        return [line.text for _, line in await app.store.logs(row.id)]

    async def attempts(self, app):
        row = (await app.get("r")).row
        return [(one.number, one.status) for one in await app.store.attempts(row.id)]


class AdoptionContract:
    """The tests; who runs them has a fixture `scene`."""

    async def test_a_job_outlives_a_killed_engine_and_is_not_started_twice(self, scene):
        """`kill -9` in the middle: the same attempt, no loss, each line once, and nothing is left in the end."""
        engine = await asyncio.create_subprocess_exec(
            *(sys.executable, adopted.__file__, scene.store, str(scene.folder), scene.runtime),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path.cwd())])},
        )
        assert await engine.stdout.readline() == b"open\n"
        await until(lambda: scene.there() == {1: scene.running})
        engine.send_signal(signal.SIGKILL)
        await engine.wait()
        who = scene.who()
        assert len(who) == 1
        app = await scene.open()
        scene.tell("go1")
        assert await (await app.get("r")).result(WITHIN) == {"attempt": 1}
        assert await scene.told(app) == ["started 1 ***", "ended 1"]
        assert await scene.attempts(app) == [(1, "succeeded")]
        assert scene.who() <= who
        await app.close()
        assert scene.there() == {}
        assert CANARY not in scene.file.read_bytes().decode("latin-1")

    async def test_a_job_that_ended_while_nobody_looked_gives_its_outcome(self, scene):
        app = await scene.open()
        await scene.start(app)
        await scene.spoken(app, 1)
        await app.crash()
        scene.tell("go1")
        scene.tell("fail1")
        await until(lambda: scene.there() == {1: scene.failed})
        scene.tell("go2")
        app = await scene.open()
        assert await (await app.get("r")).result(WITHIN) == {"attempt": 2}
        assert await scene.told(app) == ["started 1 ***", "ended 1", "started 2 ***", "ended 2"]
        assert await scene.attempts(app) == [(1, "failed"), (2, "succeeded")]
        await app.close()
        assert scene.there() == {}

    async def test_an_engine_that_closes_lets_its_jobs_run_and_the_next_goes_on(self, scene):
        app = await scene.open()
        await scene.start(app)
        await scene.spoken(app, 1)
        for _ in range(2):
            await app.close()
            assert scene.there() == {1: scene.running}
            app = await scene.open()
        scene.tell("go1")
        assert await (await app.get("r")).result(WITHIN) == {"attempt": 1}
        assert await scene.told(app) == ["started 1 ***", "ended 1"]
        assert await scene.attempts(app) == [(1, "succeeded")]

    async def test_a_job_that_is_gone_counts_as_a_loss(self, scene):
        app = await scene.open()
        await scene.start(app)
        await scene.spoken(app, 1)
        await app.crash()
        scene.remove()
        await until(lambda: scene.there() == {})
        scene.tell("go2")
        app = await scene.open()
        assert await (await app.get("r")).result(WITHIN) == {"attempt": 2}
        assert await scene.attempts(app) == [(1, "lost"), (2, "succeeded")]

    async def test_an_engine_that_ended_before_it_could_clear_away_is_tidied_up_after(self, scene, monkeypatch):
        """The outcome is on disk, and the job still there: it is not run again, and removed by the next."""
        app = await scene.open()
        scene.tell("go1")
        with monkeypatch.context() as patched:
            patched.setattr(scene.forgets, lambda *_: None)
            run = await scene.start(app)
            await run.result(WITHIN)
            await app.close()
        assert scene.there() == {1: scene.done}
        app = await scene.open()
        other = await scene.start(app, "other")
        await other.result(WITHIN)
        await until(lambda: scene.there() == scene.there("other") == {})

    async def test_a_cancelled_run_ends_its_job_even_after_a_crash(self, scene):
        app = await scene.open()
        await scene.start(app)
        await scene.spoken(app, 1)
        await app.crash()
        app = await scene.open()
        await app.cancel("r")
        await until(lambda: scene.there() == {})
        assert (await app.get("r")).status == "cancelled"
