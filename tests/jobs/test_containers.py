"""Jobs in containers, of a real Docker Engine and a real Podman service."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from contextlib import suppress

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed, WorkerLost
from ripresa.runtimes.container.policy import ContainerPolicy
from ripresa.runtimes.container.runtime import ContainerRuntime
from ripresa.runtimes.container.spec import container_name
from ripresa.runtimes.job_settings import JobSettings
from tests.support.container_engines import IMAGE
from tests.support.job_contract import ElsewhereContract, EndContract, OutputContract, failure_of
from tests.support.jobs import left_running, resumed, until

SH = ["/bin/sh", "-c"]
CANARY = "c4n4ry-of-the-vault"


@pytest.fixture
async def runtime(engine, container_settings):
    """Whatever a test leaves behind is removed."""
    before = {one["Id"] for one in engine.containers()}
    runtime = ContainerRuntime(container_settings, grace_s=1, patience_s=30)
    yield runtime
    await runtime.close()
    for one in engine.containers():
        if one["Id"] not in before:
            engine.call("DELETE", f"/containers/{one['Id']}?force=1&v=1")


@pytest.fixture
def box(work_of):
    """A Work for a job in the test image."""

    def make(script=None, **fields):
        command = {} if script is None else {"command": [*SH, textwrap.dedent(script)]}
        return work_of(IMAGE, **command, **fields)

    return make


@pytest.fixture
def there(engine):
    return lambda work: container_name(work.context) in str(engine.containers())


def container_of(engine, work):
    return engine.inspect(container_name(work.context))


class TestOutput(OutputContract):
    """Of containers."""


class TestEnd(EndContract):
    """Of containers."""


class TestElsewhere(ElsewhereContract):
    """In containers."""


async def test_arguments_reach_the_container_as_they_are(runtime, box, log, work_of):
    hostile = ["$(touch /tmp/x)", "; id", "*", "-n", "two\nlines", "'\"", "{{ x }}"]
    await runtime.run(work_of(IMAGE, command=["printf", "<%s>\n"], args=hostile))
    assert "\n".join(log.texts()) == "\n".join(f"<{text}>" for text in hostile)


async def test_command_replaces_the_entry_point_and_args_its_arguments(runtime, engine, work_of, log):
    engine.import_image("lakehouse/said:1.0", 'ENTRYPOINT ["echo", "entry"]', 'CMD ["cmd"]')
    for fields in ({}, {"args": ["args"]}, {"command": ["echo", "own"]}, {"command": ["echo"], "args": ["both"]}):
        await runtime.run(work_of("lakehouse/said:1.0", **fields))
    assert log.texts() == ["entry cmd", "entry args", "own", "both"]


async def test_lines_come_live_with_their_stream_and_time(runtime, engine, box, log):
    work = box('trap "exit 0" TERM; echo one; echo two >&2; printf "with"; while :; do sleep 0.05; done')
    running = asyncio.ensure_future(runtime.run(work))
    await until(lambda: len(log) == 2)
    assert not running.done()
    engine.call("POST", f"/containers/{container_name(work.context)}/stop?t=10")
    await running
    assert (log.texts("stdout"), log.texts("stderr")) == (["one", "with"], ["two"])
    assert len({at // 60_000_000 for *_, at in log}) <= 2


async def test_long_lines_and_much_output_come_whole_up_to_the_cap(runtime, box, log):
    await runtime.run(box("""head -c 40000 /dev/zero | tr "\\0" x; echo; seq 1 5000; echo end >&2"""))
    told = log.texts()
    assert "".join(told[:3]) == "x" * 40_000
    assert sorted(told[3:], key=int) == [str(number) for number in range(1, 5_001)]
    assert log.texts("stderr") == ["end"]
    log.clear()
    await runtime.run(box("""yes "$(head -c 1000 /dev/zero | tr "\\0" x)" | head -c 3m"""))
    assert log.texts()[-1] == "[output past 1048576 bytes is not kept]"


async def test_a_job_without_memory_may_be_tried_again_with_more(runtime, engine, box):
    eats = "echo fed; exec tail -c 200m /dev/zero"
    failure = await failure_of(runtime, box(eats, resources={"memory": "32Mi"}))
    wanted = "oom" if engine.kind == "docker" else "exit_137"  # Podman 4 does not tell why
    assert (failure.code, failure.failure_class) == (wanted, FailureClass.RETRYABLE), failure.message


async def test_limits_hold_and_grow_with_the_attempts(runtime, engine, box):
    resources = {"cpu": "500m", "memory": "64Mi", "on_retry": {"memory": "*2", "max": "200Mi"}}
    sizes = []
    for attempt in (1, 2, 3):
        work = box("true", resources=resources, attempt=attempt)
        await runtime.run(work)
        host = container_of(engine, work)["HostConfig"]
        sizes.append((host["NanoCpus"], host["Memory"], host["MemorySwap"]))
    assert sizes == [(500_000_000, size << 20, size << 20) for size in (64, 128, 200)]


@pytest.mark.parametrize(
    "script", ["true", "ln -s /etc/os-release $JOB_OUTPUT", "mkdir $JOB_OUTPUT", "mkfifo $JOB_OUTPUT"]
)
async def test_what_is_no_file_is_no_output(runtime, box, script):
    assert await runtime.run(box(script)) == "{}"


async def test_an_output_too_large_is_not_read(runtime, box):
    failure = await failure_of(runtime, box("head -c 40m /dev/zero > $JOB_OUTPUT"))
    assert (failure.code, "more than 33,554,432 bytes" in failure.message) == ("output_invalid", True)


# --- safety ------------------------------------------------------------------------------------


async def test_a_job_has_no_root_no_capabilities_and_no_new_privileges(runtime, engine, box, log):
    """S-29."""
    work = box("id -u; grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status | tr -d '\\t'; find / -xdev -type s")
    await runtime.run(work)
    assert log.texts() == ["65534", "CapEff:0000000000000000", "CapBnd:0000000000000000", "NoNewPrivs:1"]
    host = container_of(engine, work)["HostConfig"]
    assert (host["Privileged"], host["PidsLimit"], host["NetworkMode"]) == (False, 512, "none")
    assert not host["Binds"]


@pytest.mark.parametrize("user", ["", "root", "root:staff", "0", "0:0", "00", "+0", "-0:7"])
def test_every_way_of_writing_root_is_root(user):
    assert ContainerPolicy().user_for({"Config": {"User": user}}) == "65534:65534"
    assert ContainerPolicy().user_for({"Config": {"User": "app"}}) is None


async def test_a_user_that_the_image_names_is_kept_unless_it_is_root(runtime, engine, work_of, log):
    engine.import_image("lakehouse/user:1.0", "USER 1234:1234")
    engine.import_image("lakehouse/root:1.0", "USER 0:0")
    for image in ("lakehouse/user:1.0", "lakehouse/root:1.0"):
        await runtime.run(work_of(image, command=["id", "-u"]))
    assert log.texts() == ["1234", "65534"]


async def test_no_more_processes_than_allowed(container_settings, box, log):
    runtime = ContainerRuntime(lambda: container_settings(pids=8), grace_s=1)
    with suppress(JobFailed):
        await runtime.run(box("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo no limit"))
    assert "no limit" not in log.texts()
    assert "fork" in " ".join(log.texts("stderr"))


async def test_a_read_only_container_can_still_leave_its_output(container_settings, box):
    runtime = ContainerRuntime(lambda: container_settings(read_only=True), grace_s=1)
    work = box("""touch /x 2>/dev/null || echo '{"wrote": "tmp"}' > /tmp/a; cp /tmp/a $JOB_OUTPUT""")
    assert json.loads(await runtime.run(work)) == {"wrote": "tmp"}


async def test_volumes_are_mounted_by_name_and_host_paths_only_where_allowed(container_settings, box, log, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from the host")
    (tmp_path / "data").chmod(0o755)
    allowed = ContainerRuntime(lambda: container_settings(host_paths=[str(tmp_path)]), grace_s=1)
    script = (
        "cat /data/file; echo; touch /data/x 2>/dev/null || echo read only; touch /cache/y 2>/dev/null; ls -d /cache"
    )
    await allowed.run(box(script, volumes=[f"{tmp_path}/data:/data:ro", "shop-cache:/cache"]))
    assert log.texts() == ["from the host", "read only", "/cache"]


async def test_what_cannot_start_says_why_and_is_not_tried_again(runtime, container_settings, work_of, box):
    strict = container_settings(registries=["ghcr.io/acme/*"], memory_max="64Mi", cpu_max="1", host_paths=["/srv"])
    open_to_all = container_settings()
    cases = [
        (open_to_all, work_of(IMAGE, command=["no-such-program"]), "no-such-program"),
        (open_to_all, work_of(IMAGE, command=["/etc"]), "permission denied"),
        (open_to_all, work_of("lakehouse/nowhere:1.0"), "is not here, and runtimes.container.pull is never"),
        (open_to_all, box("true", volumes=["/etc:/etc"]), "path of the host is not allowed.*host_paths"),
        (open_to_all, box("true", volumes=["a"]), "cannot be read"),
        (open_to_all, box("true", volumes=["./a:/b"]), "host path begins at the root"),
        (strict, box("true"), r"image docker.io/lakehouse/box is not from an allowed registry \(ghcr.io/acme/\*\)"),
    ]
    for settings, work, says in cases:
        failure = await failure_of(ContainerRuntime(lambda settings=settings: settings), work)
        assert (failure.code, failure.failure_class) == ("cannot_start", FailureClass.TERMINAL), says
        assert re.search(says, failure.message), failure.message


async def test_a_missing_image_is_pulled_and_a_registry_out_of_reach_may_be_there_later(container_settings, work_of):
    runtime = ContainerRuntime(lambda: container_settings(pull="missing"), grace_s=1)
    failure = await failure_of(runtime, work_of("127.0.0.1:1/nowhere:1.0", command=["true"]))
    assert (failure.code, failure.failure_class) == ("cannot_start", FailureClass.RETRYABLE)
    assert "cannot be pulled" in failure.message


# --- secrets -----------------------------------------------------------------------------------


async def test_a_secret_reaches_the_job_and_nothing_else(runtime, engine, box, log, monkeypatch):
    """S-20, S-22: neither labels nor command nor name nor log nor output has it."""
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    script = """
        printf "${TOKEN%-vault}"; sleep 0.2; echo "-vault"; echo "${#TOKEN} characters"
        echo "{\\"said\\": \\"$TOKEN\\"}" > $JOB_OUTPUT
        [ $ATTEMPT = 1 ] || { echo "cannot log in with $TOKEN" >&2; exit 1; }
    """
    order = {"script": script, "secrets": {"TOKEN": "env:SHOP_TOKEN"}}
    work = box(**order)
    assert json.loads(await runtime.run(work)) == {"said": "***"}
    assert log.texts() == ["***", f"{len(CANARY)} characters"]
    failure = await failure_of(runtime, box(**order, attempt=2))
    assert failure.message.endswith("cannot log in with ***")
    known = container_of(engine, work)
    known["Config"].pop("Env")  # where it belongs
    known["Config"].pop("CreateCommand", None)
    assert CANARY not in json.dumps(known) + work.input + str(log)


# --- ending ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancelled_job_ends(runtime, engine, box, log, stubborn):
    """F11: even one that will not, with children in sessions of their own."""
    trap = 'trap "" TERM' if stubborn else 'trap "echo tidy; exit 0" TERM'
    work = box(f"{trap}; setsid sleep 600 & echo up; while :; do sleep 0.05; done", limits={"grace_s": 1})
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    state = container_of(engine, work)["State"]
    assert (state["Running"], state["ExitCode"]) == (False, 137 if stubborn else 0)
    assert log.texts() == (["up"] if stubborn else ["up", "tidy"])
    runtime.forget(work.context)
    await runtime.close()
    assert container_name(work.context) not in str(engine.containers())


async def test_a_container_that_is_removed_under_its_job_is_lost(runtime, engine, box, log):
    work = box("echo up; exec sleep 600")
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    engine.call("DELETE", f"/containers/{container_name(work.context)}?force=1")
    with pytest.raises(WorkerLost, match="gone"):
        await running


# --- going on with what is there ------------------------------------------------------------------


ON_SIGNAL = (
    'trap "go=1" TERM; echo one; until [ $go ]; do sleep 0.05; done; echo two; echo \'{"rows": 3}\' > $JOB_OUTPUT'
)


async def test_a_job_that_runs_is_adopted_and_no_line_is_kept_twice(runtime, engine, box, log):
    work = box(ON_SIGNAL, outputs={"rows": "integer"})
    await left_running(runtime, work, log)
    adopted = asyncio.ensure_future(runtime.run(resumed(work, {"stdout": ["one"]})))
    engine.call("POST", f"/containers/{container_name(work.context)}/kill?signal=SIGTERM")
    assert json.loads(await adopted) == {"rows": 3}
    assert log.texts() == ["one", "two"]


async def test_a_job_that_has_ended_meanwhile_gives_its_outcome(runtime, engine, box, log):
    work = box(ON_SIGNAL)
    await left_running(runtime, work, log)
    engine.call("POST", f"/containers/{container_name(work.context)}/kill?signal=SIGTERM")
    await until(lambda: not container_of(engine, work)["State"]["Running"])
    assert json.loads(await runtime.run(resumed(work, {"stdout": ["one"]}))) == {"rows": 3}
    assert log.texts() == ["one", "two"]


async def test_a_container_that_was_created_and_not_started_is_started(runtime, engine, box, log, monkeypatch):
    async def dies(*_):
        raise asyncio.CancelledError

    work = box("echo one")
    work.leave = True
    with monkeypatch.context() as patched:
        patched.setattr("ripresa.runtimes.container.client.Client.start", dies)
        with pytest.raises(asyncio.CancelledError):
            await runtime.run(work)
    assert await runtime.run(resumed(work, {})) == "{}"
    assert log.texts() == ["one"]


async def test_a_secret_is_masked_after_an_adoption_although_nobody_knows_it_any_more(
    runtime, engine, box, log, monkeypatch
):
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    work = box(ON_SIGNAL.replace("echo two", "echo two $TOKEN"), secrets={"TOKEN": "env:SHOP_TOKEN"})
    await left_running(runtime, work, log)
    monkeypatch.delenv("SHOP_TOKEN")
    engine.call("POST", f"/containers/{container_name(work.context)}/kill?signal=SIGTERM")
    await runtime.run(resumed(work, {"stdout": ["one"]}))
    assert log.texts() == ["one", "two ***"]


async def test_a_container_of_that_name_that_is_anothers_is_let_be(runtime, engine, box):
    work = box("echo up")
    engine.call("POST", f"/containers/create?name={container_name(work.context)}", {"Image": IMAGE, "Cmd": ["true"]})
    failure = await failure_of(runtime, work)
    assert (failure.code, "is not of this job" in failure.message) == ("cannot_start", True)


async def test_what_is_left_is_known_by_its_labels(runtime, box):
    work = box("exit 3")
    with suppress(JobFailed):
        await runtime.run(work)
    assert work.context in await runtime.left()
    runtime.forget(work.context)
    runtime.forget(work.context)
    await runtime.close()
    assert work.context not in await runtime.left()


# --- an engine that is away ------------------------------------------------------------------------


async def test_while_its_engine_restarts_a_job_is_neither_lost_nor_started_again(runtime, engine, box, log):
    """Docker sends its containers SIGTERM when it stops, Podman lets them be."""
    work = box(ON_SIGNAL)
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    engine.stop()
    engine.start()
    if engine.kind == "podman":
        engine.call("POST", f"/containers/{container_name(work.context)}/kill?signal=SIGTERM")
    assert json.loads(await running) == {"rows": 3}
    assert log.texts() == ["one", "two"]


async def test_an_engine_that_never_answers_loses_the_attempt(work_of, tmp_path):
    settings = JobSettings.of({"container": {"host": f"unix://{tmp_path}/nobody.sock"}}, tmp_path)
    with pytest.raises(WorkerLost, match="the container engine does not answer"):
        await ContainerRuntime(lambda: settings, patience_s=0.2).run(work_of(IMAGE))


async def test_without_any_engine_the_message_says_what_to_start(work_of, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr("ripresa.runtimes.container.client._SOCKETS", ())
    failure = await failure_of(ContainerRuntime(JobSettings), work_of(IMAGE))
    assert "start Docker or the Podman service" in failure.message
