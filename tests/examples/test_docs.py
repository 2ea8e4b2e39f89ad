"""What the documentation shows is run: its files are put together and behave as the text says."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
RIPRESA = Path(sys.executable).with_name("ripresa")
BLOCK = re.compile(r'^```python title="(?P<file>[\w.]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)


def files_of(page):
    """The files that a page has its reader write; blocks of one name go on where the last one ended."""
    files = {}
    for block in BLOCK.finditer((DOCS / page).read_text("utf-8")):
        files[block["file"]] = files.get(block["file"], "") + block["code"] + "\n\n"
    return files


def called(*command, cwd, code=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RIPRESA_")}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=["start.md", "tutorial.md"])
def page(request):
    return request.param


@pytest.fixture
def written(request, tmp_path):
    for name, code in files_of(request.param).items():
        (tmp_path / name).write_text(code.replace("seconds=1)", "seconds=0.1)"), "utf-8")
    return tmp_path


@pytest.mark.parametrize("written", ["start.md"], indirect=True)
def test_start_a_run_is_killed_and_goes_on(written):
    command = [RIPRESA, "run", "greetings.py:greet_for_a_week", "-p", "name=Ada", "--id", "ada"]
    with subprocess.Popen(map(str, command), cwd=written, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "greet#3 succeeded" in line:
                process.kill()
                break

    greetings = json.loads(called(*command, "-o", "json", cwd=written))
    history = json.loads(called(RIPRESA, "runs", "history", "ada", "-o", "json", cwd=written))

    assert greetings == [f"Day {day}: good morning, Ada" for day in range(1, 8)]
    assert [event["operation"] for event in history if event["kind"] == "step_completed"] == [
        *("greet", "greet#2", "greet#3", "greet#4", "greet#5", "greet#6", "greet#7")
    ]
    assert "ada" in called(RIPRESA, "runs", "list", cwd=written)
    assert "greet#7" in called(RIPRESA, "runs", "show", "ada", cwd=written)
    assert str(greetings) in called(sys.executable, "program.py", cwd=written)


@pytest.mark.parametrize("written", ["tutorial.md"], indirect=True)
def test_tutorial_the_first_workflow_summarises_each_month(written):
    whole = (written / "weather.py").read_text("utf-8")
    first, _, _ = whole.partition("from ripresa import Retry, Retryable, context")
    assert first != whole
    (written / "weather.py").write_text(first, "utf-8")

    months = json.loads(called(RIPRESA, "run", "weather.py:weather", "--id", "first", "-o", "json", cwd=written))

    assert [one["month"] for one in months][::47] == ["2012-01", "2015-12"]
    assert len(months) == 48


@pytest.mark.parametrize("written", ["tutorial.md"], indirect=True)
def test_tutorial_a_stopped_run_is_approved_from_a_program(written):
    command = [RIPRESA, "run", "weather.py:weather", "--id", "second"]
    with subprocess.Popen(map(str, command), cwd=written, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if "item[47]/summarise succeeded" in line:
                process.kill()
                break

    page = Path(called(sys.executable, "approve.py", cwd=written).strip())

    assert page == written / "report.md"
    assert page.read_text("utf-8").startswith("Approved by Ada.")


@pytest.mark.parametrize("written", ["tutorial.md"], indirect=True)
def test_tutorial_its_own_tests_pass(written):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]

    assert "2 passed" in called(*command, "test_weather.py", cwd=written)


def test_every_file_that_a_page_names_is_python(page):
    for name, code in files_of(page).items():
        compile(code, name, "exec")
