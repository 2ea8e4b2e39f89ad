"""Manifests: an order as a Job, the Secret of its attempt, and the names and labels by which both are found.  Pure.

The pod meets the *restricted* pod security standard: no root, no privileges, no capabilities, the default seccomp
profile, no token of the cluster.

A small output comes back as the container's termination message: `$JOB_OUTPUT` is the file that the kubelet reads for
it, up to 4,096 bytes.  With `output_image` there are two containers that share a folder: the job is an init container,
and where it succeeded the other one writes what is in the folder to its log, packed and with a checksum.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.step_context import StepContext
from ripresa.runtimes.attempt_name import key_mark, mark_of
from ripresa.runtimes.job_outcome import OUTPUT_FILE_BYTES_MAX, cannot_start
from ripresa.runtimes.job_policy import Volume
from ripresa.runtimes.kubernetes.policy import KubernetesPolicy

JOB: Final = "job"
"""The container that does the work."""
COURIER: Final = "output"
"""The container that carries the output, if there is one."""
FOLDER: Final = "/.ripresa"
JOB_OUTPUT: Final = f"{FOLDER}/output.json"
MANAGED: Final = "app.kubernetes.io/managed-by"
NAME_LABEL: Final = "ripresa/attempt"
KEY_LABEL: Final = "ripresa/operation"
CONTEXT: Final = "ripresa/context"
"""An annotation: whose it is, as JSON."""
MANAGER: Final = "ripresa"

_NAME_CHARS_MAX: Final = 63
_PULL: Final = {"missing": "IfNotPresent", "always": "Always", "never": "Never"}
_CLAIM: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LATE_S: Final = 60
"""How much later than the engine Kubernetes ends a job that takes too long: only if no engine is there to do it."""
_CARRY: Final = f"""\
if [ ! -f {JOB_OUTPUT} ] || [ -L {JOB_OUTPUT} ]; then echo none; exit; fi
read_it() {{ head -c {OUTPUT_FILE_BYTES_MAX + 1} {JOB_OUTPUT}; }}
read_it | gzip | base64 && echo "sha256 $(read_it | sha256sum)"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """An entry of a Secret in the job's namespace."""

    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a Job is made of beside its order."""

    context: StepContext
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretKey] = field(default_factory=dict)
    """By variable."""
    grace_s: float = 10.0
    limit_s: float | None = None
    """How long the attempt may take; the engine keeps this limit, and Kubernetes one that is a little longer."""


def job_name(context: StepContext) -> str:
    """The same for the same attempt, on whichever engine, and never for another; also its Secret's name."""
    mark = mark_of(context)
    said = re.sub(r"[^a-z0-9]+", "-", context.step.lower())
    room = _NAME_CHARS_MAX - len(f"ripresa--{mark}")
    return f"ripresa-{said[:room].strip('-') or 'job'}-{mark}"


def labels_of(context: StepContext) -> dict[str, str]:
    """By which its objects are found."""
    return {MANAGED: MANAGER, NAME_LABEL: job_name(context), KEY_LABEL: key_mark(context)}


def context_of(metadata: Mapping[str, Any]) -> StepContext | None:
    """Whose object it is; None: none of ours."""
    try:
        return StepContext.from_json(json.loads(metadata["annotations"][CONTEXT]))
    except (KeyError, ValueError, TypeError):
        return None


def has_courier(job: Mapping[str, Any]) -> bool:
    """Whether its output is carried by a container of its own; settings may have changed since it was made."""
    return any(one["name"] == COURIER for one in job["spec"]["template"]["spec"]["containers"])


def attempt_secret(
    context: StepContext, values: Mapping[str, str], owner: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The Secret that holds an attempt's values; it goes when its owner, the Job, goes."""
    metadata = _metadata(context)
    if owner is not None:
        known = owner["metadata"]
        metadata["ownerReferences"] = [
            {"apiVersion": "batch/v1", "kind": "Job", "name": known["name"], "uid": known["uid"]}
        ]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "data": {name: base64.b64encode(value.encode()).decode("ascii") for name, value in values.items()},
    }


def job(order: JobOrder, policy: KubernetesPolicy, wanted: Wanted) -> dict[str, Any]:
    """The Job.  Raises JobFailed for what the policy does not allow."""
    policy.require_image(order)
    spec: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        "ttlSecondsAfterFinished": math.ceil(policy.keep),
        "template": {
            "metadata": {"labels": labels_of(wanted.context), "annotations": _annotations(wanted.context)},
            "spec": _pod(order, policy, wanted),
        },
    }
    if wanted.limit_s is not None:
        spec["activeDeadlineSeconds"] = math.ceil(wanted.limit_s + wanted.grace_s) + _LATE_S
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(wanted.context), "spec": spec}


def _metadata(context: StepContext) -> dict[str, Any]:
    return {"name": job_name(context), "labels": labels_of(context), "annotations": _annotations(context)}


def _annotations(context: StepContext) -> dict[str, str]:
    return {CONTEXT: json.dumps(context.to_json())}


def _pod(order: JobOrder, policy: KubernetesPolicy, wanted: Wanted) -> dict[str, Any]:
    folders = _volumes(order, policy.volumes(order))
    if policy.output_image is not None:
        folders.append(({"name": "ripresa-output", "emptyDir": {}}, {"mountPath": FOLDER}))
    if policy.read_only:
        folders.append(({"name": "ripresa-tmp", "emptyDir": {}}, {"mountPath": "/tmp"}))  # noqa: S108 - in the pod
    mounts = [{"name": volume["name"], **mount} for volume, mount in folders]
    work = _work(order, policy, wanted, mounts)
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # 0 would have the API forget the pod while it may still run.
        "terminationGracePeriodSeconds": max(1, math.ceil(wanted.grace_s)),
        "securityContext": _pod_security(policy),
    }
    if policy.output_image is None:
        pod["containers"] = [work]
    else:
        output = [mount | {"readOnly": True} for mount in mounts if mount["mountPath"] == FOLDER]
        pod |= {"initContainers": [work], "containers": [_courier(policy.output_image, policy, output)]}
    if folders:
        pod["volumes"] = [volume for volume, _ in folders]
    told = {
        "serviceAccountName": policy.service_account,
        "priorityClassName": policy.priority_class,
        "nodeSelector": dict(policy.node_selector),
        "tolerations": [dict(one) for one in policy.tolerations],
        "imagePullSecrets": [{"name": name} for name in policy.pull_secrets],
    }
    return pod | {name: value for name, value in told.items() if value}


def _work(order: JobOrder, policy: KubernetesPolicy, wanted: Wanted, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The container of the job itself."""
    env: list[dict[str, Any]] = [{"name": name, "value": _literal(value)} for name, value in wanted.env.items()]
    for name, one in wanted.secrets.items():
        env.append({"name": name, "valueFrom": {"secretKeyRef": {"name": one.name, "key": one.key}}})
    made: dict[str, Any] = {
        "name": JOB,
        "image": order.image,
        "imagePullPolicy": _PULL[policy.pull],
        "env": env,
        "securityContext": _security(policy),
        "terminationMessagePolicy": "File",
    }
    if policy.output_image is None:
        made["terminationMessagePath"] = JOB_OUTPUT
    if order.command is not None:
        made["command"] = [_literal(one) for one in order.command]
    if order.args:
        made["args"] = [_literal(one) for one in order.args]
    if mounts:
        made["volumeMounts"] = mounts
    if amounts := _amounts(order, policy, wanted.context.attempt):
        made["resources"] = {"requests": amounts, "limits": dict(amounts)}
    return made


def _courier(image: str, policy: KubernetesPolicy, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": COURIER,
        "image": image,
        "imagePullPolicy": _PULL[policy.pull],
        "command": ["sh", "-c", _literal(_CARRY)],
        "securityContext": _security(policy) | {"readOnlyRootFilesystem": True},
        "volumeMounts": mounts,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
    }


def _pod_security(policy: KubernetesPolicy) -> dict[str, Any]:
    told: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if policy.user != "image":
        user, _, group = policy.user.partition(":")
        told |= {"runAsUser": int(user), "runAsNonRoot": int(user) != 0}
        if group:
            told |= {"runAsGroup": int(group), "fsGroup": int(group)}
    return told


def _security(policy: KubernetesPolicy) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": policy.read_only,
    }


def _amounts(order: JobOrder, policy: KubernetesPolicy, attempt: int) -> dict[str, str]:
    """What is both asked for and the limit, so that a job gets what it may use."""
    cpu, memory = policy.cpu_millis(order), policy.memory_bytes(order, attempt)
    told = {"cpu": None if cpu is None else f"{cpu}m", "memory": None if memory is None else str(memory)}
    return {name: amount for name, amount in told.items() if amount is not None}


def _volumes(order: JobOrder, volumes: list[Volume]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Volumes and where they are mounted: a name is a PersistentVolumeClaim's."""
    found = []
    for number, one in enumerate(volumes):
        if not one.is_path and not _CLAIM.fullmatch(one.source):
            raise cannot_start(f"job {order.name!r}: volume {one.source!r} is no name of a PersistentVolumeClaim")
        source = (
            {"hostPath": {"path": one.source}}
            if one.is_path
            else {"persistentVolumeClaim": {"claimName": one.source, "readOnly": one.read_only}}
        )
        mount = {"mountPath": one.target, "readOnly": one.read_only}
        found.append(({"name": f"volume-{number}", **source}, mount))
    return found


def _literal(text: str) -> str:
    """A text that Kubernetes leaves as it is: it would put variables in place of `$(NAME)`."""
    return text.replace("$", "$$")
