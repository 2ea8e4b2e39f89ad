import pytest

from ripresa.stores.named_sql import NamedSql, parse, repeat

TEXT = """
-- What the file is about.

-- name: columns
a, b

-- name: find
-- Why it is so.
SELECT {columns} FROM t
WHERE a = ?;

-- What the rest is about.

-- name: add
INSERT INTO t VALUES {(?, ?)};
"""


def test_a_query_ends_where_the_next_one_begins():
    assert parse(TEXT)["columns"] == "a, b"


def test_a_query_may_include_another():
    assert parse(TEXT)["find"] == "-- Why it is so.\nSELECT a, b FROM t\nWHERE a = ?"


def test_a_part_is_repeated_for_each_row():
    add = parse(TEXT)["add"]
    assert repeat(add, 1) == "INSERT INTO t VALUES (?, ?)"
    assert repeat(add, 3) == "INSERT INTO t VALUES (?, ?), (?, ?), (?, ?)"


def test_a_text_is_the_same_object_each_time():
    queries = NamedSql("ripresa.stores.sqlite", "batch.sql")
    assert queries.rows("add_history", 4) is queries.rows("add_history", 4)
    assert queries["fence"] is queries["fence"]


def test_an_unknown_name_is_an_error():
    queries = NamedSql("ripresa.stores.sqlite", "batch.sql")
    for _ in range(2):
        with pytest.raises(KeyError):
            queries["nonsense"]
