"""RELIABILITY.md says what its report says, and the report holds what it has to."""

import json

from tools import write_reliability

REPORT = json.loads(write_reliability.REPORT.read_text())


def test_the_page_is_what_the_report_makes_of_it():
    assert write_reliability.PAGE.read_text() == write_reliability.page(REPORT)


def test_the_report_is_of_a_whole_run_without_violations():
    assert not REPORT["interrupted"]
    assert [run["violations"] for run in REPORT["runs"]] == [[]]
    assert not REPORT["commit"].endswith("-dirty")


def test_violations_are_told_on_the_page():
    broken = json.loads(json.dumps(REPORT))
    broken["runs"][0]["violations"] = ["a run was lost", "another was done twice"]
    assert "**2 violations**" in write_reliability.page(broken)
