"""Pools decide well whatever comes: limits hold, keys take turns, breakers open and close as they should."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripresa.contracts.payload import dump
from ripresa.contracts.pools import Breaker, Pool, interval_us
from ripresa.kernel.circuit import Circuit, looked_at, opened, told
from ripresa.kernel.pooling import Asked, Desk, turn_of
from ripresa.kernel.waiting import why_waiting
from ripresa.ports.batch import Batch
from ripresa.ports.pools import Freed, Ticket
from ripresa.stores.memory import MemoryStore

SECOND = 1_000_000
KEYS = st.sampled_from("abc")


class Oracle:
    """Fairness as one would explain it: keys in a circle, each with a queue; whoever is served goes to the end.

    A key that joins stands where those stand that are next; this says only what any fair order must keep.
    """

    def __init__(self):
        self.queues = defaultdict(deque)
        self.served_while_waiting = defaultdict(Counter)

    def join(self, key, name):
        self.queues[key].append(name)

    def serve(self, key, name):
        """What was served: the first of its key, and no key but it was passed over too often."""
        assert self.queues[key].popleft() == name, "within a key the oldest goes first"
        self.served_while_waiting.pop(key, None)
        for other, queue in self.queues.items():
            if other != key and queue:
                self.served_while_waiting[other][key] += 1
                assert self.served_while_waiting[other][key] <= 2, f"{key} again and again while {other} waits"

    def leave(self, key, name):
        self.queues[key].remove(name)
        if not self.queues[key]:
            self.served_while_waiting.pop(key, None)


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), KEYS, st.integers(1, 4)),
        st.tuples(st.just("serve"), st.just(""), st.integers(1, 4)),
        st.tuples(st.just("leave"), KEYS, st.just(1)),
    ),
    max_size=60,
)


@given(EVENTS)
@settings(max_examples=300, deadline=None)
def test_keys_take_turns_whoever_joins_and_leaves(events):
    asyncio.run(_keys_take_turns(events))


async def _keys_take_turns(events):
    store, oracle, names = MemoryStore(), Oracle(), iter(f"{n:05}" for n in range(10_000))
    lease = await store.acquire(now=0, lease_us=SECOND, who="test")
    await store.put_pool("p", dump(Pool("p", slots=1).to_json()))
    held, batch = None, 0
    for what, key, count in [*events, ("serve", "", 200)]:
        for _ in range(count):
            wanted = []
            if what == "join":
                name = next(names)
                wanted = [Ticket("r", f"{key}{name}", "p", "s", "w", key, 0, int(name))]
                oracle.join(key, f"{key}{name}")
            elif what == "leave" and oracle.queues[key]:
                gone = oracle.queues[key][-1]
                oracle.leave(key, gone)
                batch += 1
                await store.commit(lease, Batch(batch, 0, freed=[Freed("r", gone, 0)]), lease_us=SECOND)
            elif what == "serve" and held is not None:
                batch += 1
                await store.commit(lease, Batch(batch, 0, freed=[Freed("r", held, 0)]), lease_us=SECOND)
                held = None
            for _, operation in (await store.tickets(lease, wanted, now=0)).tickets:
                assert held is None, "one slot"
                held = operation
                oracle.serve(operation[0], operation)
    assert held is None or not any(oracle.queues.values()), "nobody starves"


def test_a_key_that_was_quiet_is_owed_nothing():
    assert turn_of(served=7, last_served=None, last_waiting=None) == 7
    assert turn_of(served=7, last_served=7, last_waiting=None) == 8
    assert turn_of(served=7, last_served=2, last_waiting=9) == 10


ASKED = st.builds(Asked, st.integers(1, 3), st.sampled_from("xy"), KEYS, st.sampled_from("st"))


@given(
    st.lists(ASKED, max_size=40),
    st.none() | st.integers(0, 9),
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 4),
    st.sampled_from([None, "1/s", "5/s"]),
    st.integers(1, 3),
)
@settings(max_examples=300, deadline=None)
def test_what_is_given_is_within_every_limit_and_what_is_refused_is_at_one(  # noqa: PLR0917 - what is drawn
    asked, slots, per_worker, per_workflow, rate, burst
):
    pool = Pool(
        "p",
        slots=slots,
        slots_per_worker=per_worker,
        slots_per_workflow=per_workflow,
        rate=rate,
        burst=burst,
    )
    desk = Desk(pool, now=SECOND)
    given_ = []
    for one in asked:
        at_a_limit = (
            (slots is not None and len(given_) >= slots)
            or (per_worker is not None and sum(other.engine == one.engine for other in given_) >= per_worker)
            or (per_workflow is not None and sum(other.workflow == one.workflow for other in given_) >= per_workflow)
            or (rate is not None and len(given_) >= burst)
        )
        assert (desk.give(one) is None) == at_a_limit
        if not at_a_limit:
            given_.append(one)


@given(st.lists(st.integers(0, 300_000), max_size=60), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_a_rate_lets_no_more_through_than_it_says(pauses, burst):
    pool, now, free_at, starts = Pool("p", rate="10/s", burst=burst), 0, 0, []
    for pause in pauses:
        now += pause
        desk = Desk(pool, now, free_at)
        if desk.give(Asked(1, "w", "", "s")) is not None:
            starts.append(now)
        else:
            assert desk.again_at is not None
            assert Desk(pool, desk.again_at, free_at).room() > 0, "it is told when the next may start"
        free_at = desk.free_at
    for first in range(len(starts)):
        within = [at for at in starts[first:] if at - starts[first] < SECOND]
        assert len(within) <= 10 + burst - 1


def test_rates_are_read_as_people_write_them_and_never_rounded_up():
    assert [interval_us(rate) for rate in ("10/s", "3/s", "100/m", "3/10s", "1/h")] == [
        100_000,
        333_334,
        600_000,
        3_333_334,
        3_600_000_000,
    ]
    for wrong in ("0/s", "10", "10/", "/s", "10/x", "-1/s", "1/0s"):
        with pytest.raises(ValueError, match="is not a rate"):
            interval_us(wrong)


# --- breakers ----------------------------------------------------------------------------------

OUTCOMES = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.booleans()), max_size=50)


@given(OUTCOMES, st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_a_breaker_opens_no_later_than_its_failures_say_and_not_without_them(outcomes, failures):
    """Spans are a twelfth of a window: what is older by less than that may count still, what is within it must."""
    breaker, circuit, now, failed = Breaker(failures=failures, window="60s", cooldown="1h"), Circuit(), 0, []
    for pause, good in outcomes:
        now += pause
        circuit = told(circuit, breaker, at=now, good=good, probe=False)
        failed += [] if good else [now]
        surely = sum(at > now - 60 * SECOND for at in failed)
        perhaps = sum(at > now - 65 * SECOND for at in failed)
        if circuit.state == "open":
            assert perhaps >= failures
            return
        assert good or surely < failures


def test_a_breaker_goes_its_ways():
    breaker = Breaker(failures=None, failure_rate=0.5, min_calls=4, cooldown="10s", probes=2)
    circuit = Circuit()
    for good in (True, False, True):
        circuit = told(circuit, breaker, at=SECOND, good=good, probe=False)
    assert circuit.state == "closed"  # 1 of 3, and 4 are needed
    circuit = told(circuit, breaker, at=SECOND, good=False, probe=False)
    assert (circuit.state, circuit.until, circuit.why) == ("open", 11 * SECOND, "2 of 4 failed in 1m")
    assert told(circuit, breaker, at=2 * SECOND, good=False, probe=False) == circuit  # it began before
    half = looked_at(circuit, 11 * SECOND)
    assert half.state == "half_open"
    assert told(half, breaker, at=12 * SECOND, good=False, probe=False) == half  # no probe
    once = told(half, breaker, at=12 * SECOND, good=True, probe=True)
    assert (once.state, once.passed) == ("half_open", 1)
    assert told(once, breaker, at=13 * SECOND, good=True, probe=True) == Circuit("closed", 13 * SECOND)
    again = told(once, breaker, at=13 * SECOND, good=False, probe=True)
    assert (again.state, again.until) == ("open", 23 * SECOND)
    assert looked_at(opened(0, None, "by hand"), 10**15).state == "open"


@given(OUTCOMES)
@settings(deadline=None)
def test_a_circuit_is_the_same_after_it_was_written_down(outcomes):
    circuit, breaker = Circuit(), Breaker()
    for at, good in outcomes:
        circuit = told(circuit, breaker, at=at, good=good, probe=True)
        assert Circuit.load(circuit.dump()) == circuit
        assert len(circuit.spans) <= 14


# --- what is said of them ----------------------------------------------------------------------


def test_a_pool_is_the_same_after_it_was_written_down():
    pool = Pool("lake", slots=4, rate="10/s", burst=3, cooldown="90s", breaker=Breaker(per="step", failure_rate=0.25))
    assert Pool.of("lake", pool.to_json()).to_json() == pool.to_json()


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"slots": -1}, "slots: -1 is not a whole number from 0"),
        ({"slots": True}, "slots: True is not a whole number"),
        ({"rate": "fast"}, "'fast' is not a rate such as 10/s"),
        ({"burst": 0}, "burst: 0 is not a whole number from 1"),
        ({"cooldown": "soon"}, "cooldown: 'soon' is not a duration"),
        ({"slotz": 1}, "unknown field 'slotz'; did you mean \"slots\"?"),
        ({"breaker": {"failures": 0}}, r"breaker\.failures: 0 is not a whole number from 1"),
        ({"breaker": {"failure_rate": 2}}, r"breaker\.failure_rate: 2 is not above 0 and at most 1"),
        ({"breaker": {"window": 0}}, r"breaker\.window: it must be longer than 0"),
        ({"breaker": {"per": "pol"}}, r"breaker\.per: 'pol' is not pool or step"),
        ({"breaker": {"cooldwn": "1s"}}, 'did you mean "cooldown"?'),
    ],
)
def test_what_limits_nothing_is_refused(limits, says):
    with pytest.raises(ValueError, match=says.replace("?", r"\?")):
        Pool.of("lake", limits)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'a b' is no name"):
        Pool("a b")


def test_the_reason_names_everything_that_holds_a_step_up():
    pool = Pool("lake", slots=4, slots_per_worker=4, slots_per_workflow=2, rate="1/s", breaker=Breaker(), cooldown="1m")
    state = {
        "now": 0,
        "key": "acme",
        "workflow": "daily",
        "by_engine": {1: 4},
        "by_workflow": {"daily": 2},
        "free_at": 2 * SECOND,
        "circuit": opened(0, 60 * SECOND, "5 failures in 60s"),
        "rest": (5 * SECOND, "429"),
        "shown": lambda at: f"{at // SECOND}s",
    }
    assert why_waiting(pool, ahead=12, engine=1, **state) == (
        "breaker lake open until 60s, 5 failures in 60s, cooldown of acme until 5s, "
        "pool lake: 12 ahead, 4 of 4 slots in use, 2 of 2 slots of workflow daily in use, "
        "4 of 4 slots of this worker in use, the next start at 2s (1/s)"
    )
    assert "its engine is gone" in why_waiting(pool, ahead=0, engine=None, **state)
