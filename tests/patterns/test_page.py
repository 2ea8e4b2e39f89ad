"""The page names every pattern once, shows an example of each, and each has a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "patterns.md").read_text("utf-8")
ROW = re.compile(r"^\| (?P<number>\d+) \| \[.+\]\(#(?P<anchor>[\w-]+)\)", re.MULTILINE)
ROWS = {int(row["number"]): row for row in ROW.finditer(PAGE)}
SNIPPET = re.compile(r'^--8<-- "(?P<file>[\w/.]+?)(?::(?P<section>[\w-]+))?"$', re.MULTILINE)


@pytest.fixture(scope="module")
def sections():
    """By anchor: the part of the page under it."""
    parts = re.split(r"^### .* \{#([\w-]+)\}$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_all_43_patterns_are_listed():
    assert sorted(ROWS) == list(range(1, 44))


@pytest.mark.parametrize("number", range(1, 44))
def test_each_pattern_has_an_example_and_a_test(number, sections):
    shown = [found["file"] for found in SNIPPET.finditer(sections[ROWS[number]["anchor"]])]
    tested = re.compile(rf"^async def test_wcp_(?:\d+_and_)?{number:02}_", re.MULTILINE)

    assert shown, "the page shows no example"
    assert any(tested.search((HERE.parents[1] / file).read_text("utf-8")) for file in shown)


def test_every_example_that_is_marked_is_shown():
    marked = {(path.name, name) for path in HERE.iterdir() if path.is_file() for name in _marked(path)}
    files = {(path.name, None) for path in (HERE / "yaml").glob("*.yaml")}
    shown = {(Path(found["file"]).name, found["section"]) for found in SNIPPET.finditer(PAGE)}

    assert marked | files == shown


def _marked(path):
    return re.findall(r"^# --8<-- \[start:([\w-]+)\]$", path.read_text("utf-8"), re.MULTILINE)
