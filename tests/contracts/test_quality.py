"""Quality: what was measured, and whether it keeps its limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from ripresa.contracts.quality import QualityMetrics, QualityThresholds
from ripresa.contracts.quality_trend import QualityTrend

METRICS = st.builds(
    QualityMetrics,
    record_count=st.none() | st.integers(1000, 10**9),
    valid_count=st.none() | st.integers(0, 1000),
    null_rate=st.none() | st.floats(0, 1),
    passed=st.booleans(),
    custom_metrics=st.dictionaries(st.sampled_from("abc"), st.floats(allow_nan=False, allow_infinity=False)),
)


def test_rates_follow_from_counts():
    metrics = QualityMetrics(record_count=200, valid_count=190, null_count=1)
    assert metrics.valid_rate == 0.95
    assert metrics.null_rate == 0.005
    assert metrics.numbers == {
        "record_count": 200,
        "valid_count": 190,
        "null_count": 1,
        "valid_rate": 0.95,
        "null_rate": 0.005,
    }


def test_of_no_records_there_is_no_rate():
    assert QualityMetrics(record_count=0, valid_count=0).valid_rate is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"record_count": -1}, "record_count: -1 is not a whole number"),
        ({"record_count": 1.5}, "record_count: 1.5 is not a whole number"),
        ({"record_count": True}, "record_count: True is not a whole number"),
        ({"valid_rate": 1.2}, "valid_rate: 1.2 is not a share"),
        ({"null_rate": math.nan}, "null_rate: nan is not a share"),
        ({"record_count": 10, "valid_count": 11}, "valid_count: 11 is more than record_count=10"),
        ({"record_count": 10, "valid_count": 9, "valid_rate": 0.5}, "valid_rate: 0.5 is not valid_count"),
        ({"custom_metrics": {"skew": math.inf}}, r"custom_metrics\['skew'\]: inf is not a finite number"),
        ({"custom_metrics": {"null_rate": 0}}, "'null_rate' has a field of its own"),
    ],
)
def test_numbers_that_cannot_be_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        QualityMetrics(**fields)


def test_metrics_cannot_be_changed():
    metrics = QualityMetrics(custom_metrics={"skew": 1.0})
    with pytest.raises(TypeError):
        metrics.custom_metrics["skew"] = 2.0
    with pytest.raises(AttributeError):
        metrics.passed = False


@given(METRICS)
def test_metrics_are_read_as_they_were_written(metrics):
    assert QualityMetrics.from_json(metrics.to_json()) == metrics


def test_named_numbers_are_told_from_the_known_ones():
    metrics = QualityMetrics.of({"record_count": 7, "duplicates": 2, "source": "a.csv", "fresh": True})
    assert metrics == QualityMetrics(record_count=7, custom_metrics={"duplicates": 2})


def test_a_breach_says_what_was_measured_and_what_the_limit_is():
    thresholds = QualityThresholds(min_valid_rate=0.95, max_null_rate=0.01, min_record_count=100)
    metrics = QualityMetrics(record_count=50, valid_count=40, null_rate=0.02)
    assert [str(breach) for breach in thresholds.judge(metrics)] == [
        "valid_rate is 0.8, and min_valid_rate is 0.95",
        "null_rate is 0.02, and max_null_rate is 0.01",
        "record_count is 50, and min_record_count is 100",
    ]


def test_limits_themselves_are_kept():
    thresholds = QualityThresholds(min_valid_rate=0.95, max_null_rate=0.01, min_record_count=100)
    assert thresholds.judge(QualityMetrics(record_count=100, valid_count=95, null_count=1)) == ()


def test_what_was_not_measured_does_not_pass():
    thresholds = QualityThresholds(min_valid_rate=0.95, min_record_count=0)
    assert [str(breach) for breach in thresholds.judge(None)] == [
        "valid_rate was not measured, and min_valid_rate is 0.95",
        "record_count was not measured, and min_record_count is 0",
    ]


def test_no_records_break_no_rate():
    assert QualityThresholds(min_valid_rate=0.95, max_null_rate=0).judge(QualityMetrics(record_count=0)) == ()


def test_a_step_may_fail_its_data_itself():
    (breach,) = QualityThresholds().judge(QualityMetrics(passed=False))
    assert "the step itself" in str(breach)
    assert breach.to_json() == {"limit": "passed", "metric": "passed", "bound": None, "value": None}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"min_valid_rate": 95}, "min_valid_rate: 95 is not a share"),
        ({"max_null_rate": -0.1}, "max_null_rate: -0.1 is not a share"),
        ({"min_record_count": 0.5}, "min_record_count: 0.5 is not a whole number"),
        ({"on_breach": "explode"}, "on_breach: 'explode' is not one of fail, warn, quarantine"),
    ],
)
def test_limits_that_cannot_be_are_refused(fields, says):
    with pytest.raises(ValueError, match=says):
        QualityThresholds(**fields)


class Contract(BaseModel):
    quality: QualityThresholds | None = None


def test_the_contract_reads_it_as_a_field():
    read = Contract.model_validate({"quality": {"min_valid_rate": 0.95, "on_breach": "quarantine"}})
    assert read.quality == QualityThresholds(min_valid_rate=0.95, on_breach="quarantine")
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        Contract.model_validate({"quality": {"min_valid_rate": 95}})
    with pytest.raises(ValidationError, match="min_valid"):
        Contract.model_validate({"quality": {"min_valid": 0.9}})


def test_its_schema_names_the_bounds():
    schema = TypeAdapter(QualityThresholds).json_schema()
    assert schema["additionalProperties"] is False
    assert schema["properties"]["min_valid_rate"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 1}


# --- trend -------------------------------------------------------------------------------------


def runs(*rates):
    return [QualityMetrics(valid_rate=rate) for rate in rates]


def test_a_fall_beyond_the_scatter_is_a_degradation():
    (found,) = QualityTrend().judge(QualityMetrics(valid_rate=0.8), runs(0.98, 0.99, 0.97, 0.98, 0.99))
    assert str(found) == "valid_rate is 0.8; the median of the last 5 runs is 0.98"
    assert found.to_json()["runs"] == 5


def test_what_scatters_anyway_is_none():
    assert QualityTrend().judge(QualityMetrics(valid_rate=0.8), runs(0.7, 0.99, 0.75, 0.95, 0.85)) == ()


def test_a_last_digit_is_no_alarm_after_runs_that_are_all_alike():
    trend = QualityTrend()
    assert trend.judge(QualityMetrics(valid_rate=0.999), runs(*[1.0] * 20)) == ()
    assert trend.judge(QualityMetrics(null_rate=0.001), [QualityMetrics(null_rate=0.0)] * 20) == ()


def test_more_nulls_and_fewer_records_are_worse():
    before = [QualityMetrics(record_count=1000, null_rate=0.01)] * 5
    found = QualityTrend().judge(QualityMetrics(record_count=100, null_rate=0.5), before)
    assert [one.metric for one in found] == ["record_count", "null_rate"]
    assert QualityTrend().judge(QualityMetrics(record_count=9000, null_rate=0.0), before) == ()


def test_too_few_runs_say_nothing():
    assert QualityTrend(min_runs=5).judge(QualityMetrics(valid_rate=0.1), runs(1, 1, 1, 1)) == ()


def test_only_the_last_runs_count():
    trend = QualityTrend(runs=5, min_runs=5)
    assert trend.judge(QualityMetrics(valid_rate=0.5), runs(*[0.5] * 5, *[1.0] * 50)) == ()


@given(METRICS, st.lists(METRICS, max_size=30))
def test_the_better_is_never_a_degradation(metrics, earlier):
    for found in QualityTrend().judge(metrics, earlier):
        assert found.value > found.median if found.metric == "null_rate" else found.value < found.median


@pytest.mark.parametrize("fields", [{"runs": 3}, {"min_runs": 0}, {"spread": -1}, {"fraction": 2}])
def test_a_trend_that_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match="QualityTrend"):
        QualityTrend(**fields)
