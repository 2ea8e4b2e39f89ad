"""`ripresa definitions`: what a store has seen, and what has changed since."""

import asyncio
import json

import pytest

from ripresa.ports.batch import Batch
from ripresa.ports.rows import Definition, NewRun
from ripresa.stores import open_store

V1 = '{"workflow":{"name":"daily","version":"1","jobs":[{"job":{"name":"extract","image":"lake/extract:1"}}]}}'
V2 = V1.replace("extract:1", "extract:2").replace('"version":"1"', '"version":"2"')
MINUTE_US = 60_000_000


@pytest.fixture
def seen(shop):
    """A store that has seen two versions of a definition file, and one of a function."""

    async def fill():
        store = open_store(shop.store)
        await store.open()
        lease = await store.acquire(now=1, lease_us=MINUTE_US, who="test")
        definitions = [
            Definition("daily", "aaaa1111", "1", "yaml", V1, None, None, MINUTE_US),
            Definition("daily", "aaaa2222", "2", "yaml", V2, None, None, 2 * MINUTE_US),
            Definition("other", "bbbb1111", None, "code", "async def other():\n    ...\n", None, None, MINUTE_US),
        ]
        runs = [
            NewRun(f"r{n}", None, "daily", "aaaa1111", status, 0, "{}", None, None, f"r{n}", None, MINUTE_US)
            for n, status in enumerate(["failed", "succeeded", "succeeded"])
        ]
        await store.commit(lease, Batch(1, 2, definitions=definitions, runs=runs), lease_us=MINUTE_US)
        await store.release(lease)
        await store.close()

    (shop.folder / ".ripresa").mkdir()
    asyncio.run(fill())
    return shop


def test_every_version_is_listed_with_its_runs_by_status(seen):
    listed = seen.json("definitions", "list")
    assert [(one["name"], one["version"], one["label"], one["kind"]) for one in listed] == [
        ("daily", "aaaa1111", "1", "yaml"),
        ("daily", "aaaa2222", "2", "yaml"),
        ("other", "bbbb1111", None, "code"),
    ]
    assert [one["runs"] for one in listed] == [{"failed": 1, "succeeded": 2}, {}, {}]
    assert "body" not in listed[0]
    assert "1 failed, 2 succeeded" in seen("definitions", "list").stdout


def test_the_body_is_shown_as_yaml_or_source(seen):
    yaml = pytest.importorskip("yaml")
    body = seen("definitions", "show", "daily@1", "--body").stdout
    assert yaml.safe_load(body) == json.loads(V1)
    assert body.startswith("workflow:\n  name: daily\n")
    assert "async def other():" in seen("definitions", "show", "other").stdout
    assert seen.json("definitions", "show", "daily")["version"] == "aaaa2222"
    shown = seen.json("definitions", "show", "daily", "--version", "aaaa1")
    assert (shown["body"], shown["runs"]) == (V1, {"failed": 1, "succeeded": 2})


def test_a_version_that_is_not_clear_or_not_there_is_usage(seen):
    assert "several versions begin with 'aaaa'" in seen("definitions", "show", "daily@aaaa", code=2).stderr
    assert "has no version 'zz' (it has: aaaa1111 (1), aaaa2222 (2))" in (
        seen("definitions", "show", "daily@zz", code=2).stderr
    )
    assert 'did you mean "daily"?' in seen("definitions", "show", "dayly", code=2).stderr
    assert "one version only" in seen("definitions", "diff", "other", code=2).stderr


def test_two_versions_differ_in_the_lines_that_changed(seen):
    lines = seen("definitions", "diff", "daily").stdout.splitlines()
    assert lines[:2] == ["--- daily@aaaa1111 (1)", "+++ daily@aaaa2222 (2)"]
    assert [line for line in lines if line[:1] in "+-" and line[:3] not in ("---", "+++")] == [
        '-  version: "1"', '+  version: "2"', '-        image: "lake/extract:1"', '+        image: "lake/extract:2"',
    ]  # fmt: skip
    back = seen.json("definitions", "diff", "daily", "2", "1")
    assert (back["from"], back["to"], back["same"]) == ("aaaa2222", "aaaa1111", False)
    assert '+  version: "1"' in back["diff"]
    same = seen("definitions", "diff", "daily", "1", "1", "--exit-code")
    assert not same.stdout
    assert "are the same" in same.stderr
    seen("definitions", "diff", "daily", "--exit-code", code=1)


def test_a_file_is_compared_with_the_store(seen):
    (seen.folder / "daily.yaml").write_text(
        'workflow:\n  name: daily\n  version: "3"\n  jobs:\n    - job: {from: jobs/extract.yaml}\n'
    )
    (seen.folder / "jobs").mkdir()
    (seen.folder / "jobs/extract.yaml").write_text("job: {name: extract, image: lake/extract:2}\n")
    lines = seen("definitions", "diff", "daily.yaml").stdout.splitlines()
    assert lines[:2] == ["--- daily@aaaa2222 (2)", "+++ daily.yaml"]
    assert '+  version: "3"' in lines
    assert not any("image" in line for line in lines if line[:1] in "+-")
    assert any("+        image" in line for line in seen("definitions", "diff", "daily.yaml", "1").stdout.splitlines())


def test_code_is_compared_with_the_store(shop):
    shop("run", "shop.py:text", "--id", "t1")
    assert "are the same" in shop("definitions", "diff", "shop.py:text").stderr
    source = shop.folder / "shop.py"
    source.write_text(source.read_text().replace('"just text"', '"other text"'))
    lines = shop("definitions", "diff", "shop.py:text").stdout.splitlines()
    assert '-    return "just text"' in lines
    assert '+    return "other text"' in lines


def test_names_versions_and_runs_are_completed_and_a_store_that_is_not_there_is_not_made(seen, tmp_path):
    def proposed(words, **env):
        count = len(words.split()) - (not words.endswith(" "))
        return seen(_RIPRESA_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(count), **env).stdout.split()

    assert proposed("ripresa definitions show da") == ["daily"]
    assert proposed("ripresa definitions show daily@") == ["daily@aaaa1111", "daily@aaaa2222"]
    assert proposed("ripresa runs logs ") == ["r2", "r1", "r0"]
    assert proposed("ripresa runs logs ", RIPRESA_STORE=f"sqlite:///{tmp_path}/none.db") == []
    assert not (tmp_path / "none.db").exists()
