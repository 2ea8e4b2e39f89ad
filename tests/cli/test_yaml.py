"""What is written as YAML is read back as the same data, by readers of YAML 1.1 too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.cli.yaml import to_yaml

yaml = pytest.importorskip("yaml")

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=20,
)


@given(values)
def test_yaml_gives_back_what_was_written(value):
    assert yaml.safe_load(to_yaml(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "null",
        "1",
        "1e3",
        "0x1",
        "2024-01-01",
        "12:30:00",
        ".5",
        "a: b",
        "a #b",
        "- a",
        "",
        " a",
        "a\n",
        "~",
        "=",
        "<<",
        "é",
    ],
)
def test_a_text_stays_a_text(text):
    assert yaml.safe_load(to_yaml({"a": [text], text: 1})) == {"a": [text], text: 1}


def test_it_looks_as_people_write_it():
    assert to_yaml({"id": "order-7", "steps": [{"step": "charge", "output": {"paid": 42}}], "tags": {}}) == (
        "id: order-7\nsteps:\n  - step: charge\n    output:\n      paid: 42\ntags: {}\n"
    )
