"""`--slow-disk SHARE`: commits to SQLite take a moment, and this share of them is made on a thread.

On a quick disk every commit is made on the event loop, so what can only happen while one is under way hardly ever
does.  This finds it in seconds: `make test ARGS='--slow-disk 0.5 tests/engine'`.
"""

from __future__ import annotations

import random
import time


def pytest_addoption(parser):
    parser.addoption("--slow-disk", type=float, metavar="SHARE", help="share of commits that are made on a thread")


def pytest_configure(config):
    share = config.getoption("--slow-disk")
    if share is not None:
        slow_down(share)


def slow_down(share):
    """Make commits slow, in this process."""
    from ripresa.stores.sqlite.pace import Pace
    from ripresa.stores.sqlite.writer import Writer

    dice, commit_now = random.Random(), Writer._commit_now

    def commit_slowly(writer, connection):
        time.sleep(dice.choice((0, 0, 0.0005, 0.002, 0.006)))
        commit_now(writer, connection)

    Writer._commit_now = commit_slowly
    Pace.is_quick = lambda _: dice.random() >= share
