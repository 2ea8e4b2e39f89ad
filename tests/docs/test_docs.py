"""Every Python block of the documentation runs, and prints what its page says."""

import asyncio
import subprocess
import sys

import pytest

from ripresa.testing import VirtualClock
from tests.docs.pages import ROOT, blocks, fits, pages, run_page

JUMPS_AFTER_S = 0.05


class PatientClock(VirtualClock):
    """Virtual time that jumps a moment after it could, so that the page gets to say what it has to say.

    Without that, a signal in the block's next line would come after a time limit of seven days.
    """

    _jump = None

    def idle(self):
        if self._jump is None:
            self._jump = asyncio.get_running_loop().call_later(JUMPS_AFTER_S, self._jump_now)

    def _jump_now(self):
        self._jump = None
        super().idle()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # A 30-day sleep of an example takes no time.
    monkeypatch.setattr("ripresa.engine.opening.SystemClock", PatientClock)
    for block, printed, says in run_page(page):
        if says is not None:
            assert fits(printed, says), f"{block.where} prints\n{printed}\nand the page says\n{says}"


def test_the_readme_runs_as_it_is_shown_in_a_process_of_its_own(tmp_path):
    """Without a test's clock or anything else that a reader does not have."""
    page = ROOT / "README.md"
    (code,) = [block.code for block in blocks(page) if block.language == "python"]
    (says,) = [block.code for block in blocks(page) if block.language == "output"]
    (tmp_path / "shop.py").write_text(code, "utf-8")
    ran = subprocess.run(
        [sys.executable, "shop.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr, ran.stdout.strip()) == (0, "", says.strip())


def test_a_block_that_is_not_run_says_why():
    silent = [
        block.where
        for page in pages()
        for block in blocks(page)
        if "not-run" in block.info and not block.reason_not_to_run
    ]
    assert silent == []


def test_every_output_follows_the_code_that_prints_it():
    stray = [
        after.where
        for page in pages()
        for before, after in zip([None, *blocks(page)], blocks(page), strict=False)
        if after.language == "output" and (before is None or before.language != "python")
    ]
    assert stray == []


def test_an_ellipsis_stands_for_anything_on_its_line():
    assert fits("run 01a1 ended\n", "run … ended")
    assert not fits("run 01a1\nended\n", "run … ended")
    assert not fits("3\n", "4")
