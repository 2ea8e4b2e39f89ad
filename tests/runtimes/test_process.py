from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from ripresa.author.code import as_step
from ripresa.contracts.status import FailureClass
from ripresa.runtimes import RemoteError, RuntimeClosed, WorkerLost
from ripresa.runtimes.process import ProcessRuntime
from tests.runtimes import steps


@pytest.fixture
async def runtime():
    runtime = ProcessRuntime(processes_max=2, grace_s=0.3)
    yield runtime
    await runtime.close()


@pytest.fixture
def work_of_step(make_work):
    """As the engine hands a step over: its own target, and its input by name."""

    def make(step, args, kwargs):
        return replace(make_work(step.function, target=step.target), input=step.encode(tuple(args), kwargs)[0])

    return make


@pytest.fixture
def module_of(tmp_path, monkeypatch):
    """The engine knows a module of this name; a worker would have to look for its file."""

    def make(name, source):
        module = ModuleType(name)
        module.__file__ = str(tmp_path / f"{name}.py")
        Path(module.__file__).write_text(source)
        monkeypatch.setitem(sys.modules, name, module)

    return make


async def until(condition, within_s=60):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def noted(file):
    """The process ids that a step wrote to `file`, as soon as they are there."""
    await until(file.exists)
    return json.loads(file.read_text())


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(*pids, within_s=0.0):
    deadline = time.monotonic() + within_s
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(map(runs, pids))


def children(pid):
    """Process ids of its children."""
    stats = {int(stat.parent.name): stat.read_text() for stat in Path("/proc").glob("[0-9]*/stat")}
    return [child for child, stat in stats.items() if int(stat.rpartition(")")[2].split()[1]) == pid]


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def descriptors():
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def environment():
    """Ours, with the tests and the source on the path from wherever it is used."""
    root = Path(__file__).parents[2]
    return os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'src'}"}


# --- the work -----------------------------------------------------------------------------


async def test_plain_and_async_functions_run_in_another_process(runtime, make_work):
    assert await runtime.run(make_work(steps.double, 4)) == "8"
    assert await runtime.run(make_work(steps.double_later, number=5)) == "10"
    pid, group = json.loads(await runtime.run(make_work(steps.who)))
    assert pid == group != os.getpid()


async def test_a_worker_is_used_again(runtime, make_work):
    assert len({await runtime.run(make_work(steps.who)) for _ in range(5)}) == 1
    assert runtime.processes == 1


async def test_never_more_processes_than_allowed(runtime, make_work):
    outputs = await asyncio.gather(*(runtime.run(make_work(steps.double, n)) for n in range(1000)))
    assert outputs == [str(n * 2) for n in range(1000)]
    assert runtime.processes == 2


async def test_the_step_sees_its_context(runtime, make_work):
    context = json.loads(await runtime.run(make_work(steps.context)))
    assert context["idempotency_key"] == "order-7:charge"


@pytest.mark.parametrize(
    ("step", "call", "output"),
    [
        (steps.following, ([date(2024, 2, 28)], {}), '"2024-02-29"'),
        (steps.following, ([date(2024, 2, 28)], {"days": 2}), '"2024-03-01"'),
        (steps.refund, ([Decimal("0.1")], {}), '"-0.1"'),
        (as_step(steps.length), (["four"], {}), "4"),
    ],
)
async def test_a_step_reads_its_input_and_writes_its_output_by_its_types(runtime, work_of_step, step, call, output):
    assert await runtime.run(work_of_step(step, *call)) == output


async def test_an_output_of_another_type_is_a_payload_error(runtime, work_of_step):
    with pytest.raises(RemoteError, match="PayloadError: output of step wrong"):
        await runtime.run(work_of_step(steps.wrong, [], {}))


async def test_a_target_may_be_nested_in_a_class(runtime, make_work):
    assert await runtime.run(make_work(steps.Box.open, "a key")) == '"opened with a key"'


async def test_a_function_inside_a_function_cannot_be_found(runtime, make_work):
    def local():
        return 1

    with pytest.raises(RemoteError, match="at the top of a module") as caught:
        await runtime.run(make_work(local))
    assert caught.value.failure_class is FailureClass.TERMINAL


async def test_a_scripts_own_functions_run_and_its_main_block_does_not(runtime, make_work, tmp_path):
    script = tmp_path / "flow.py"
    script.write_text(
        textwrap.dedent("""
            from __future__ import annotations
            from dataclasses import dataclass

            class NoMoney(Exception):
                pass

            @dataclass
            class Order:
                total: int

            def charge(total):
                if total > 100:
                    raise NoMoney("poor")
                return Order(total)

            if __name__ == "__main__":
                raise SystemExit("the main block ran")
        """)
    )
    assert await runtime.run(make_work(steps.double, 7, target=f"{script}:charge")) == '{"total":7}'
    with pytest.raises(RemoteError, match=r"^NoMoney: poor$"):
        await runtime.run(make_work(steps.double, 700, target=f"{script}:charge"))


@pytest.mark.parametrize("name", ["not_on_the_path", "colorsys"])
async def test_a_module_that_only_the_engine_can_import_is_found_by_its_file(runtime, make_work, module_of, name):
    module_of(name, "def number():\n    return 7")
    assert await runtime.run(make_work(steps.who, target=f"{name}:number")) == "7"


async def test_what_goes_wrong_in_an_import_is_a_failure(runtime, make_work, module_of):
    module_of("broken_one", "import no_such_module")
    with pytest.raises(RemoteError, match="ModuleNotFoundError: No module named 'no_such_module'"):
        await runtime.run(make_work(steps.who, target="broken_one:number"))
    with pytest.raises(RemoteError, match="ModuleNotFoundError: No module named 'nowhere'"):
        await runtime.run(make_work(steps.who, target="nowhere:number"))


SCRIPT = """
import asyncio
from ripresa.author.code import step
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes.process import ProcessRuntime

context = StepContext("order-7", "0190a3c0", "fulfil", "charge", "charge", 1, "order-7:charge", "c-1")

@step
def greet(name: str) -> str:
    return f"hello {name} from {__name__ == '__main__'}"

async def main():
    runtime = ProcessRuntime(1)
    print(greet.target)
    text = greet.encode(("Ada",), {})[0]
    print(await runtime.run(Work(greet.function, greet.target, (), {}, text, greet.dump, context, print)))
    await runtime.close()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("how", [["flow.py"], ["-m", "flow"]])
async def test_the_steps_of_the_main_script_run_in_a_worker(tmp_path, how):
    (tmp_path / "flow.py").write_text(SCRIPT)
    engine = await asyncio.create_subprocess_exec(
        sys.executable, *how, cwd=tmp_path, env=environment(), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await engine.communicate()
    assert output.decode().splitlines() == ["__main__:greet", '"hello Ada from False"']


async def test_large_input_and_output_pass(runtime, make_work):
    size = 20_000_000
    assert len(await runtime.run(make_work(steps.large, size))) == size + 2
    assert await runtime.run(make_work(steps.length, "é" * (size // 2))) == str(size // 2)


@pytest.mark.parametrize("step", [steps.nan, steps.unwritable])
async def test_an_output_that_is_no_json_is_a_payload_error(runtime, make_work, step):
    with pytest.raises(RemoteError) as caught:
        await runtime.run(make_work(step))
    assert caught.value.failure.type == "ripresa.PayloadError"
    assert caught.value.failure_class is FailureClass.TERMINAL


# --- failures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "type_name", "failure_class"),
    [
        ("key", "KeyError", FailureClass.RETRYABLE),
        ("terminal", "ripresa.Terminal", FailureClass.TERMINAL),
        ("quarantine", "ripresa.Quarantine", FailureClass.QUARANTINE),
    ],
)
async def test_what_the_step_raises_comes_back_as_a_failure(runtime, make_work, kind, type_name, failure_class):
    with pytest.raises(RemoteError, match="no such order") as caught:
        await runtime.run(make_work(steps.fail, kind, "no such order"))
    failure = caught.value.failure
    assert (failure.type, failure.failure_class) == (type_name, failure_class)
    assert "in fail\n" in failure.traceback
    assert "process_worker" not in failure.traceback
    assert await runtime.run(make_work(steps.double, 1)) == "2"


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (steps.fail_without_words, "no text"),
        (steps.fail_with_half_a_surrogate, r"caf[?]"),
        (steps.exit_politely, "SystemExit"),
    ],
)
async def test_odd_exceptions_come_back_too_and_the_worker_lives(runtime, make_work, step, text):
    with pytest.raises(RemoteError, match=text) as caught:
        await runtime.run(make_work(step))
    str(caught.value.failure).encode()
    assert await runtime.run(make_work(steps.double, 1)) == "2"
    assert runtime.processes == 1


@pytest.mark.parametrize(
    ("step", "message", "code"),
    [
        (steps.exit_at_once, "exited with code 3", 3),
        (steps.kill_self, "killed by SIGKILL, perhaps for lack of memory", -9),
        (steps.crash, "killed by SIGSEGV", -11),
        (steps.close_the_line, "killed by SIGKILL", -9),
    ],
)
async def test_a_worker_that_dies_is_lost_and_replaced(runtime, make_work, step, message, code):
    with pytest.raises(WorkerLost, match=message) as caught:
        await runtime.run(make_work(step))
    assert caught.value.exit_code == code
    assert runtime.processes == 0
    assert await runtime.run(make_work(steps.double, 1)) == "2"


async def test_a_worker_killed_from_outside_is_lost(runtime, make_work, tmp_path):
    task = asyncio.create_task(runtime.run(make_work(steps.sleep_noting, str(tmp_path / "pids"))))
    (pid,) = await noted(tmp_path / "pids")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match="SIGKILL"):
        await task


async def test_a_worker_killed_while_idle_is_replaced(runtime, make_work):
    pid, _ = json.loads(await runtime.run(make_work(steps.who)))
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not runtime.processes)
    assert await runtime.run(make_work(steps.double, 1)) == "2"


async def test_a_fork_that_the_step_lets_slip_does_not_answer(runtime, make_work):
    assert await runtime.run(make_work(steps.fork_and_return)) == '"parent"'
    assert await runtime.run(make_work(steps.double, 1)) == "2"


async def test_a_worker_that_cannot_be_started_is_lost_and_leaves_nothing_open(runtime, make_work, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        before = descriptors()
        for _ in range(3):
            with pytest.raises(WorkerLost, match="cannot start a worker process"):
                await runtime.run(make_work(steps.double, 1))
        assert descriptors() == before
    assert await runtime.run(make_work(steps.double, 1)) == "2"


async def test_a_guard_that_was_killed_is_not_missed(make_work):
    runtime = ProcessRuntime(1)
    await runtime.run(make_work(steps.double, 1))
    # The last one: other tests of this process may have a guard of their own at work.
    guard = max(pid for pid in children(os.getpid()) if "process_guard" in command_of(pid))
    os.kill(guard, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        await runtime.run(make_work(steps.kill_self))
    assert await runtime.run(make_work(steps.double, 1)) == "2"
    await runtime.close()


# --- output -------------------------------------------------------------------------------


async def test_what_the_step_prints_is_kept_before_its_end_is_known(runtime, make_work, log):
    for n in range(50):
        log.clear()
        await runtime.run(make_work(steps.speak, "one", "", "zwei é", n))
        assert log.texts("stdout") == ["one", "", "zwei é", str(n), "no end of line"]
        assert log.texts("stderr") == ["a word of warning"]


async def test_endless_output_neither_stops_the_step_nor_fills_the_log(runtime, make_work, log):
    assert await runtime.run(make_work(steps.shout, 64, options={"output_bytes_max": 100_000})) == '"hoarse"'
    assert sum(len(text) + 1 for text in log.texts("stdout")) <= 100_100
    assert log[-1] == ("stdout", "warning", "[output past 100000 bytes is not kept]")


async def test_a_line_too_long_is_broken_up(runtime, make_work, log):
    await runtime.run(make_work(steps.one_long_line, 100_000))
    assert "".join(log.texts("stdout")) == "x" * 100_000
    assert max(map(len, log.texts("stdout"))) <= 16_384


async def test_bytes_that_are_no_text_are_shown_as_such(runtime, make_work, log):
    await runtime.run(make_work(steps.not_text))
    assert log.texts("stdout") == ["caf\N{REPLACEMENT CHARACTER}"]


async def test_a_step_may_close_its_stdout(runtime, make_work):
    assert await runtime.run(make_work(steps.close_stdout)) == '"quiet"'


# --- stopping -----------------------------------------------------------------------------


@pytest.mark.parametrize("own_session", [False, True])
async def test_a_timeout_kills_a_stubborn_step_and_its_stubborn_child(runtime, make_work, tmp_path, own_session):
    work = make_work(steps.stubborn_family, str(tmp_path / "pids"), own_session)
    task = asyncio.create_task(runtime.run(work))
    pids = await noted(tmp_path / "pids")
    assert all(map(runs, pids))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.01)
    assert gone(pids[0])
    assert gone(*pids, within_s=5)
    assert 0.3 <= time.monotonic() - begun < 20
    assert await runtime.run(make_work(steps.double, 1)) == "2"


@pytest.mark.parametrize("step", [steps.tidy_up_when_told, steps.tidy_up_when_told_async])
async def test_a_cancelled_step_may_tidy_up(make_work, tmp_path, step):
    runtime = ProcessRuntime(1, grace_s=30)
    task = asyncio.create_task(runtime.run(make_work(step, str(tmp_path / "pids"), str(tmp_path / "tidied"))))
    pids = await noted(tmp_path / "pids")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone(*pids)
    assert (tmp_path / "tidied").exists()
    await runtime.close()


async def test_cancelling_twice_still_waits_for_the_death(runtime, make_work, tmp_path):
    task = asyncio.create_task(runtime.run(make_work(steps.stubborn_family, str(tmp_path / "pids"), own_session=False)))
    pids = await noted(tmp_path / "pids")
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0.01)
    assert not task.done()
    await asyncio.wait([task])
    assert task.cancelled()
    assert gone(*pids, within_s=5)


async def test_work_cancelled_before_its_turn_never_begins(make_work, tmp_path):
    runtime = ProcessRuntime(1, grace_s=0.1)
    first = asyncio.create_task(runtime.run(make_work(steps.sleep_noting, str(tmp_path / "first"))))
    second = asyncio.create_task(runtime.run(make_work(steps.sleep_noting, str(tmp_path / "second"))))
    await noted(tmp_path / "first")
    second.cancel()
    await asyncio.wait([second])
    first.cancel()
    await asyncio.wait([first])
    assert await runtime.run(make_work(steps.double, 1)) == "2"
    assert not (tmp_path / "second").exists()
    await runtime.close()


async def test_closing_ends_busy_and_idle_workers_and_refuses_the_rest(make_work, tmp_path):
    runtime = ProcessRuntime(2, grace_s=0.1)
    idle, _ = json.loads(await runtime.run(make_work(steps.who)))
    tasks = [
        asyncio.create_task(runtime.run(make_work(steps.stubborn_family, str(tmp_path / name), own_session=False)))
        for name in ("one", "two", "three")
    ]
    pids = [idle, *await noted(tmp_path / "one"), *await noted(tmp_path / "two")]
    await runtime.close()
    await runtime.close()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, RuntimeClosed)
    assert gone(*pids, within_s=5)
    assert runtime.processes == 0
    with pytest.raises(RuntimeClosed):
        await runtime.run(make_work(steps.double, 1))


async def test_closing_before_any_work_is_fine():
    await ProcessRuntime().close()


ENGINE = """
import asyncio, sys
from ripresa.contracts.step_context import StepContext
from ripresa.ports.runtime import Work
from ripresa.runtimes.process import ProcessRuntime

context = StepContext("order-7", "0190a3c0", "fulfil", "charge", "charge", 1, "order-7:charge", "c-1")

async def main():
    runtime = ProcessRuntime(2)
    def work(target, input):
        return Work(print, target, (), {}, input, str, context, print)
    await asyncio.gather(*(runtime.run(work("tests.runtimes.steps:double", "[[1],{}]")) for _ in range(8)))
    await runtime.run(work("tests.runtimes.steps:stubborn_family", sys.argv[1]))

asyncio.run(main())
"""


async def test_an_engine_killed_takes_its_workers_and_their_children_along(tmp_path):
    arguments = json.dumps([[str(tmp_path / "pids"), False], {}])
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", ENGINE, arguments, env=environment())
    pids = await noted(tmp_path / "pids")
    below = children(engine.pid)
    assert len(below) == 3, "two workers and the guard"
    engine.kill()
    await engine.wait()
    assert gone(*pids, *below, within_s=5)


@pytest.mark.parametrize("number", [0, -1])
def test_a_pool_of_no_processes_is_refused(number):
    with pytest.raises(ValueError, match=f"processes_max: {number}"):
        ProcessRuntime(number)
