"""The context: what a step sees, which nobody can change."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa import PartitionKey, PayloadError, WorkflowContext
from ripresa.author.steps.context import RESERVED
from tests.author.steps.test_frozen import JSON

NAMES = st.text(min_size=1).filter(lambda name: name not in RESERVED and not name.startswith("$"))
CONTEXTS = st.builds(
    WorkflowContext.new,
    st.dictionaries(NAMES, JSON, max_size=4),
    batch_id=st.none() | st.text(),
    partition=st.none() | st.dictionaries(st.sampled_from("abc"), st.integers() | st.text()),
    as_of_date=st.none() | st.dates(),
    capture_id=st.none() | st.text(),
)


def test_a_change_gives_another_context():
    first = WorkflowContext.new({"tier": "T1"})
    second = first.with_step_output("count", {"rows": 3}).with_updates(tier="T2", day=1)
    assert first.params == {"tier": "T1"}
    assert first.outputs == {}
    assert second.get_param("tier") == "T2"
    assert second.get_output("count") == {"rows": 3}
    assert second.get_output("count", "rows") == 3


def test_what_is_not_there_is_the_default():
    context = WorkflowContext.new().with_step_output("count", 3)
    assert context.get_param("tier") is None
    assert context.get_param("tier", "T1") == "T1"
    assert context.get_output("load") is None
    assert context.get_output("load", "rows", 0) == 0
    assert context.get_output("count", "rows", 0) == 0


def test_no_field_can_be_set():
    context = WorkflowContext.new()
    with pytest.raises(AttributeError):
        context.batch_id = "b"
    with pytest.raises(TypeError, match="cannot be changed"):
        context.params["tier"] = "T1"


@pytest.mark.parametrize("name", [*sorted(RESERVED), "$end", "", 7])
def test_reserved_names_cannot_be_written(name):
    with pytest.raises(PayloadError, match=r"is a name of the context itself|is not a name"):
        WorkflowContext.new().with_updates({name: 1})


@given(CONTEXTS, NAMES, JSON)
def test_a_context_is_read_as_it_was_written(context, name, value):
    context = context.with_step_output("step", value).with_updates({name: value}).with_item(value, 3)
    again = WorkflowContext.from_json(context.to_json())
    assert again == context
    assert again.to_json() == context.to_json()
    assert hash(again) == hash(context)


def test_dates_may_be_written_as_text():
    assert WorkflowContext.new(as_of_date="2026-01-31").as_of_date == date(2026, 1, 31)
    assert WorkflowContext.new(as_of_date=datetime(2026, 1, 31, 8, tzinfo=UTC)).as_of_date == date(2026, 1, 31)
    with pytest.raises(ValueError, match="'yesterday' is not a date; write 2026-01-31"):
        WorkflowContext.new(as_of_date="yesterday")


def test_equal_partitions_are_equal_in_whatever_order_they_are_written():
    key = PartitionKey(region="eu", day=date(2026, 1, 31))
    assert key == PartitionKey(day="2026-01-31", region="eu")
    assert hash(key) == hash(PartitionKey(day="2026-01-31", region="eu"))
    assert dict(key) == {"day": "2026-01-31", "region": "eu"}
    assert key["region"] == "eu"
    assert str(key) == "day=2026-01-31/region=eu"
    assert key != PartitionKey(region="eu")
    with pytest.raises(TypeError, match="coordinate is text"):
        PartitionKey(region=["eu"])


def test_a_partition_can_be_refined():
    context = WorkflowContext.new(partition={"region": "eu"}).with_partition(day=1)
    assert context.partition == PartitionKey(region="eu", day=1)
    assert context.with_partition(PartitionKey(tier="T1")).partition == PartitionKey(tier="T1")
