"""The manual's check fails where a link leads nowhere."""

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools" / "build_manual"


def build(folder, page):
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(page)
    (folder / "mkdocs.yml").write_text("site_name: test\nvalidation: {links: {not_found: warn}}\n")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [TOOL, Path(sys.executable).parent], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_link_that_leads_nowhere_is_told_and_fails_the_check(tmp_path):
    done = build(tmp_path, "# Home\n\n[there](nowhere.md)\n")
    assert done.returncode == 1
    assert "nowhere.md" in done.stdout


def test_a_manual_that_is_in_order_is_built_in_silence(tmp_path):
    done = build(tmp_path, "# Home\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "site" / "index.html").is_file()
