"""No space is left on the server: for tables, or for the write-ahead log, which ends the server itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import subprocess
from itertools import count

import pytest

from ripresa.contracts.errors import RipresaError
from tests.fleet.shop import Shop, ledger
from tests.support.postgres import PostgresServer

__all__ = ["ledger"]

MIB = 1 << 20
TOO_MUCH = "SELECT pg_logical_emit_message(false, '', repeat('x', 1000000)) FROM generate_series(1, 100)"


class Disk:
    """A small file system of its own; needs the right to mount one."""

    def __init__(self, place, mebibytes):
        self.place = place
        self._ballast = place / "ballast"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place)], check=True)
        user = pwd.getpwnam("postgres")
        os.chown(place, user.pw_uid, user.pw_gid)
        place.chmod(0o700)

    def fill(self):
        """No space is left."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as file:
            for size in (MIB, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size) == size:
                        pass

    def free(self):
        self._ballast.unlink()

    def close(self):
        subprocess.run(["umount", "--lazy", str(self.place)], check=True)


class Cramped(PostgresServer):
    """A server with little space, for a database and for its write-ahead log."""

    def _make(self):
        self.log = Disk(self.folder / "log-of-writes", 48)
        self.tables = Disk(self.folder / "tables", 48)
        self._names = count()
        own = ["--wal-segsize=1", "-X", self.log.place / "wal"]
        self.run(
            "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync", *own
        )

    def close(self):
        try:
            self.log.close()
            self.tables.close()
        finally:
            super().close()


def may_mount(place):
    """Whether this user is allowed to mount a file system."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode:
        return False
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    return True


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory):
    if not may_mount(tmp_path_factory.mktemp("disk")):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("may not mount a small disk here")
    server = Cramped(max_wal_size="1GB", min_wal_size="2MB", max_connections=50)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
async def shop(server, ledger, caplog):
    server.tables.place.joinpath("space").mkdir(exist_ok=True)
    space = server.tables.place / "space"
    user = pwd.getpwnam("postgres")
    os.chown(space, user.pw_uid, user.pw_gid)
    server.sql(f"CREATE TABLESPACE cramped LOCATION '{space}'")
    server.sql("CREATE DATABASE shop TABLESPACE cramped")
    shop = Shop(server.address("shop"), ledger, caplog)
    try:
        await shop.open()
        await shop.goes_on()
        yield shop
    finally:
        await shop.close()
        server.sql("DROP DATABASE shop WITH (FORCE)")
        server.sql("DROP TABLESPACE cramped")


async def test_no_space_is_left_for_tables(server, shop):
    server.tables.fill()
    try:
        await shop.is_told("no space left on the server of postgresql://postgres@127.0.0.1")
    finally:
        server.tables.free()
    await shop.goes_on()
    await shop.finish()


async def test_no_space_is_left_for_the_log_of_writes(server, shop):
    """PostgreSQL ends itself then, and does not come up again before there is space."""
    server.log.fill()
    try:
        with pytest.raises(RipresaError):
            await asyncio.to_thread(server.sql, TOO_MUCH)
        await shop.is_told("trying again")
    finally:
        server.log.free()
        await asyncio.to_thread(server.kill)  # if it has not ended, as there is nowhere to write that it begins
        await asyncio.to_thread(server.start)
    await shop.goes_on()
    await shop.finish()
