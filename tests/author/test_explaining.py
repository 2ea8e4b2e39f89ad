"""What a definition comes to: exact waits, limits, order, starts, and other orchestrators."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis.strategies import builds, floats, integers, lists, none, sampled_from, tuples

from ripresa.author.explaining import explain_job, explain_schedule, explain_workflow, to_json
from ripresa.author.explaining.attempts import attempts_of, longest_us
from ripresa.author.explaining.cron_words import in_words
from ripresa.author.templates import Template
from ripresa.author.yaml.definition import FileDefinition
from ripresa.author.yaml.entries import limits_of, retry_of
from ripresa.contracts.cron import Cron
from ripresa.contracts.failure import Failure
from ripresa.contracts.spec import RetrySpec, Schedule, TimeoutSpec, load
from ripresa.kernel.retry import RetryAt, after_failure

NOW = datetime(2026, 3, 27, tzinfo=UTC)
S, M, H = 1_000_000, 60_000_000, 3_600_000_000


def told(*entries, **workflow):
    spec = load(json.dumps({"workflow": {"name": "w", "jobs": list(entries), **workflow}}), "w.json").spec
    return explain_workflow(spec, now=NOW)


def job(name, after=(), **beside):
    inside = {key: beside.pop(key) for key in ("retry", "timeout", "resources", "secrets", "params") if key in beside}
    return {"job": {"name": name, "image": "a/b:1", **inside}, "depends_on": list(after), **beside}


# --- attempts ----------------------------------------------------------------------------------


def test_waits_are_exact_and_those_of_the_engine_itself():
    spec = RetrySpec(max_attempts=7, delay="5m", backoff_multiplier=3, max_delay="1h")
    attempts = attempts_of(spec)
    assert attempts.waits_us == (5 * M, 15 * M, 45 * M, H, H, H)
    assert attempts.shortest_us == attempts.waits_us
    policy = retry_of(spec)
    assert attempts.waits_us == tuple(policy.wait_us(failure, jitter=0.5) for failure in range(1, 7))


def test_full_jitter_may_make_every_wait_zero():
    attempts = attempts_of(RetrySpec(max_attempts=3, delay="10s", jitter="full"))
    assert (attempts.waits_us, attempts.shortest_us) == ((10 * S, 10 * S), (0, 0))


def test_without_a_policy_there_is_one_attempt_and_retries_count_beside_the_first():
    assert attempts_of(None).total == 1
    assert attempts_of(RetrySpec(max_retries=0)).waits_us == ()
    assert attempts_of(RetrySpec(max_retries=2)).total == 3
    assert attempts_of(RetrySpec()).total == 3


@pytest.mark.parametrize(
    ("retry", "timeout", "longest"),
    [
        (None, None, None),
        (None, {"attempt": "1m", "grace": "10s"}, 70 * S),
        ({"max_attempts": 3, "delay": "1m"}, {"attempt": "1m", "grace": "0s"}, 5 * M),
        ({"max_attempts": 3, "delay": "1m"}, {"attempt": "1m", "grace": "0s", "queue": "2m"}, 11 * M),
        ({"max_attempts": 3, "delay": "1m"}, {"attempt": "1m", "grace": "0s", "total": "2m"}, 2 * M),
        ({"max_attempts": 3, "delay": "1m"}, {"total": "2m"}, 2 * M),
        # The second would begin at 2m, the third at 4m: with 3m the third begins at 3m if the others are quicker.
        ({"max_attempts": 3, "delay": "1m", "max_elapsed": "3m"}, {"attempt": "1m", "grace": "0s"}, 4 * M),
        # No further attempt can begin at all: its wait alone is longer.
        ({"max_attempts": 9, "delay": "5m", "max_elapsed": "3m"}, {"attempt": "1m", "grace": "0s"}, 1 * M),
        ({"max_attempts": 9, "delay": "5m", "max_elapsed": "3m", "jitter": "full"},
         {"attempt": "1m", "grace": "0s"}, 4 * M),
    ],
)  # fmt: skip
def test_the_longest_that_all_attempts_take(retry, timeout, longest):
    attempts = attempts_of(None if retry is None else RetrySpec(**retry))
    assert longest_us(attempts, limits_of(None if timeout is None else TimeoutSpec(**timeout))) == longest


RETRIES = builds(
    lambda elapsed, wait, **fields: RetrySpec(
        delay=f"{wait}ms", max_elapsed=None if elapsed is None else f"{elapsed}ms", **fields
    ),
    elapsed=none() | integers(1, 2_000),
    wait=integers(0, 500),
    max_attempts=integers(1, 6),
    backoff_multiplier=integers(1, 3),
    jitter=sampled_from(["none", "full"]),
)
LIMITS = builds(
    lambda attempt, queue: TimeoutSpec(attempt=f"{attempt}ms", queue=queue and f"{queue}ms", grace="0s"),
    attempt=integers(1, 500),
    queue=none() | integers(1, 300),
)
LUCK = lists(tuples(floats(0, 1), floats(0, 1), floats(0, 0.999)), min_size=6, max_size=6)


@given(retry=RETRIES, timeout=LIMITS, luck=LUCK)
def test_no_course_of_attempts_takes_longer(retry, timeout, luck):
    """Attempts that fail after some part of their limit, decided about as the engine decides."""
    limits, failure = limits_of(timeout), Failure(type="E", message="")
    now, first = 0, None
    for failures, (queued, ran, jitter) in enumerate(luck, 1):
        now += round(queued * (limits.queue_us or 0))
        first = now if first is None else first
        now += round(ran * limits.attempt_us)
        verdict = after_failure(
            retry_of(retry), failure, None, failures=failures, first_started=first, now=now, jitter=jitter
        )
        if not isinstance(verdict, RetryAt):
            break
        now = verdict.due
    assert now <= longest_us(attempts_of(retry), limits)


def test_memory_grows_by_attempt_up_to_its_limit_with_the_default_policy_too():
    resources = {"memory": "2Gi", "on_retry": {"memory": "*2", "max": "6Gi"}}
    (one,) = told(job("a", resources=resources), defaults={"retry": {"max_attempts": 4}}).jobs
    assert one.attempts.memory_bytes == (2 << 30, 4 << 30, 6 << 30, 6 << 30)


# --- the graph ---------------------------------------------------------------------------------


def test_layers_hold_what_may_run_at_the_same_time():
    found = told(
        job("d", ["b", "c"]), job("b", ["a"]), job("c"), job("a", compensate="undo"), job("undo"),
        **{"finally": [job("y"), job("z", ["y"])]},
    )  # fmt: skip
    assert found.layers == (("c", "a"), ("b",), ("d",))
    assert found.finally_layers == (("y",), ("z",))
    assert found.undoing == ("undo",)
    names = {one.name: one for one in found.jobs}
    assert names["undo"].layer is None
    assert names["undo"].starts == "only to undo a, when the run fails or is cancelled"
    assert names["d"].after == ("b", "c")


def _nothing_to_find(name):
    raise AssertionError(f"{name} is asked for, and the definition has no Python")


def test_it_tells_what_the_graph_that_is_run_has():
    """Layers, what comes before each, policies and limits, as the definition compiled for the engine has them."""
    entries = [
        job("a", timeout="1m", compensate="undo"), job("undo"),
        job("b", ["a"], retry={"max_attempts": 4, "delay": "2s", "backoff_multiplier": 3}),
        {"choice": {"name": "r", "cases": [{"if": "{{ params.x == 1 }}", "then": "c"}], "else": "d"}},
        job("c", ["b"], timeout={"attempt": "1m", "total": "5m"}), job("d"),
        {"signal": {"name": "go", "timeout": "2d"}, "depends_on": ["c", "d"], "run_if": "none_failed"},
        {"workflow": {"name": "sub", "definition": "other", "timeout": "1h"}, "depends_on": ["a"]},
    ]  # fmt: skip
    text = json.dumps({"workflow": {
        "name": "w", "input": {"type": "object", "properties": {"x": {"type": "integer"}}},
        "jobs": entries, "defaults": {"retry": {"max_attempts": 2}}, "finally": [job("y"), job("z", ["y"])],
    }})  # fmt: skip
    loaded = load(text, "w.json", templates=Template.parse)
    graph = FileDefinition(loaded, function=_nothing_to_find, pipeline=_nothing_to_find).graph
    found = explain_workflow(loaded.spec, now=NOW)
    assert found.layers == tuple(map(tuple, graph.main.layers))
    assert found.finally_layers == tuple(map(tuple, graph.last.layers))
    assert set(found.undoing) == graph.undoing
    for one in found.jobs:
        node = graph.by_name[one.name]
        assert set(one.after) == {dependency.node for dependency in node.depends_on}
        assert one.limits.total_us == node.timeout_us
        if one.kind == "job":
            step = node.work.step
            assert (one.attempts.total, one.limits.attempt_us) == (step.retry.max_attempts, step.timeout_us)
            waits = [step.retry.wait_us(failure, jitter=1.0) for failure in range(1, one.attempts.total)]
            assert list(one.attempts.waits_us) == waits


def test_the_longest_way_is_named_and_finally_comes_on_top():
    jobs = [
        job("a", timeout={"attempt": "10m", "grace": "0s"}),
        job("b", ["a"], timeout={"attempt": "1m", "grace": "0s"}),
        job("c", ["a"], timeout={"attempt": "5m", "grace": "0s"}),
    ]
    last = {"finally": [job("z", timeout={"attempt": "2m", "grace": "0s"})]}
    found = told(*jobs, **last).longest
    assert (found.us, found.way, found.open) == (17 * M, ("a", "c", "z"), ())
    limited = told(*jobs, timeout="12m", **last).longest
    assert (limited.us, limited.way) == (14 * M, ("z",))


def test_what_has_no_limit_is_named_and_the_limit_of_the_run_ends_it_all_the_same():
    jobs = [job("a"), {"signal": {"name": "go"}, "depends_on": ["a"]}]
    assert told(*jobs).longest.open == ("a", "go")
    assert told(*jobs).longest.us is None
    assert told(*jobs, timeout="1h").longest.us == H


@pytest.mark.parametrize(
    ("for_each", "longest"),
    [
        ({"for_each": [1, 2, 3, 4, 5]}, M),
        ({"for_each": [1, 2, 3, 4, 5], "max_parallel": 2}, 3 * M),
        ({"for_each": [1, 2, 3, 4, 5], "max_parallel": 2, "batch": 2}, 2 * M),
        ({"for_each": []}, 0),
        ({"for_each": "{{ params.files }}"}, M),
        ({"for_each": "{{ params.files }}", "max_parallel": 2}, None),
    ],
)
def test_a_fan_out_takes_as_many_turns_as_it_needs(for_each, longest):
    (one,) = told(job("a", timeout={"attempt": "1m", "grace": "0s"}, **for_each)).jobs
    assert one.longest_us == longest


def test_kinds_that_make_no_attempts_say_that_retry_has_no_effect():
    wait, signal, child = told(
        {"wait": {"name": "w1", "for": "10m", "retry": {"max_attempts": 3}}},
        {"signal": {"name": "s1", "timeout": "10m", "retry": {"max_attempts": 3}}},
        {"workflow": {"name": "c", "definition": "other", "timeout": "1h"}},
    ).jobs
    assert (wait.attempts.total, wait.longest_us) == (1, 10 * M)
    assert wait.notes == ("retry has no effect: a wait is done once",)
    assert (signal.attempts.total, signal.longest_us) == (1, 10 * M)
    assert signal.notes == ("retry has no effect: a signal is done once",)
    assert (child.attempts.total, child.longest_us, child.limits.total_us) == (1, H, H)


def test_another_workflow_is_started_as_often_as_its_policy_says():
    retry = {"max_attempts": 3, "delay": "5m", "exponential_backoff": True}
    (child,) = told({"workflow": {"name": "c", "definition": "other", "timeout": "1h", "retry": retry}}).jobs
    assert (child.attempts.total, child.attempts.waits_us) == (3, (5 * M, 10 * M))
    assert child.notes == ("each attempt is a run of its own, and the time limit is for all of them together",)
    assert child.longest_us == H


def test_when_an_entry_starts_is_told_in_words():
    found = told(
        job("a"), job("b"),
        job("c", ["a", "b"]),
        job("d", ["a", "b"], run_if="any_failed"),
        job("e", ["a"], run_if="none_failed"),
        job("f", ["a", {"job": "b", "when": "quarantined"}], when="{{ params.x == 1 }}"),
        {"choice": {"name": "r", "cases": [{"if": "{{ params.x == 1 }}", "then": "g"}]}},
        job("g"),
        job("h", ["a"], when=False, run_if="all_done"),
    )  # fmt: skip
    assert [one.starts for one in found.jobs] == [
        "at once",
        "at once",
        "when a and b have succeeded",
        "when a and b have ended and one of them failed",
        "when a has ended and not failed",
        "when a has succeeded, and b was set aside, if {{ params.x == 1 }}; else it is skipped",
        "at once",
        "when r chooses it",
        "when a has ended, however, if false; else it is skipped",
    ]


@pytest.mark.parametrize("on_failure", ["stop", "abort", "continue"])
def test_what_a_failure_does_depends_on_the_entry_and_the_workflow(on_failure):
    found = told(
        job("a"), job("b", on_error="continue"), job("c", on_error="quarantine"),
        on_failure=on_failure, **{"finally": [job("z")]},
    )  # fmt: skip
    a, b, c, z = (one.on_failure for one in found.jobs)
    words = {"stop": "other branches go on", "abort": "what runs is cancelled", "continue": "starts all the same"}
    assert words[on_failure] in a
    assert "as if it had succeeded" in b
    assert "set aside" in c
    assert "cancelled" not in z


def test_secrets_are_told_by_reference_and_variables_by_name():
    entry = job("a", secrets={"PW": "secret:db#pw"}, params={"source": "s"})
    notices = {"on_late": [{"type": "webhook", "url_from": "env:HOOK"}]}
    found = told(entry, notifications=notices)
    assert [(one.reference, one.used_by, one.variable) for one in found.secrets] == [
        ("secret:db#pw", "a", "PW"),
        ("env:HOOK", "notifications.on_late", ""),
    ]
    environment = found.jobs[0].environment
    assert environment.params == ("PARAM_SOURCE",)
    assert "IDEMPOTENCY_KEY" in environment.run
    assert "DATA_INTERVAL_END" in environment.dates


def test_targets_are_told_with_what_they_fit_worst_and_only_their_own_notes():
    (airflow, *_, argo, functions) = told(job("a"), {"signal": {"name": "s"}}).targets
    assert (airflow.target, airflow.fit) == ("airflow", "refused")
    (signal,) = airflow.those("refused")
    assert (signal.feature, signal.at, signal.note) == ("signal", "workflow.jobs[1].signal", "")
    assert argo.those("emulated")[0].note == "Argo: a suspended node"
    assert functions.those("emulated")[0].note == "Step Functions: a task token"


def test_a_job_that_stands_alone_is_told_as_a_workflow_of_one():
    spec = load(json.dumps({"job": {"name": "a", "image": "b", "timeout": "1m"}}), "a.json").spec
    found = explain_job(spec)
    assert found.layers == (("a",),)
    assert found.longest.us == 70 * S
    assert found.schedule is None


def test_the_data_is_json_with_spans_in_seconds():
    found = to_json(told(job("a", retry={"max_attempts": 2}, timeout="1m"), schedule={"cron": "@daily"}))
    assert json.loads(json.dumps(found)) == found
    assert found["jobs"][0]["attempts"]["waits_s"] == [1.0]
    assert found["longest"]["s"] == found["jobs"][0]["longest_s"] == 141.0
    assert found["schedule"]["starts"][0]["due"] == "2026-03-28T00:00:00+00:00"


def test_what_it_takes_and_whom_it_tells_is_in_words():
    properties = {
        "region": {"type": "string", "default": "eu"},
        "n": {"type": ["integer", "null"]},
        "m": {"enum": [1, 2]},
    }
    found = told(
        job("a"),
        input={"type": "object", "properties": properties, "required": ["n"]},
        notifications={"on_failure": [
            {"type": "email", "recipients": ["a@example.com", "b@example.com"]}, {"type": "slack", "channel": "#x"},
        ]},
    )  # fmt: skip
    assert found.params == ('region: string, default "eu"', "n: integer or null, required", "m: 1 or 2")
    assert found.notices == ("when a run fails: a mail to a@example.com and b@example.com and #x in Slack",)


# --- schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/15 * * * *", "every 15 minutes"),
        ("*/15 8-18 * * *", "every 15 minutes from 08:00 to 18:45"),
        ("0 * * * *", "every hour"),
        ("5 * * * *", "every hour, 5 minutes past"),
        ("0 */2 * * *", "every 2 hours from 00:00"),
        ("30 2 * * *", "at 02:30 every day"),
        ("0 8,12,16 * * *", "at 08:00, 12:00 and 16:00 every day"),
        ("30 6 * * mon-fri", "at 06:30 from Monday to Friday"),
        ("0 9 * * sat,sun", "at 09:00 on Saturday and Sunday"),
        ("@monthly", "at 00:00 on the first of the month"),
        ("0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"),
        ("@yearly", "at 00:00 on the first of the month in January"),
        ("0 0 * 6-8 *", "at 00:00 every day from June to August"),
        ("0 0 13 * 5", "at 00:00 on day 13 of the month and on Friday, whichever fits"),
        ("0 0 1-31 * 5", "at 00:00 every day"),
        ("0 0 */7 * 5", "at 00:00 on days 1, 8, 15, 22 and 29 of the month if it is Friday"),
        ("0,20 1-9 * * *", "at minutes 0 and 20 of hours 1–9"),
        ("10 0-23 * * *", "every hour, 10 minutes past"),
        ("10 8-18 * * *", "every hour from 08:10 to 18:10"),
    ],
)  # fmt: skip
def test_a_cron_is_told_in_words(cron, words):
    assert in_words(Cron.parse(cron)) == words


def test_both_days_are_told_as_a_condition():
    assert in_words(Cron.parse("0 0 13 * 5"), both_days=True) == "at 00:00 on day 13 of the month if it is Friday"


def test_the_next_five_starts_have_their_data_intervals():
    found = explain_schedule(Schedule(cron="0 2 * * *", timezone="Europe/Paris"), now=NOW)
    assert len(found.starts) == 5
    first = found.starts[0]
    assert first.due.isoformat() == "2026-03-27T02:00:00+01:00"
    assert first.logical_date.isoformat() == first.data_interval_start.isoformat() == "2026-03-26T02:00:00+01:00"
    assert first.data_interval_end == first.due
    assert found.says == "at 02:00 every day, by the clock of Europe/Paris"


def test_a_time_that_clocks_skip_or_repeat_is_noted():
    spring = explain_schedule(Schedule(cron="30 2 * * *", timezone="Europe/Paris"), now=NOW)
    assert [one.notes for one in spring.starts] == [
        (), (), ("its time does not exist that day, so it starts at 03:00", "23h30m of data: clocks go forward"),
        (), (),
    ]  # fmt: skip
    assert spring.clock_change == (
        "clocks go forward by 1h on Sun 2026-03-29 at 02:00: "
        "a time that does not exist is started at the first that does"
    )
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    for overlap, notes in (("first", ["first"]), ("second", ["second"]), ("both", ["first", "second"])):
        spec = Schedule.model_validate({"cron": "30 2 * * *", "timezone": "Europe/Paris", "dst": {"overlap": overlap}})
        told = [one for start in explain_schedule(spec, now=autumn).starts for one in start.notes if "twice" in one]
        assert told == [f"02:30 comes twice that day, and this is the {which}" for which in notes]


@pytest.mark.parametrize(
    ("cron", "dst", "words"),
    [
        ("30 2 * * *", {"gap": "skip"}, "a time that does not exist is left out"),
        ("0 12 * * *", {}, "no start falls into that"),
        ("30 2 * * 1", {}, "no start falls into that"),
        ("*/15 * * * *", {}, "every real hour has its starts, and an hour that is left out has none"),
    ],
)
def test_what_the_next_clock_change_does_is_told_for_this_schedule(cron, dst, words):
    spec = Schedule.model_validate({"cron": cron, "timezone": "Europe/Paris", "dst": dst})
    assert (
        explain_schedule(spec, now=NOW).clock_change == f"clocks go forward by 1h on Sun 2026-03-29 at 02:00: {words}"
    )
    autumn = explain_schedule(spec, now=datetime(2026, 10, 1, tzinfo=UTC)).clock_change
    assert autumn.startswith("clocks go back by 1h on Sun 2026-10-25 at 03:00: ")


def test_an_interval_and_a_zone_without_clock_changes_have_nothing_to_note():
    found = explain_schedule(Schedule(interval="6h", start_date="2026-01-01"), now=NOW)
    assert found.says == "every 6h, counted from 2026-01-01"
    assert found.clock_change == ""
    assert all(not one.notes for one in found.starts)


def test_starts_end_with_the_end_date():
    found = explain_schedule(Schedule(cron="@daily", start_date="2026-03-20", end_date="2026-03-28"), now=NOW)
    assert [f"{one.logical_date:%m-%d}" for one in found.starts] == ["03-27", "03-28"]
    assert "last logical date 2026-03-28" in found.rules


def test_a_trigger_has_words_and_no_starts():
    found = explain_schedule(Schedule(trigger="archive_discovered", source="s3://raw/"), now=NOW)
    assert found.says == "when an event archive_discovered comes from s3://raw/…"
    assert found.starts == ()
