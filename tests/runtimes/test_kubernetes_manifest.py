"""Manifests: valid to Kubernetes of many versions, in the restricted pod security standard, named without clashes."""

from __future__ import annotations

import re
from dataclasses import replace

import kubernetes_validate
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.step_context import StepContext
from ripresa.runtimes import JobFailed
from ripresa.runtimes.kubernetes import manifest
from ripresa.runtimes.kubernetes.manifest import SecretKey, Wanted, attempt_secret, context_of, job, job_name, labels_of
from ripresa.runtimes.kubernetes.policy import KubernetesPolicy

VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
CONTEXT = StepContext("r", "01-u", "daily", "extract", "extract", 1, "01-u:extract", "c")

PLAIN = JobOrder(name="extract", image="lakehouse/extract:1.0")
FULL = JobOrder(
    name="extract",
    image="ghcr.io/acme/extract:1.0",
    command=["python", "extract.py"],
    args=["--date", "{{ ds }}"],
    params={"source": "sales"},
    env={"LEVEL": "info"},
    secrets={"TOKEN": "env:TOKEN"},
    volumes=["cache:/cache", "/srv/data:/data:ro"],
    resources={"cpu": "1500m", "memory": "2Gi"},
    limits={"grace_s": 30},
)
POLICIES = {
    "plain": KubernetesPolicy(host_paths=("/srv",)),
    "full": KubernetesPolicy.of(
        {
            "host_paths": ["/srv"],
            "service_account": "jobs",
            "priority_class": "low",
            "pull_secrets": ["registry"],
            "node_selector": {"pool": "batch"},
            "tolerations": [{"key": "batch", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 30}],
            "read_only": True,
            "output_image": "busybox:1.36",
            "keep": "1h",
        }
    ),
    "own user": KubernetesPolicy(host_paths=("/srv",), user="image", cpu="100m", memory="64Mi"),
}


def wanted(**fields):
    env = {"JOB_OUTPUT": manifest.JOB_OUTPUT}
    return Wanted(context=CONTEXT, env=env, secrets={"TOKEN": SecretKey(name="db", key="token")}, **fields)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("order", [PLAIN, FULL], ids=["plain", "full"])
def test_kubernetes_of_every_version_takes_them(order, policy, version):
    made = job(order, policy, wanted(limit_s=3600.5))
    kubernetes_validate.validate(made, version, strict=True)
    owner = {"metadata": {"name": made["metadata"]["name"], "uid": "1"}}
    for secret in (attempt_secret(CONTEXT, {"TOKEN": "x"}), attempt_secret(CONTEXT, {"TOKEN": "x"}, owner)):
        kubernetes_validate.validate(secret, version, strict=True)


def test_the_schemas_do_find_mistakes():
    made = job(PLAIN, POLICIES["plain"], wanted())
    made["spec"]["template"]["spec"]["restartPolcy"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, "1.37", strict=True)


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("order", [PLAIN, FULL], ids=["plain", "full"])
def test_pods_meet_the_restricted_standard(order, policy):
    """Each control of https://kubernetes.io/docs/concepts/security/pod-security-standards/ that a pod of ours has."""
    pod = job(order, policy, wanted())["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"].get("runAsUser") != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    allowed = {"persistentVolumeClaim", "emptyDir"} | ({"hostPath"} if order is FULL else set())
    assert {kind for one in pod.get("volumes", ()) for kind in set(one) - {"name"}} <= allowed
    for container in [*pod["containers"], *pod.get("initContainers", ())]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["privileged"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert "ports" not in container


def test_root_has_to_be_asked_for_by_number():
    pod = job(PLAIN, KubernetesPolicy(user="0:0"), wanted())["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (0, False)


def test_a_job_is_tried_once_and_ended_a_little_after_the_engine_would():
    spec = job(FULL, POLICIES["plain"], wanted(limit_s=60.2, grace_s=30))["spec"]
    assert (spec["backoffLimit"], spec["template"]["spec"]["restartPolicy"]) == (0, "Never")
    assert spec["activeDeadlineSeconds"] == 61 + 30 + 60
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30
    assert spec["ttlSecondsAfterFinished"] == 7 * 86_400
    assert "activeDeadlineSeconds" not in job(FULL, POLICIES["plain"], wanted())["spec"]
    at_once = job(FULL, POLICIES["plain"], wanted(grace_s=0))["spec"]["template"]["spec"]
    assert at_once["terminationGracePeriodSeconds"] == 1  # 0 would have the API forget a pod that still runs


@given(st.text(max_size=250), st.text(max_size=80), st.integers(1, 999))
def test_names_are_labels_whatever_the_step_is_called(step, key, attempt):
    context = replace(CONTEXT, step=step, idempotency_key=key, attempt=attempt)
    names = [job_name(context), *labels_of(context).values()]
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for name in names), names


@given(st.lists(st.tuples(st.text(max_size=40), st.integers(1, 30)), unique=True, min_size=2, max_size=20))
def test_attempts_of_one_name_have_names_of_their_own(attempts):
    contexts = [replace(CONTEXT, idempotency_key=key, attempt=number) for key, number in attempts]
    assert len({job_name(one) for one in contexts}) == len(attempts)
    assert [job_name(one) for one in contexts] == [job_name(one) for one in contexts]


def test_whose_it_is_can_be_read_again():
    assert context_of(job(PLAIN, POLICIES["plain"], wanted())["metadata"]) == CONTEXT
    assert context_of(attempt_secret(CONTEXT, {})["metadata"]) == CONTEXT
    for other in ({}, {"annotations": None}, {"annotations": {manifest.CONTEXT: "[]"}}):
        assert context_of(other) is None


def test_values_of_secrets_are_in_the_secret_alone():
    made = job(FULL, POLICIES["plain"], wanted())
    variables = made["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "token"}}} in variables
    assert attempt_secret(CONTEXT, {"TOKEN": "väult"})["data"] == {"TOKEN": "dsOkdWx0"}


@given(st.text(alphabet="$(){}AB\n ", max_size=30))
def test_dollars_come_out_as_they_went_in(text):
    """As Kubernetes expands: two are one, and $(NAME) is a variable's value."""
    made = job(replace(PLAIN, command=("sh", text)), POLICIES["plain"], wanted())
    written = made["spec"]["template"]["spec"]["containers"][0]["command"][1]
    assert _expanded(written, {"A": "no", "B": "no"}) == text


def _expanded(text, values):
    """third_party/forked/golang/expansion of Kubernetes, in Python."""
    told, at = "", 0
    while at < len(text):
        if text[at] != "$" or at + 1 == len(text):
            told += text[at]
        elif text[at + 1] == "$":
            told, at = told + "$", at + 1
        elif text[at + 1] == "(" and (end := text.find(")", at)) > 0:
            name = text[at + 2 : end]
            told, at = told + values.get(name, f"$({name})"), end
        else:
            told, at = told + text[at : at + 2], at + 1
        at += 1
    return told


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"namspace": "x"}, 'runtimes.kubernetes.namspace: unknown field; did you mean "namespace"?'),
        ({"namespace": "No"}, "'No' is no name of a namespace"),
        ({"user": "nobody"}, "'nobody' is neither numbers, as 65534:65534, nor image"),
        ({"node_selector": ["a"]}, r"node_selector: \['a'\] is not a table of texts"),
        ({"tolerations": "x"}, "is not a list of tables"),
        ({"tolerations": [{"keys": "a"}]}, r"runtimes.kubernetes.tolerations\[0\].keys: unknown field"),
        ({"start_within": "soon"}, "runtimes.kubernetes.start_within"),
        ({"keep": 0}, "is not more than nothing"),
        ({"pull": "often"}, "is not one of missing, always, never"),
        ({"memory_max": "much"}, "runtimes.kubernetes.memory_max"),
        ({"pull_secrets": "x"}, "is not a list of texts"),
    ],
)
def test_a_setting_that_cannot_be_is_said_by_its_place(table, says):
    with pytest.raises(ValueError, match=says):
        KubernetesPolicy.of(table)


def test_a_volume_has_the_name_of_a_claim():
    with pytest.raises(JobFailed, match="no name of a PersistentVolumeClaim"):
        job(replace(PLAIN, volumes=("Big_Cache:/a",)), POLICIES["plain"], wanted())


def test_whether_there_is_a_courier_is_seen_in_the_job_itself():
    made = job(PLAIN, POLICIES["full"], wanted())
    assert manifest.has_courier(made)
    assert not manifest.has_courier(job(PLAIN, POLICIES["plain"], wanted()))
