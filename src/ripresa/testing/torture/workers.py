"""Workers: plain Celery workers of each broker, and another in the place of each that ends, as under any supervisor.

    celery -A ripresa.runtimes.celery worker ── processes that carry out steps ──> effect ledger
        └── claims and reports ──> the store

In the ledger their lives bear numbers below 0.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

from ripresa.runtimes.guard import Guard
from ripresa.testing.torture import ledger
from ripresa.testing.torture.brokers import Broker
from ripresa.testing.torture.life import WORKER_LEASE, WORKER_RESEND
from ripresa.testing.torture.scene import LOOK_S, WITHIN_S, Scene, until

SLOTS = 1
_EACH = 2
"""Workers of a broker."""
_REFUSED = re.compile(r"the outcome of step '?(\w+)'? of run (\S+) is refused")
_TAKEN_BACK = re.compile(r"step '?(\w+)'? of run (\S+) is ended: its task was taken back")
_SETTINGS = f"""\
[runtimes.celery]
lease = "{WORKER_LEASE}"
resend = "{WORKER_RESEND}"
grace = "2s"
"""


class Worker:
    """One process of Celery's, and those that it has for the steps."""

    def __init__(self, number: int, broker: Broker, slot: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.number = number
        self.broker = broker
        self.slot = slot
        self.process = process
        self.busy = False
        """A fault has it in hand."""
        self.expected = False
        self.doing: dict[str, int] = {}
        """Process by key, of the steps that it has under way."""
        self._log = log

    @property
    def life(self) -> int:
        """Its number in the ledger."""
        return -self.number

    def has(self, worker: str | None) -> bool:
        """Whether a task is its own, by what the store says."""
        return worker is not None and worker.startswith(f"torture{self.number}@")

    def children(self) -> list[int]:
        """Processes that carry out a step for it just now."""
        return [process for process in self.doing.values() if _parent(process) == self.process.pid]

    @property
    def well(self) -> bool:
        return not self.busy and self.process.poll() is None

    def said(self) -> str:
        """All that it has written."""
        return self._log.read_text("utf-8", "replace")

    def heard(self, line: ledger.Line) -> None:
        """What a step of its has told."""
        if line["what"] == "begin":
            self.doing[line["key"]] = line["pid"]
        else:
            self.doing.pop(line["key"], None)

    def signal(self, number: signal.Signals) -> None:
        """Send it, unless it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Workers:
    """All of them, by broker and slot."""

    def __init__(self, scene: Scene, ledger_file: str) -> None:
        self.slots: list[Worker] = []
        self.by_life: dict[int, Worker] = {}
        self.queue = scene.place.name
        self._scene = scene
        self._ledger = ledger_file
        self._guard = Guard()

    async def open(self, brokers: list[Broker]) -> None:
        """Have the first begin."""
        if brokers:
            self._guard.start()
            self._folder.mkdir()
            (self._folder / "ripresa.toml").write_text(_SETTINGS)
        for broker in brokers:
            for _ in range(_EACH):
                self.slots.append(self._begin(broker, len(self.slots)))

    async def close(self) -> None:
        """End all of them, at once."""
        for worker in self.slots:
            worker.expected = True
            worker.signal(signal.SIGKILL)
            await asyncio.to_thread(worker.process.wait)
        await self._guard.close()

    async def see_to_ends(self) -> None:
        """Whatever ends a worker, another begins in its place; for ever."""
        while True:
            for worker in self.slots:
                if (code := worker.process.poll()) is not None:
                    if not worker.expected:
                        self._scene.broken.append(f"worker {worker.number} ended by itself ({code}): {_last(worker)}")
                    self._replace(worker)
            await asyncio.sleep(LOOK_S)

    async def one(self) -> Worker | None:
        """A worker that has steps under way, and which no fault has in hand; None: there is none for long."""

        def at_work() -> list[Worker]:
            return [worker for worker in self.slots if worker.well and worker.children()]

        if await until(lambda: bool(at_work()) or self._scene.stopping.is_set(), 2 * WITHIN_S):
            found = at_work()
            return self._scene.dice.choice(found) if found else None
        said = "; ".join(_last(worker)[-500:] for worker in self.slots)
        self._scene.broken.append(f"no worker has had work for {2 * WITHIN_S:.0f} s: {said}")
        return None

    async def alone(self) -> None:
        """Wait until no fault has a worker in hand."""
        await until(lambda: not any(worker.busy for worker in self.slots), 4 * WITHIN_S)

    async def kill(self, worker: Worker) -> None:
        """`kill -9`; what carries out its steps ends with it."""
        worker.expected = True
        worker.signal(signal.SIGKILL)
        await asyncio.to_thread(worker.process.wait)

    def refusals(self) -> Counter[str]:
        """What workers were told of work that was not theirs any more."""
        said = [worker.said() for worker in self.by_life.values()]
        return Counter(
            {
                "late reports of workers that were refused": sum(len(_REFUSED.findall(one)) for one in said),
                "steps of workers that were ended, as they were given up": sum(
                    len(_TAKEN_BACK.findall(one)) for one in said
                ),
            }
        )

    @property
    def _folder(self) -> Path:
        return self._scene.directory / "workers"

    def _replace(self, worker: Worker) -> None:
        self._guard.forget(worker.process.pid)
        self.slots[worker.slot] = self._begin(worker.broker, worker.slot)

    def _begin(self, broker: Broker, slot: int) -> Worker:
        number = len(self.by_life) + 1
        command = [sys.executable, "-m", "celery", "-A", "ripresa.runtimes.celery", "worker", "--loglevel", "INFO"]
        command += ["-Q", self.queue, "-c", str(SLOTS), "-n", f"torture{number}@%h"]
        command += ["--without-mingle", "--without-gossip"]
        log = self._folder / f"{number}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(  # noqa: S603 - begun, not waited for
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env={
                    **os.environ,
                    "RIPRESA_STORE": self._scene.place.url(),
                    "RIPRESA_CELERY_BROKER": broker.url,
                    ledger.PATH_VARIABLE: self._ledger,
                    ledger.LIFE_VARIABLE: str(-number),
                },
            )
        self._guard.watch(process.pid)
        worker = self.by_life[-number] = Worker(number, broker, slot, process, log)
        return worker


def _last(worker: Worker) -> str:
    return worker.said().strip()[-3000:]


def _parent(process: int) -> int:
    """The process that has begun it; 0: it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
