"""What holds for any definition: it loads again as itself, and any damage to it is told in the contract's own words."""

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ripresa.author.templates import Template
from ripresa.contracts.cron import Cron, CronRefused
from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.reading import read
from ripresa.contracts.spec import load
from ripresa.contracts.spec.schedule import Schedule
from tests.contracts.test_load import whole_example

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
durations = st.sampled_from(["1s", "30s", "5m", "1h30m", "PT15M"])
retries = st.fixed_dictionaries(
    {},
    optional={
        "max_attempts": st.integers(1, 100),
        "delay": st.sampled_from(["0s", "1s", "5m", "PT15M"]),
        "backoff_multiplier": st.floats(1, 100),
        "max_delay": st.just("30d"),
        "jitter": st.sampled_from(["none", "full"]),
    },
)
timeouts = durations | st.fixed_dictionaries({"attempt": durations}, optional={"grace": durations})
jobs = st.fixed_dictionaries(
    {"image": st.sampled_from(["a/b:1", "reg:5000/x/y@sha256:" + "0" * 64])},
    optional={
        "description": st.text(st.characters(categories=["L", "N", "Zs"]), max_size=20),
        "args": st.lists(st.sampled_from(["{{ ds }}", "--date", "x y", "-", ""]), max_size=3),
        "params": st.dictionaries(st.sampled_from(["x", "y", "n"]), st.integers(-(2**53), 2**53) | st.none()),
        "resources": st.just({"cpu": "500m", "memory": "1Gi"}),
        "exit_codes": st.just({"terminal": [2], "skip": [99]}),
        "outputs": st.just({"rows": "integer"}),
        "retry": retries,
        "timeout": timeouts,
    },
)


@st.composite
def workflows(draw):
    chosen = draw(st.lists(names, min_size=1, max_size=6, unique_by=str.casefold))
    entries = []
    for index, name in enumerate(chosen):
        entry = {"job": {"name": name, **draw(jobs)}}
        before = draw(st.lists(st.sampled_from(chosen[:index]), unique=True, max_size=3)) if index else []
        if before:
            entry["depends_on"] = [draw(st.sampled_from([one, {"job": one, "when": "done"}])) for one in before]
        entries.append(entry)
    return {"workflow": {"name": draw(names), "jobs": entries, "priority": draw(st.integers(-1000, 1000))}}


@settings(deadline=None)
@given(workflows())
def test_a_definition_loads_again_as_itself_from_its_body_and_from_its_spec(value):
    loaded = load(json.dumps(value), "x.json", templates=Template.parse)
    again = load(loaded.body, "body.json")
    assert (again.spec, again.version, again.body) == (loaded.spec, loaded.version, loaded.body)
    written = load(json.dumps({"workflow": loaded.spec.written()}), "spec.json")
    assert written.spec == loaded.spec


EXAMPLE = read(whole_example()).value
anything = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just([]) | st.just({}) | st.floats(
    allow_nan=False, allow_infinity=False
) | st.just({"name": "x", "type": "email"}) | st.lists(st.integers(), max_size=2)  # fmt: skip


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


PLACES = [path for path in places(EXAMPLE) if len(path) > 1]


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(PLACES), anything, st.sampled_from(["replace", "add", "remove"]))
def test_any_damage_is_told_in_our_own_words(path, value, how):
    damaged = copy.deepcopy(EXAMPLE)
    around = damaged
    for step in path[:-1]:
        around = around[step]
    if how == "remove":
        del around[path[-1]]
    elif how == "add" and isinstance(around, dict):
        around["surplus"] = value
    else:
        around[path[-1]] = value
    for problem in problems_of(json.dumps(damaged)):
        assert problem.code != "invalid", problem
        assert problem.message
        assert problem.remedy or problem.did_you_mean, problem
        assert problem.line == 1
        assert problem.path.startswith(("workflow", "contract"))


def problems_of(text):
    try:
        load(text, "x.json", templates=Template.parse)
    except SpecInvalid as error:
        return error.problems
    return ()


# --- cron -------------------------------------------------------------------------------------------


@given(st.text("0123456789*/,-@LW#?aJANmonSUN \t\u0663", max_size=40) | st.text(max_size=40))
def test_any_text_is_a_cron_or_refused_with_a_remedy(text):
    try:
        cron = Cron.parse(text)
    except CronRefused as error:
        refused = error
    else:
        assert cron.minutes <= set(range(60))
        assert cron.weekdays <= set(range(7))
        assert all((cron.minutes, cron.hours, cron.days, cron.months, cron.weekdays))
        return
    assert refused.remedy


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("*/15 * * * *", "minutes", {0, 15, 30, 45}),
        ("1-10/3 * * * *", "minutes", {1, 4, 7, 10}),
        ("0 0 * * 7", "weekdays", {0}),
        ("0 0 * * sun,MON", "weekdays", {0, 1}),
        ("0 0 * * 5-7", "weekdays", {5, 6, 0}),
        ("0 0 * * fri-sun", "weekdays", {5, 6, 0}),
        ("0 0 * * *", "weekdays", set(range(7))),
        ("0 0 * jan-mar *", "months", {1, 2, 3}),
        ("@weekly", "weekdays", {0}),
        ("@monthly", "days", {1}),
    ],
)
def test_a_cron_is_read(text, field, values):
    assert getattr(Cron.parse(text), field) == values


@pytest.mark.parametrize(
    ("text", "both", "fires"),
    [
        ("0 0 29 2 *", False, True),
        ("0 0 30 2 *", False, False),
        ("0 0 30 2 1", False, True),
        ("0 0 30 2 1", True, False),
        ("0 0 31 2,4 *", False, False),
        ("0 0 31 2,5 *", False, True),
        ("0 0 29 2 1", True, True),
        ("0 0 31 2 */2", False, False),
    ],
)
def test_a_cron_that_never_fires_is_known(text, both, fires):
    assert Cron.parse(text).fires(both_days=both) is fires


def test_every_schedule_that_is_accepted_can_be_read_by_the_dates():
    from ripresa.author.dates import Schedule as Dates

    for given_one in (
        {"cron": "30 2 * * *", "timezone": "America/New_York", "dst": {"gap": "skip", "overlap": "both"}},
        {"interval": "1h", "start_date": "2024-01-01"},
        {"interval": "PT90M", "start_date": "2024-01-01T06:00:00+02:00", "end_date": "2025-01-01"},
        {"cron": "@daily", "day_match": "and", "catchup": {"max": 3}},
    ):
        schedule = Schedule.model_validate(given_one)
        assert Dates.of(schedule.written()) is not None
