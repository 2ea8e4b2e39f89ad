"""What the store holds can be looked at and steered from any process, with an engine at work or without."""

import json
import signal

import pytest

from tests.cli.conftest import stop


def events(shop, run):
    return [event["kind"] for event in shop.json("runs", "history", run)]


@pytest.mark.own_store  # about a file that is not there
def test_a_store_that_does_not_exist_is_said_kindly_and_not_made(shop):
    for args in (
        ["runs", "list"],
        ["runs", "show", "x"],
        ["quarantine", "list"],
        ["db", "check"],
        ["definitions", "list"],
    ):
        assert "no store at" in shop(*args, code=5).stderr
    assert sorted(path.name for path in shop.folder.iterdir()) == ["shop.py"]


@pytest.mark.own_store  # about a schema that is not there
def test_a_database_without_a_store_is_looked_at_and_left_as_it_is(shop, postgres):
    at = ("--store", postgres.database(empty=True))
    schemas = lambda: postgres.sql("SELECT nspname FROM pg_namespace", at[1].rpartition("/")[2]).split()  # noqa: E731
    for args in (["runs", "list"], ["pools", "set", "x", "slots=1"], ["db", "check"], ["engine", "list"]):
        assert "no store in schema ripresa of " in shop(*args, *at, code=5).stderr
    assert shop.json("check", "shop.py", *at)["store"]["exists"] is False
    assert "ripresa" not in schemas()
    shop("db", "upgrade", *at)
    assert "ripresa" in schemas()
    assert shop("runs", "list", *at).stdout == "no runs\n"
    other = ("--store", f"{at[1]}?schema=other")
    assert shop("run", "shop.py:text", "--id", "t", *other).stdout == "just text\n"
    assert shop.json("runs", "show", "t", *other)["status"] == "succeeded"


def test_records_hold_what_the_contract_says_in_every_format(shop):
    yaml = pytest.importorskip("yaml")
    shop("run", "shop.py:retried", "--id", "r1", "--tag", "region=eu")
    shown = shop.json("runs", "show", "r1")
    assert (shown["id"], shown["definition"], shown["status"], shown["output"]) == (
        "r1",
        "retried",
        "succeeded",
        "through",
    )
    (step,) = shown["steps"]
    assert (step["operation"], step["status"], step["attempts"], step["output"]) == ("flaky", "succeeded", 3, "through")
    journal = shop.json("runs", "history", "r1")
    assert [set(event) for event in journal] == [
        {"seq", "at", "kind", "operation", "step", "attempt", "output", "error"}
    ] * 3
    assert journal[1]["at"].endswith("Z")
    assert [event["kind"] for event in journal] == ["run_started", "step_completed", "finished"]
    for wanted, args in ((shown, ["runs", "show", "r1"]), (journal, ["runs", "history", "r1"])):
        assert yaml.safe_load(shop(*args, "-o", "yaml").stdout) == wanted
        lines = [json.loads(line) for line in shop(*args, "-o", "jsonl").stdout.splitlines()]
        assert lines == (wanted if isinstance(wanted, list) else [wanted])
        assert "flaky" in shop(*args).stdout


def test_lists_are_filtered_and_paged(shop):
    for number in range(3):
        shop("run", "shop.py:text", "--id", f"t{number}", "--tag", f"n={number}")
    shop("run", "shop.py:gate", "--id", "g1", code=1)
    ids = lambda *args: [run["id"] for run in shop.json("runs", "list", *args)]  # noqa: E731
    assert ids() == ["g1", "t2", "t1", "t0"]
    assert ids("--status", "failed") == ["g1"]
    assert ids("--workflow", "text") == ["t2", "t1", "t0"]
    assert ids("--tag", "n=1") == ["t1"]
    assert ids("--id-prefix", "t") == ["t0", "t1", "t2"]
    page = shop("runs", "list", "--limit", "2", "-o", "json")
    cursor = page.stderr.rpartition("--cursor ")[2].strip()
    assert [run["id"] for run in json.loads(page.stdout)] == ["g1", "t2"]
    assert ids("--limit", "2", "--cursor", cursor) == ["t1", "t0"]
    assert "no such status" in shop("runs", "list", "--status", "done", code=2).stderr
    assert "--cursor" in shop("runs", "list", "--cursor", "nonsense", code=2).stderr
    assert "no run 'zz'" in shop("runs", "show", "zz", code=2).stderr


def test_what_steps_log_is_kept(shop):
    shop("run", "shop.py:fulfil", "-p", "order=book", "--id", "o1")
    shop("run", "shop.py:weighed", "-p", "order=book", "--id", "w1")
    assert [line["text"] for line in shop.json("runs", "logs", "o1", "--step", "charge")] == ["charging book"]
    assert shop.json("runs", "logs", "o1", "--step", "pack") == []
    assert "weigh | weighing book" in shop("runs", "logs", "w1", "--follow").stdout


def test_an_export_holds_the_whole_run(shop):
    shop("run", "shop.py:gate", "--id", "g1", code=1)
    shop("runs", "export", "g1", "--output", "g1.json")
    export = json.loads((shop.folder / "g1.json").read_text())
    assert export["run"]["id"] == "g1"
    assert [event["kind"] for event in export["history"]] == events(shop, "g1")
    assert all(event["fingerprint"] for event in export["history"] if event["kind"] == "step_completed")
    assert json.loads(shop("runs", "export", "g1").stdout) == export


# --- while another process owns the store ------------------------------------------------------


def test_another_process_steers_the_runs_of_a_worker(shop):
    worker = shop.worker()
    shop("run", "shop.py:approval", "--id", "a1", "--detach")
    shop.until("a1", "waiting")
    assert f"the engine (pid {worker.pid}) will take it" in shop("runs", "pause", "a1").stderr
    shop.until("a1", "paused")
    shop("runs", "signal", "a1", "label", '{"to": "x"}')
    shop("runs", "resume", "a1")
    shop.until("a1", "failed")  # the signal is no text
    shop("run", "shop.py:approval", "--id", "a2", "--detach")
    told = shop.json("runs", "signal", "a2", "label", '"ok"')
    assert (told["id"], told["sent"], told["engine"]) == ("a2", "signal", worker.pid)
    assert shop("runs", "watch", "a2").stdout == "ok\n"
    shop("run", "shop.py:approval", "--id", "a3", "--detach")
    shop("runs", "cancel", "a3")
    assert shop("runs", "watch", "a3", code=4).stdout == ""
    assert shop("run", "shop.py:approval", "--id", "a2").stdout == "ok\n"
    out, log = stop(worker)
    assert out == b""
    assert worker.returncode == 0
    assert b"approval a2: run succeeded" in log


def test_attaching_to_a_run_in_another_engines_hands_watches_it(shop):
    shop.worker()
    shop("run", "shop.py:approval", "--id", "a1", "--detach")
    attached = shop.start("run", "shop.py:approval", "--id", "a1")
    assert attached.stderr is not None
    assert b"in another engine's hands" in attached.stderr.readline()
    shop("runs", "signal", "a1", "label", '"ok"')
    assert attached.communicate(timeout=60)[0] == b"ok\n"
    assert attached.returncode == 0


def test_a_failed_run_is_retried_by_the_engine_that_owns_the_store(shop):
    shop.worker()
    shop("run", "shop.py:gate", "--id", "g1", "--detach")
    shop.until("g1", "failed")
    (shop.folder / "ok").touch()
    shop("runs", "retry", "g1")
    assert shop.until("g1", "succeeded")["output"] == 43
    assert shop.calls() == ["charge", "gated", "gated"]
    assert events(shop, "g1")[-3:] == ["retried", "step_completed", "finished"]
    assert "only a failed" in shop("runs", "retry", "g1", code=2).stderr


def test_a_run_is_forked_by_the_engine_that_owns_the_store(shop):
    shop.worker()
    (shop.folder / "ok").touch()
    shop("run", "shop.py:gate", "--id", "g1", "--detach")
    shop.until("g1", "succeeded")
    assert shop("runs", "fork", "g1", "--from-step", "gated", "--id", "g2").stdout == "g2\n"
    shown = shop.until("g2", "succeeded")
    assert shown["forked_from"] == shop.json("runs", "show", "g1")["uuid"]
    assert shop.calls() == ["charge", "gated", "gated"]
    assert "exists" in shop("runs", "fork", "g1", "--from-step", "gated", "--id", "g2", code=2).stderr
    assert "it has: charge, gated" in shop("runs", "fork", "g1", "--from-step", "nope", code=2).stderr


# --- without an engine -------------------------------------------------------------------------


def test_what_is_sent_without_an_engine_is_kept_for_the_next(shop):
    shop("run", "shop.py:approval", "--id", "a1", "--detach")
    assert "no engine runs: `ripresa worker" in shop("runs", "signal", "a1", "label", '"ok"').stderr
    shop("run", "shop.py:gate", "--id", "g1", code=1)
    (shop.folder / "ok").touch()
    assert "no engine runs" in shop("runs", "retry", "g1").stderr
    shop("runs", "fork", "g1", "--from-step", "gated", "--id", "g2")
    shop.worker()
    assert shop.until("a1", "succeeded")["output"] == "ok"
    assert shop.until("g1", "succeeded")["output"] == 43
    assert shop.until("g2", "succeeded")["output"] == 43


def test_a_run_that_has_ended_takes_no_signal_and_stays_as_it_is(shop):
    shop("run", "shop.py:text", "--id", "t1")
    assert "takes no more messages" in shop("runs", "signal", "t1", "x", code=2).stderr
    assert "takes no more messages" in shop("runs", "pause", "t1", code=2).stderr
    assert "succeeded already" in shop("runs", "cancel", "t1").stderr
    assert "is not JSON" in shop("runs", "signal", "t1", "x", "ok", code=2).stderr


def test_quarantined_runs_are_released_overridden_or_discarded(shop):
    for run in ("q1", "q2", "q3"):
        shop("run", "shop.py:aside", "--id", run, code=3)
    assert [run["id"] for run in shop.json("quarantine", "list")] == ["q3", "q2", "q1"]
    shown = shop.json("quarantine", "show", "q1")
    assert (shown["operation"], shown["error"]["message"], shown["attempts"][0]["status"]) == (
        "odd",
        "odd number",
        "failed",
    )
    shop("quarantine", "override", "q2", "7")
    shop("quarantine", "discard", "q3")
    (shop.folder / "ok").touch()
    shop("quarantine", "release", "q1")
    shop.worker()
    assert shop.until("q1", "succeeded")["output"] == 42
    assert shop.until("q2", "succeeded")["output"] == 7
    assert "discarded" in shop.until("q3", "failed")["error"]["message"]
    assert "not quarantined" in shop("quarantine", "release", "q1", code=2).stderr
    assert shop.json("quarantine", "list") == []


def test_interrupting_a_watch_touches_nothing(shop):
    shop.worker()
    shop("run", "shop.py:doze", "--id", "d1", "--detach")
    watching = shop.start("runs", "watch", "d1")
    assert watching.stderr is not None
    assert watching.stderr.readline()
    watching.send_signal(signal.SIGINT)
    assert watching.wait(60) == 130
    assert shop.json("runs", "show", "d1")["status"] == "running"


MEASURED = """
from ripresa import Step, StepResult, Workflow


def load(context):
    return StepResult.ok(quality={"record_count": context.params["rows"], "valid_rate": 0.5})


daily = Workflow("daily", [Step.lambda_("load", load), Step.wait("cool", "1ms")])
"""


def test_a_context_first_workflow_runs_and_its_quality_is_listed(shop):
    (shop.folder / "measured.py").write_text(MEASURED)
    for rows in (1000, 2):
        shop("run", "measured.py:daily", "-p", f"rows={rows}", "--id", f"m{rows}")
    shop("run", "measured.py", "--id", "none", code=1)
    assert shop.json("runs", "show", "none")["input"] == {"params": {}}
    shown = shop.json("runs", "show", "m2")
    assert shown["input"] == {"params": {"rows": 2}}
    assert shown["steps"][0]["operation"] == "load"
    found = shop.json("quality", "daily", "load")
    assert [row["metrics"]["record_count"] for row in found] == [2, 1000]
    assert (found[0]["run"], found[0]["run_id"]) == (shown["uuid"], "m2")
    table = shop("quality", "daily").stdout
    assert " m1000\n" in table
    assert shown["uuid"] not in table
    assert len(shop.json("quality", "daily", "--limit", "1")) == 1
    assert "1,000" in shop("quality", "daily").stdout
    assert "nothing was measured" in shop("quality", "daily", "cool").stderr
    assert 'did you mean "daily"?' in shop("quality", "dayly", code=2).stderr


PUBLISHES = """
from ripresa import QualityTrend, Step, StepResult, Workflow, publish, workflow

def load(context):
    return StepResult.ok(quality={"record_count": 10, "valid_rate": context.params["rate"]})

daily = Workflow("daily", [Step.lambda_("load", load, quality_trend=QualityTrend(min_runs=1))])

@workflow
async def sale(order: str) -> None:
    await publish("order_placed", {"order": order})
"""


def test_events_that_were_published_are_listed(shop):
    (shop.folder / "publishes.py").write_text(PUBLISHES)
    shop("run", "publishes.py:sale", "-p", "order=book", "--id", "o1")
    for place, rate in enumerate((0.9, 0.1)):
        shop("run", "publishes.py:daily", "-p", f"rate={rate}", "--id", f"d{place}")
    found = shop.json("events", "list")
    assert [(one["type"], one["run_id"]) for one in found] == [("order_placed", "o1"), ("quality_degraded", "d1")]
    assert found[0]["data"] == {"order": "book"}
    assert found[1]["data"]["step"] == "load"
    assert [one["run_id"] for one in shop.json("events", "list", "--run", "d1")] == ["d1"]
    assert [one["run_id"] for one in shop.json("events", "list", "--type", "order_placed")] == ["o1"]
    first = shop("events", "list", "--limit", "1").stdout.splitlines()[-1]
    assert first.split(maxsplit=2)[2].split(maxsplit=2) == ["order_placed", "o1", '{"order": "book"}']
    assert "no event waits" in shop("events", "list", "--type", "other").stderr
    assert "no run" in shop("events", "list", "--run", "nobody", code=2).stderr


def test_who_finds_nothing_is_told_what_may_have_been_meant(shop):
    shop("run", "shop.py:fulfil", "-p", "order=book", "--id", "o1")
    listed = shop("runs", "list", "--workflow", "fulfl")
    assert listed.stdout == "no runs\n"
    assert "no workflow 'fulfl' was run yet; did you mean \"fulfil\"?" in listed.stderr
    assert 'had no such step; did you mean "pack"?' in shop("runs", "logs", "o1", "--job", "pak", code=2).stderr
    assert shop("runs", "logs", "o1", "--job", "pack").stderr == "run o1: no such line\n"
    shop("run", "shop.py:text", "--id", "t1")
    assert shop("runs", "logs", "t1").stderr == "run t1 has logged nothing\n"


def test_a_run_that_has_ended_refuses_by_the_name_that_was_typed(shop):
    shop("run", "shop.py:text", "--id", "t1")
    for ask in (["signal", "t1", "go"], ["pause", "t1"], ["resume", "t1"]):
        assert "run 't1' has succeeded and takes no more messages" in shop("runs", *ask, code=2).stderr
    assert "run 't1' has succeeded: only a failed" in shop("runs", "retry", "t1", code=2).stderr
    assert "NAME: '' is not" in shop("runs", "signal", "t1", "", code=2).stderr


def test_a_failure_names_the_line_of_the_users_own_code(shop):
    (shop.folder / "wrong.py").write_text(
        "from ripresa import step, workflow\n\n\n"
        "@step\ndef charge(order: str) -> str:\n    return order\n\n\n"
        "@step\ndef refuse(order: str) -> str:\n    return {}[order]\n\n\n"
        "@workflow\nasync def awaits() -> str:\n    return await charge('coffee')\n\n\n"
        "@workflow\nasync def asks() -> str:\n    return refuse('coffee')\n"
    )
    shop("run", "wrong.py:awaits", "--id", "a", code=1)
    shown = shop("runs", "show", "a").stdout
    assert "used in 'await' expression: a step that is a `def` is called without await" in shown
    assert "wrong.py:16 in awaits: return await charge('coffee')" in shown
    shop("run", "wrong.py:asks", "--id", "b", code=1)
    assert "wrong.py:11 in refuse: return {}[order]" in shop("runs", "show", "b").stdout
