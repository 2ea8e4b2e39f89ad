"""Texts are read with the place of every value, and what a definition has no need of is refused where it stands."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.contracts.errors import SpecInvalid
from ripresa.contracts.reading import read


def refused(text, file="x.yaml"):
    with pytest.raises(SpecInvalid) as caught:
        read(text, file)
    return caught.value.problems


def test_every_value_and_key_knows_its_line_and_column():
    document = read('a:\r\n  b: [1, "x"]\n  é: {c: null}\n', "x.yaml")
    assert document.value == {"a": {"b": [1, "x"], "é": {"c": None}}}
    places = {
        ("a", "b", 1): (2, 10),
        ("a", "b"): (2, 6),
        ("a", "é", "c"): (3, 10),
    }
    for path, place in places.items():
        assert document.position(document.offset(path)) == place
    assert document.position(document.offset(("a", "é"), key=True)) == (3, 3)
    assert document.position(document.offset(("a", "b", 7, "z"))) == (2, 6), "the nearest value around it"


def test_json_has_the_same_places():
    document = read('{"a": {"b": [1,\n "x"]}}', "x.json")
    assert document.value == {"a": {"b": [1, "x"]}}
    assert document.position(document.offset(("a", "b", 1))) == (2, 2)
    assert document.position(document.offset(("a", "b"), key=True)) == (1, 8)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("0123", "0123"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"), ("0b11", "0b11"), ("=", "="), ("1.2.3", "1.2.3"), ("+", "+"), (".", "."), ("1e", "1e"),
        ("~", None), ("null", None), ("", None), ("true", True), ("False", False), ("12", 12), ("-7", -7), ("+5", 5),
        ("0o17", 15), ("0x1F", 31), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-0.0", 0.0), ("0", 0),
        ('"12"', "12"), ("'true'", "true"), ("|\n  12\n", "12\n"),
    ],
)  # fmt: skip
def test_only_what_looks_like_a_number_to_everybody_is_one(word, value):
    found = read(f"a: {word}")
    assert found.value == {"a": value}
    assert type(found.value["a"]) is type(value)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(categories=["L", "N"]), min_size=1), inner),
    max_leaves=20,
)


@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_json_is_read_as_python_reads_it(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read(text, "x.json").value == json.loads(text)


def problems_of(text, file):
    try:
        read(text, file)
    except SpecInvalid as error:
        return error.problems
    return ()


@given(st.text(max_size=60), st.sampled_from(["x.yaml", "x.json"]))
def test_any_text_is_read_or_refused_with_a_remedy(text, file):
    assert all(one.remedy for one in problems_of(text, file))


@given(st.text('{}[]:,"\\ \n0123456789.eE+-truefalsn', max_size=40))
def test_json_is_refused_exactly_where_python_refuses_it(text):
    def unique(pairs):
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def finite(word):
        number = float(word)
        if number in (float("inf"), float("-inf")):
            raise ValueError("infinite")
        return number

    def constant(_):
        raise ValueError("no JSON")

    try:
        expected = json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=constant)
    except ValueError:
        refused(text, "x.json")
        return
    if isinstance(expected, int) and abs(expected) > 2**53:
        return
    assert read(text, "x.json").value == expected
