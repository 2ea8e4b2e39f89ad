"""Events on the command line: published, followed, and what nobody could take decided about."""

import asyncio
import json

from ripresa.ports.events import DeadLetter, NotedEvent
from ripresa.stores import open_store

T = 1_700_000_000_000_000

SALES = """
from ripresa import publish, workflow

@workflow
async def placed(order: dict[str, int]) -> int:
    await publish("order.accepted", order)
    return order["n"]
"""
TOML = """
[workflows]
placed = "sales.py:placed"

[[events.publish]]
to = "redis://127.0.0.1:1/0"
types = ["order.*"]

[[events.consume]]
from = "redis://127.0.0.1:1/0"
types = ["order.placed"]
start = "placed"
"""


def prepared(shop):
    (shop.folder / "sales.py").write_text(SALES)
    (shop.folder / "ripresa.toml").write_text(TOML)
    shop("run", "placed", "-p", 'order={"n": 1}', "--id", "o1")


def fill(shop, *work):
    """What engines would have written."""

    async def filled():
        store = open_store(shop.store)
        await store.open()
        for verb, rows in work:
            await getattr(store, verb)(rows)
        await store.close()

    asyncio.run(filled())


def letter(id, body=b"poison", **more):
    kept = DeadLetter(id, "in", "redis://h:6379/0#in/g", "no_event", "it is no JSON", None, None, None, body, T, T, 1)
    return kept._replace(**more)


def test_an_event_is_published_once_under_its_id(shop):
    prepared(shop)
    told = shop.json("events", "publish", "order.placed", '{"n": 2}', "--id", "e1", "--run", "o1")
    assert (told["id"], told["type"], told["data"]) == ("e1", "order.placed", {"n": 2})
    done = shop("events", "publish", "order.placed", '{"n": 3}', "--id", "e1")
    assert done.stdout.strip() == "e1"
    assert "its data fits placed" in done.stderr
    found = shop.json("events", "list", "--type", "order.placed")
    assert [(one["id"], one["data"], one["run_id"]) for one in found] == [("e1", {"n": 2}, "o1")]
    assert "waits for a worker" in shop("events", "publish", "other").stderr
    assert shop.json("events", "list", "--type", "other")[0]["data"] is None


def test_what_an_event_s_contract_refuses_is_not_published(shop):
    prepared(shop)
    refused = shop("events", "publish", "order.placed", '{"n": "many"}', code=2).stderr
    assert "placed" in refused
    assert "n" in refused
    assert "not JSON" in shop("events", "publish", "order.placed", "{n", code=2).stderr
    assert "no run" in shop("events", "publish", "x", "--run", "nobody", code=2).stderr
    assert shop.json("events", "list", "--type", "order.placed") == []


def test_data_may_come_from_a_file(shop):
    prepared(shop)
    (shop.folder / "order.json").write_text('{"n": 7}')
    assert shop.json("events", "publish", "order.placed", "@order.json")["data"] == {"n": 7}
    assert "missing.json" in shop("events", "publish", "order.placed", "@missing.json", code=2).stderr


def test_events_are_followed_as_lines(shop):
    prepared(shop)
    gone = NotedEvent(T, "out", "delivered", "redis://h:6379/0#out", "e0", "order.shipped", None, '{"n":1}')
    fill(shop, ("note_events", [gone._replace(event="older"), gone, gone._replace(at=T + 1, what="dead", why="404")]))
    lines = shop("events", "watch", "--last", "2", "--count", "3", "--json").stdout.splitlines()
    first, second, third = map(json.loads, lines)
    assert (first["what"], first["event"], first["data"]) == ("delivered", "e0", {"n": 1})
    assert (second["what"], second["why"]) == ("dead", "404")
    assert third["what"] == "waiting"
    text = shop("events", "watch", "--last", "1", "--count", "1").stdout
    assert "dead" in text
    assert "404" in text


def test_dead_letters_of_a_place_that_has_moved_are_retried_where_it_is_now(shop):
    prepared(shop)
    fill(shop, ("bury", [letter("a"), letter("b", way="out", place="https://old/hook")]))
    now = "redis://127.0.0.1:1/0#ripresa:in/ripresa"
    assert f"redis://h:6379/0#in/g is not a place of ripresa.toml's [events] (there is {now})" in (
        shop("events", "dead", "retry", "a").stderr
    )
    refused = shop("events", "dead", "retry", "a", "--to", "redis://other", code=2).stderr
    assert f"not a place of ripresa.toml's [events]: there is {now}; nothing was done" in refused
    assert shop.json("events", "dead", "retry", "a", "--to", now) == ["a"]
    assert shop.json("events", "dead", "show", "a")["place"] == now
    assert shop.json("events", "dead", "show", "b")["due"] is None
    assert "is not a place" not in shop("events", "dead", "retry", "a").stderr


def test_dead_letters_are_listed_shown_retried_and_discarded(shop):
    prepared(shop)
    body = b'{"specversion":"1.0","id":"e1","source":"/w","type":"t","data":{"n":"x"}}'
    contract = letter("b", body, code="contract", reason="n: not a number", type="t", event="e1", at=T + 1)
    fill(shop, ("bury", [letter("a", b"\xff"), contract, letter("c", b"[1,", place="elsewhere", at=T + 2)]))
    assert [one["id"] for one in shop.json("events", "dead", "list")] == ["c", "b", "a"]
    assert [one["id"] for one in shop.json("events", "dead", "list", "--reason", "contract")] == ["b"]
    assert [one["id"] for one in shop.json("events", "dead", "list", "--place", "elsewhere")] == ["c"]
    assert "n: not a number" in shop("events", "dead", "list").stdout
    shown = shop.json("events", "dead", "show", "b")
    assert (shown["encoding"], shown["body"]["data"], shown["attempts"]) == ("json", {"n": "x"}, 1)
    assert shop.json("events", "dead", "show", "a")["encoding"] == "base64"
    assert shop.json("events", "dead", "show", "c")["body"] == "[1,"
    assert "dead letter" in shop("events", "dead", "show", "x", code=2).stderr
    assert shop.json("events", "dead", "retry", "b") == ["b"]
    assert shop.json("events", "dead", "show", "b")["due"] is not None
    assert shop.json("events", "dead", "show", "a")["due"] is None
    assert "nothing was done" in shop("events", "dead", "discard", "a", "x", code=2).stderr
    assert "--all" in shop("events", "dead", "discard", code=2).stderr
    assert "1 dead letter discarded" in shop("events", "dead", "discard", "a").stderr
    assert sorted(shop.json("events", "dead", "discard", "--all", "--place", "elsewhere")) == ["c"]
    assert [one["id"] for one in shop.json("events", "dead", "list")] == ["b"]


def test_the_group_s_page_names_its_commands(shop):
    page = shop("events", "dead", "--help").stdout
    assert "ripresa events dead COMMAND" in page
    for name in ("list", "show", "retry", "discard"):
        assert f"  {name} " in page
