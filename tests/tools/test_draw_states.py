"""The drawing of a run's statuses is what the kernel's table says."""

from itertools import product

import pytest

from tools.draw_states import ARROWS, DRAWING, PLACES, chosen, draw, table


def test_the_committed_drawing_is_that_of_the_table():
    assert DRAWING.read_text("utf-8") == draw(table()), "run: python tools/draw_states.py"


def test_what_is_drawn_is_the_table_and_nothing_else():
    assert set().union(*(arrow.pairs for arrow in chosen(table()))) == table()


@pytest.mark.parametrize("gone", sorted(table()), ids="-".join)
def test_a_change_that_is_not_allowed_any_more_is_not_drawn(gone):
    allowed = table() - {gone}
    assert set().union(*(arrow.pairs for arrow in chosen(allowed))) == allowed


def test_a_change_that_has_no_arrow_yet_gets_one():
    new = next(pair for pair in product(PLACES, PLACES) if pair[0] != pair[1] and pair not in table())
    added = [arrow for arrow in chosen(table() | {new}) if arrow not in ARROWS]
    assert [arrow.pairs for arrow in added] == [{new}]


def test_every_status_needs_a_place(monkeypatch):
    monkeypatch.delitem(PLACES, "blocked")
    with pytest.raises(ValueError, match="blocked"):
        draw(table())
