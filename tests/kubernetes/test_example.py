"""The example as a user has it: the command line, and an account that may do what the role says and nothing else."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.kubernetes.runtime import KubernetesRuntime
from tests.support.jobs import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "kubernetes"
USER = "ripresa-engine"


def openssl(*words, folder):
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)


@pytest.fixture
def account(cluster, space, tmp_path):
    """A kubeconfig of a user who has the example's role."""
    role = yaml.safe_load((EXAMPLE / "role.yaml").read_text())
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space.name}"
    cluster.call("POST", f"{rbac}/roles", role)
    binding = {
        "metadata": {"name": USER},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
    }
    cluster.call("POST", f"{rbac}/rolebindings", binding)
    authority = Path(cluster.kubeconfig).parent / "run" / "pki"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key", folder=tmp_path)
    openssl("req", "-new", "-key", "key", "-subj", f"/CN={USER}", "-out", "request", folder=tmp_path)
    ca = ["-CA", authority / "ca.crt", "-CAkey", authority / "ca.key", "-set_serial", "1", "-days", "1"]
    openssl("x509", "-req", "-in", "request", *ca, "-out", "crt", folder=tmp_path)
    known = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    proof = {"client-certificate-data": "crt", "client-key-data": "key"}
    known["users"][0]["user"] = {
        name: base64.b64encode((tmp_path / file).read_bytes()).decode() for name, file in proof.items()
    }
    known["contexts"][0]["context"]["namespace"] = space.name
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(known))
    return tmp_path / "kubeconfig"


async def test_the_example_runs_with_no_more_rights_than_its_role(space, account, tmp_path):
    password = base64.b64encode(b"pass-of-the-shop").decode()
    space.call("POST", "secrets", "", {"metadata": {"name": "shop-db"}, "data": {"password": password}})
    shutil.copy(EXAMPLE / "daily.yaml", tmp_path)
    (tmp_path / "ripresa.toml").write_text(f'[runtimes.kubernetes]\nkubeconfig = "{account}"\npull = "never"\n')
    ran = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from ripresa.cli.main import main; main()", "run", "daily.yaml", "-p", "region=us"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])},
    )
    said = (await ran.communicate())[0].decode()
    assert ran.returncode == 0, said
    assert "1200 rows" in said
    await until(lambda: space.jobs() == {})


async def test_the_role_suffices_to_look_for_what_is_left(account, tmp_path, box):
    """Secrets may not be listed, and need not be."""
    told = {"kubeconfig": str(account), "pull": "never"}
    runtime = KubernetesRuntime(lambda: JobSettings.of({"kubernetes": told}, tmp_path))
    work = box("true")
    await runtime.run(work)
    assert await runtime.left() == [work.context]
    await runtime.close()
