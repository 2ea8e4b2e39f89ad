"""Frozen values: nothing that a step is given can be changed, however deep it lies."""

import copy
import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from ripresa import PayloadError
from ripresa.author.steps.frozen import FrozenDict, FrozenList, freeze, thaw

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip

CHANGES = [
    lambda d: d.__setitem__("a", 1),
    lambda d: d.__delitem__("a"),
    lambda d: d.update(a=1),
    lambda d: d.setdefault("b", 1),
    lambda d: d.pop("a"),
    lambda d: d.popitem(),
    lambda d: d.clear(),
    lambda d: d.__ior__({"b": 1}),
]
LIST_CHANGES = [
    lambda x: x.append(1),
    lambda x: x.extend([1]),
    lambda x: x.insert(0, 1),
    lambda x: x.pop(),
    lambda x: x.remove(1),
    lambda x: x.reverse(),
    lambda x: x.sort(),
    lambda x: x.clear(),
    lambda x: x.__setitem__(0, 2),
    lambda x: x.__delitem__(0),
    lambda x: x.__iadd__([1]),
    lambda x: x.__imul__(2),
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_mapping_can_be_changed(change):
    value = freeze({"deep": [{"a": 1}]}, "value")
    with pytest.raises(TypeError, match="cannot be changed"):
        change(value["deep"][0])
    assert value == {"deep": [{"a": 1}]}


@pytest.mark.parametrize("change", LIST_CHANGES)
def test_no_list_can_be_changed(change):
    value = freeze({"deep": {"list": [1]}}, "value")
    with pytest.raises(TypeError, match=r"this list belongs to .* list\(value\)"):
        change(value["deep"]["list"])
    assert value == {"deep": {"list": [1]}}


def test_every_method_that_changes_is_refused():
    for kind, frozen in ((dict, FrozenDict), (list, FrozenList)):
        methods = {name for name in vars(kind) if not name.startswith("__")} - {"copy", "fromkeys", "get", "keys"}
        methods -= {"values", "items", "count", "index"}
        methods |= {"__setitem__", "__delitem__", "__ior__" if kind is dict else "__iadd__"}
        assert methods <= set(vars(frozen))


@given(JSON)
def test_a_frozen_value_reads_like_the_value(value):
    frozen = freeze(value, "value")
    assert frozen == json.loads(json.dumps(value))
    assert json.loads(to_json(frozen)) == frozen
    assert thaw(frozen) == frozen
    assert copy.deepcopy(frozen) == frozen
    assert pickle.loads(pickle.dumps(frozen)) == frozen
    assert isinstance(hash(frozen), int)


def test_who_gave_a_value_keeps_no_way_in():
    given = {"list": [1]}
    frozen = freeze(given, "value")
    given["list"].append(2)
    thaw(frozen)["list"].append(3)
    assert frozen == {"list": [1]}


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, CYCLE, {"deep": [object()]}, b"\xff"], ids=["nan", "inf", "cycle", "object", "bytes"]
)
def test_what_json_cannot_hold_is_refused_at_once(value):
    with pytest.raises(PayloadError, match="place"):
        freeze(value, "place")
