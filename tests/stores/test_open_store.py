from pathlib import Path

import pytest

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


@pytest.mark.parametrize("url", ["postgresql://u:secret@h/x", "postgres://h/x"])
def test_an_adapter_that_this_build_lacks_is_named(url):
    with pytest.raises(ValueError, match="this build of ripresa has no PostgreSQL adapter") as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://shop.db"])
def test_a_sqlite_address_without_a_file_is_refused(url):
    with pytest.raises(ValueError, match=r"write sqlite:///shop\.db"):
        open_store(url)
