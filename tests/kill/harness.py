"""Kill: a real engine on a real file is killed with `kill -9` again and again, and nothing may be lost or done twice.

    parent ── fork ──> life 1 ── kill -9 ── life 2 ── kill -9 ── … ── the last life finishes everything
                         │ steps                │
                         └──────> effect ledger <── acknowledged starts ── client (its own process, never killed)

By hand:  python tests/kill/harness.py --kills 300 --seed 7
          python tests/kill/harness.py --kills 100 --nested        (50 to 150 ms a life: recovery after recovery)

The parent has no thread and no open database while it forks.  Most lives are forked, so that one takes milliseconds to
begin; every tenth is a new interpreter, which has imported nothing yet.
"""

import argparse
import asyncio
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # when run by hand

from ripresa.stores.sqlite import SqliteStore
from tests.kill import ledger, program
from tests.kill.checks import Committed, ask, told, violations

ROOT = Path(__file__).parents[2]
COLD_EVERY = 10
OPENING_S = 60.0
FINISHING_S = 60.0
EVICT_AFTER = ("0", "50ms", "30s")
ENDED = "('succeeded', 'failed', 'cancelled')"


class Torture:
    """One store, and the lives it sees."""

    def __init__(self, directory: Path, seed: int, *, nested: bool = False, log: bool = False) -> None:
        self.directory = directory
        self.path = directory / "killed.db"
        self.url = f"sqlite:///{self.path}"
        self.dice = random.Random(seed)
        self.nested = nested
        self.log = log
        self.life = 0
        self.ends: Counter[str] = Counter()
        self.recovery_ms: list[float] = []
        self.committed = Committed(self.path)
        self.errors: list[str] = []
        os.environ[ledger.PATH_VARIABLE] = str(directory / "ledger")
        os.environ[ledger.LIFE_VARIABLE] = "0"

    # -- lives ------------------------------------------------------------------------------------------------------

    def run(self, kills: int) -> None:
        program.warm_up()
        client = self._start_client()
        try:
            for _ in range(kills):
                self._live_and_die()
            (self.directory / "stop").touch()
            self._finish()
            if client.poll() is not None:
                self.errors.append(f"the client ended by itself with {client.returncode}: see client.err")
        finally:
            client.kill()
            client.wait()

    def _start_client(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.kill.client", self.url, str(self.directory / "stop")]
        with (self.directory / "client.err").open("wb") as errors:
            return subprocess.Popen(command, cwd=ROOT, stderr=errors)

    def _live_and_die(self) -> None:
        process, pipe = self._begin(last=10**6)
        early = self.nested or self.dice.random() < 0.25
        if early:
            until = "recovering"
            self._hear(pipe, "opening")
            time.sleep(self.dice.uniform(0.05, 0.15) if self.nested else self.dice.uniform(0.0, 0.15))
        else:
            until = "working"
            self._hear(pipe, "up")
            time.sleep(self.dice.uniform(0.05, 0.5))
        ended = self._kill(process)
        os.close(pipe)
        self.ends[until if ended == -signal.SIGKILL else f"by itself: {ended}"] += 1
        if ended != -signal.SIGKILL:
            self.errors.append(f"life {self.life} ended by itself ({ended}): see life-{self.life}.err")
        self.committed.look(self.life)

    def _finish(self) -> None:
        """The last life is let live until every run has ended."""
        process, pipe = self._begin(last=0)
        self._hear(pipe, "up")
        until = time.monotonic() + FINISHING_S
        left = -1
        while left != 0:
            time.sleep(0.1)
            [(left,)] = ask(self.path, f"SELECT count(*) FROM run WHERE status NOT IN {ENDED}")
            if time.monotonic() > until:
                stuck = ask(
                    self.path, f"SELECT id, definition, status, owner FROM run WHERE status NOT IN {ENDED} LIMIT 5"
                )
                self.errors.append(f"{left} runs do not end, as {stuck}")
                break
        self._kill(process)
        os.close(pipe)
        self.committed.look(self.life)

    def _begin(self, *, last: int) -> tuple[int, int]:
        """A new life; its process and the pipe it speaks through."""
        self.life += 1
        os.environ[ledger.LIFE_VARIABLE] = str(self.life)
        evict_after = self.dice.choice(EVICT_AFTER)
        first = sum(line["what"] == "ack" and line["number"] < 10**6 for line in ledger.read(self._ledger))
        ours, theirs = os.pipe()
        errors = os.open(self.directory / f"life-{self.life}.err", os.O_WRONLY | os.O_CREAT)
        arguments = (self.url, theirs, first, last, evict_after)
        if self.life % COLD_EVERY == 0:
            command = [sys.executable, "-m", "tests.kill.program", *map(str, arguments)]
            process = subprocess.Popen(command, cwd=ROOT, pass_fds=(theirs,), stderr=errors).pid
        else:
            process = os.fork()
            if process == 0:
                os.dup2(errors, 2)
                _live_in_fork(*arguments)
        os.close(theirs)
        os.close(errors)
        return process, ours

    def _hear(self, pipe: int, word: str) -> None:
        """Wait until the life says the word."""
        start = time.monotonic()
        heard = b""
        while word.encode() not in heard.split():
            ready, _, _ = select.select([pipe], [], [], OPENING_S)
            more = os.read(pipe, 4096) if ready else b""
            if not more:
                self.errors.append(f"life {self.life} never says {word!r}: see life-{self.life}.err")
                return
            heard += more
        if word == "up":
            self.recovery_ms.append(1e3 * (time.monotonic() - start))

    def _kill(self, process: int) -> int:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if self.log:
            print(f"\rlife {self.life}: {dict(self.ends)}", end="", file=sys.stderr, flush=True)
        return os.waitstatus_to_exitcode(status)

    # -- verdict ----------------------------------------------------------------------------------------------------

    @property
    def _ledger(self) -> Path:
        return self.directory / "ledger"

    def verdict(self) -> tuple[list[str], dict[str, Any]]:
        """What is broken, and how much happened."""
        lines = ledger.read(self._ledger)
        found = [*self.errors, *violations(self.path, lines, self.committed), *self._said(), *self._store_check()]
        waits = sorted(self.recovery_ms)
        facts = {
            "kills": self.life - 1,
            "kills_while": dict(self.ends),
            **told(self.path, lines),
            "open_p50_ms": round(waits[len(waits) // 2]) if waits else None,
            "open_max_ms": round(waits[-1]) if waits else None,
        }
        return found, facts

    def _said(self) -> list[str]:
        """Errors that a process wrote on its way."""
        found = []
        for path in sorted(self.directory.glob("*.err")):
            text = path.read_text("utf-8", "replace")
            if text.strip():
                found.append(f"{path.name}: {text.strip()[-1500:]}")
        return found

    def _store_check(self) -> list[str]:
        async def look() -> list[str]:
            store = SqliteStore(self.url)
            await store.open()
            try:
                return await store.check()
            finally:
                await store.close()

        return asyncio.run(look())


def _live_in_fork(*arguments: Any) -> None:
    """Never returns: the parent's frames are not this process's to unwind."""
    try:
        program.main(*arguments)
    except BaseException:  # noqa: BLE001 - it says why, and ends
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="kill -9 an engine again and again; nothing is lost or done twice")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--nested", action="store_true", help="every life is killed 50 to 150 ms after it opens")
    parser.add_argument(
        "--directory", type=Path, default=None, help="kept; otherwise a new one, kept if something broke"
    )
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    directory = given.directory or Path(tempfile.mkdtemp(prefix="kill-"))
    directory.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    torture = Torture(directory, seed, nested=given.nested, log=sys.stderr.isatty())
    torture.run(given.kills)
    found, facts = torture.verdict()
    print(json.dumps({"seed": seed, **facts, "seconds": round(time.monotonic() - start, 1), "violations": len(found)}))
    for line in found[:50]:
        print(f"BROKEN: {line}")
    if found:
        nested = " --nested" if given.nested else ""
        print(f"again: python tests/kill/harness.py --kills {given.kills} --seed {seed}{nested}   (files: {directory})")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
