"""What all tests share: how Hypothesis looks for counter-examples, and a contract whose asserts tell what they saw."""

import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("ripresa.testing.store_contract")

# No deadline: on a shared machine a slow example is no bug.  The integration server looks at the same examples each
# time, so that it fails for the change that it tests; at home every run looks at new ones.
settings.register_profile("home", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "home")

pytest_plugins = [
    "tests.support.postgres",
    "tests.support.elsewhere",
    "tests.support.slow_disk",
    "tests.support.brokers",
]
