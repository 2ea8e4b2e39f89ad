"""Specs: an order as the engine's API takes it, and the names and labels by which its container is found.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ripresa.contracts.job_order import JobOrder
from ripresa.contracts.step_context import StepContext
from ripresa.runtimes.attempt_name import mark_of
from ripresa.runtimes.container.policy import ContainerPolicy

OURS: Final = "/.ripresa"
"""A directory of ours in every container."""
JOB_OUTPUT: Final = f"{OURS}/job/output.json"
LABEL: Final = "ripresa."
KEY_LABEL: Final = f"{LABEL}idempotency_key"
_LOGS_KEPT: Final = {"max-size": "32m"}
"""More than we keep of any job's output: what a job writes must not fill the host's disk."""


def container_name(context: StepContext) -> str:
    """The same for the same attempt, on whichever engine, and never for another."""
    return f"ripresa-{context.step[:100].strip('.-_') or 'job'}-{mark_of(context)}"


def labels_of(context: StepContext) -> dict[str, str]:
    """All that is needed to know whose the container is."""
    return {f"{LABEL}{name}": str(value) for name, value in context.to_json().items()}


def context_of(labels: Mapping[str, str]) -> StepContext | None:
    """Whose container it is; None: none of ours."""
    told: dict[str, Any] = {name.removeprefix(LABEL): value for name, value in labels.items() if name.startswith(LABEL)}
    try:
        return StepContext.from_json({**told, "attempt": int(told["attempt"])})
    except (KeyError, ValueError, TypeError):
        return None


def create_config(
    order: JobOrder, context: StepContext, policy: ContainerPolicy, image: Mapping[str, Any], env: Mapping[str, str]
) -> dict[str, Any]:
    """What to create.  Raises JobFailed for what the policy does not allow."""
    memory = policy.memory_bytes(order, context.attempt)
    cpu = policy.cpu_millis(order)
    host: dict[str, Any] = {
        "NetworkMode": policy.network,
        "Binds": policy.binds(order),
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PidsLimit": policy.pids,
        "ReadonlyRootfs": policy.read_only,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "LogConfig": {"Type": "json-file", "Config": _LOGS_KEPT},
    }
    if policy.read_only:
        host["Tmpfs"] = {"/tmp": "mode=1777,size=256m"}  # noqa: S108 - in the container
    if memory is not None:
        host |= {"Memory": memory, "MemorySwap": memory}
    if cpu is not None:
        host["NanoCpus"] = cpu * 1_000_000
    config: dict[str, Any] = {
        "Image": order.image,
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": labels_of(context),
        "StopSignal": "SIGTERM",
        "Tty": False,
        "HostConfig": host,
    }
    if order.command is not None:
        config["Entrypoint"] = list(order.command)
    if order.command is not None or order.args:
        config["Cmd"] = list(order.args)
    if (user := policy.user_for(image)) is not None:
        config["User"] = user
    if policy.read_only:
        config["Volumes"] = {OURS: {}}
    return config
