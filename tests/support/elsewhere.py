"""`--on postgres`: every App that a test opens, whatever store it names, works on PostgreSQL.

`memory://` and a file each become a database of the test's own; what names the same store twice is given the same one.
So every scenario of the engine, of the ways to write workflows and of the commands runs there: `make test-postgres`.
A test that is about one kind of store bears the mark `own_store`, and is left out.  One that bears `also_on_postgres`
runs there in `make test` too, beside the store that it names.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path

import pytest
from hypothesis import settings

from ripresa.stores.memory import MemoryStore

EXAMPLES = 10
"""Of Hypothesis, for a test that says nothing else: each may open several Apps, which takes a server a while."""


def some(examples):
    """So many examples, or as many fewer as all tests have to do with."""
    return max(2, examples * settings().max_examples // settings.get_profile("home").max_examples)


def pytest_configure(config):
    if config.getoption("--on") is not None:
        settings.register_profile("elsewhere", parent=settings(), max_examples=EXAMPLES)
        settings.load_profile("elsewhere")


def pytest_generate_tests(metafunc):
    marked = metafunc.definition.get_closest_marker("also_on_postgres") is not None
    if marked and metafunc.config.getoption("--on") is None:
        metafunc.parametrize("places", [None, "postgres"], indirect=True, ids=["as_given", "on_postgres"])


def pytest_collection_modifyitems(config, items):
    if config.getoption("--on") is None:
        return
    left = [item for item in items if item.get_closest_marker("own_store") is not None]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


class Places:
    """The databases of a test, by what it calls them."""

    def __init__(self, server):
        self._server = server
        self._urls = {}
        self._left = []
        """Databases that nobody can name any more."""

    def url(self, given):
        """Where an App works that was given this store; None: where it says."""
        while self._left:
            self._server.clean(self._left.pop())
        name = self._name(given)
        if name is None:
            return None
        if name not in self._urls:
            self._urls[name] = self._server.database()
            if isinstance(given, MemoryStore):
                weakref.finalize(given.database, self._leave, name).atexit = False
        return self._urls[name]

    def _leave(self, name):
        if name in self._urls:
            self._left.append(self._urls.pop(name))

    def store(self, url, given, lock_timeout):
        """The store at a place of ours; what `memory://` stands for is gone with it."""
        from ripresa.stores.postgres import PostgresStore

        store = PostgresStore(url, lock_timeout=lock_timeout)
        if given == "memory://":
            close = store.close

            async def close_and_forget():
                was_open = store._opened
                await close()
                if was_open:
                    self._let_go(url)

            store.close = close_and_forget
        return store

    def _let_go(self, url):
        self._urls = {name: kept for name, kept in self._urls.items() if kept != url}
        self._server.clean(url)

    def _name(self, given):
        if isinstance(given, MemoryStore):
            return id(given.database)
        if not isinstance(given, str | os.PathLike):
            return None
        text = os.fspath(given)
        if text == "memory://":
            return object()
        if text.startswith("sqlite:///") or text.endswith(".db"):
            return Path(text.removeprefix("sqlite:///")).absolute()
        return None

    def close(self):
        for url in [*self._left, *self._urls.values()]:
            self._server.clean(url)
        self._left, self._urls = [], {}


@pytest.fixture(autouse=True)
def places(request, monkeypatch):
    """With `--on postgres`, and for tests that bear the mark `also_on_postgres`: where Apps work."""
    if getattr(request, "param", request.config.getoption("--on")) != "postgres":
        yield None
        return
    from ripresa import App

    places = Places(request.getfixturevalue("postgres"))
    as_given = App._make_store

    def elsewhere(app):
        url = places.url(app._store_given)
        if url is None:
            return as_given(app)
        return places.store(url, app._store_given, app.config.lock_timeout_s)

    monkeypatch.setattr(App, "_make_store", elsewhere)
    yield places
    places.close()
