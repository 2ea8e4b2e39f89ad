"""Secrets of jobs on a cluster: where they may be, and where never."""

from __future__ import annotations

import base64
import json

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.manifest import job_name
from ripresa.runtimes.kubernetes.runtime import KubernetesRuntime
from tests.support.jobs import left_running, resumed, until

CANARY = "c4n4ry-of-the-vault"
OTHER = "s3cond-canary"
SAYS = """
    echo "$TOKEN $PASSWORD ${#TOKEN} ${#PASSWORD}"
    echo "{\\"said\\": \\"$TOKEN\\"}" > $JOB_OUTPUT
"""


@pytest.fixture(autouse=True)
def vault(space):
    """A Secret of the cluster."""
    data = {"password": base64.b64encode(OTHER.encode()).decode(), "user": base64.b64encode(b"shop").decode()}
    space.call("POST", "secrets", "", {"metadata": {"name": "db"}, "data": data})


async def test_a_secret_reaches_the_job_and_nothing_else(runtime, space, box, log, monkeypatch):
    """Not the Job, its pod, their labels and annotations, the log or the recorded output."""
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    work = box(SAYS, secrets={"TOKEN": "env:SHOP_TOKEN", "PASSWORD": "secret:db#password"})
    assert json.loads(await runtime.run(work)) == {"said": "***"}
    assert log.texts() == [f"*** *** {len(CANARY)} {len(OTHER)}"]
    pods = space.pods()
    for pod in pods:
        pod.pop("status")  # has what the job itself wrote into its output
    known = json.dumps([*space.jobs().values(), *pods])
    assert "secretKeyRef" in known
    for secret in (CANARY, OTHER):
        assert secret not in known
        assert base64.b64encode(secret.encode()).decode() not in known
    own = space.get("secrets", job_name(work.context))
    assert list(own["data"]) == ["TOKEN"]
    assert own["metadata"]["ownerReferences"][0]["name"] == job_name(work.context)


async def test_a_reference_to_the_clusters_own_secret_stays_one(runtime, space, box):
    work = box("true", secrets={"PASSWORD": "secret:db#password"})
    await runtime.run(work)
    (pod,) = space.pods()
    variables = {one["name"]: one for one in pod["spec"]["containers"][0]["env"]}
    assert variables["PASSWORD"]["valueFrom"]["secretKeyRef"] == {"name": "db", "key": "password"}
    assert space.get("secrets", job_name(work.context)) is None


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("secret:nowhere#key", "no such Secret in the namespace"),
        ("secret:db#nothing", "it has no entry 'nothing'"),
        ("secret:db", "it has 2 entries"),
        ("secret:elsewhere/db#key", "no secret store is configured"),
    ],
)
async def test_a_secret_that_is_not_to_be_had_is_said_at_once(runtime, space, box, reference, says):
    with pytest.raises(JobFailed) as caught:
        await runtime.run(box("true", secrets={"PASSWORD": reference}))
    failure = caught.value.failure
    assert (failure.code, failure.failure_class) == ("secret_unavailable", FailureClass.TERMINAL)
    assert says in failure.message
    assert space.jobs() == {}


async def test_a_secret_is_masked_after_an_adoption_although_nobody_knows_it(runtime, box, log, monkeypatch):
    monkeypatch.setenv("SHOP_TOKEN", CANARY)
    script = "echo one; sleep 3; echo two $TOKEN $PASSWORD"
    work = box(script, secrets={"TOKEN": "env:SHOP_TOKEN", "PASSWORD": "secret:db#password"})
    await left_running(runtime, work, log)
    monkeypatch.delenv("SHOP_TOKEN")
    await runtime.run(resumed(work, {"stdout": ["one"]}))
    assert log.texts() == ["one", "two *** ***"]


async def test_a_secret_without_a_job_is_left_over_and_cleared_away(runtime, space, box, monkeypatch):
    """The engine was killed just before it created the Job."""
    monkeypatch.setenv("SHOP_TOKEN", CANARY)

    async def dies(*_):
        raise RuntimeError("killed")

    work = box("true", secrets={"TOKEN": "env:SHOP_TOKEN"})
    with monkeypatch.context() as patched:
        patched.setattr("ripresa.runtimes.kubernetes.client.Client.create_job", dies)
        with pytest.raises(RuntimeError, match="killed"):
            await runtime.run(work)
    assert work.context in await runtime.left()
    runtime.forget(work.context)
    await until(lambda: space.get("secrets", job_name(work.context)) is None)
    assert await runtime.left() == []


async def test_one_namespace_does_not_see_the_jobs_of_another(cluster, space, settings, box, tmp_path):
    here = KubernetesRuntime(settings)
    told = {"kubeconfig": cluster.kubeconfig, "namespace": "default", "pull": "never"}
    there = KubernetesRuntime(lambda: JobSettings.of({"kubernetes": told}, tmp_path))
    work = box("true")
    await here.run(work)
    assert work.context in await here.left()
    assert work.context not in await there.left()
    await here.close()
    await there.close()
