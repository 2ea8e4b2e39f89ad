"""`ripresa run`: the result on stdout, all else on stderr, and the exit code that says how it ended."""

import json
import signal
import sqlite3
import subprocess

import pytest

from tests.cli.conftest import RIPRESA, stop


def test_the_result_is_on_stdout_and_what_steps_print_is_not(shop):
    done = shop("run", "shop.py:fulfil", "-p", "order=book", "-o", "json")
    assert json.loads(done.stdout) == {"paid": 42, "box": "box of book", "qty": 1}
    assert "packing book" in done.stderr
    assert "from a child process" in done.stderr
    assert "charge succeeded" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_every_format_parses(shop):
    yaml = pytest.importorskip("yaml")
    wanted = {"paid": 42, "box": "box of book", "qty": 2}
    args = ("run", "shop.py:fulfil", "--id", "o1", "-p", "order=book", "-p", "qty=2", "-o")
    assert json.loads(shop(*args, "json").stdout) == wanted
    assert json.loads(shop(*args, "text").stdout) == wanted
    assert yaml.safe_load(shop(*args, "yaml").stdout) == wanted
    (line,) = shop(*args, "jsonl").stdout.splitlines()
    assert json.loads(line) == wanted
    assert shop.calls() == ["charge"]


def test_text_is_printed_as_it_is_and_nothing_as_nothing(shop):
    assert shop("run", "shop.py:text").stdout == "just text\n"
    assert shop("run", "shop.py:text", "-o", "json").stdout == '"just text"\n'
    assert shop("run", "shop.py:nothing").stdout == ""
    assert shop("run", "shop.py:nothing", "-o", "json").stdout == "null\n"


def test_what_a_file_prints_when_it_is_loaded_is_no_result(shop):
    with (shop.folder / "shop.py").open("a") as file:
        file.write("print('loaded')\n")
    done = shop("run", "shop.py:text", "-o", "json")
    assert json.loads(done.stdout) == "just text"
    assert "loaded" in done.stderr


def test_an_output_that_the_encoding_cannot_hold_is_escaped(shop):
    (shop.folder / "odd.py").write_text(
        "from ripresa import workflow\n@workflow\nasync def odd() -> str:\n    return 'ok → 好'\n", "utf-8"
    )
    assert shop("run", "odd.py").stdout == "ok → 好\n"
    assert shop("run", "odd.py", PYTHONIOENCODING="ascii").stdout == "ok \\u2192 \\u597d\n"
    assert json.loads(shop("run", "odd.py", "-o", "json", PYTHONIOENCODING="ascii").stdout) == "ok → 好"
    assert "Usage" in shop("--help", PYTHONIOENCODING="ascii").stdout


def test_a_reader_that_has_gone_is_no_error(shop):
    shop("run", "shop.py:text")
    listing = subprocess.Popen(
        [RIPRESA, "runs", "list"], cwd=shop.folder, env=shop.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert listing.stdout is not None
    listing.stdout.close()
    assert listing.stderr is not None
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait(60) == 141


def test_a_step_of_the_file_runs_in_a_worker_process(shop):
    done = shop("run", "shop.py:weighed", "-p", "order=book")
    assert done.stdout == "1.5\n"
    assert "weigh | weighing book" in done.stderr


def test_a_file_whose_name_is_another_modules_works_all_the_same(shop):
    (shop.folder / "json.py").write_text((shop.folder / "shop.py").read_text())
    (shop.folder / "daily-sales.py").write_text((shop.folder / "shop.py").read_text())
    assert shop("run", "json.py:weighed", "-p", "order=book").stdout == "1.5\n"
    assert shop("run", "daily-sales.py:weighed", "-p", "order=book").stdout == "1.5\n"


def test_a_module_a_packages_file_and_a_registered_name_are_targets_too(shop):
    package = shop.folder / "flows"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "words.py").write_text("WORD = 'hello'\n")
    (package / "greet.py").write_text(
        "from ripresa import workflow\nfrom .words import WORD\n@workflow\nasync def hi() -> str:\n    return WORD\n"
    )
    (shop.folder / "ripresa.toml").write_text('[workflows]\nhi = "flows/greet.py:hi"\n')
    for target in ("flows.greet:hi", "flows/greet.py:hi", "flows/greet.py", "hi"):
        assert shop("run", target).stdout == "hello\n"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("shop.py:fulfill", "no workflow 'fulfill' there; did you mean \"fulfil\"?"),
        ("shop.py:charge", "charge is a step"),
        ("shop.py", "say which one: shop.py:fulfil, "),
        ("none.py:x", "none.py: no such file"),
        ("nowhere:x", "nowhere: no such module"),
        ("fulfil", "is no target"),
        ("daily.yaml", "daily.yaml: No such file or directory"),
        ("broken.py:x", "broken.py: cannot be loaded: ZeroDivisionError"),
        ("torn.py:x", "torn.py: cannot be loaded: SyntaxError"),
    ],
)
def test_a_target_that_is_none_is_named_with_the_remedy(shop, target, said):
    (shop.folder / "broken.py").write_text("1 / 0\n")
    (shop.folder / "torn.py").write_text("def x(:\n")
    assert said in shop("run", target, code=2).stderr
    assert not (shop.folder / ".ripresa").exists()


TYPES = """
from datetime import date
from pydantic import BaseModel
from ripresa import workflow

class Order(BaseModel):
    id: int
    gift: bool = False

@workflow
async def typed(name: str, day: date, order: Order, flags: list[int], note: str | None = None, free = 1) -> list:
    return [name, day, order, flags, note, free]

@workflow
async def one(order: Order) -> int:
    return order.id

@workflow
async def open_ended(**facts: int) -> dict:
    return facts
"""


def test_parameters_are_read_as_their_types_want_them(shop):
    (shop.folder / "typed.py").write_text(TYPES)
    given = ["name=7", "day=2026-01-31", 'order={"id": 3}', "flags=[1,2]", "note=5", "free=x"]
    found = shop.json("run", "typed.py:typed", *(word for one in given for word in ("-p", one)))
    assert found == ["7", "2026-01-31", {"id": 3, "gift": False}, [1, 2], "5", "x"]
    assert shop.json("run", "typed.py:open_ended", "-p", "a=1", "-p", "b=2") == {"a": 1, "b": 2}


def test_input_comes_from_a_file_or_stdin_by_name_or_as_the_one_parameter(shop):
    (shop.folder / "typed.py").write_text(TYPES)
    (shop.folder / "order.json").write_text('{"order": {"id": 3}}')
    assert shop.json("run", "typed.py:one", "--input", "order.json") == 3
    assert shop.json("run", "typed.py:one", "--input", "-", stdin='{"id": 4}') == 4
    assert shop.json("run", "typed.py:one", "--input", "order.json", "-p", 'order={"id": 5}') == 5


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["-p", "order"], "write KEY=VALUE"),
        (["-p", "ordr=1"], "no parameter 'ordr'; did you mean \"order\"?"),
        ([], "one needs order: give -p order=…"),
        (["-p", 'order={"id": "x"}'], "one().order.id: input should be a valid integer"),
        (["--input", "none.json"], "--input none.json: No such file"),
        (["--input", "typed.py"], "not JSON"),
        (["--priority", "high", "-p", 'order={"id": 1}'], "priority"),
        (["--tag", "x", "-p", 'order={"id": 1}'], "--tag x: write KEY=VALUE"),
        (["-o", "xml"], "xml"),
    ],
)
def test_input_that_does_not_fit_is_named_by_its_field(shop, args, said):
    (shop.folder / "typed.py").write_text(TYPES)
    assert said in shop("run", "typed.py:one", *args, code=2).stderr
    assert not (shop.folder / ".ripresa").exists()


# --- ids ---------------------------------------------------------------------------------------


def test_an_id_that_exists_attaches_and_repeats_nothing(shop):
    first = shop.json("run", "shop.py:fulfil", "--id", "o1", "-p", "order=book")
    assert shop.json("run", "shop.py:fulfil", "--id", "o1") == first
    assert shop.json("run", "shop.py:fulfil", "--id", "o1", "-p", "order=book") == first
    assert shop.calls() == ["charge"]


def test_an_id_of_another_workflow_or_input_is_a_conflict(shop):
    shop("run", "shop.py:fulfil", "--id", "o1", "-p", "order=book")
    assert "with another input" in shop("run", "shop.py:fulfil", "--id", "o1", "-p", "order=pen", code=2).stderr
    assert "of workflow 'fulfil'" in shop("run", "shop.py:text", "--id", "o1", code=2).stderr


def test_a_run_that_began_anew_is_known_by_its_first_input(shop):
    (shop.folder / "counting.py").write_text(
        "from ripresa import continue_as_new, workflow\n"
        "@workflow\nasync def count(left: int) -> int:\n    return continue_as_new(left - 1) if left else left\n"
    )
    for _ in range(2):
        assert shop("run", "counting.py", "--id", "c", "-p", "left=3").stdout == "0\n"
    assert "with another input" in shop("run", "counting.py", "--id", "c", "-p", "left=0", code=2).stderr


def test_a_detached_run_waits_for_an_engine_and_says_which(shop):
    done = shop(
        "run", "shop.py:fulfil", "-p", "order=book", "--id", "o1", "--tag", "region=eu", "--priority", "3", "--detach"
    )
    assert done.stdout == "o1\n"
    assert "ripresa worker shop.py:fulfil" in done.stderr
    assert shop.calls() == []
    shown = shop.json("runs", "show", "o1")
    assert (shown["status"], shown["priority"], shown["tags"]) == ("queued", 3, {"region": "eu"})
    assert shop.json("run", "shop.py:fulfil", "--id", "o1")["paid"] == 42
    assert shop.json("definitions", "list")[0]["name"] == "fulfil"


# --- how it ends -------------------------------------------------------------------------------


def test_a_failed_run_ends_with_1_and_says_how_to_go_on(shop):
    done = shop("run", "shop.py:gate", "--id", "g1", code=1)
    assert done.stdout == ""
    assert "run 'g1' failed: step 'gated' failed after 1 attempt" in done.stderr
    assert "ripresa runs retry g1" in done.stderr


@pytest.mark.parametrize("detach", [(), ("--detach",)], ids=str)
@pytest.mark.parametrize(
    "args",
    [("--id", ""), ("--id", "x" * 256), ("--id", "a\tb"), ("--priority", str(2**31)), ("--tag", "a=")],
    ids=lambda args: f"{args[0]} {args[1][:9]!r}",
)
def test_an_id_a_priority_or_a_tag_that_no_run_may_have_is_a_usage_error(shop, args, detach):
    done = shop("run", "shop.py:text", *args, *detach, code=2)
    assert done.stderr.startswith(f"error: {args[0]}")
    assert len(done.stderr) < 160
    assert not (shop.folder / ".ripresa").exists()


def test_what_is_proposed_can_be_typed_as_it_stands(shop):
    done = shop("run", "shop.py:gate", "--id", "gate of $HOME", code=1)
    assert "ripresa runs retry 'gate of $HOME'\n" in done.stderr


def test_a_quarantined_run_ends_with_3(shop):
    done = shop("run", "shop.py:aside", "--id", "q1", code=3)
    assert "run 'q1' is quarantined: odd number" in done.stderr


def test_a_cancelled_run_ends_with_4(shop):
    running = shop.start("run", "shop.py:doze", "--id", "d1")
    shop.until("d1", "running")
    shop("runs", "cancel", "d1")
    assert running.wait(60) == 4


def test_a_blocked_run_ends_with_1_and_goes_on_when_fitting_code_is_back(shop):
    file = shop.folder / "shop.py"
    good = file.read_text()
    running = shop.start("run", "shop.py:approval", "--id", "a1")
    shop.until("a1", "waiting")
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    file.write_text(
        good.replace('await charge("x")\n    return await wait_for', "await slow(0)\n    return await wait_for")
    )
    done = shop("run", "shop.py:approval", "--id", "a1", code=1)
    assert "run 'a1' is blocked: run a1 no longer fits its code" in done.stderr
    assert "shop.py:" in done.stderr
    verdicts = json.loads(shop("check", "--against", shop.store, "shop.py", "-o", "json", code=1).stdout)
    assert [(one["run"], one["verdict"]) for one in verdicts] == [("a1", "blocked")]
    assert "shop.py:" in verdicts[0]["why"]
    file.write_text(good)
    assert shop.json("check", "--against", shop.store, "shop.py")[0]["verdict"] == "compatible"
    shop("runs", "signal", "a1", "label", '"ok"')
    assert shop("run", "shop.py:approval", "--id", "a1").stdout == "ok\n"


@pytest.mark.own_store  # about files, and the one process that has one
def test_a_store_that_is_in_use_damaged_or_out_of_reach_ends_with_5(shop):
    worker = shop.worker()
    done = shop("run", "shop.py:text", code=5)
    assert f"process {worker.pid}" in done.stderr
    assert "--detach" in done.stderr
    stop(worker)
    (shop.folder / "bad.db").write_bytes(b"not a database" * 100)
    assert "bad.db is damaged, or no database at all" in shop("run", "shop.py:text", "--store", "bad.db", code=5).stderr
    assert shop("run", "shop.py:text", "--store", "sqlite:////proc/no/x.db", code=5).stderr
    with sqlite3.connect(shop.folder / "theirs.db") as theirs:
        theirs.execute("CREATE TABLE t (x)")
    theirs.close()
    assert "not a ripresa database" in shop("runs", "list", "--store", "theirs.db", code=5).stderr


def test_an_address_that_names_no_store_is_a_usage_error(shop):
    assert "unknown kind of store" in shop("run", "shop.py:text", "--store", "mysql://x/y", code=2).stderr


@pytest.mark.own_store  # about where a store is named: it needs several
def test_the_store_is_taken_from_the_flag_the_variable_or_the_file(shop):
    (shop.folder / "ripresa.toml").write_text('store = "file.db"\n')
    shop("run", "shop.py:text")
    shop("run", "shop.py:text", RIPRESA_STORE="variable.db")
    shop("run", "shop.py:text", "--store", "flag.db", RIPRESA_STORE="variable.db")
    shop("--store", "front.db", "run", "shop.py:text", RIPRESA_STORE="variable.db")
    for name in ("file", "variable", "flag", "front"):
        assert len(shop.json("runs", "list", "--store", f"{name}.db")) == 1
    assert not (shop.folder / ".ripresa").exists()


def test_a_configuration_that_cannot_be_understood_names_the_field(shop):
    (shop.folder / "ripresa.toml").write_text("[engine]\nthread = 3\n")
    assert 'engine.thread: unknown setting; did you mean "threads"?' in shop("run", "shop.py:text", code=2).stderr
    (shop.folder / "ripresa.toml").write_text("stoer = 3\n")
    assert 'stoer: unknown field; did you mean "store"?' in shop("run", "shop.py:text", code=2).stderr
    (shop.folder / "ripresa.toml").unlink()
    assert (
        "RIPRESA_THREADS: 'x' is not a whole number" in shop("run", "shop.py:text", code=2, RIPRESA_THREADS="x").stderr
    )
    assert "threads=0 must be 1 or more" in shop("run", "shop.py:text", code=2, RIPRESA_THREADS="0").stderr


def test_a_traceback_is_shown_with_debug_only(shop):
    (shop.folder / "broken.py").write_text("1 / 0\n")
    done = subprocess.run(
        [RIPRESA, "run", "broken.py", "--debug"], cwd=shop.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" in done.stderr


def test_a_child_that_waits_is_answered_and_its_parent_ends(shop):
    running = shop.start("run", "shop.py:family", "-p", "order=x", "--id", "f1")
    waiting = {}
    while "approval" not in waiting:  # the parent waits for its first child before it starts the second
        waiting = {child["definition"]: child for child in shop.until("f1", "waiting")["children"]}
    waiting = waiting["approval"]
    shop.until(waiting["uuid"], "waiting")
    shop("runs", "signal", waiting["uuid"], "label", '"!"')
    out, _ = running.communicate(timeout=60)
    assert out == b"through!\n"
