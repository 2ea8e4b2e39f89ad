"""Seen: what a pod, as the cluster tells of it, means for its attempt.  Pure decisions.

| the pod                                                    | is              | so                                  |
|------------------------------------------------------------|-----------------|-------------------------------------|
| waits for a node, a volume, its image                       | `Waiting`       | time is given it                    |
| has an image name that is none, a setting that cannot be    | `Waiting`, hopeless | the job cannot start            |
| runs, or its output is on its way                           | `Running`       | its lines are followed              |
| has ended by itself                                         | `Ended`         | the exit code says how              |
| was evicted, deleted, or its node is gone                   | `Lost`          | the attempt is made again           |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ripresa.runtimes.kubernetes.manifest import COURIER, JOB

_NEVER: Final = ("InvalidImageName", "ErrImageNeverPull")
"""Kubernetes goes on trying, and nothing can come of it."""
_HARDLY: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
"""Now and then these pass."""
_IMAGE: Final = ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable")
_NOT_STARTED: Final = ("ContainerCannotRun", "StartError")
"""Why a container ended that was never begun; its message is the container runtime's."""
DEADLINE: Final = "DeadlineExceeded"


@dataclass(frozen=True, slots=True)
class Waiting:
    """It has not begun.  `image`: for its image.  `hopeless`: it never will; `hardly`: it will not if this lasts."""

    why: str
    image: bool = False
    hopeless: bool = False
    hardly: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """It has begun."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It has ended by itself, or for lack of memory.

    `not_started`: why it could not be executed.  `left`: what it left as its termination message, or nothing.
    """

    exit_code: int
    oom: bool = False
    not_started: str = ""
    left: str = ""


@dataclass(frozen=True, slots=True)
class TooLong:
    """Kubernetes ended it after the longest that it may take."""


@dataclass(frozen=True, slots=True)
class Lost:
    """It was ended from outside, or nobody can say."""

    why: str


Seen = Waiting | Running | Ended | TooLong | Lost


def seen(pod: Mapping[str, Any]) -> Seen:
    """What the pod means."""
    status = pod.get("status") or {}
    over = status.get("phase") in ("Succeeded", "Failed")
    job, courier = _container(status, JOB), _container(status, COURIER)
    ended = _ended(job)
    if status.get("phase") == "Succeeded" and ended is not None:
        return ended
    if over and status.get("reason") == DEADLINE:
        return TooLong()
    if (why := _from_outside(pod)) is not None and (over or "deletionTimestamp" in pod["metadata"]):
        return Lost(why)
    if over:
        return _failed(ended, courier, status)
    if ended is not None or "running" in job.get("state", {}):
        return Running() if (waits := _waits(courier)) is None or ended is None else waits
    return _waits(job) or Waiting(_unscheduled(status) or "it waits for a node")


def started(pod: Mapping[str, Any]) -> bool:
    """Whether the job's container has begun, so that there may be output."""
    state = _container(pod.get("status") or {}, JOB).get("state", {})
    return "running" in state or "terminated" in state


def ended_at_all(pod: Mapping[str, Any]) -> bool:
    """Whether the job's container does not run any more, for whatever reason."""
    status = pod.get("status") or {}
    return "terminated" in _container(status, JOB).get("state", {}) or status.get("phase") in ("Succeeded", "Failed")


def failed_job(job: Mapping[str, Any]) -> TooLong | Lost | None:
    """What a Job without a pod means; None: the pod is still to come."""
    for one in (job.get("status") or {}).get("conditions") or ():
        if one.get("type") == "Failed" and one.get("status") == "True":
            if one.get("reason") == DEADLINE:
                return TooLong()
            return Lost(f"its pod is gone ({one.get('message') or one.get('reason') or 'nobody says why'})")
    return None


def _container(status: Mapping[str, Any], name: str) -> dict[str, Any]:
    for kind in ("initContainerStatuses", "containerStatuses"):
        for one in status.get(kind) or ():
            if one.get("name") == name:
                return dict(one)
    return {}


def _ended(container: Mapping[str, Any]) -> Ended | None:
    state = container.get("state", {}).get("terminated")
    if state is None:
        return None
    reason, message = str(state.get("reason") or ""), str(state.get("message") or "")
    code = int(state.get("exitCode") or 0)
    if reason in _NOT_STARTED:
        return Ended(code, not_started=message or reason)
    return Ended(code, oom=reason == "OOMKilled", left=message)


def _from_outside(pod: Mapping[str, Any]) -> str | None:
    """Who or what ended the pod, other than the job itself."""
    status = pod.get("status") or {}
    message = str(status.get("message") or "").strip()
    if reason := status.get("reason"):
        return f"{reason}: {message}" if message else str(reason)
    for one in status.get("conditions") or ():
        if one.get("type") == "DisruptionTarget" and one.get("status") == "True":
            return f"{one.get('reason')}: {one.get('message') or 'it had to give way'}"
    if "deletionTimestamp" in pod["metadata"]:
        return "somebody deleted its pod"
    return None


def _failed(ended: Ended | None, courier: Mapping[str, Any], status: Mapping[str, Any]) -> Ended | Lost:
    if ended is None:
        return Lost(f"its pod failed before its container ended ({status.get('message') or 'nobody says why'})")
    carried = _ended(courier)
    if ended.exit_code == 0 and not ended.not_started and carried is not None and carried.exit_code != 0:
        return Lost(f"its output could not be carried: {carried.not_started or f'exit code {carried.exit_code}'}")
    return ended


def _waits(container: Mapping[str, Any]) -> Waiting | None:
    state = container.get("state", {}).get("waiting")
    if state is None:
        return None
    reason = str(state.get("reason") or "")
    why = ": ".join(one for one in (reason, str(state.get("message") or "").strip()) if one)
    return Waiting(
        why or "its container is being made",
        image=reason in _IMAGE,
        hopeless=reason in _NEVER,
        hardly=reason in _HARDLY,
    )


def _unscheduled(status: Mapping[str, Any]) -> str | None:
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return f"{one.get('reason')}: {one.get('message')}"
    return None
