"""The reference names all that is public, and nothing that is not; the table of errors misses none."""

import inspect
import re

import pytest

import ripresa
import ripresa.blocking
import ripresa.runtimes
import ripresa.testing
from ripresa.contracts import errors
from ripresa.contracts.errors import RipresaError
from tests.docs.pages import ROOT

REFERENCE = ROOT / "docs" / "reference"
NAMED = re.findall(r"^::: (\S+)$", "\n".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md")), re.MULTILINE)


def error_classes(module):
    return {
        name
        for name, one in vars(module).items()
        if inspect.isclass(one) and issubclass(one, RipresaError) and one.__module__ == module.__name__
    }


@pytest.mark.parametrize("module", [ripresa, ripresa.blocking, ripresa.testing], ids=lambda module: module.__name__)
def test_the_reference_names_every_public_name_once(module):
    prefix = f"{module.__name__}."
    here = [name.removeprefix(prefix) for name in NAMED if name.rpartition(".")[0] == module.__name__]
    assert sorted(here) == sorted(module.__all__)


def test_the_table_of_errors_has_every_class():
    told = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.MULTILINE))
    there = error_classes(errors) | error_classes(ripresa.runtimes)
    assert there - {"RipresaError"} == told - {"TimeoutError"}


def test_the_table_says_where_a_name_is_that_is_not_in_the_public_face():
    rows = dict(re.findall(r"^\| `(\w+)` ?([^|]*)\|", (ROOT / "docs" / "errors.md").read_text("utf-8"), re.MULTILINE))
    hidden = {name for name in rows if name not in ripresa.__all__}
    assert {name for name, where in rows.items() if where.strip()} == hidden
