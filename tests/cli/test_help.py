"""Help is there at once, and tells of every command that there is."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa.cli.catalogue import ENTRIES, GROUPS, Command, Group
from ripresa.cli.pages import front_page, group_page

HEAVY = {"pydantic", "pydantic_core", "rich", "typer", "greenlet", "sqlite3", "asyncio"}

COMMANDS = [(entry,) for entry in ENTRIES.values() if isinstance(entry, Command)]
ALL_GROUPS = [*GROUPS.values()]
ALL_GROUPS += [one for group in GROUPS.values() for one in group.commands if isinstance(one, Group)]
COMMANDS += [(group, one) for group in ALL_GROUPS for one in group.commands if isinstance(one, Command)]


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"], ["--version"], ["runs"], ["runs", "--help"]], ids=str)
def test_help_loads_nothing_that_is_slow_to_load(args):
    told = "import sys; from ripresa.cli.main import main; main(); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told, *args], capture_output=True, text=True, check=True)
    assert done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(word.name for word in words))
def test_every_command_of_the_catalogue_exists_and_explains_itself(words):
    command = words[-1]
    module = importlib.import_module(f"ripresa.cli.commands.{command.module}")
    explained = getattr(module, command.function).__doc__
    assert explained
    assert explained.strip().splitlines()[0].endswith(".")


def test_the_pages_name_every_command():
    for entry in ENTRIES.values():
        assert f"\n  {entry.name} " in front_page()
        assert entry.does in front_page()
    for group in ALL_GROUPS:
        for command in group.commands:
            assert f"\n  {command.name} " in group_page(group)


def test_each_command_says_its_options(shop):
    told = shop("run", "--help").stdout
    for option in ("--param", "--input", "--id", "--detach", "--priority", "--tag", "--store", "--format"):
        assert option in told
    assert "--from-step" in shop("runs", "fork", "--help").stdout


def test_a_command_that_does_not_exist_is_a_usage_error(shop):
    done = shop("rnu", code=2)
    assert "rnu" in done.stderr
    assert not done.stdout


def test_completion_knows_the_commands(shop):
    done = shop(_RIPRESA_COMPLETE="complete_bash", COMP_WORDS="ripresa wor", COMP_CWORD="1")
    assert "worker" in done.stdout


def test_the_documentation_names_every_command_and_every_option_of_its_own():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for words in COMMANDS:
        command = words[-1]
        assert re.search(rf"`(ripresa (events )?{words[0].name} )?{command.name}\b|`ripresa {command.name}\b", page), (
            words
        )
        module = importlib.import_module(f"ripresa.cli.commands.{command.module}")
        source = inspect.getsource(getattr(module, command.function))
        for option in re.findall(r'"(--[a-z-]+)"', source):
            assert option in page, (command.name, option)


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["rnu"], "run"),
        (["engines"], "engine"),
        (["runs", "lst"], "list"),
        (["events", "dead", "retyr"], "retry"),
        (["logs"], "runs logs"),
        (["prune"], "db prune"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_nearly_one_or_lacks_its_group_is_told_what_was_meant(shop, args, meant):
    assert f'did you mean "{meant}"?' in shop(*args, code=2).stderr
