"""The public face: every name is there, documented, and costs nothing until it is used."""

import inspect
import subprocess
import sys

import pytest

import ripresa
import ripresa.blocking
import ripresa.testing

HEAVY = ("pydantic", "pydantic_core", "greenlet", "sqlite3", "rich", "typer", "asyncio")


@pytest.mark.parametrize("module", [ripresa, ripresa.blocking, ripresa.testing])
def test_every_public_name_is_there_and_says_what_it_is(module):
    assert len(module.__all__) == len(set(module.__all__))
    for name in module.__all__:
        value = getattr(module, name)
        assert inspect.getdoc(value), f"{module.__name__}.{name} has no docstring"


def test_every_public_function_is_typed():
    for name in ripresa.__all__:
        value = getattr(ripresa, name)
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            assert signature.return_annotation is not inspect.Signature.empty, name
            untyped = [p.name for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty]
            assert not untyped, f"{name}: {untyped}"


def test_a_name_that_is_not_there_is_told():
    with pytest.raises(AttributeError, match="no attribute 'workflows'"):
        _ = ripresa.workflows


def test_importing_ripresa_imports_nothing_heavy():
    script = f"import sys, ripresa; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_package_says_that_it_is_typed():
    from importlib.resources import files

    assert files("ripresa").joinpath("py.typed").is_file()
