"""Types, as users meet them under mypy --strict: right code passes, and each wrong line is found."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parent / "cases"


def complaints(path, tmp_path):
    """Lines of which mypy complains, with what it says."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-warn-unused-configs",
        f"--cache-dir={tmp_path}",
        str(path),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = {}
    for line, text in re.findall(rf"{path.name}:(\d+): error: (.*)", said):
        found.setdefault(int(line), []).append(text)
    return found, said


@pytest.mark.parametrize("name", ["right.py", "context_right.py"])
def test_right_code_passes(name, tmp_path):
    found, said = complaints(CASES / name, tmp_path)
    assert not found, said
    assert "Success" in said, said


@pytest.mark.parametrize("name", ["wrong.py", "context_wrong.py"])
def test_each_wrong_line_is_found_and_no_other(name, tmp_path):
    path = CASES / name
    wrong = {number for number, line in enumerate(path.read_text().splitlines(), 1) if "# WRONG" in line}
    found, said = complaints(path, tmp_path)
    assert set(found) == wrong, said
