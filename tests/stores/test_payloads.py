from ripresa.stores.payloads import PAYLOAD_BYTES_MAX, blob_name, check_in, is_large
from ripresa.testing.store_contract import A, change, event, new_run


def test_bytes_are_counted_not_characters():
    assert not is_large("x" * PAYLOAD_BYTES_MAX)
    assert is_large("x" * (PAYLOAD_BYTES_MAX + 1))
    assert not is_large("é" * (PAYLOAD_BYTES_MAX // 2))
    assert is_large("é" * (PAYLOAD_BYTES_MAX // 2 + 1))
    assert is_large("😀" * (PAYLOAD_BYTES_MAX // 4 + 1))
    assert not is_large(None)


def test_rows_without_a_large_payload_are_left_alone():
    rows = [new_run(A)]
    blobs = {}
    assert check_in(rows, blobs) is rows
    assert check_in([], blobs) == []
    assert not blobs


def test_a_mark_stands_in_the_place_of_each_large_payload():
    large, larger = "x" * (PAYLOAD_BYTES_MAX + 1), "x" * (PAYLOAD_BYTES_MAX + 2)
    rows = [change(A, "failed"), change(A, "failed", output=large, error=larger, input=large)]
    blobs = {}
    small, marked = check_in(rows, blobs)
    assert small is rows[0]
    assert marked._replace(output=large, error=larger, input=large) == rows[1]
    assert blobs == {blob_name(marked.output): large, blob_name(marked.error): larger}
    assert marked.input == marked.output


def test_only_a_mark_names_a_blob():
    assert blob_name("@blob:0123") == "0123"
    assert blob_name('"@blob:0123"') is None
    assert blob_name(None) is None
    assert blob_name(event(A, 1).seq) is None
