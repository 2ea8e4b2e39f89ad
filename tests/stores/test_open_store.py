import sys
from pathlib import Path

import pytest

from ripresa.contracts.errors import StoreUnavailable
from ripresa.stores import open_store


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:///data/shop.sqlite", "data/shop.sqlite"),
        ("sqlite:////var/lib/shop.db", "/var/lib/shop.db"),
        ("SQLITE:///shop.db", "shop.db"),
        ("shop.db", "shop.db"),
        ("/var/lib/shop.db", "/var/lib/shop.db"),
    ],
)
def test_an_address_of_a_file_gives_a_sqlite_store(url, path):
    store = open_store(url)
    assert store.path == Path(path).absolute()
    assert open_store(store.url).path == store.path


def test_the_memory_address_gives_a_memory_store():
    assert open_store("memory://").url == "memory://"


@pytest.mark.parametrize("url", ["shop", "redis://h", "", "memory", "memory://x", "mysql://u:secret@h/x", "shop.db?x"])
def test_an_unknown_address_is_refused_and_the_known_ones_named(url):
    with pytest.raises(ValueError, match=r"memory://, sqlite:///shop\.db") as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "schema", "shown"),
    [
        ("postgresql://u:secret@h:5433/x", "ripresa", "postgresql://u@h:5433/x"),
        ("postgres://h/x?schema=other", "other", "postgresql://h/x?schema=other"),
        ("postgresql://u@/x?host=/run&password=secret", "ripresa", "postgresql://u@/x?host=%2Frun"),
        ("postgresql:///x?host=/run", "ripresa", "postgresql:///x?host=%2Frun"),
        ("postgresql://u:secret@%2Frun:5433/x", "ripresa", "postgresql://u@%2Frun:5433/x"),
        ("postgresql://u:secret@a:1,[::1]:2/x", "ripresa", "postgresql://u@a:1,[::1]:2/x"),
        (
            "postgresql://h/x?options=-csearch_path%3Dother%20-cjit%3Doff",
            "other",
            "postgresql://h/x?options=-cjit%3Doff&schema=other",
        ),
    ],
)
def test_an_address_of_postgresql_names_a_schema_and_shows_no_password(url, schema, shown):
    store = open_store(url)
    assert (store.address.schema, store.url) == (schema, shown)
    assert open_store(store.url).url == shown


def test_of_several_servers_one_is_wanted_that_takes_writes():
    assert open_store("postgresql://u:p@a:1,[::1]:2/x?sslmode=disable").address.servers.dsns == (
        "postgresql://u:p@a:1/x?sslmode=disable&target_session_attrs=read-write",
        "postgresql://u:p@[::1]:2/x?sslmode=disable&target_session_attrs=read-write",
    )
    assert open_store("postgresql://a,b/x?target_session_attrs=any").address.servers.dsns == (
        "postgresql://a/x?target_session_attrs=any",
        "postgresql://b/x?target_session_attrs=any",
    )


@pytest.mark.parametrize("password", ["se@cret", "se%40cret", "100%se:cret", "se%2Fcr%23et%3F"])
def test_a_password_is_handed_on_as_it_was_meant(password):
    from urllib.parse import unquote, urlsplit

    address = open_store(f"postgresql://u:{password}@h/x").address
    [dsn] = address.servers.dsns
    assert unquote(urlsplit(dsn).password) == unquote(password)
    assert dsn.count("@") == 1
    assert "cret" not in address.shown


@pytest.mark.parametrize(
    "url",
    [
        "u:se/cret@h/x",
        "u:se#cret@h/x",
        "u:se?cret@h/x",
        "u:1/secret@h/x",
        "u:secret[@h/x",
        "u:secret\u2100@h/x",
        "u:secret@h:99999/x",
        "u:secret@h:no/x",
        "u:secret@[h/x",
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_with_the_remedy_and_no_part_of_it_told(url):
    with pytest.raises(ValueError, match=r"write @ : / [?] # % in a password as %40") as refused:
        open_store(f"postgresql://{url}")
    assert "cret" not in str(refused.value)


@pytest.mark.parametrize("schema", ["", "a-b", "x; DROP", "9"])
def test_a_schema_is_a_plain_name(schema):
    with pytest.raises(ValueError, match="is no plain name") as refused:
        open_store(f"postgresql://u:secret@h/x?schema={schema}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["postgresql://u:secret@h/x", "postgres://h/x"])
def test_a_driver_that_is_not_installed_is_named_with_the_remedy(url, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ripresa.stores.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'ripresa\[postgres\]'") as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://shop.db"])
def test_a_sqlite_address_without_a_file_is_refused(url):
    with pytest.raises(ValueError, match=r"write sqlite:///shop\.db"):
        open_store(url)
