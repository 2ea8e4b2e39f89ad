from __future__ import annotations

import json

import pytest

from ripresa.contracts.job_order import JobOrder, JobResult, is_skipped, split_image
from ripresa.contracts.resources import Resources
from ripresa.contracts.secret_ref import SecretRef
from ripresa.contracts.time_limits import TimeLimits

WHOLE = {
    "name": "extract",
    "image": "registry:5000/lakehouse/extract:1.0",
    "command": ["python", "extract.py"],
    "args": ["--date", "2024-01-01"],
    "params": {"source": "sales_db", "tables": ["a", "b"], "full": True},
    "env": {"TRINO": "http://trino"},
    "secrets": {"DB_PASSWORD": "secret:sales/db#password"},
    "volumes": ["cache:/cache"],
    "resources": {"cpu": "1000m", "memory": "2Gi", "on_retry": {"memory": "*2", "max": "8Gi"}},
    "exit_codes": {"terminal": [2], "quarantine": [42], "skip": [99]},
    "outputs": {"rows": "integer"},
    "limits": {"grace_s": 10.0, "heartbeat_s": 60.0},
    "dates": {"DS": "2024-01-01"},
}


def order(**fields):
    return JobOrder(**{"name": "extract", "image": "lakehouse/extract", **fields})


def test_an_order_comes_back_from_json_as_it_was():
    whole = JobOrder(**WHOLE)
    assert json.loads(json.dumps(whole.to_json())) == WHOLE
    assert JobOrder.from_json(whole.to_json()) == whole
    assert JobOrder.from_json({**WHOLE, "of_a_newer_version": 1}) == whole


def test_the_environment_says_who_when_and_with_what():
    told = order(
        params={"source-db": "sales", "tables": ["a"], "full": True},
        env={"LEVEL": "info"},
        dates={"ds": "2024-01-01", "prev_execution_date": "2023-12-31"},
    ).environment(run_id="r-1", attempt=2, idempotency_key="k", correlation_id="c", job_output="/out")
    assert told == {
        "DS": "2024-01-01",
        "PARAM_SOURCE_DB": "sales",
        "PARAM_TABLES": '["a"]',
        "PARAM_FULL": "true",
        "LEVEL": "info",
        "RUN_ID": "r-1",
        "JOB": "extract",
        "ATTEMPT": "2",
        "IDEMPOTENCY_KEY": "k",
        "CORRELATION_ID": "c",
        "JOB_OUTPUT": "/out",
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "a b"}, "letters, digits"),
        ({"image": "../etc"}, "image: '../etc' is no image name"),
        ({"image": "-v"}, "no image name"),
        ({"image": "a b"}, "no image name"),
        ({"command": "python extract.py"}, "command: 'python extract.py' is not a list"),
        ({"command": []}, "leave it out"),
        ({"args": ["a\0b"]}, r"args\[0\].*NUL"),
        ({"args": [1]}, r"args\[0\]: 1 is not a text"),
        ({"env": {"A B": "x"}}, "'A B' is not a name"),
        ({"env": {"A": 1}}, "env.A: 1 is not a text"),
        ({"env": {"JOB_OUTPUT": "/x"}}, "set by ripresa"),
        ({"secrets": {"DS": "env:X"}}, "set by ripresa"),
        ({"params": {"a": 1}, "env": {"PARAM_A": "2"}}, "params.a has this variable already"),
        ({"env": {"A": "1"}, "secrets": {"A": "env:X"}}, "env has this variable already"),
        ({"params": {"a-b": 1, "a_b": 2}}, "the same environment variable"),
        ({"outputs": {"rows": "int"}}, "'int' is not one of string, integer"),
        ({"exit_codes": {"skip": [0]}}, "0 is no exit code from 1 to 255"),
        ({"exit_codes": {"skip": [3], "terminal": [3]}}, "3 is both terminal and skip"),
        ({"exit_codes": {"skipped": [3]}}, 'did you mean "skip"'),
        ({"resources": {"mem": "1Gi"}}, 'did you mean "memory"'),
        ({"resources": {"memory": "1 GB"}}, "resources.memory: '1 GB' is no amount of memory"),
        ({"resources": {"on_retry": {"memory": "*2"}}}, "no resources.memory to multiply"),
        ({"limits": {"grace_s": -1}}, "limits.grace_s"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(fields, says):
    with pytest.raises(ValueError, match=says) as caught:
        order(**fields)
    assert str(caught.value).startswith("job '")


def test_a_text_that_is_no_reference_is_never_repeated_for_it_may_be_the_secret():
    with pytest.raises(ValueError, match=r"secrets\.DB: this is no reference") as caught:
        order(secrets={"DB": "hunter2-hunter2"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "path", "key"),
    [
        ("env:DB_PASSWORD", "env", "DB_PASSWORD", None),
        ("file:/run/secrets/db", "file", "/run/secrets/db", None),
        ("secret:sales/db#password", "secret", "sales/db", "password"),
        ("secret:sales/db", "secret", "sales/db", None),
    ],
)
def test_references_are_read_and_written_alike(text, kind, path, key):
    reference = SecretRef.parse(text)
    assert (reference.kind, reference.path, reference.key) == (kind, path, key)
    assert str(reference) == text


@pytest.mark.parametrize(
    "text", ["env:", "env:A B", "file:relative", "secret:", "secret:../x", "secret:a/../b", "x:y", ""]
)
def test_other_texts_are_no_references(text):
    with pytest.raises(ValueError, match="no reference"):
        SecretRef.parse(text)


def test_memory_grows_with_the_attempts_up_to_its_maximum():
    resources = Resources.of({"memory": "1Gi", "on_retry": {"memory": "*2", "max": "3Gi"}})
    assert [resources.memory_bytes(attempt) for attempt in (1, 2, 3, 1000)] == [1 << 30, 2 << 30, 3 << 30, 3 << 30]
    assert Resources.of({"memory": "1Gi"}).memory_bytes(9) == 1 << 30
    assert Resources.of({}).memory_bytes(1) is None


def test_an_image_has_a_name_and_a_tag():
    assert split_image("lakehouse/extract:1.0") == ("lakehouse/extract", "1.0")
    assert split_image("lakehouse/extract") == ("lakehouse/extract", "latest")
    assert split_image("reg:5000/extract") == ("reg:5000/extract", "latest")
    assert split_image("a/b:2@sha256:" + "0" * 64) == ("a/b", "2")


def test_a_result_is_recorded_as_its_output_and_a_skip_is_told_from_any_output():
    assert JobResult(output={"rows": 1}).dump() == '{"rows":1}'
    skipped = JobResult(exit_code=99, skipped=True)
    assert JobResult.load(skipped.dump()) == skipped
    assert JobResult.load('{"rows":1}') == JobResult(output={"rows": 1})
    assert is_skipped(json.loads(skipped.dump()))
    assert not is_skipped({"skipped": True})


def test_time_limits_are_one_for_each_attempt_or_named():
    assert TimeLimits.of("30m").attempt_us == 1_800_000_000
    named = TimeLimits.of({"attempt": "1m", "total": "2h", "queue": 5, "heartbeat": "10s", "grace": 0})
    assert named == TimeLimits(
        attempt_us=60_000_000, total_us=7_200_000_000, queue_us=5_000_000, heartbeat_us=10_000_000, grace_us=0
    )
    with pytest.raises(ValueError, match=r'timeout\.beat: unknown field; did you mean "heartbeat"'):
        TimeLimits.of({"beat": 1})
    with pytest.raises(ValueError, match="no time at all"):
        TimeLimits.of(0)
