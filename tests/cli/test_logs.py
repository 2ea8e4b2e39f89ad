"""`ripresa runs logs`: the lines that are wanted, told safely, and followed until the run ends."""

import json
import signal
from datetime import UTC, datetime, timedelta

import pytest

from ripresa.cli import log_lines
from ripresa.cli.exits import UsageProblem
from ripresa.cli.printable import printable
from ripresa.contracts.records import LogRecord
from tests.cli.conftest import stop

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)


def line(**fields):
    given = {"number": 1, "at": NOW, "operation": "a", "attempt": 1, "stream": "stdout", "text": "hello"}
    return LogRecord(**{**given, **fields})


def test_lines_are_chosen_by_job_attempt_stream_and_time():
    wanted = log_lines.Wanted(job="resize", attempt=2, stream="stderr", since=NOW)
    fits = {"operation": "resize[3]", "attempt": 2, "stream": "stderr"}
    assert wanted.has(line(**fits))
    for other in (
        {"operation": "resized"}, {"operation": None}, {"attempt": 1}, {"stream": "log"},
        {"at": NOW - timedelta(microseconds=1)},
    ):  # fmt: skip
        assert not wanted.has(line(**{**fits, **other}))


@pytest.mark.parametrize("operation", ["resize", "resize#2", "resize[3]", "item[3]/resize", "item[3]/resize#2"])
def test_a_job_means_every_call_of_it(operation):
    assert log_lines.Wanted(job="resize").has(line(operation=operation))
    assert log_lines.Wanted(job=operation).has(line(operation=operation))


def test_since_is_a_span_or_a_moment():
    assert log_lines.since_of("10m", now=NOW) == NOW - timedelta(minutes=10)
    assert log_lines.since_of("2026-03-27T12:00:00+02:00", now=NOW) == NOW - timedelta(hours=2)
    assert log_lines.since_of(None, now=NOW) is None
    for wrong in ("yesterday", "", "-5m"):
        with pytest.raises(UsageProblem, match="write a span as 10m"):
            log_lines.since_of(wrong, now=NOW)


def test_a_line_tells_who_wrote_it_which_attempt_and_where():
    printer = log_lines.LinePrinter()
    after_time = lambda **fields: printer.text(line(**fields)).partition(" ")[2]  # noqa: E731
    assert after_time() == "a | hello"
    assert after_time(attempt=2, stream="stderr") == "a (2) stderr | hello"
    assert after_time(stream="log", level="warning") == "a warning | hello"


def test_what_a_job_writes_cannot_steer_the_terminal():
    assert printable("\x1b[31mred\x1b[0m\r") == "red"
    assert printable("\x1b]0;owned\x07\x1b[2J") == "\\x1b]0;owned\\x07\\x1b[2J"
    assert printable("tab\tand ü and \u202e") == "tab\tand ü and \\u202e"


def test_lines_of_a_run_are_filtered(shop):
    shop("run", "shop.py:fulfil", "-p", "order=book", "--id", "o1")
    assert [one["text"] for one in shop.json("runs", "logs", "o1", "--job", "charge")] == ["charging book"]
    assert [one["stream"] for one in shop.json("runs", "logs", "o1", "--stream", "log")] == ["log"]
    assert shop.json("runs", "logs", "o1", "--attempt", "2") == []
    assert shop.json("runs", "logs", "o1", "--since", "2099-01-01") == []
    assert len(shop.json("runs", "logs", "o1", "--since", "1h")) == 1
    assert 'did you mean "stderr"?' in shop("runs", "logs", "o1", "--stream", "stdrr", code=2).stderr


def test_the_lines_of_children_are_told_under_what_started_them(shop):
    (shop.folder / "houses.py").write_text("""
import logging
from ripresa import child, map_, step, workflow

@step
def note(what: str) -> None:
    logging.getLogger("house").info(what)

@workflow
async def room(what: str) -> None:
    note(what)

@workflow
async def house() -> None:
    note("door")
    await child(room, "kitchen")
    await map_(room, ["bath", "hall"])
""")
    shop("run", "houses.py:house", "--id", "h1")
    assert [one["text"] for one in shop.json("runs", "logs", "h1")] == ["door"]
    found = shop.json("runs", "logs", "h1", "--children")
    assert {one["operation"]: one["text"] for one in found} == {
        "note": "door",
        "room/note": "kitchen",
        "item[0]/room/note": "bath",
        "item[1]/room/note": "hall",
    }
    assert len({one["run"] for one in found}) == 4
    assert len(shop.json("runs", "logs", "h1", "--children", "--job", "note")) == 4
    followed = shop("runs", "logs", "h1", "--children", "--follow").stdout
    assert [line.split(" ", 1)[1] for line in followed.splitlines()][:2] == [
        "note info | door",
        "room/note info | kitchen",
    ]


def test_following_ends_with_the_run_and_ctrl_c_leaves_the_run_alone(shop):
    worker = shop.worker()
    shop("run", "shop.py:approval", "--id", "a1", "--detach")
    first = shop.start("runs", "logs", "a1", "--follow", "-o", "jsonl")
    assert json.loads(first.stdout.readline())["text"] == "charging x"
    first.send_signal(signal.SIGINT)
    _, said = first.communicate(timeout=60)
    assert first.returncode == 130
    assert b"no longer following run a1" in said
    second = shop.start("runs", "logs", "a1", "--follow")
    assert second.stdout.readline().rstrip().endswith(b"charge info | charging x")
    shop("runs", "signal", "a1", "label", '"L"')
    second.communicate(timeout=60)
    assert second.returncode == 0
    assert shop.until("a1", "succeeded")["output"] == "L"
    stop(worker)


def test_jobs_have_colours_of_their_own_on_a_terminal(shop):
    shop("run", "shop.py:fulfil", "-p", "order=book", "--id", "o1")
    terminal = shop.terminal("runs", "logs", "o1")
    assert terminal.wait() == 0
    assert "\x1b[36mcharge\x1b[0m" in terminal.raw
    assert "charge info | charging book" in terminal.text
