"""What a store promises of events: those put out from outside, dead letters, and notes."""

from __future__ import annotations

from ripresa.ports.events import DeadLetter, Delivery, NotedEvent
from ripresa.ports.rows import Outgoing
from ripresa.testing.store_contract.base import Promises
from ripresa.testing.store_contract.rows import Engine, T

_BODY = b"\xff\x00 no text \xe2\x82\xac"


def _letter(id: str, at: int = T, *, place: str = "here", code: str = "no_event", due: int | None = None) -> DeadLetter:
    return DeadLetter(id, "in", place, code, "it is 'none'\0", None, None, None, _BODY, T, at, 1, due)


class Events(Promises):
    """Of events that are no batch's."""

    async def test_what_is_published_from_outside_is_in_the_outbox_once(self, engine: Engine) -> None:
        first = Outgoing("e1", "", "order.placed", '{"n":1}', T)
        await engine.store.publish([first, first._replace(data="{}")])
        await engine.store.publish([first._replace(data="{}"), first._replace(id="e2")])
        await engine.store.publish([])
        assert await engine.store.outgoing(limit=9) == [first, first._replace(id="e2")]

    async def test_what_was_tried_in_vain_is_kept_until_its_event_is_published(self, engine: Engine) -> None:
        store = engine.store
        await store.publish([Outgoing(one, "", "order.placed", "{}", T) for one in ("e1", "e2")])
        first, second = Delivery("e1", "here", 1, given_up=False), Delivery("e2", "here", 3, given_up=True)
        await store.put_deliveries([first, second, Delivery("e1", "there", 2, given_up=False)])
        await store.put_deliveries([first._replace(tries=2), Delivery("gone", "here", 1, given_up=False)])
        await store.put_deliveries([])
        assert await store.deliveries("here") == [first._replace(tries=2), second]
        await store.published(["e1"])
        assert await store.deliveries("here") == [second]
        assert await store.deliveries("there") == []

    async def test_a_dead_letter_is_kept_as_it_was(self, engine: Engine) -> None:
        store = engine.store
        full = _letter("b", T + 5)._replace(reason="why", type="t", event="e", subject="s", attempts=3, due=T + 9)
        await store.bury([_letter("a")._replace(reason="x"), full])
        await store.bury([])
        assert await store.dead_letters(limit=9) == [full, _letter("a")._replace(reason="x")]
        assert (await store.dead_letters(limit=1))[0].body == _BODY

    async def test_one_that_is_buried_again_is_written_anew_but_for_its_beginning(self, engine: Engine) -> None:
        store = engine.store
        await store.bury([_letter("a")])
        again = _letter("a", T + 7, code="contract")._replace(since=T + 7, reason="other", attempts=2, due=T + 8)
        await store.bury([again])
        assert await store.dead_letters(limit=9) == [again._replace(since=T)]
        await store.bury([again._replace(reason="known", due=None), _letter("gone")], known=True)
        assert await store.dead_letters(limit=9) == [again._replace(since=T, reason="known", due=None)]

    async def test_dead_letters_are_found_by_place_reason_and_id(self, engine: Engine) -> None:
        store = engine.store
        await store.bury([_letter("a"), _letter("b", T + 1, place="there"), _letter("c", T + 2, code="contract")])

        async def found(**where: object) -> list[str]:
            return [one.id for one in await store.dead_letters(limit=9, **where)]  # type: ignore[arg-type]

        assert await found() == ["c", "b", "a"]
        assert await found(place="there") == ["b"]
        assert await found(code="no_event") == ["b", "a"]
        assert await found(place="here", code="contract") == ["c"]
        assert await found(ids=["a", "c", "unknown"]) == ["c", "a"]

    async def test_those_are_due_whose_time_has_come_or_that_are_to_be_retried(self, engine: Engine) -> None:
        store = engine.store
        letters = [_letter("a"), _letter("b", due=T + 5), _letter("c", due=T + 3), _letter("d", place="x", due=T)]
        await store.bury(letters)

        async def due(now: int) -> list[str]:
            return [one.id for one in await store.dead_due("here", now=now, limit=9)]

        assert await due(T) == []
        assert await due(T + 5) == ["c", "b"]
        assert await store.retry_dead(["a", "b", "unknown"], now=T) == 2
        assert await due(T) == ["a", "b"]
        assert await store.retry_dead(["d"], now=T + 1, place="here") == 1
        assert await due(T + 1) == ["a", "b", "d"]
        assert [one.place for one in await store.dead_letters(limit=9, ids=["d"])] == ["here"]
        await store.forget_dead(["d"])
        assert [one.id for one in await store.dead_due("here", now=T + 9, limit=1)] == ["a"]

    async def test_what_is_forgotten_is_gone(self, engine: Engine) -> None:
        store = engine.store
        await store.bury([_letter("a"), _letter("b")])
        assert await store.forget_dead(["a", "unknown"]) == 1
        assert await store.forget_dead(["a"]) == 0
        assert [one.id for one in await store.dead_letters(limit=9)] == ["b"]

    async def test_notes_are_numbered_and_forgotten_from_the_oldest_on(self, engine: Engine) -> None:
        store = engine.store
        note = NotedEvent(T, "in", "started", "here", "e1", "t", "run", '{"a":1}')
        other = NotedEvent(T, "out", "dead", "there", None, None, None, None, "why")
        assert await store.last_noted() == 0
        await store.note_events([note, other])
        await store.note_events([other])
        await store.note_events([])
        (one, first), (two, second), (three, third) = await store.noted_events(after=0, limit=9)
        assert [first, second, third] == [note, other, other]
        assert one < two < three == await store.last_noted()
        assert await store.noted_events(after=one, limit=1) == [(two, other)]
        await store.forget_noted(two)
        assert await store.noted_events(after=0, limit=9) == [(three, other)]
        assert await store.last_noted() == three
