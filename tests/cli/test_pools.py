"""Pools from the command line: what they are, who waits for them and why, and what a person may change."""

import json
import signal
import time

from tests.cli.conftest import TIMEOUT_S

POOLED = """
import asyncio, pathlib
from ripresa import map_, step, workflow


@step(pool="lakehouse", pool_key=lambda n: "even" if n % 2 == 0 else "odd")
async def load(n: int) -> int:
    while not pathlib.Path("ok").exists():
        await asyncio.sleep(0.01)
    return n


@workflow
async def loads() -> list[int]:
    return await map_(load, list(range(5)))
"""


def until(is_so):
    """Wait until it is so."""
    end = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def pools(shop):
    (shop.folder / "pooled.py").write_text(POOLED)
    shop("run", "shop.py:text")  # a file is there from then on


def test_pools_are_set_listed_shown_and_removed(shop):
    pools(shop)
    assert "no pool is declared" in shop("pools", "list").stderr
    done = shop("pools", "set", "lakehouse", "slots=2", "rate=10/s", "breaker.failures=3")
    assert done.stdout == "pool lakehouse: slots=2, rate=10/s, breaker.failures=3\n"
    assert "  rate=10/s, breaker.failures=3" in shop("pools", "list").stdout
    (listed,) = shop.json("pools", "list")
    assert (listed["name"], listed["held"], listed["waiting"]) == ("lakehouse", 0, 0)
    assert listed["settings"]["rate"] == "10/s"
    shop("pools", "set", "lakehouse", "rate=none", "slots=3")
    assert "rate" not in shop.json("pools", "show", "lakehouse")["settings"]
    assert "0 of 3" in shop("pools", "list").stdout
    assert (
        "unknown field 'slotz'; did you mean \"slots\"?" in shop("pools", "set", "lakehouse", "slotz=3", code=2).stderr
    )
    assert "did you mean" in shop("pools", "show", "lakehous", code=2).stderr
    shop("pools", "remove", "lakehouse")
    assert shop.json("pools", "list") == []
    assert "no pool 'lakehouse' (there are: none)" in shop("pools", "remove", "lakehouse", code=2).stderr
    (shop.folder / "ripresa.toml").write_text("[pools.later]\nslots = 1\n")
    assert "those of ripresa.toml (later) are put there by" in shop("pools", "list").stderr


def test_a_breaker_is_tripped_and_reset_by_hand(shop):
    pools(shop)
    shop("pools", "set", "lakehouse", "slots=2")
    assert "until `ripresa pools reset lakehouse`" in shop("pools", "trip", "lakehouse").stderr
    (breaker,) = shop.json("pools", "show", "lakehouse")["breakers"]
    assert (breaker["state"], breaker["until"], breaker["why"]) == ("open", None, "tripped by hand")
    assert "open: tripped by hand" in shop("pools", "list").stdout
    assert "breaker of lakehouse closed" in shop("pools", "reset", "lakehouse").stderr
    assert shop.json("pools", "show", "lakehouse")["breakers"] == []
    assert "no breaker is open" in shop("pools", "reset", "lakehouse").stderr
    shop("pools", "trip", "lakehouse", "--for", "soon", code=2)
    shop("pools", "trip", "lakehouse", "--step", "load", code=2)


def test_every_waiting_step_says_why_and_how_many_go_before(shop):
    pools(shop)
    shop("pools", "set", "lakehouse", "slots=2")
    running = shop.start("run", "pooled.py:loads", "--id", "p1")
    try:
        until(lambda: shop.json("pools", "list")[0]["waiting"] == 3)
        reasons = {step["reason"] for step in shop.json("runs", "show", "p1")["steps"] if step["status"] == "queued"}
        assert reasons == {f"pool lakehouse: {ahead} ahead, 2 of 2 slots in use" for ahead in range(3)}
        assert "pool lakehouse: 2 ahead, 2 of 2 slots in use" in shop("runs", "show", "p1").stdout
        shown = shop.json("pools", "show", "lakehouse")
        assert (shown["held"], shown["waiting"], shown["by_workflow"]) == (2, 3, {"loads": 2})
        assert sorted(step["key"] for step in shown["steps"]) == ["even", "even", "even", "odd", "odd"]
        assert {step["run_id"] for step in shown["steps"]} == {"p1"}
        table = shop("pools", "show", "lakehouse", "--limit", "3").stdout
        assert table.count(" p1 ") == 3
        assert "2 of 2" in table
        assert "2 more" in table
        (shop.folder / "ok").touch()
        out, err = running.communicate(timeout=TIMEOUT_S)
    finally:
        running.kill()
    assert json.loads(out) == [0, 1, 2, 3, 4]
    assert b"waits: pool lakehouse:" in err
    assert shop.json("pools", "list")[0]["held"] == 0


def test_pools_are_watched_until_ctrl_c(shop):
    pools(shop)
    shop("pools", "set", "lakehouse", "slots=2")
    watching = shop.start("pools", "watch")
    assert b"POOL" in watching.stdout.readline()
    assert b"0 of 2" in watching.stdout.readline()
    shop("pools", "set", "lakehouse", "slots=7")
    while b"0 of 7" not in watching.stdout.readline():
        assert watching.poll() is None
    watching.send_signal(signal.SIGINT)
    watching.communicate(timeout=TIMEOUT_S)
    assert watching.returncode == 130


SALES = """
workflow:
  name: sales
  jobs:
    - python: {name: fetch, call: "work:fetch", with: {n: "{{ item }}"}, pool: lake, pool_key: "{{ params.tenant }}"}
      for_each: [1, 2, 3]
"""


def test_a_definition_file_names_pools_that_the_settings_declare(shop):
    (shop.folder / "sales.yaml").write_text(SALES)
    (shop.folder / "work.py").write_text("def fetch(n):\n    return n\n")
    (shop.folder / "ripresa.toml").write_text(
        '[pools.lake]\nslots = 1\nrate = "100/s"\n[pools.lake.breaker]\nfailures = 3\n'
    )
    shop("validate", "sales.yaml")
    assert "a slot of pool lake, in turns by {{ params.tenant }}" in shop("explain", "sales.yaml").stdout
    shop("run", "sales.yaml", "-p", "tenant=acme")
    (pool,) = shop.json("pools", "list")
    assert (pool["settings"]["rate"], pool["settings"]["breaker"]["failures"], pool["held"]) == ("100/s", 3, 0)
    assert {"name": "pools.lake.slots", "value": 1, "origin": "ripresa.toml"} in shop.json("check")["settings"]
    (shop.folder / "sales.yaml").write_text(SALES.replace("pool: lake", "pool: lakes"))
    assert "declares no pool 'lakes'; did you mean \"lake\"?" in shop("validate", "sales.yaml", code=2).stderr
    (shop.folder / "ripresa.toml").write_text("[pools.lake]\nslot = 1\n")
    assert 'did you mean "slots"?' in shop("run", "sales.yaml", code=2).stderr
