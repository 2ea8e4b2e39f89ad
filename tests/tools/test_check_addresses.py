"""Locks and settings carry no address, and no file carries a name of the machine that it was made on."""

from pathlib import Path

import pytest

from tools import check_addresses

WEB = "https" + "://mirror.example/simple"


@pytest.mark.parametrize(
    "path", ["requirements/dev.txt", "ui/package-lock.json", "pyproject.toml", "Makefile", ".npmrc"]
)
@pytest.mark.parametrize("line", [WEB, "file" + ":/wheels/a.whl", "--extra-index-url somewhere"])
def test_an_address_in_a_lock_or_a_setting_is_found(path: str, line: str) -> None:
    assert list(check_addresses.check(path, f"first\n{line}\n", {})) != []


@pytest.mark.parametrize("path", ["docs/index.md", "src/ripresa/service/api.py", "LICENSE"])
def test_prose_and_code_may_link(path: str) -> None:
    assert list(check_addresses.check(path, WEB, {})) == []


def test_a_server_on_this_machine_is_no_address() -> None:
    assert list(check_addresses.check("ripresa.toml", 'url = "http://localhost:8080"', {})) == []


def test_a_name_of_this_machine_is_found_in_any_file() -> None:
    words = check_addresses.machine_words(Path("/somewhere/checkout"))
    (problem,) = check_addresses.check("docs/index.md", "see\n/somewhere/checkout/notes\n", words)
    assert problem.startswith("docs/index.md:2: the folder of this checkout")
