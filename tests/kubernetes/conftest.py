"""Tests on a real cluster: `make test-kubernetes` starts one and says where; without that they are not collected.

They are no part of `make test`, for building a cluster takes minutes the first time.  The integration server runs both.
"""

from __future__ import annotations

import os
import uuid
from functools import partial

import pytest

from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.runtime import KubernetesRuntime
from tests.support.container_engines import IMAGE
from tests.support.jobs import Log, make_work
from tests.support.kubernetes import Cluster, Space

collect_ignore_glob = [] if "CLUSTER_HOST_IP" in os.environ else ["test_*"]

SH = ["/bin/sh", "-c"]


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def box(log):
    """A Work for a job in the test image."""

    def make(script=None, **fields):
        command = {} if script is None else {"command": [*SH, script]}
        return make_work(log, fields.pop("image", IMAGE), **{**command, **fields})

    return make


@pytest.fixture
def work_of(log):
    return partial(make_work, log)


@pytest.fixture(scope="session")
def cluster():
    found = Cluster(os.environ["KUBECONFIG"])
    found.load_image()
    return found


@pytest.fixture
def space(cluster):
    """A namespace of its own."""
    space = Space(cluster, f"test-{uuid.uuid4().hex[:10]}")
    yield space
    space.remove()


@pytest.fixture
def shared(tmp_path):
    """A folder of this machine that the user of pods can read."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def settings(cluster, space, tmp_path):
    """`settings(memory_max="64Mi")` are those for this cluster and namespace."""

    def make(**policy):
        told = {"kubeconfig": cluster.kubeconfig, "namespace": space.name, "pull": "never", **policy}
        return JobSettings.of({"kubernetes": told}, tmp_path)

    return make


@pytest.fixture
async def runtimes(settings):
    """`runtimes(start_within="5s")` is a runtime with these settings."""
    made = []

    def make(**policy):
        made.append(KubernetesRuntime(partial(settings, **policy), grace_s=1))
        return made[-1]

    yield make
    for runtime in made:
        await runtime.close()


@pytest.fixture
def runtime(runtimes):
    return runtimes()
