"""Policy: which cluster runs jobs, and what the platform allows them there.

    [runtimes.kubernetes]
    context = "production"
    namespace = "pipelines"
    registries = ["ghcr.io/acme/*"]
    memory_max = "8Gi"

A job's code is hostile: its pod meets the restricted pod security standard, has no token of the cluster, and no root.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ripresa.contracts.durations import micros
from ripresa.runtimes.job_policy import JobPolicy
from ripresa.runtimes.toml_tables import only

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"\d{1,10}(:\d{1,10})?")
_TOLERATION = ("key", "operator", "value", "effect", "tolerationSeconds")


def _texts_by_name(place: str, value: Any) -> Mapping[str, str]:
    if isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values()):
        return dict(value)
    raise ValueError(f"{place}: {value!r} is not a table of texts")


def _tolerations(place: str, value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError(f"{place}: {value!r} is not a list of tables, as Kubernetes has them")
    for number, one in enumerate(value):
        only(one, _TOLERATION, f"{place}[{number}]")
    return tuple(dict(one) for one in value)


def _seconds(place: str, value: Any) -> float:
    seconds = micros(value, where=place) / 1e6
    if seconds <= 0:
        raise ValueError(f"{place}: {value!r} is not more than nothing")
    return seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPolicy(JobPolicy):
    """The table `[runtimes.kubernetes]`: what is in `JobPolicy`, and more.

    `kubeconfig`: a file; left out, KUBECONFIG, else `~/.kube/config`, else the service account of the cluster that this
    process runs in.  `context`: one of its contexts; left out, the current one.  `namespace`: left out, the context's.
    `service_account`, `priority_class`, `pull_secrets`, `node_selector`, `tolerations`: as in a pod's specification.
    `user`: numbers, `user:group`; `image` leaves it to the image, which must not be root.  `start_within`: how long a
    pod may wait for a node, its image or its volumes.  `patience`: how long a cluster that does not answer is waited
    for.  `keep`: when Kubernetes removes a Job that ended and that no engine has come back for.  `output_image`: an
    image with a shell, base64 and gzip, which carries outputs of more than 4 KiB.
    """

    WHERE: ClassVar[str] = "runtimes.kubernetes"
    READ: ClassVar[Mapping[str, Callable[[str, Any], Any]]] = {
        "node_selector": _texts_by_name,
        "tolerations": _tolerations,
        "start_within": _seconds,
        "patience": _seconds,
        "keep": _seconds,
    }

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    service_account: str | None = None
    priority_class: str | None = None
    pull_secrets: tuple[str, ...] = ()
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    start_within: float = 600.0
    """Seconds."""
    patience: float = 300.0
    """Seconds."""
    keep: float = 7 * 86_400.0
    """Seconds."""
    output_image: str | None = None

    def __post_init__(self) -> None:
        JobPolicy.__post_init__(self)
        if self.user != "image" and not _USER.fullmatch(self.user):
            raise ValueError(f"{self.WHERE}.user: {self.user!r} is neither numbers, as 65534:65534, nor image")
        if self.namespace is not None and not _NAMESPACE.fullmatch(self.namespace):
            raise ValueError(f"{self.WHERE}.namespace: {self.namespace!r} is no name of a namespace")
