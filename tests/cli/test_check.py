"""`check`, `db` and `schema`: settings with their origins, a store's integrity, code that a replay cannot repeat."""

import json


def test_settings_are_told_with_their_origin(shop):
    (shop.folder / "ripresa.toml").write_text('[engine]\nthreads = 3\n[workflows]\nf = "shop.py:text"\n')
    found = shop.json("check", RIPRESA_PROCESSES="2", RIPRESA_STORE="x.db")
    told = {one["name"]: (one["value"], one["origin"]) for one in found["settings"]}
    assert told["store"] == ("x.db", "RIPRESA_STORE")
    assert told["engine.threads"] == (3, "ripresa.toml")
    assert told["engine.processes"] == (2, "RIPRESA_PROCESSES")
    assert told["engine.lease_s"] == (3.0, "default")
    assert told["workflows.f"] == ("shop.py:text", "ripresa.toml")
    assert found["store"] == {"url": "x.db", "exists": False, "problems": []}
    assert not (shop.folder / "x.db").exists()
    assert "RIPRESA_STORE" in shop("check", RIPRESA_STORE="x.db").stdout


def test_what_is_said_of_jobs_is_told_and_checked(shop):
    file = shop.folder / "ripresa.toml"
    file.write_text(
        '[runtimes.container]\npids = 9\n[runtimes.process.images]\n"a/*" = "jobs"\n[secrets]\nstore = "aws"\n'
    )
    found = shop.json("check")
    told = {one["name"]: (one["value"], one["origin"]) for one in found["settings"]}
    assert told["runtimes.container.pids"] == (9, "ripresa.toml")
    assert told["runtimes.process.images.a/*"] == ("jobs", "ripresa.toml")
    assert told["secrets.store"] == ("aws", "ripresa.toml")
    file.write_text("[runtimes.container]\npid = 9\n")
    ran = shop("check", code=2)
    assert 'ripresa.toml: runtimes.container.pid: unknown field; did you mean "pids"?' in ran.stderr


def test_code_that_a_replay_cannot_repeat_is_found(shop):
    (shop.folder / "bad.py").write_text(
        "import time\nfrom ripresa import workflow\n@workflow\nasync def bad() -> float:\n    return time.time()\n"
    )
    done = shop("check", "bad.py", "-o", "json", code=2)
    (one,) = json.loads(done.stdout)["workflows"]
    assert one["workflow"] == "bad"
    assert "bad.py:5: time.time" in one["findings"][0]
    assert shop.json("check", "shop.py")["workflows"][0]["findings"] == []


def test_open_runs_whose_workflow_the_code_has_not_are_told(shop):
    (shop.folder / "other.py").write_text("from ripresa import workflow\n@workflow\nasync def other() -> None: ...\n")
    shop("run", "shop.py:approval", "--id", "a1", "--detach")
    done = shop("check", "--against", shop.store, "other.py", "-o", "json", code=1)
    assert json.loads(done.stdout)[0]["verdict"] == "unknown"
    assert "1 open run, 0 not compatible" in shop("check", "--against", shop.store, "shop.py").stderr
    assert shop.json("runs", "show", "a1")["status"] == "queued"
    assert "no store at" in shop("check", "--against", "none.db", "shop.py", code=5).stderr


def test_a_store_is_checked_and_upgraded(shop):
    shop("run", "shop.py:text")
    assert shop.json("db", "check")["problems"] == []
    assert shop.json("db", "upgrade")["upgraded"] is True


def test_schemas_describe_the_records_and_the_workflows(shop):
    for record in ("run", "attempt", "event", "workflow"):
        assert shop.json("schema", record)["type"] == "object"
    assert "properties" in json.loads(shop("schema", "run").stdout)
    found = shop.json("schema", "shop.py:fulfil")
    assert found["input"]["properties"]["qty"] == {"default": 1, "title": "Qty", "type": "integer"}
    assert found["input"]["required"] == ["order"]
    assert found["output"]["type"] == "object"


def test_a_password_in_the_address_is_not_shown_nor_in_what_is_proposed(shop, postgres_url):
    url = postgres_url.replace("postgres@", "postgres:secret@")
    told = [shop("check", "--store", url, "-o", form) for form in ("text", "json", "yaml")]
    told.append(shop("run", "shop.py:nothing", "--detach", "--store", url))
    told.append(shop("run", "shop.py:doze", "-p", "seconds=0", "--id", "d", "--store", url))
    told.append(shop("runs", "show", "nobody", "--store", url, code=2))
    assert not [one.args for one in told if "secret" in one.stdout + one.stderr]
    assert postgres_url in told[0].stdout
