"""Output that is read again: each line is kept once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ripresa.runtimes.listening import not_yet_told, split_time


def missing(told, output):
    return [line for line, new in zip(output, not_yet_told(told, output), strict=True) if new]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.sets(st.integers(0, 29)))
def test_what_was_left_out_is_kept_and_nothing_else(output, left_out):
    told = [line for number, line in enumerate(output) if number not in left_out]
    assert sorted(told + missing(told, output)) == sorted(output)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_where_the_beginning_of_the_output_is_gone_the_rest_is_not_kept_again(gone, kept, more):
    told = [str(number) for number in range(gone + kept)]
    output = [str(number) for number in range(gone, gone + kept + more)]
    assert missing(told, output) == output[kept:]


def test_a_line_that_was_told_in_part_spoils_no_other():
    assert missing(["1", "2", "out", "4"], ["1", "2", "without", "4", "5"]) == ["without", "5"]


def test_the_time_in_front_of_a_piece_is_read_whoever_wrote_it():
    assert split_time(b"2026-11-21T14:29:01.859877494Z hi\n") == (1795271341859877, b"hi\n")
    assert split_time(b"2026-11-21T15:29:01+01:00 part") == (1795271341000000, b"part")
    assert split_time(b"2026-11-21T14:29:07Z \n") == (1795271347000000, b"\n")
    assert split_time(b"no time") == (None, b"no time")
