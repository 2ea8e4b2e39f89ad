"""Durations mean just what is written: a fraction that has microseconds loses none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.contracts.durations import MICROS_MAX, micros, spelled


@given(st.integers(0, MICROS_MAX))
def test_what_is_spelled_out_is_read_as_it_was(us):
    assert micros(spelled(us)) == us


@given(st.integers(0, 10**9))
def test_decimals_are_exact_to_the_millisecond(ms):
    seconds = f"{ms // 1000}.{ms % 1000:03}"

    assert micros(f"{seconds}s") == micros(f"PT{seconds}S") == micros(float(seconds)) == ms * 1000


@pytest.mark.parametrize(
    ("written", "us"),
    [("1.001s", 1_001_000), ("0.07m", 4_200_000), ("1.1h", 3_960_000_000), ("PT0.29S", 290_000), (1.001, 1_001_000)],
)
def test_fractions(written, us):
    assert micros(written) == us


@pytest.mark.parametrize("written", [{"queue": "10s"}, ["1s"], None, True, "soon"])
def test_what_is_no_duration_is_told(written):
    with pytest.raises(ValueError, match=r"step load: timeout: .* is not a duration"):
        micros(written, where="step load: timeout")
