from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ripresa.runtimes.masking import Secrets
from ripresa.runtimes.output_lines import OutputLines

CANARY = "s3cr3t-c4n4ry"


def cut(data, places):
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(marks)]


def masked(pieces, *values):
    masker = Secrets(values).stream()
    return b"".join([*map(masker.feed, pieces), masker.end()]).decode()


texts = st.lists(st.sampled_from([CANARY, "s3cr3t-", "c4n4ry", "s3", "\n", "x", "s3cr3t-c4n4r"]), max_size=20).map(
    "".join
)


@given(texts, st.lists(st.integers(min_value=0), max_size=30))
def test_no_secret_comes_through_however_the_output_is_cut(text, places):
    data = text.encode()
    told = masked(cut(data, places), CANARY)
    assert CANARY not in told
    assert told == text.replace(CANARY, "***")


@given(
    st.lists(st.text("ab", min_size=6, max_size=9), min_size=1, max_size=4),
    st.text("ab", max_size=60),
    st.lists(st.integers(min_value=0), max_size=30),
)
def test_secrets_that_overlap_are_masked_alike_however_the_output_is_cut(values, text, places):
    data = text.encode()
    whole = masked([data], *values)
    assert masked(cut(data, places), *values) == whole
    assert not any(value in whole for value in values)


def test_what_cannot_be_a_secret_any_more_is_told_at_once():
    masker = Secrets([CANARY]).stream()
    assert masker.feed(b"ready s3cr") == b"ready "
    assert masker.feed(b"ew\n") == b"s3crew\n"


def test_each_line_of_a_secret_of_many_lines_is_one_and_so_is_the_whole():
    key = "-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----\n"
    assert masked([b"[", key.encode(), b"]"], key) == "[***]"
    assert masked([b"line abcdefgh!"], key) == "line ***!"


def test_short_secrets_are_not_masked_for_they_would_mask_all():
    assert masked([b"12345 123456"], "12345", "123456") == "12345 ***"


def test_values_are_masked_wherever_they_stand_in_json():
    told = Secrets([CANARY]).tree({CANARY: [f"a {CANARY} b", 1, None, {"x": CANARY}]})
    assert told == {"***": ["a *** b", 1, None, {"x": "***"}]}


@given(st.text("ab\n", max_size=200), st.lists(st.integers(min_value=0), max_size=20), st.integers(1, 150))
def test_lines_are_the_same_however_the_output_is_cut(text, places, cap):
    def lines(pieces):
        told = []
        kept = OutputLines("stdout", lambda *line: told.append(line[:3]), cap)
        for piece in pieces:
            kept.feed(piece)
        kept.end()
        return told

    data = text.encode()
    assert lines(cut(data, places)) == lines([data])
