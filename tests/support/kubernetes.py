"""A Kubernetes cluster for tests: the one that KUBECONFIG names, asked with the standard library alone."""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import yaml

from tests.support.container_engines import IMAGE, rootfs

ANSWERS_WITHIN_S = 60
SCRIPT = Path(__file__).parents[1] / "kubernetes" / "cluster"


class Cluster:
    """What the administrator may do."""

    def __init__(self, kubeconfig):
        self.kubeconfig = kubeconfig
        known = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = known["clusters"][0]["cluster"], known["users"][0]["user"]
        self.host = cluster["server"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pem:
            for part in ("client-certificate-data", "client-key-data"):
                pem.write(base64.b64decode(user[part]) + b"\n")
            pem.flush()
            self._context.load_cert_chain(pem.name)
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context))
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, method, path, body=None, **params):
        """One call of the API, and its answer; None: there is no such thing."""
        asked = urllib.request.Request(
            f"{self.host}{path}?{urlencode(params)}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"},
        )
        until = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            try:
                with self._opener.open(asked, timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.HTTPError as error:
                said = error.read()
                if error.code == 404:
                    return None
                if error.code < 500 or time.monotonic() > until:
                    raise RuntimeError(f"{method} {path}: {error.code} {said[:500]!r}") from None
            except (OSError, http.client.HTTPException):  # a test beside us has just killed the API server
                if time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def kill(self, program):
        """`kill -9` of kube-apiserver or kubelet, which come back."""
        subprocess.run([SCRIPT, "kill", program], check=True, capture_output=True, env={**os.environ})

    def load_image(self):
        """Give the node the image of the container tests."""
        with tempfile.NamedTemporaryFile(suffix=".tar") as packed:
            packed.write(rootfs())
            packed.flush()
            subprocess.run([SCRIPT, "load", packed.name, IMAGE], check=True, capture_output=True, env={**os.environ})


class Space:
    """A namespace of its own for a test."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def remove(self):
        """Away with all that is in it, at once: a kubelet takes its time."""
        self.cluster.call("DELETE", f"/api/v1/namespaces/{self.name}")
        for pod in self.pods():
            self.call("DELETE", "pods", pod["metadata"]["name"], gracePeriodSeconds=0)

    def call(self, method, kind, name="", body=None, **params):
        """One call about an object of this namespace, or a kind of them."""
        api = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        path = f"{api}/namespaces/{self.name}/{kind}{name and '/'}{name}"
        return self.cluster.call(method, path, body, **params)

    def get(self, kind, name):
        """An object; None: there is none."""
        return self.call("GET", kind, name)

    def jobs(self):
        """Jobs by name."""
        return {one["metadata"]["name"]: one for one in self.call("GET", "jobs")["items"]}

    def pods(self, **params):
        """Pods."""
        return self.call("GET", "pods", **params)["items"]
