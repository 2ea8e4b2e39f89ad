"""What a cluster's API does at its worst: forgets, refuses, storms, breaks off in the middle of a line."""

from __future__ import annotations

import asyncio

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed, WorkerLost
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.runtime import KubernetesRuntime
from tests.support.faulty_cluster import FaultyCluster
from tests.support.jobs import Log, make_work, resumed, until

GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}
BUSY = {"type": "ERROR", "object": {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}}


def state(**how):
    return {"containerStatuses": [{"name": "job", "state": how}]}


RUNS = {"phase": "Running", **state(running={})}
DONE = {"phase": "Succeeded", **state(terminated={"exitCode": 0, "reason": "Completed", "message": '{"rows": 3}'})}


@pytest.fixture
def log():
    return Log()


@pytest.fixture
async def cluster(tmp_path):
    cluster = FaultyCluster()
    await cluster.start(tmp_path)
    yield cluster
    await cluster.close()


@pytest.fixture
async def runtime(cluster, tmp_path):
    told = {"kubeconfig": str(cluster.kubeconfig), "patience": "30s", "start_within": "60s"}
    runtime = KubernetesRuntime(lambda: JobSettings.of({"kubernetes": told}, tmp_path), grace_s=1)
    yield runtime
    await runtime.close()


@pytest.fixture
async def begun(cluster, runtime, log):
    """`await begun()`: a job that runs, as the work and the task that does it."""
    tasks = []

    async def begin(work=None):
        work = work or make_work(log, "lakehouse/box:1.0", command=["true"])
        running = asyncio.ensure_future(runtime.run(work))
        tasks.append(running)
        await until(lambda: cluster.objects["jobs"] or running.done())
        if running.done():
            await running
        return work, running

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_job_from_its_beginning_to_its_end(cluster, begun, log):
    _, running = await begun()
    await cluster.pod(phase="Pending", **state(waiting={"reason": "ContainerCreating"}))
    await cluster.pod(**RUNS)
    await cluster.write("one", "two")
    await until(lambda: log.texts() == ["one", "two"])
    await cluster.pod(**DONE)
    assert await running == '{"rows":3}'
    assert log.texts() == ["one", "two"]


@pytest.mark.parametrize("fault", [410, GONE, 500, BUSY, 429, "cut"], ids=str)
async def test_a_watch_that_ends_badly_is_begun_anew_and_misses_nothing(cluster, begun, log, fault):
    cluster.fail("GET", "watch", *[fault] * 3)
    _, running = await begun()
    await until(lambda: cluster.calls["GET", "watch"] >= 3)
    await cluster.pod(**RUNS)
    await cluster.write("one")
    await cluster.pod(**DONE)
    assert await running == '{"rows":3}'
    assert log.texts() == ["one"]


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_a_storm_is_waited_out(cluster, begun, status):
    for call in (("GET", "jobs"), ("POST", "jobs"), ("GET", "pods"), ("GET", "log"), ("GET", "watch")):
        cluster.fail(*call, *[status] * 3)
    _, running = await begun()
    await cluster.pod(**RUNS)
    await cluster.pod(**DONE)
    assert await running == '{"rows":3}'
    assert cluster.calls["POST", "jobs"] == 4


async def test_an_answer_that_was_lost_makes_no_second_job(cluster, begun, monkeypatch, log):
    """The Job was made and the answer to it lost: the next try is refused (409), and what is there is ours."""
    monkeypatch.setenv("TOKEN_OF_SHOP", "c4n4ry-of-the-vault")
    work = make_work(log, "lakehouse/box:1.0", command=["true"], secrets={"TOKEN": "env:TOKEN_OF_SHOP"})
    cluster.fail("POST", "jobs", "lost")
    cluster.fail("POST", "secrets", "lost")
    _, running = await begun(work)
    await until(
        lambda: (
            cluster.objects["secrets"]
            and next(iter(cluster.objects["secrets"].values()))["metadata"].get("ownerReferences")
        )
    )
    await cluster.pod(**RUNS)
    await cluster.pod(**DONE)
    assert await running == '{"rows":3}'
    assert cluster.calls["POST", "jobs"] == 2
    assert len(cluster.objects["jobs"]) == len(cluster.objects["secrets"]) == 1


async def test_a_log_that_breaks_off_in_a_line_loses_nothing_and_doubles_nothing(cluster, begun, log):
    _, running = await begun()
    await cluster.write("one", "two", "three")
    cluster.fail("GET", "log", "cut", "cut", 500)
    await cluster.pod(**RUNS)
    await until(lambda: log.texts() == ["one", "two", "three"])
    await cluster.write("three", "four")
    await until(lambda: len(log) == 5)
    await cluster.write("the end has no newline", end="")
    await cluster.pod(**DONE)
    await running
    assert log.texts() == ["one", "two", "three", "three", "four", "the end has no newline"]


async def test_lines_that_an_earlier_engine_kept_are_not_kept_again(cluster, begun, log, runtime):
    work, running = await begun()
    work.leave = True
    await cluster.pod(**RUNS)
    await cluster.write("one", "two")
    await until(lambda: log.texts() == ["one", "two"])
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await cluster.write("three")
    running = asyncio.ensure_future(runtime.run(resumed(work, {"stdout": ["one", "two"]})))
    await until(lambda: log.texts() == ["one", "two", "three"])
    await cluster.pod(**DONE)
    assert await running == '{"rows":3}'
    assert log.texts() == ["one", "two", "three"]
    assert cluster.calls["POST", "jobs"] == 1


async def test_a_log_that_cannot_be_read_costs_lines_and_not_the_outcome(cluster, begun, log, monkeypatch):
    monkeypatch.setattr("ripresa.runtimes.kubernetes.attempt._LAST_LINES_S", 0.2)
    cluster.fail("GET", "log", *[404, 500] * 50)
    _, running = await begun()
    await cluster.pod(**RUNS)
    await cluster.write("one")
    await cluster.pod(**DONE)
    assert await running == '{"rows":3}'
    assert log.texts() == []


async def test_a_cluster_that_does_not_answer_any_more_loses_the_attempt(cluster, tmp_path, log):
    told = {"kubeconfig": str(cluster.kubeconfig), "patience": "300ms"}
    runtime = KubernetesRuntime(lambda: JobSettings.of({"kubernetes": told}, tmp_path))
    cluster.fail("GET", "jobs", *[503] * 100)
    with pytest.raises(WorkerLost, match="the cluster does not answer: a fault: 503"):
        await runtime.run(make_work(log, "lakehouse/box:1.0", command=["true"]))
    await runtime.close()


@pytest.mark.parametrize(
    ("status", "failure_class"),
    [(403, FailureClass.TERMINAL), (422, FailureClass.TERMINAL), (404, FailureClass.TERMINAL)],
)
async def test_a_job_that_the_cluster_refuses_says_why(cluster, begun, status, failure_class):
    cluster.fail("POST", "jobs", status)
    with pytest.raises(JobFailed, match=f"the cluster does not take it: a fault: {status}") as caught:
        await (await begun())[1]
    assert (caught.value.failure.code, caught.value.failure.failure_class) == ("cannot_start", failure_class)


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "The node was low."}, "Evicted: The node was low"),
        ({"phase": "Failed", "reason": "NodeLost"}, "NodeLost"),
        ({"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown"}, "node shutdown"),
        (
            {
                "phase": "Failed",
                **state(terminated={"exitCode": 143}),
                "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}],
            },
            "PreemptionByScheduler",
        ),
        ({"phase": "Failed"}, "before its container ended"),
    ],
    ids=["evicted", "node lost", "node shutdown", "preempted", "nobody knows"],
)  # fmt: skip
async def test_what_is_ended_from_outside_is_lost(cluster, begun, status, says):
    _, running = await begun()
    await cluster.pod(**RUNS)
    await cluster.pod(**status)
    with pytest.raises(WorkerLost, match=says):
        await running


async def test_a_pod_that_takes_the_place_of_a_lost_one_is_not_taken_for_it(cluster, begun):
    """Clusters before 1.26 make another pod for a Job whose pod was deleted."""
    _, running = await begun()
    await cluster.pod(**RUNS)
    (name,) = cluster.objects["pods"]
    await until(lambda: cluster.calls["GET", "log"])
    other = {**cluster.objects["pods"][name], "status": DONE}
    other["metadata"] = {**other["metadata"], "name": "other", "uid": "pod-2"}
    await cluster.drop("pods", name)
    await cluster.put("pods", other)
    with pytest.raises(WorkerLost, match="its pod is gone"):
        await running


async def test_a_job_whose_pod_the_cluster_never_makes_says_what_the_cluster_says(cluster, tmp_path, log):
    told = {"kubeconfig": str(cluster.kubeconfig), "start_within": "300ms"}
    runtime = KubernetesRuntime(lambda: JobSettings.of({"kubernetes": told}, tmp_path))
    cluster.objects["events"] = {
        "e": {"metadata": {"labels": {}}, "message": "violates PodSecurity", "type": "Warning"}
    }
    with pytest.raises(JobFailed, match=r"did not start within 0.3 s: violates PodSecurity") as caught:
        await runtime.run(make_work(log, "lakehouse/box:1.0", command=["true"]))
    assert caught.value.failure.failure_class is FailureClass.RETRYABLE
    assert cluster.objects["jobs"] == {}
    await runtime.close()


async def test_without_any_cluster_the_message_says_what_to_write(tmp_path, log):
    runtime = KubernetesRuntime(
        lambda: JobSettings.of({"kubernetes": {"kubeconfig": str(tmp_path / "none")}}, tmp_path)
    )
    with pytest.raises(JobFailed, match="no Kubernetes cluster can be reached") as caught:
        await runtime.run(make_work(log, "lakehouse/box:1.0", command=["true"]))
    assert caught.value.failure.code == "cannot_start"
    await runtime.close()
