"""The names of the kit are what they say, whatever was imported before."""

import pkgutil
import subprocess
import sys
from types import ModuleType

import ripresa.testing


def test_no_name_is_also_a_module():
    """Importing a module sets it on its package: it would take the place of the function."""
    modules = {module.name for module in pkgutil.iter_modules(ripresa.testing.__path__)}
    assert not modules & set(ripresa.testing.__all__)


def test_every_name_is_there_and_says_what_it_is():
    for name in ripresa.testing.__all__:
        value = getattr(ripresa.testing, name)
        assert not isinstance(value, ModuleType)
        assert value.__doc__, name
    assert set(ripresa.testing.__all__) <= set(dir(ripresa.testing))


def test_the_kit_needs_no_pytest_until_a_store_is_tested():
    code = (
        "import sys; from ripresa.testing import VirtualClock, Simulation, replay, run_both_ways, app_fixture\n"
        "assert 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
