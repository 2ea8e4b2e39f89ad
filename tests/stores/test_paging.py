import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.ports.reading import RunFilter
from ripresa.stores.paging import cursor_after, read_cursor


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cursor_names_the_row_that_it_was_made_for(last):
    where = RunFilter(status=("failed",), tags=(("region", "eu"),))
    assert read_cursor(cursor_after(last, where), where) == last


@given(st.text())
def test_any_other_text_is_refused(text):
    with pytest.raises(ValueError, match="first page without a cursor"):
        read_cursor(text, RunFilter())


@given(st.integers(0), st.integers(1, 255))
def test_a_cursor_with_an_altered_byte_is_refused(place, difference):
    cursor = bytearray(cursor_after("0190", RunFilter()), "ascii")
    cursor[place % len(cursor)] ^= difference
    with contextlib.suppress(ValueError):
        assert read_cursor(cursor.decode("latin-1"), RunFilter()) == "0190"  # unused bits of the last character


def test_a_cursor_of_another_list_is_refused():
    cursor = cursor_after("0190", RunFilter(definition="orders"))
    with pytest.raises(ValueError, match="does not belong to this list"):
        read_cursor(cursor, RunFilter(definition="bills"))
