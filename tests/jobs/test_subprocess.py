"""Jobs as processes of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import RuntimeClosed
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.subprocess import SubprocessRuntime
from tests.jobs.conftest import runs
from tests.support.job_contract import EndContract, OutputContract, failure_of
from tests.support.jobs import until

SH = ["/bin/sh", "-c"]


@pytest.fixture
async def runtime(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runtime = SubprocessRuntime(lambda: settings, grace_s=0.5)
    yield runtime
    await runtime.close()


@pytest.fixture
def box(work_of):
    """A Work for a job that runs a script."""
    return lambda script, **fields: work_of(command=[*SH, script], **fields)


class TestOutput(OutputContract):
    """Of processes."""


class TestEnd(EndContract):
    """Of processes."""


async def test_a_job_gets_all_variables(runtime, work_of, log):
    script = """
        import json, os
        print("source", os.environ["PARAM_SOURCE"], flush=True)
        names = ["RUN_ID", "JOB", "ATTEMPT", "IDEMPOTENCY_KEY", "CORRELATION_ID", "DS", "LEVEL"]
        json.dump({name: os.environ[name] for name in names}, open(os.environ["JOB_OUTPUT"], "w"))
    """
    work = work_of(
        command=[sys.executable, "-c", textwrap.dedent(script)],
        params={"source": "sales_db"},
        env={"LEVEL": "info"},
        dates={"ds": "2024-01-01"},
        attempt=2,
    )
    assert json.loads(await runtime.run(work)) == {
        "RUN_ID": "order-7",
        "JOB": "extract",
        "ATTEMPT": "2",
        "IDEMPOTENCY_KEY": f"{work.context.run_uuid}:extract",
        "CORRELATION_ID": "c-1",
        "DS": "2024-01-01",
        "LEVEL": "info",
    }
    assert log.texts() == ["source sales_db"]


async def test_a_job_gets_nothing_else_of_our_environment(runtime, work_of, monkeypatch, log):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-for-jobs")
    await runtime.run(work_of(command=["env"]))
    names = {line.partition("=")[0] for line in log.texts()}
    assert {"PATH", "JOB_OUTPUT"} <= names
    assert not names - {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONUNBUFFERED", "PWD"),
        *("RUN_ID", "JOB", "ATTEMPT", "IDEMPOTENCY_KEY", "CORRELATION_ID", "JOB_OUTPUT"),
        *(name for name in os.environ if name.startswith("LC_")),
    }


@pytest.mark.parametrize(
    "text",
    ["$(touch {file})", "`touch {file}`", "; touch {file}", "| touch {file}", "&& touch {file}", "\n touch {file}"],
)
async def test_no_argument_is_ever_seen_by_a_shell(runtime, work_of, log, tmp_path, text):
    """S-27."""
    file = tmp_path / "touched"
    hostile = text.format(file=file)
    await runtime.run(work_of(command=["printf", "%s|"], args=[hostile, "*", "$HOME"], params={"p": hostile}))
    assert "\n".join(log.texts()) == f"{hostile}|*|$HOME|"
    assert not file.exists()


async def test_lines_come_live_and_with_their_stream(runtime, work_of, log, tmp_path):
    go = tmp_path / "go"
    running = asyncio.ensure_future(
        runtime.run(
            work_of(command=[*SH, f"echo one; echo two >&2; while [ ! -e {go} ]; do sleep 0.01; done; printf 3"])
        )
    )
    await until(lambda: len(log) == 2)
    assert not running.done()
    go.touch()
    await running
    assert (log.texts("stdout"), log.texts("stderr")) == (["one", "3"], ["two"])


async def test_death_by_a_signal_has_the_shells_exit_code(runtime, work_of):
    assert (await failure_of(runtime, work_of(command=[*SH, "kill -9 $$"]))).code == "exit_137"
    assert (await failure_of(runtime, work_of(command=[*SH, "kill -TERM $$"]))).code == "exit_143"


@pytest.mark.parametrize(
    ("left", "says"),
    [
        ("", "'rows' is missing (declared as integer); nothing was written there"),
        ('{"rows": true}', "'rows' is declared as integer and is boolean"),
        ('{"rows": NaN}', "cannot be used"),
    ],
)
async def test_what_is_no_json_object_of_the_declared_types_is_no_output(runtime, work_of, left, says):
    work = work_of(command=[*SH, 'printf %s "$0" > "$JOB_OUTPUT"', left], outputs={"rows": "integer"})
    failure = await failure_of(runtime, work)
    assert (failure.code, failure.failure_class) == ("output_invalid", FailureClass.TERMINAL)
    assert says in failure.message


async def test_a_job_that_leaves_nothing_has_an_empty_output(runtime, work_of):
    assert await runtime.run(work_of(command=["true"])) == "{}"


async def test_the_output_may_be_no_link_to_another_file(runtime, work_of):
    assert await runtime.run(work_of(command=[*SH, 'ln -s /etc/os-release "$JOB_OUTPUT"'])) == "{}"


async def test_a_job_runs_in_the_directory_of_its_image(runtime, work_of, images, log):
    directory = images("shop", {"extract.py": "print('extracted')"})
    await runtime.run(work_of("jobs/shop:1.0", command=[sys.executable, "extract.py"]))
    await runtime.run(work_of("jobs/shop", command=["pwd"]))
    assert log.texts() == ["extracted", str(directory)]


@pytest.mark.parametrize(
    "case",
    [
        ({"Dockerfile": 'FROM x\nENTRYPOINT ["echo", "in"]\nCMD ["a"]\n'}, [], "in a"),
        ({"Dockerfile": 'FROM x\nENTRYPOINT ["echo", "in"]\nCMD ["a"]\n'}, ["b"], "in b"),
        ({"Dockerfile": 'FROM x\nCMD ["echo", "only"]\n'}, [], "only"),
        ({"Dockerfile": "FROM x\nCMD echo shell $JOB\n"}, [], "shell extract"),
        ({"Dockerfile": 'FROM x\nENTRYPOINT echo "no more"\nCMD ["a"]\n'}, ["b"], "no more"),
        ({"Dockerfile": 'FROM x AS b\nCMD ["no"]\nFROM y\n# c\nCMD ["echo", \\\n  # c\n  "last"]\n'}, [], "last"),
        ({"entrypoint": '#!/bin/sh\necho own "$@"\n'}, ["b"], "own b"),
        ({"Dockerfile": "FROM x\n", "entrypoint": "#!/bin/sh\necho own\n"}, [], "own"),
    ],
)
async def test_without_a_command_the_directory_says_what_to_execute(runtime, work_of, images, log, case):
    files, args, wanted = case
    images("shop", files)
    await runtime.run(work_of("jobs/shop", args=args))
    assert log.texts() == [wanted]


@pytest.mark.parametrize(
    "case",
    [
        ("jobs/shop", {"x": ""}, {}, "nothing says what to execute in .*entrypoint"),
        ("jobs/shop", {"entrypoint": "echo"}, {}, r"not executable; chmod \+x"),
        ("jobs/nowhere", {}, {}, "leads to .*jobs/nowhere, which is not a directory"),
        ("other/shop", {}, {}, r'fits no pattern of \[runtimes.process.images\].*"jobs/\*"'),
        ("jobs/shop", {"x": ""}, {"command": ["no-such-program"]}, "cannot execute 'no-such-program'"),
        ("jobs/shop", {"x": ""}, {"command": ["./x"]}, "cannot execute './x'.*Permission denied"),
        ("jobs/shop", {"x": ""}, {"command": ["true"], "args": ["x" * 200_000]}, "Argument list too long"),
    ],
)
async def test_what_cannot_start_says_why_and_is_not_tried_again(runtime, work_of, images, case):
    image, files, fields, says = case
    images("shop", files)
    failure = await failure_of(runtime, work_of(image, **fields))
    assert (failure.code, failure.failure_class) == ("cannot_start", FailureClass.TERMINAL)
    assert re.search(says, failure.message)


def test_the_first_pattern_that_fits_says_the_directory(tmp_path):
    for place in ("first", "tagged", "by-name/shop", "by-tag/2.0", "rest"):
        (tmp_path / place).mkdir(parents=True)
    images = JobSettings.of(
        {
            "process": {
                "images": {
                    "a/one": "first",
                    "a/*:2.*": "tagged",
                    "b/*": "by-name/{name}",
                    "c": "by-tag/{tag}",
                    "*": "rest",
                }
            }
        },
        tmp_path,
    ).images
    found = {image: images.directory(image).name for image in ("a/one:9", "a/x:2.1", "a/x:1", "b/shop", "c:2.0", "d/e")}
    assert found == {
        "a/one:9": "first",
        "a/x:2.1": "tagged",
        "a/x:1": "rest",
        "b/shop": "shop",
        "c:2.0": "2.0",
        "d/e": "rest",
    }


async def test_without_any_image_known_the_message_says_what_to_write(work_of):
    failure = await failure_of(SubprocessRuntime(JobSettings), work_of("lakehouse/x:1"))
    assert '"lakehouse/x" = "path/to/directory" under [runtimes.process.images]' in failure.message


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"proces": {}}, 'runtimes.proces: unknown field; did you mean "process"'),
        ({"process": {"image": {}}}, 'runtimes.process.image: unknown field; did you mean "images"'),
        ({"process": {"images": {"a": 1}}}, "is not a directory's path"),
        ({"process": []}, r"runtimes.process: \[\] is not a table"),
    ],
)
def test_settings_that_cannot_be_read_say_where(tmp_path, told, says):
    with pytest.raises(ValueError, match=says):
        JobSettings.of(told, tmp_path)


# --- ending ------------------------------------------------------------------------------------

FAMILY = """
import os, signal, subprocess, sys, time
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
child = subprocess.Popen(sleep)
apart = subprocess.Popen(sleep, start_new_session=True)
double = subprocess.run([sys.executable, "-c", '''
import subprocess, sys
print(subprocess.Popen({sleep!r}, start_new_session=True, stdout=subprocess.DEVNULL).pid)
'''.replace("{{sleep!r}}", repr(sleep))], stdout=subprocess.PIPE, text=True).stdout
print(os.getpid(), child.pid, apart.pid, double.strip(), flush=True)
{then}
"""


def family(*, stubborn=False, then="time.sleep(600)"):
    return FAMILY.replace("{stubborn}", str(stubborn)).replace("{then}", then).replace("{{", "{").replace("}}", "}")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancelled_job_ends_with_all_that_it_started(runtime, work_of, log, stubborn):
    """F11: children, those in a session of their own, and orphans of a double fork."""
    running = asyncio.ensure_future(runtime.run(work_of(command=[sys.executable, "-c", family(stubborn=stubborn)])))
    await until(log.texts)
    pids = [int(pid) for pid in log.texts()[0].split()]
    assert len(pids) == 4
    assert all(map(runs, pids))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not any(map(runs, pids))


async def test_what_a_job_leaves_running_ends_with_it(runtime, work_of, log):
    work = work_of(command=[sys.executable, "-c", family(then="os._exit(0)")])
    assert await runtime.run(work) == "{}"
    pids = [int(pid) for pid in log.texts()[0].split()]
    assert len(pids) == 4
    await until(lambda: not any(map(runs, pids)))


async def test_a_job_may_tidy_up_within_its_grace(runtime, work_of, log):
    script = 'trap "echo tidy; exit 0" TERM; echo up; while :; do sleep 0.01; done'
    running = asyncio.ensure_future(runtime.run(work_of(command=[*SH, script], limits={"grace_s": 30})))
    await until(log.texts)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert log.texts() == ["up", "tidy"]


async def test_a_job_that_falls_silent_is_ended_and_may_be_tried_again(runtime, work_of, log):
    script = "for i in 1 2 3 4 5 6; do echo beat; sleep 0.05; done; exec sleep 600"
    failure = await failure_of(runtime, work_of(command=[*SH, script], limits={"heartbeat_s": 0.3}))
    assert (failure.code, failure.failure_class) == ("timeout", FailureClass.RETRYABLE)
    assert log.texts() == ["beat"] * 6


async def test_closing_ends_the_jobs_and_their_work_is_told(runtime, work_of, log):
    running = asyncio.ensure_future(runtime.run(work_of(command=[*SH, "echo $$; exec sleep 600"])))
    await until(log.texts)
    await runtime.close()
    with pytest.raises(RuntimeClosed):
        await running
    assert not runs(int(log.texts()[0]))
    with pytest.raises(RuntimeClosed):
        await runtime.run(work_of(command=["true"]))


async def test_jobs_end_with_an_engine_that_was_killed(tmp_path):
    """Children and a double-forked session of its own included."""
    script = f"""
        import asyncio, sys
        sys.path.insert(0, {str(Path.cwd())!r})
        from ripresa.author.job_step import JobStep
        from ripresa.contracts.job_order import JobOrder
        from ripresa.contracts.step_context import StepContext
        from ripresa.ports.runtime import Work
        from ripresa.runtimes.job_settings import JobSettings
        from ripresa.runtimes.subprocess import SubprocessRuntime
        from tests.support.jobs import Log
        from pathlib import Path

        class Told(Log):
            def __call__(self, *line):
                print(line[2], flush=True)

        settings = JobSettings.of({{"process": {{"images": {{"*": "."}}}}}}, Path({str(tmp_path)!r}))
        order = JobOrder(name="a", image="b", command=[sys.executable, "-c", {family()!r}])
        step = JobStep("a", runtime="process")
        context = StepContext("r", "u", "w", "a", "a", 1, "k", "c")
        work = Work(step.function, "", (order,), {{}}, "", step.dump, context, Told())
        asyncio.run(SubprocessRuntime(lambda: settings).run(work))
    """
    engine = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(script),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    pids = [int(pid) for pid in (await engine.stdout.readline()).split()]
    assert len(pids) == 4
    assert all(map(runs, pids))
    engine.send_signal(signal.SIGKILL)
    await engine.wait()
    await until(lambda: not any(map(runs, pids)))
    await until(lambda: not list(tmp_path.glob("ripresa-job-*")))


# --- secrets -----------------------------------------------------------------------------------

CANARY = "c4n4ry-of-the-vault"


async def test_a_secret_reaches_the_job_and_nothing_else(runtime, work_of, log, monkeypatch, tmp_path):
    """S-20, S-22."""
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    file = tmp_path / "password"
    file.write_text(f"{CANARY}-too\n")
    script = """
        import json, os, sys
        token, password = os.environ["TOKEN"], os.environ["PASSWORD"]
        sys.stdout.write(token[:7]); sys.stdout.flush(); print(token[7:]); print("got", len(token), len(password))
        json.dump({"said": password, token: 1}, open(os.environ["JOB_OUTPUT"], "w"))
        sys.exit(f"cannot log in with {password}" if os.environ["ATTEMPT"] == "2" else 0)
    """
    order = {
        "command": [sys.executable, "-c", textwrap.dedent(script)],
        "secrets": {"TOKEN": "env:SHOP_TOKEN", "PASSWORD": f"file:{file}"},
    }
    work = work_of(**order)
    assert json.loads(await runtime.run(work)) == {"said": "***", "***": 1}
    assert log.texts() == ["***", f"got {len(CANARY)} {len(CANARY) + 4}"]
    failure = await failure_of(runtime, work_of(**order, attempt=2))
    assert failure.message.endswith("cannot log in with ***")
    assert CANARY not in work.input + str(log)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:NO_SUCH_VARIABLE", "no variable NO_SUCH_VARIABLE"),
        ("file:/no/such/file", "No such file"),
        ("file:/bin/sh", "not UTF-8|longer than"),
        ("secret:shop/db#password", "no secret store is configured"),
    ],
)
async def test_a_secret_that_is_not_to_be_had_is_named(runtime, work_of, reference, says):
    failure = await failure_of(runtime, work_of(command=["true"], secrets={"DB": reference}))
    assert (failure.code, failure.failure_class) == ("secret_unavailable", FailureClass.TERMINAL)
    assert re.search(rf"secret DB \({re.escape(reference)}\): .*({says})", failure.message)
