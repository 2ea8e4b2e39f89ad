"""A session of torture: a place for each seed, the harness on it, and one report of all.

Whatever happens, what was made is removed: the schema or file, the server of our own, the folder with the ledger – the
last of them stays if something broke, and all of them if they are to be kept.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ripresa.contracts.errors import RipresaError
from ripresa.stores import open_store
from ripresa.testing.torture.brokers import Broker, broker_of
from ripresa.testing.torture.harness import Torture
from ripresa.testing.torture.plan import CARRIED, SERVED, WIRED, Options


class Where(NamedTuple):
    """Where to do it."""

    dsn: str | None
    """None: a server of our own."""
    keep: bool = False
    brokers: tuple[str, ...] = ()
    """Of our own, by their kind, or by their address."""


class Session:
    """All seeds, one after the other."""

    def __init__(self, options: Options, where: Where, *, seeds: int = 1) -> None:
        self._options = options
        self._where = where
        self._seeds = seeds
        self._stopped = False
        self.server: Any = None
        self._brokers: list[Broker] = []
        self.torture: Torture | None = None
        """The one that is under way."""
        self.kept: list[str] = []
        """What was left for people to look at."""

    def stop(self) -> None:
        """No more faults: end what is under way, and tell."""
        self._stopped = True
        if self.torture is not None:
            self.torture.stopping.set()

    async def run(self, tell: Callable[[Torture], None] = lambda _: None) -> dict[str, Any]:
        """The report.  Raises RipresaError if it cannot be done here."""
        self._require()
        began, code = time.time(), commit()
        runs: list[dict[str, Any]] = []
        facts: dict[str, str] = {}
        brokers: list[str] = []
        try:
            url = await asyncio.to_thread(self._own_server) if self._where.dsn is None else self._where.dsn
            brokers = await asyncio.to_thread(self._have_brokers)
            for seed in range(self._options.seed, self._options.seed + self._seeds):
                if self._stopped:
                    break
                place = place_at(url)
                await _require_usable(place)
                facts = await place.facts()
                runs.append(await self._one(self._options._replace(seed=seed), place, tell))
        finally:
            for broker in self._brokers:
                await asyncio.to_thread(broker.end)
            if self.server is not None:
                await asyncio.to_thread(self.server.close)
        return {
            "ripresa": version("ripresa"),
            "commit": code,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
            "machine": machine(),
            "database": facts,
            "own_server": self.server is not None,
            "brokers": brokers,
            "options": {
                "engines": self._options.engines,
                "lease_s": self._options.lease_s,
                "active": self._options.active,
                "nested": self._options.nested,
                "faults": self._options.faults._asdict(),
            },
            "interrupted": self._stopped,
            "runs": runs,
        }

    def _require(self) -> None:
        wanted, dsn = self._options.faults, self._where.dsn
        if dsn is not None and any(getattr(wanted, name) for name in SERVED):
            raise RipresaError("a server that is not ours is not killed: leave --dsn out to have one made for it")
        if dsn is not None and not dsn.startswith("postgres") and any(getattr(wanted, name) for name in WIRED):
            raise RipresaError(f"{', '.join(WIRED)} happen on the way to a server: this store is a file")
        if any(getattr(wanted, name) for name in CARRIED) and not self._where.brokers:
            raise RipresaError(f"{', '.join(CARRIED)} need a broker: name one with --broker")

    def _own_server(self) -> str:
        from ripresa.testing.torture.postgres_server import OwnPostgres  # noqa: PLC0415 - only if it is wanted

        self.server = OwnPostgres()
        self.server.start()
        return str(self.server.url)

    def _have_brokers(self) -> list[str]:
        """Have them up; what they are."""
        for wanted in self._where.brokers:
            self._brokers.append(broker_of(wanted))
            self._brokers[-1].start()
        return [broker.version() for broker in self._brokers]

    async def _one(self, options: Options, place: Any, tell: Callable[[Torture], None]) -> dict[str, Any]:
        if place.encrypted and any(getattr(options.faults, name) for name in WIRED):
            raise RipresaError("faults on the wire need a connection without encryption: ask for 0 cuts, holds, ends")
        directory = Path(tempfile.mkdtemp(prefix="ripresa-torture-"))
        self.torture = torture = Torture(options, place, directory, self.server, self._brokers)
        shown = asyncio.create_task(_show(torture, tell))
        broken: list[str] = ["it did not come to an end"]
        try:
            broken, told = await torture.run()
        finally:
            shown.cancel()
            await self._clear_away(place, directory, broken=bool(broken))
        tell(torture)
        return {**told, "violations": broken}

    async def _clear_away(self, place: Any, directory: Path, *, broken: bool) -> None:
        if self._where.keep:
            self.kept.append(place.url().rpartition("@")[2])
        else:
            await place.remove()
        if broken or self._where.keep:
            self.kept.append(str(directory))
        else:
            shutil.rmtree(directory, ignore_errors=True)


async def _require_usable(place: Any) -> None:
    """Raise what is in the way of a store there, before anything is set to work that would wait for it."""
    store = open_store(place.url())
    try:
        await store.open()
    except BaseException:
        with suppress(Exception):
            await place.remove()
        raise
    await store.close()


async def _show(torture: Torture, tell: Callable[[Torture], None]) -> None:
    while True:
        tell(torture)
        await asyncio.sleep(0.5)


def place_at(url: str) -> Any:
    """A place of its own there, under a name that nobody has.  Raises RipresaError."""
    name = f"ripresa_torture_{secrets.token_hex(5)}"
    if url.startswith(("postgresql://", "postgres://")):
        try:
            from ripresa.stores.postgres.address import address_of  # noqa: PLC0415 - needs the driver
            from ripresa.testing.torture.place_postgres import PostgresPlace  # noqa: PLC0415 - needs the driver

            address_of(url)
        except ValueError as error:
            raise RipresaError(str(error)) from None
        except ModuleNotFoundError as error:
            raise RipresaError("PostgreSQL needs its driver: pip install 'ripresa[postgres]'") from error
        return PostgresPlace(url, name)
    if url.startswith("sqlite:///"):
        from ripresa.testing.torture.place_sqlite import SqlitePlace  # noqa: PLC0415

        return SqlitePlace(Path(url.removeprefix("sqlite:///")).absolute().parent / f"{name}.db")
    raise RipresaError(f"{url.partition(':')[0]}: torture needs postgresql://… or sqlite:///…")


def machine() -> dict[str, Any]:
    """What it was done on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_at_the_end": round(os.getloadavg()[0], 1),
    }


def commit() -> str | None:
    """What the code is, if it is a checkout."""
    here = Path(__file__).parent
    with suppress(OSError):
        asked = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode == 0:
            return done.stdout.strip()
    return None
