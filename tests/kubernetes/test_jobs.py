"""Jobs on a real cluster: what they get, what they leave, and what their ends mean."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed, WorkerLost
from ripresa.runtimes.kubernetes.manifest import job_name
from tests.support.container_engines import IMAGE
from tests.support.job_contract import ElsewhereContract, EndContract, OutputContract, failure_of
from tests.support.jobs import until

COURIER = {"output_image": IMAGE}


async def gone(space, work):
    """Wait until nothing of the attempt is there."""
    name = job_name(work.context)
    await until(lambda: name not in space.jobs() and space.get("secrets", name) is None)


@pytest.fixture
def there(space):
    return lambda work: job_name(work.context) in space.jobs()


@pytest.mark.parametrize("policy", [{}, COURIER])
class TestOutput(OutputContract):
    """Of Jobs, with a courier and without."""

    @pytest.fixture
    def runtime(self, runtimes, policy):
        return runtimes(**policy)


class TestEnd(EndContract):
    """Of Jobs."""


class TestElsewhere(ElsewhereContract):
    """In Jobs."""

    SILENT_S = 8


async def test_arguments_and_variables_reach_the_job_as_they_are(runtime, log, work_of):
    """Kubernetes would put variables in place of $(NAME), and make one dollar of two."""
    hostile = ["$(touch /tmp/x)", "$(JOB)", "$$(JOB)", "$$", "$JOB", "; id", "*", "-n", "two\nlines", "'\"", "{{ x }}"]
    await runtime.run(work_of(IMAGE, command=["printf", "<%s>\n"], args=hostile))
    assert "\n".join(log.texts()) == "\n".join(f"<{text}>" for text in hostile)
    log.clear()
    script = """for name in A B C D; do eval "printf '<%s>\\n' \\"\\$$name\\""; done"""
    values = dict(zip("ABCD", hostile, strict=False))
    await runtime.run(work_of(IMAGE, command=["/bin/sh", "-c", script], env=values))
    assert log.texts() == [f"<{text}>" for text in values.values()]


async def test_lines_come_live_in_their_order_and_with_their_time(runtime, space, box, log):
    script = """
        trap 'echo tidy; exit 0' TERM
        for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; done; printf 'with'
        while :; do sleep 0.05; done
    """
    work = box(script, limits={"grace_s": 20})
    running = asyncio.ensure_future(runtime.run(work))
    await until(lambda: len(log) == 10)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert log.texts()[10:] == ["withtidy"]
    for stream in ("out", "err"):  # between the two, the container engine decides, and stamps them in two threads
        lines = [(text, at) for *_, text, at in log if text.startswith(stream)]
        assert [text for text, _ in lines] == [f"{stream} {i}" for i in range(1, 6)]
        times = [at for _, at in lines]
        assert times == sorted(times)
    assert log[-1][-1] > log[0][-1]


async def test_long_lines_and_much_output_come_whole_up_to_the_cap(runtime, box, log):
    await runtime.run(box("""head -c 40000 /dev/zero | tr "\\0" x; echo; seq 1 5000"""))
    told = log.texts()
    assert "".join(told[:3]) == "x" * 40_000
    assert told[3:] == [str(number) for number in range(1, 5_001)]
    log.clear()
    await runtime.run(box("""yes "$(head -c 1000 /dev/zero | tr "\\0" x)" | head -c 3m"""))
    assert log.texts()[-1] == "[output past 1048576 bytes is not kept]"


@pytest.mark.parametrize("policy", [{}, COURIER])
async def test_a_job_without_memory_may_be_tried_again_with_more(runtimes, box, policy):
    work = box("echo fed; exec tail -c 200m /dev/zero", resources={"memory": "32Mi"})
    failure = await failure_of(runtimes(**policy), work)
    assert (failure.code, failure.failure_class) == ("oom", FailureClass.RETRYABLE), failure.message


async def test_limits_hold_and_grow_with_the_attempts(runtime, space, box):
    resources = {"cpu": "500m", "memory": "64Mi", "on_retry": {"memory": "*2", "max": "200Mi"}}
    for attempt in (1, 2, 3):
        work = box("true", resources=resources, attempt=attempt)
        await runtime.run(work)
        made = space.jobs()[job_name(work.context)]["spec"]["template"]["spec"]["containers"][0]["resources"]
        size = {"cpu": "500m", "memory": str((64, 128, 200)[attempt - 1] << 20)}
        assert made == {"requests": size, "limits": size}


async def test_a_job_has_no_root_no_capabilities_no_new_privileges_and_no_token(runtime, box, log):
    script = (
        "id -u; grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t'; ls /var/run/secrets 2>&1"
    )
    with suppress(JobFailed):
        await runtime.run(box(script))
    assert log.texts()[:5] == [
        "65534",
        "CapEff:0000000000000000",
        "CapBnd:0000000000000000",
        "NoNewPrivs:1",
        "Seccomp:2",
    ]
    assert "No such file or directory" in log.texts()[5]


async def test_a_read_only_job_can_still_leave_its_output(runtimes, box):
    for policy in ({}, COURIER):
        work = box("""touch /x 2>/dev/null || echo '{"wrote": "tmp"}' > /tmp/a; cp /tmp/a $JOB_OUTPUT""")
        assert json.loads(await runtimes(read_only=True, **policy).run(work)) == {"wrote": "tmp"}


# --- output ------------------------------------------------------------------------------------


async def test_an_output_of_more_than_4_kib_needs_a_courier(runtimes, box):
    script = """(printf '{"text": "'; head -c $SIZE /dev/zero | tr "\\0" x; printf '"}') > $JOB_OUTPUT"""
    fits = json.loads(await runtimes().run(box(script, env={"SIZE": "4000"})))
    assert fits == {"text": "x" * 4_000}
    failure = await failure_of(runtimes(), box(script, env={"SIZE": "5000"}))
    assert (failure.code, failure.failure_class) == ("output_invalid", FailureClass.TERMINAL)
    assert "output_image" in failure.message
    carried = json.loads(await runtimes(**COURIER).run(box(script, env={"SIZE": "3000000"})))
    assert carried == {"text": "x" * 3_000_000}


@pytest.mark.parametrize(
    "script", ["true", "ln -s /etc/os-release $JOB_OUTPUT", "mkdir $JOB_OUTPUT", "mkfifo $JOB_OUTPUT"]
)
async def test_what_is_no_file_is_no_output(runtimes, box, script):
    assert await runtimes(**COURIER).run(box(script)) == "{}"


async def test_a_job_that_leaves_nothing_has_an_empty_output(runtime, box):
    assert await runtime.run(box("true")) == "{}"


# --- what does not start ------------------------------------------------------------------------


async def test_what_cannot_start_says_why_and_is_not_tried_again(runtimes, space, work_of, box):
    cases = [
        ({}, work_of(IMAGE, command=["no-such-program"]), "no-such-program"),
        ({}, work_of(IMAGE, command=["/etc"]), "permission denied"),
        ({}, work_of("lakehouse/nowhere:1.0"), "ErrImageNeverPull"),
        ({"pull": "missing"}, work_of("UPPER/case:1.0"), "InvalidImageName"),
        ({"user": "image"}, box("true"), "image will run as root"),
        ({"namespace": "not-there"}, box("true"), 'namespaces "not-there" not found'),
        ({}, box("true", volumes=["/etc:/etc"]), "path of the host is not allowed.*host_paths"),
        ({}, box("true", volumes=["Some_Cache:/b"]), "no name of a PersistentVolumeClaim"),
        ({"memory_max": "64Mi"}, box("true", resources={"memory": "1Gi"}), "more than 64Mi"),
        (
            {"registries": ["ghcr.io/acme/*"]},
            box("true"),
            r"image docker.io/lakehouse/box is not from an allowed registry \(ghcr.io/acme/\*\)",
        ),
    ]
    runs = [failure_of(runtimes(**policy), work) for policy, work, _ in cases]
    for failure, (_, _, says) in zip(await asyncio.gather(*runs), cases, strict=True):
        assert (failure.code, failure.failure_class) == ("cannot_start", FailureClass.TERMINAL), failure.message
        assert re.search(says, failure.message), failure.message


async def test_what_finds_no_room_in_time_may_be_tried_again(runtimes, space, box):
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.memory": "1Mi"}}}
    cases = [
        ({}, box("true", resources={"cpu": "64"}), "Insufficient cpu"),
        ({"node_selector": {"disk": "golden"}}, box("true"), "node selector|node affinity"),
        ({"pull": "missing"}, box("true", image="127.0.0.1:1/nowhere:1.0"), "cannot be pulled"),
        ({}, box("true", volumes=["not-there:/data"]), 'persistentvolumeclaim "not-there" not found'),
    ]

    async def require(policy, work, says):
        for within in ("8s", "40s", "200s"):  # a slow machine takes its time to say so
            failure = await failure_of(runtimes(start_within=within, **policy), work)
            assert (failure.code, failure.failure_class) == ("cannot_start", FailureClass.RETRYABLE), failure.message
            await gone(space, work)
            if re.search(says, failure.message):
                return
        pytest.fail(failure.message)

    await asyncio.gather(*(require(*case) for case in cases))
    space.call("POST", "resourcequotas", "", quota)
    await until(lambda: space.get("resourcequotas", "none").get("status"))
    await require({}, box("true", resources={"memory": "8Mi"}), "exceeded quota")


# --- ending ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_cancelled_job_ends(runtime, space, box, log, stubborn):
    trap = 'trap "" TERM' if stubborn else 'trap "echo tidy; exit 0" TERM'
    work = box(
        f"{trap}; setsid sleep 600 & echo up; while :; do sleep 0.05; done", limits={"grace_s": 1 if stubborn else 30}
    )
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert log.texts() == (["up"] if stubborn else ["up", "tidy"])
    runtime.forget(work.context)
    await gone(space, work)
    await until(lambda: space.pods() == [])


async def test_kubernetes_itself_ends_what_takes_too_long_if_nobody_else_does(runtime, space, box, log):
    work = box("echo up; exec sleep 600")
    work.options["limit_s"] = 3600
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    name = job_name(work.context)
    assert space.jobs()[name]["spec"]["activeDeadlineSeconds"] == 3600 + 1 + 60
    space.call("PATCH", "jobs", name, {"spec": {"activeDeadlineSeconds": 1}})
    with pytest.raises((JobFailed, WorkerLost)) as caught:
        await running
    assert isinstance(caught.value, JobFailed), caught.value
    assert caught.value.failure.code == "timeout"


# --- lost --------------------------------------------------------------------------------------


async def test_a_pod_that_is_deleted_under_its_job_is_lost(runtime, space, box, log):
    work = box("echo up; exec sleep 600", limits={"grace_s": 1})
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    (pod,) = space.pods()
    space.call("DELETE", "pods", pod["metadata"]["name"])
    with pytest.raises(WorkerLost, match=r"deleted its pod|its pod is gone"):
        await running


async def test_an_evicted_pod_is_lost(runtime, space, box, log):
    """By the eviction API, as when a node is drained."""
    work = box("echo up; exec sleep 600", limits={"grace_s": 1})
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    (pod,) = space.pods()
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name}}
    space.call("POST", "pods", f"{name}/eviction", eviction)
    with pytest.raises(WorkerLost, match=r"deleted its pod|its pod is gone"):
        await running


async def test_a_job_that_is_deleted_is_lost(runtime, space, box, log):
    work = box("echo up; exec sleep 600", limits={"grace_s": 1})
    running = asyncio.ensure_future(runtime.run(work))
    await until(log.texts)
    space.call("DELETE", "jobs", job_name(work.context), propagationPolicy="Background")
    with pytest.raises(WorkerLost, match=r"deleted its pod|gone"):
        await running


async def test_a_job_of_that_name_that_is_anothers_is_let_be(runtime, space, box):
    work = box("echo up")
    container = {"name": "a", "image": IMAGE}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    space.call("POST", "jobs", "", {"metadata": {"name": job_name(work.context)}, "spec": {"template": template}})
    failure = await failure_of(runtime, work)
    assert (failure.code, "is not of this attempt" in failure.message) == ("cannot_start", True)


async def test_a_volume_is_a_claim_and_a_path_of_the_host_only_where_allowed(runtimes, space, box, log, shared):
    (shared / "file").write_text("from the host")
    volume = {
        "metadata": {"name": f"{space.name}-cache"},
        "spec": {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": str(shared)},
            "claimRef": {"namespace": space.name, "name": "cache"},
        },
    }
    space.cluster.call("POST", "/api/v1/persistentvolumes", volume)
    amount = {"requests": {"storage": "1Mi"}}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": amount}
    space.call("POST", "persistentvolumeclaims", "", {"metadata": {"name": "cache"}, "spec": claim})
    script = "cat /data/file; echo; touch /data/x 2>/dev/null || echo read only; cat /cache/file; echo"
    work = box(script, volumes=[f"{shared}:/data:ro", "cache:/cache"])
    await runtimes(host_paths=[str(shared)]).run(work)
    assert log.texts() == ["from the host", "read only", "from the host"]
    space.cluster.call("DELETE", f"/api/v1/persistentvolumes/{space.name}-cache")
