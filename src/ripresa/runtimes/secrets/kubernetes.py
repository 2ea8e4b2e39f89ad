"""Secrets of a Kubernetes cluster, read with the service account of the process that starts the job."""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from urllib.parse import quote

from ripresa.runtimes.secrets.fetching import fetch
from ripresa.runtimes.secrets.settings import KubernetesSettings
from ripresa.runtimes.secrets.unavailable import SecretUnavailable, entry

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def read(settings: KubernetesSettings, path: str, key: str | None) -> str:
    """The value of an entry; in a thread.  Raises SecretUnavailable."""
    namespace, slash, name = path.rpartition("/")
    if "/" in namespace:
        raise SecretUnavailable("write secret:name#key or secret:namespace/name#key")
    namespace = namespace if slash else settings.namespace or _text(ACCOUNT / "namespace", "the namespace")
    token = _text(Path(settings.token_file or ACCOUNT / "token"), "the token")
    url = f"{_api(settings)}/api/v1/namespaces/{quote(namespace)}/secrets/{quote(name)}"
    ca_file = settings.ca_file or (None if settings.api else str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    value = entry(fetch(url, headers, ca_file=ca_file).get("data") or {}, key)
    try:
        return base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError, TypeError):
        raise SecretUnavailable("the entry is not UTF-8 text") from None


def _api(settings: KubernetesSettings) -> str:
    if settings.api:
        return settings.api.rstrip("/")
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise SecretUnavailable("this process is not in a cluster; set secrets.kubernetes.api, token_file and ca_file")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _text(file: Path, what: str) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, ValueError):
        raise SecretUnavailable(f"{what} of the service account cannot be read from {file}") from None
