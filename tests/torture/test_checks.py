"""The checks of torture find what they are for: each is shown one broken promise, and evidence that is in order."""

import json

import pytest

from ripresa.testing.torture import checks, checks_afar, checks_store
from ripresa.testing.torture.recovery import Recovery, percentiles
from ripresa.testing.torture.seen import Evidence, LifeTold
from ripresa.testing.torture.witness import AttemptRow, Committed, Event, RunRow

RUN = "r1"


def step(what, key="k1", life=1, at=10, *, name="work", hashed="h", **more):
    return {"what": what, "key": key, "life": life, "at": at, "run": RUN, "step": name, "hash": hashed, **more}


class Story:
    """A run of three steps that two engines took part in, and nothing wrong with it."""

    def __init__(self):
        self.runs = [RunRow(RUN, "started-1", "timers", "succeeded", None, json.dumps({"number": 5}), "18", None)]
        self.events = [
            Event(RUN, 1, "run_started", None, "timers", None),
            Event(RUN, 2, "step_completed", "work", "work", "5"),
            Event(RUN, 3, "finished", None, None, "18"),
        ]
        self.lines = [
            {"what": "ack", "life": 1, "at": 1, "run": RUN, "id": "started-1", "number": 5},
            step("begin", f"{RUN}:work", at=10),
            step("begin", f"{RUN}:work", life=2, at=30),
            step("end", f"{RUN}:work", life=2, at=40),
        ]
        self.attempts = []
        self.books = []
        self.seen_at = 50
        self.lives = {1: LifeTold(disturbed_at=20), 2: LifeTold()}

    def broken(self, check):
        committed = Committed()
        committed.add(self.events, self.seen_at)
        return check(
            Evidence(
                self.runs, self.events, self.lines, committed, self.lives, attempts=self.attempts, books=self.books
            )
        )


class StoryOfWorkers(Story):
    """The same run; a worker was killed over its step, and another did it."""

    def __init__(self):
        super().__init__()
        key = f"{RUN}:work"
        self.attempts = [AttemptRow(RUN, 0, "work", 1, "lost"), AttemptRow(RUN, 0, "work", 2, "succeeded")]
        self.lines = [
            self.lines[0],
            step("begin", key, life=-1, at=10, attempt=1),
            step("begin", key, life=-2, at=30, attempt=2),
            step("end", key, life=-2, at=40, attempt=2),
        ]
        self.lives = {}


class StoryOfTheStore(Story):
    """The same run has written a row of its own; beside it three steps of a pool took turns, one of them cut off."""

    def __init__(self):
        super().__init__()
        self.events.insert(2, Event(RUN, 3, "step_completed", "book", checks_store.BOOK, "5"))
        self.events[3] = self.events[3]._replace(seq=4)
        self.lines += [step(what, f"{RUN}:book", name=checks_store.BOOK, at=45) for what in ("begin", "end")]
        self.books = [f"{RUN}:book"]
        self.lives[3] = LifeTold(disturbed_at=100)
        for index, (begin, end) in enumerate([(50, 80), (60, None), (70, 90), (80, 85)]):
            self.take(f"t{index}", begin, end)

    def take(self, key, begin, end):
        self.lines.append(step("begin", key, life=3, at=begin, name=checks_store.TAKE_TURN))
        if end is not None:
            self.lines.append(step("left", key, life=3, at=end, name=checks_store.TAKE_TURN))


@pytest.mark.parametrize("story", [Story, StoryOfWorkers, StoryOfTheStore])
@pytest.mark.parametrize("check", checks.CHECKS)
def test_nothing_is_found_where_nothing_is_wrong(check, story):
    assert story().broken(check) == []


def lost(story):
    story.lines.append({"what": "ack", "life": 1, "at": 2, "run": "r2", "id": "started-2", "number": 6})


def twice(story):
    story.runs.append(story.runs[0]._replace(id="r2"))


def never_ended(story):
    story.runs[0] = story.runs[0]._replace(status="running")


def wrong_output(story):
    story.runs[0] = story.runs[0]._replace(output="19")


def two_versions(story):
    story.lines += [step("begin", "k2", at=1, code=1), step("begin", "k3", at=2, code=2)]


def done_again(story):
    story.lines.append(step("begin", f"{RUN}:work", life=2, at=60))


def another_payload(story):
    story.lines.append(step("begin", f"{RUN}:work", life=3, at=45, hashed="other"))


def begun_twice_in_a_life(story):
    story.lines.insert(2, step("begin", f"{RUN}:work", at=12))


def never_done(story):
    story.lines = [line for line in story.lines if line["what"] != "end"]


def twice_at_most(story):
    story.lines += [step("begin", "k2", life=life, at=life, name=checks.ONCE) for life in (1, 2)]


def shared_by_two(story):
    story.lines += [step("begin", key, at=5, name=checks.SHARED, hashed="group") for key in ("k2", "k3")]


def taken_from_one_that_is_well(story):
    story.lives[1] = LifeTold()


def cost_too_much(story):
    story.lines += [step("begin", key, life=life, at=20 * life) for key in ("k2", "k3") for life in (1, 2)]


def with_a_gap(story):
    story.events[1] = story.events[1]._replace(seq=7)


def two_outcomes(story):
    story.events.insert(2, story.events[1]._replace(seq=3))
    story.events[3] = story.events[3]._replace(seq=4)


def no_end(story):
    story.events.pop()


def undone_in_the_wrong_order(story):
    story.runs[0] = story.runs[0]._replace(definition="undone", status="failed", output=None)
    steps = [("take", "0"), ("take", "1"), ("give_back", "0"), ("give_back", "1")]
    story.events = [
        Event(RUN, 1, "run_started", None, "undone", None),
        *(Event(RUN, seq, "step_completed", f"o{seq}", name, data) for seq, (name, data) in enumerate(steps, 2)),
        Event(RUN, 6, "finished", None, None, None),
    ]


@pytest.mark.parametrize(
    ("breaks", "check", "told"),
    [
        (lost, checks.lost_runs, "is lost"),
        (twice, checks.lost_runs, "2 runs have the id"),
        (never_ended, checks.wrong_ends, "has running"),
        (wrong_output, checks.wrong_ends, "19, not 18"),
        (two_versions, checks.versions, "versions"),
        (done_again, checks.repeated, "was recorded, and begun again"),
        (another_payload, checks.repeated, "2 payloads"),
        (begun_twice_in_a_life, checks.repeated, "begun again in life 1"),
        (never_done, checks.unseen, "its end was never seen"),
        (twice_at_most, checks.at_most_once, "begun 2 times"),
        (shared_by_two, checks.shared_effects, "an effect was done by"),
        (taken_from_one_that_is_well, checks.stolen, "while life 1 had it under way"),
        (cost_too_much, checks.repeats_per_fault, "cost 3 steps"),
        (with_a_gap, checks.histories, "numbered"),
        (two_outcomes, checks.histories, "2 outcomes"),
        (no_end, checks.histories, "does not finish once"),
        (undone_in_the_wrong_order, checks.histories, "gave back"),
    ],
)
def test_a_broken_promise_is_told(breaks, check, told):
    story = Story()
    breaks(story)
    assert any(told in line for line in story.broken(check))


def claimed_by_two(story):
    story.lines.append(step("begin", f"{RUN}:work", life=-3, at=12, attempt=1))


def begun_while_another_was_under_way(story):
    story.attempts[0] = story.attempts[0]._replace(status="running")


def begun_by_a_worker_when_recorded(story):
    story.lines.append(step("begin", f"{RUN}:work", life=-2, at=60, attempt=2))


def taken_from_two(story):
    story.attempts[0] = story.attempts[0]._replace(status="succeeded")


def taken_from_one_that_was_given_up(story):
    story.lines[-1]["attempt"] = 1


@pytest.mark.parametrize(
    ("breaks", "check", "told"),
    [
        (claimed_by_two, checks_afar.claimed_twice, "attempt 1 of r1:work was begun 2 times"),
        (begun_while_another_was_under_way, checks_afar.begun_beside, "attempt 1 was running when there was another"),
        (begun_by_a_worker_when_recorded, checks_afar.begun_when_over, "was recorded, and attempt 2 (succeeded) begun"),
        (taken_from_two, checks_afar.outcomes_of_workers, "done by attempts [1, 2]"),
        (taken_from_one_that_was_given_up, checks_afar.outcomes_of_workers, "whose end was never seen"),
    ],
)
def test_a_broken_promise_of_workers_is_told(breaks, check, told):
    story = StoryOfWorkers()
    breaks(story)
    assert any(told in line for line in story.broken(check))


def written_twice(story):
    story.books *= 2


def not_written(story):
    story.books.clear()


def written_for_nothing(story):
    story.books.append("another")


def a_slot_too_many(story):
    story.take("t4", 75, 76)


def a_slot_too_many_while_an_engine_that_was_killed_had_one(story):
    story.take("t4", 86, 99)
    story.take("t5", 87, 99)


@pytest.mark.parametrize(
    ("breaks", "check", "told"),
    [
        (written_twice, checks_store.transactions, "has written 2 rows"),
        (not_written, checks_store.transactions, "has written 0 rows"),
        (written_for_nothing, checks_store.transactions, "is not recorded as done"),
        (a_slot_too_many, checks_store.slots, "4 of 3 slots"),
        (a_slot_too_many_while_an_engine_that_was_killed_had_one, checks_store.slots, "4 of 3 slots"),
    ],
)
def test_a_broken_promise_of_the_store_is_told(breaks, check, told):
    story = StoryOfTheStore()
    breaks(story)
    assert any(told in line for line in story.broken(check))


def test_a_life_whose_engine_had_to_open_again_may_begin_anew_what_the_first_had_under_way():
    story = Story()
    begun_twice_in_a_life(story)
    assert story.broken(checks.repeated)
    story.lines.insert(2, {"what": "again", "life": 1, "at": 11})
    assert not story.broken(checks.repeated)


def test_what_stood_beside_a_step_that_was_set_aside_may_be_begun_anew():
    story = StoryOfWorkers()
    begun_while_another_was_under_way(story)
    story.events.insert(1, Event(RUN, 2, "quarantined", "other", "other", None))
    assert not story.broken(checks_afar.begun_beside)


def test_slots_of_an_engine_to_which_something_has_happened_are_free_for_others():
    story = StoryOfTheStore()
    a_slot_too_many_while_an_engine_that_was_killed_had_one(story)
    story.lives[3] = LifeTold(disturbed_at=86)
    assert not story.broken(checks_store.slots)


def test_a_worker_that_was_given_up_may_begin_what_is_recorded_and_that_is_counted():
    story = StoryOfWorkers()
    story.lines[1]["at"] = 60
    assert not story.broken(checks_afar.begun_when_over)


def test_an_engine_that_had_lost_its_lease_may_begin_what_is_recorded_and_that_is_counted():
    story = Story()
    story.lines.append(step("begin", f"{RUN}:work", life=3, at=60))
    assert story.broken(checks.repeated)
    story.lives[3] = LifeTold(disturbed_at=20, stale_from=20)
    assert not story.broken(checks.repeated)


def test_a_watch_ends_with_a_step_of_its_runs_and_tells_whether_another_fault_hit_meanwhile():
    recovery = Recovery()
    first = recovery.hit("kill", frozenset({"r1"}))
    recovery.moved({"r2"}, first.began + 1)
    assert not recovery.is_over(first)
    second = recovery.hit("stop", frozenset({"r2"}))
    recovery.moved({"r1"}, first.began + 2)
    recovery.moved({"r2"}, second.began + 3)
    assert recovery.seconds == {"kill": [pytest.approx(2)], "stop": [pytest.approx(3)]}
    assert recovery.seconds_lone == {"stop": [pytest.approx(3)]}


def test_percentiles_are_of_the_nearest_rank():
    assert percentiles([float(n) for n in range(1, 101)]) == {"number": 100, "p50_s": 50, "p99_s": 99, "max_s": 100}
    assert percentiles([2.0]) == {"number": 1, "p50_s": 2, "p99_s": 2, "max_s": 2}
    assert percentiles([]) == {"number": 0}
