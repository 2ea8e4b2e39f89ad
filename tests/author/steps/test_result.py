"""Results: what a step says of itself, and what follows from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa import ErrorCategory, FailureClass, PayloadError, QualityMetrics, StepResult
from ripresa.author.steps.result import result_of
from ripresa.contracts.errors import StepResultFailed
from tests.author.steps.test_frozen import JSON

EVENTS = st.lists(st.text(min_size=1) | st.fixed_dictionaries({"type": st.text(min_size=1), "data": JSON}), max_size=2)
OKS = st.builds(
    StepResult.ok,
    JSON,
    context_updates=st.dictionaries(st.sampled_from("ab"), JSON),
    quality=st.none() | st.just(QualityMetrics(record_count=3)),
    events=EVENTS,
    next_step=st.none() | st.just("there"),
)
FAILS = st.builds(StepResult.fail, st.text(), st.sampled_from(list(ErrorCategory)) | st.just("odd"), output=JSON)


@given(OKS | FAILS)
def test_a_result_is_read_as_it_was_written(result):
    assert StepResult.from_json(result.to_json()) == result


@given(JSON)
def test_any_other_value_is_an_output(value):
    assert result_of(value) == StepResult.ok(value)
    if not (isinstance(value, dict) and type(value.get("success")) is bool):
        assert StepResult.from_json(value) == StepResult.ok(value)


def test_a_value_that_only_looks_like_a_result_is_an_output():
    assert StepResult.from_json({"success": True, "rows": 3}).output == {"success": True, "rows": 3}
    assert StepResult.from_json({"success": "yes"}).output == {"success": "yes"}


@pytest.mark.parametrize(
    ("category", "means"),
    [
        (ErrorCategory.INTERNAL, FailureClass.RETRYABLE),
        (ErrorCategory.TRANSIENT, FailureClass.RETRYABLE),
        (ErrorCategory.DEPENDENCY, FailureClass.RETRYABLE),
        (ErrorCategory.VALIDATION, FailureClass.TERMINAL),
        (ErrorCategory.DATA_QUALITY, FailureClass.TERMINAL),
        ("CONFIGURATION", FailureClass.TERMINAL),
        ("terminal", FailureClass.TERMINAL),
        ("quarantine", FailureClass.QUARANTINE),
        ("sunspots", FailureClass.RETRYABLE),
    ],
)
def test_a_category_says_whether_another_attempt_can_help(category, means):
    result = StepResult.fail("no", category)
    assert result.failure_class is means
    with pytest.raises(StepResultFailed) as caught:
        result.raise_if_failed()
    assert caught.value.failure_class is means
    assert caught.value.code == category.lower()
    assert caught.value.details == result.to_json()


def test_a_success_has_no_failure():
    result = StepResult.ok(1)
    assert result.failure_class is None
    result.raise_if_failed()


def test_an_exception_may_be_the_error():
    assert StepResult.fail(ValueError("bad row")).error == "bad row"
    assert StepResult.fail(ValueError()).error == "ValueError"


@pytest.mark.parametrize(
    "fields",
    [
        {"output": float("nan")},
        {"context_updates": {"run_id": "x"}},
        {"context_updates": {"a": object()}},
        {"context_updates": [1]},
        {"events": [{"kind": "x"}]},
        {"events": [{"type": "x", "data": float("inf")}]},
        {"events": [""]},
    ],
)
def test_what_cannot_be_recorded_is_refused(fields):
    with pytest.raises(PayloadError):
        StepResult.ok(**fields)


def test_quality_may_be_given_as_a_mapping():
    assert StepResult.ok(quality={"record_count": 4, "valid_count": 2, "skew": 1.5}).quality == QualityMetrics(
        record_count=4, valid_count=2, custom_metrics={"skew": 1.5}
    )


def test_a_failure_that_is_too_large_to_be_recorded_is_refused():
    with pytest.raises(PayloadError, match="the limit is 8,388,608"):
        StepResult.fail("no", output="x" * 9_000_000).raise_if_failed()
