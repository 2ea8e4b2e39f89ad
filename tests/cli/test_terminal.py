"""On a terminal: a live tree, a Ctrl-C that loses nothing, and no colour where none is wanted."""

import re


def test_the_tree_shows_steps_retries_and_how_it_ended(shop):
    terminal = shop.terminal("run", "shop.py:retried", "--id", "r1")
    terminal.until(r"↻ flaky +retry 2/3 in 0\.\d s: ConnectionError: gateway hung up")
    terminal.until(r"✓ retried r1 +succeeded in ")
    assert terminal.wait() == 0
    assert re.search(r"└─ ✓ flaky +\S+ (ms|s) +3 attempts", terminal.text)
    assert terminal.text.rstrip().endswith("through")
    assert "\x1b[?25h" in terminal.raw.rpartition("\x1b[?25l")[2], "the cursor is shown again"


def test_follow_shows_what_the_steps_write_instead_of_the_tree(shop):
    (shop.folder / "talks.yaml").write_text("""
workflow:
  name: talks
  defaults: {runtime: process}
  jobs:
    - job: {name: say, image: "box:1", command: [sh, -c, "echo first; echo second >&2"]}
""")
    (shop.folder / "ripresa.toml").write_text('[runtimes.process.images]\n"box" = "."\n')
    terminal = shop.terminal("run", "talks.yaml", "--follow")
    assert terminal.wait() == 0
    for line in (r"say started", r"say \| first", r"say \| second", r"say succeeded in ", r"run succeeded"):
        assert re.search(line, terminal.text)
    assert "\x1b[?25l" not in terminal.raw, "no tree was drawn"


def test_children_and_what_they_wait_for_are_in_the_tree(shop):
    terminal = shop.terminal("run", "shop.py:family", "-p", "order=x", "--id", "f1")
    text = terminal.until(r"waiting for signal 'label', until ")
    assert re.search(r"├─ ✓ retried", text)
    assert re.search(r"└─ \S approval", text)
    terminal.press(b"\x03")
    assert terminal.wait() == 130


def test_a_run_that_was_left_shows_again_what_it_waits_for(shop):
    shop("run", "shop.py:approval", "--id", "a1", "--detach")
    for _ in range(2):
        terminal = shop.terminal("run", "shop.py:approval", "--id", "a1")
        text = terminal.until(r"waiting for signal 'label', until ")
        assert re.search(r"✓ charge", text)
        terminal.press(b"\x03")
        assert terminal.wait() == 130
    assert shop.calls() == ["charge"]


def test_a_sleep_says_until_when(shop):
    terminal = shop.terminal("run", "shop.py:long_sleep")
    terminal.until(r"◷ sleeping until 20\d\d-\d\d-\d\d \d\d:\d\d \((3 d|2 d 23 h)\)")
    terminal.press(b"\x03")
    assert terminal.wait() == 130


def test_ctrl_c_leaves_the_run_in_the_store_and_says_how_to_go_on(shop):
    terminal = shop.terminal("run", "shop.py:doze", "--id", "d1", "-p", "seconds=2")
    terminal.until(r"\S slow +0\.\d s")
    terminal.press(b"\x03")
    assert terminal.wait() == 130
    assert "detached: run d1 stays in the store" in terminal.text
    assert "ripresa run shop.py:doze --id d1" in terminal.text
    assert "ripresa runs watch d1" in terminal.text
    assert re.search(r"‖ slow +cut off; attempted again", terminal.text)
    assert shop.json("runs", "show", "d1")["status"] in {"running", "waiting"}
    assert shop("run", "shop.py:doze", "--id", "d1").stdout == "slept\n"
    assert shop.calls() == ["charge", "slow", "slow"]


STUBBORN = """
import signal, time
from ripresa import step, workflow

@step(runtime="process")
def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("holding on", flush=True)
    time.sleep(60)

@workflow
async def hold() -> None:
    stubborn()
"""


def test_a_second_ctrl_c_stops_at_once(shop):
    (shop.folder / "hold.py").write_text(STUBBORN)
    (shop.folder / "ripresa.toml").write_text("[engine]\nprocess_grace_s = 50\n")
    terminal = shop.terminal("run", "hold.py", "--id", "h1")
    terminal.until("holding on")
    terminal.press(b"\x03")
    terminal.until("detaching")
    terminal.press(b"\x03")
    assert terminal.wait() == 130
    assert "stopped at once" in terminal.text
    assert shop.json("runs", "show", "h1")["status"] == "running"


def test_no_color_means_plain_lines(shop):
    terminal = shop.terminal("run", "shop.py:retried", NO_COLOR="1")
    assert terminal.wait() == 0
    assert "\x1b" not in terminal.raw
    assert re.search(r"flaky failed \(attempt 1/3\), again in 0.3 s: ConnectionError: gateway hung up", terminal.text)


def test_a_tree_that_is_too_long_for_the_terminal_gives_up_what_went_well(shop):
    (shop.folder / "many.py").write_text(
        "import asyncio\nfrom ripresa import map_, step, workflow\n"
        "@step\nasync def resize(n: int) -> int:\n    await asyncio.sleep(30 if n == 40 else 0)\n    return n\n"
        "@workflow\nasync def many() -> int:\n    return len(await map_(resize, list(range(41))))\n"
    )
    terminal = shop.terminal("run", "many.py", lines=12)
    terminal.until(r"more succeeded[^…]*\S item\[40\]/resize +\d")
    last = terminal.raw.rpartition("more succeeded")[2]
    assert last.count("\n") < 12
    terminal.press(b"\x03")
    assert terminal.wait() == 130


def test_lists_are_coloured_and_fit_the_terminal(shop):
    shop("run", "shop.py:text", "--id", "t1", "--tag", f"long={'x' * 200}")
    terminal = shop.terminal("runs", "list", columns=80)
    assert terminal.wait() == 0
    assert "\x1b[32msucceeded\x1b[0m" in terminal.raw
    assert all(len(line) <= 80 for line in terminal.text.splitlines())
    assert "x" * 200 in shop("runs", "list").stdout


def test_watching_on_a_terminal_shows_the_tree_of_another_process(shop):
    shop.worker()
    shop("run", "shop.py:doze", "--id", "d1", "-p", "seconds=2", "--detach")
    terminal = shop.terminal("runs", "watch", "d1")
    terminal.until(r"\S slow +\d\.\d s")
    assert terminal.wait() == 0
    assert re.search(r"✓ doze d1 +succeeded", terminal.text)
    assert terminal.text.rstrip().endswith("slept")
