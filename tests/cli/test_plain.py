"""Plain progress, line by line, whatever had begun before anybody looked."""

from ripresa.cli.plain import PlainLines
from ripresa.cli.progress import RunView
from ripresa.engine.watching import Notice


def lines(capsys, *notices):
    plain = PlainLines()
    for notice in notices:
        plain.heard(notice, RunView("r", "r", "shown", "running", 0), "")
    return [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]


def notice(kind, at, **more):
    return Notice(kind, "run", None, at, operation="transform", attempt=1, attempts_max=1, **more)


def test_a_step_tells_how_long_it_took(capsys):
    told = lines(capsys, notice("attempt_started", 1_000_000), notice("step_done", 2_500_000))
    assert told == ["transform started", "transform succeeded in 1.5 s"]


def test_a_step_that_was_under_way_already_does_not_say_how_long_it_took(capsys):
    assert lines(capsys, notice("step_done", 2_500_000)) == ["transform succeeded"]
