"""Two processes on one file, one of which may be killed at any moment."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ripresa.contracts.errors import StoreInUse
from ripresa.ports.reading import RunFilter
from ripresa.stores.sqlite import SqliteStore
from ripresa.testing.store_contract import A, B, Engine, event, message, new_run

MINUTE = 60_000_000

OWNER = """
import asyncio, sys
from ripresa.stores.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    await store.acquire(now=int(sys.argv[2]), lease_us=60_000_000, who="the other process")
    print("owner", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    if sys.argv[3:] == ["leave"]:
        await store.close()

asyncio.run(main())
"""

# Each batch writes to three tables; what it tells on stdout is acknowledged.
WRITER = """
import asyncio, sys, time
from ripresa.ports.batch import Batch
from ripresa.ports.reading import RunFilter
from ripresa.ports.rows import LogLine, Ready
from ripresa.stores.sqlite import SqliteStore
from ripresa.testing.store_contract import event, new_run, run_id

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    now = time.time_ns() // 1000
    lease = await store.acquire(now=now, lease_us=60_000_000, who="writer")
    first = sum((await store.count_runs()).values())
    for number in range(first, first + 100_000):
        id = run_id(number)
        large = '"' + str(number % 10) * (300_000 if number % 50 == 0 else 10) + '"'
        batch = Batch(
            number, now, runs=[new_run(id, key=id)], ready=[Ready(id, now)],
            history=[event(id, seq, data=large) for seq in (1, 2, 3)],
            logs=[LogLine(id, None, None, now, "stdout", None, "x" * 3_000)],
        )
        await store.commit(lease, batch, lease_us=60_000_000)
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
async def store(path):
    store = SqliteStore(path, heartbeat_thread=False)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def run():
    """Runs a script in a process of its own, which is gone when the test is."""
    children = []

    def run(script, *args):
        command = [sys.executable, "-c", script, *map(str, args)]
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return children[-1]

    yield run
    for child in children:
        child.kill()
        child.communicate()


def now():
    return time.time_ns() // 1000


async def test_what_was_acknowledged_survives_kill_9_at_any_moment(path, run):
    acknowledged = -1
    for kill_after in (1, 2, 53, 7, 251, 3):
        child = run(WRITER, path)
        for _ in range(kill_after):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().split()  # not communicate(): it passes over what readline() has buffered
        child.wait()
        acknowledged = int(lines[-1]) if lines else acknowledged
        store = SqliteStore(path, heartbeat_thread=False)
        await store.open()
        await assert_whole(store, acknowledged)
        await store.close()
    assert acknowledged > 300


async def assert_whole(store, acknowledged):
    """Everything up to there is written, and of nothing else a part."""
    runs, cursor = [], None
    while True:
        page = await store.list_runs(RunFilter(), limit=1_000, cursor=cursor)
        runs += [run.id for run in page.runs]
        if (cursor := page.cursor) is None:
            break
    assert len(runs) in {acknowledged + 1, acknowledged + 2}  # one may have been written and not yet acknowledged
    for loaded in await store.load(runs):
        assert [step.seq for step in loaded.history] == [1, 2, 3]
        assert len({step.data for step in loaded.history}) == 1
        assert len(json.loads(loaded.history[0].data)) in {10, 300_000}
        assert len(await store.logs(loaded.run.id)) == 1
    assert await store.check() == []


async def test_a_live_owner_in_another_process_is_named(store, path, run):
    at = now()
    child = run(OWNER, path, at)
    child.stdout.readline()
    with pytest.raises(StoreInUse, match=rf"in use by the other process \(process {child.pid} on .*: stop it"):
        await store.acquire(now=at + 1, lease_us=MINUTE, who="second")
    [told] = await store.engines()
    assert (told["who"], told["pid"], told["alive"]) == ("the other process", child.pid, True)


@pytest.mark.parametrize("reaped", [True, False])
async def test_a_dead_owner_is_taken_over_at_once(store, path, run, reaped):
    at = now()
    child = run(OWNER, path, at)
    child.stdout.readline()
    child.kill()
    await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
    assert (await store.engines())[0]["alive"] is False
    lease = await store.acquire(now=at + 1, lease_us=MINUTE, who="second")
    assert lease.epoch == 2


async def test_an_owner_that_left_without_letting_go_is_gone_too(store, path, run):
    child = run(OWNER, path, now(), "leave")
    child.stdout.readline()
    child.communicate("go\n")
    assert child.returncode == 0
    await store.acquire(now=now(), lease_us=MINUTE, who="second")


async def test_an_owner_of_another_machine_is_waited_for(store, path):
    at = now()
    await store.acquire(now=at, lease_us=MINUTE, who="elsewhere")
    await store._write(lambda connection: connection.execute("UPDATE engine SET host = 'elsewhere', pid = 4194304"))
    with pytest.raises(StoreInUse, match="process 4194304 on elsewhere"):
        await store.acquire(now=at + 1, lease_us=MINUTE, who="second")
    await store.acquire(now=at + MINUTE, lease_us=MINUTE, who="second")


async def test_an_owner_of_an_earlier_boot_is_gone(store):
    at = now()
    await store.acquire(now=at, lease_us=MINUTE, who="before")
    await store._write(lambda connection: connection.execute("UPDATE engine SET boot = 'an earlier one'"))
    await store.acquire(now=at + 1, lease_us=MINUTE, who="second")


SENDER = """
import asyncio, sys
from ripresa.stores.sqlite import SqliteStore
from ripresa.testing.store_contract import event, message, new_run, run_id

async def main():
    store = SqliteStore(sys.argv[1], lock_timeout=100)  # the owner leaves hardly a gap
    await store.open()
    for number in range(200):
        await store.send(message(f"{sys.argv[2]}-{number}", sys.argv[3]))
        await store.send(message(f"same-{number}", sys.argv[3]))
        await store.submit(new_run(run_id(100 + number), key=f"order-{number}"), event(run_id(100 + number), 1), {})
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_send_do_not_get_in_the_owners_way(store, path, run):
    engine = await Engine.start(store, at=now())
    await engine.commit(runs=[new_run(A)])
    await store.changed()
    senders = [run(SENDER, path, name, A) for name in ("x", "y", "z")]
    seq = noticed = 0
    while any(sender.poll() is None for sender in senders):
        seq += 1
        await engine.commit(history=[event(A, seq)])
        noticed += await store.changed()
    assert [sender.returncode for sender in senders] == [0, 0, 0]
    noticed += await store.changed()
    assert noticed > 0
    assert len(await store.messages(A)) == 800
    assert len(await store.history(A)) == seq
    assert sum((await store.count_runs()).values()) == 201
    assert len(await engine.claim_due(now=now(), limit=1_000)) == 201
    assert await store.check() == []


async def test_two_processes_that_ask_for_one_store_at_once_get_one_owner(path, run):
    at = now()
    children = [run(OWNER, path, at) for _ in range(4)]
    told = [child.stdout.readline() for child in children]
    assert told.count("owner\n") == 1
    assert told.count("") == 3


async def test_a_message_reaches_an_owner_in_another_process(store, path, run):
    engine = await Engine.start(store, at=now())
    await engine.commit(runs=[new_run(B)])
    await store.changed()
    second = SqliteStore(path, heartbeat_thread=False)
    await second.open()
    await second.send(message("m1", B))
    assert await store.changed() is True
    assert await engine.claim_due(now=now()) == [B]
    await second.close()
