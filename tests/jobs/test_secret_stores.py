"""Secrets from stores: a stand-in that speaks Vault's API, one that speaks Kubernetes', and moto for AWS."""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from ripresa.contracts.status import FailureClass
from ripresa.runtimes import JobFailed
from ripresa.runtimes.job_settings import JobSettings
from ripresa.runtimes.secrets import resolved
from ripresa.runtimes.secrets.settings import SecretSettings

CANARY = "c4n4ry-of-the-vault"
TOKEN = "t0ken-for-the-store"


class StandIn:
    """Answers as its table says: path to (status, JSON); anything else is 404.  It notes what it was asked."""

    def __init__(self, refused):
        self.answers = {}
        self.asked = []
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = unquote(self.path)
                stand_in.asked.append((path, dict(self.headers)))
                status, told, headers = stand_in.answers.get(path, (404, {"errors": []}, {}))
                if refused(self.headers):
                    status, told, headers = 403, {"errors": ["permission denied"], "message": "forbidden"}, {}
                data = json.dumps(told).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def says(self, path, told, status=200, **headers):
        self.answers[path] = (status, told, headers)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def vault(monkeypatch):
    """Vault's key-value engine, version 2, as its HTTP API is documented: data in data, metadata beside it."""
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    stand_in = StandIn(lambda headers: headers["X-Vault-Token"] != TOKEN)
    version = {"created_time": "2024-01-01T00:00:00Z", "deletion_time": "", "destroyed": False, "version": 1}
    shop = {"password": CANARY, "user": "shop", "port": 5432}
    stand_in.says("/v1/secret/data/sales/db", {"data": {"data": shop, "metadata": version}})
    stand_in.says("/v1/secret/data/one", {"data": {"data": {"only": CANARY}, "metadata": version}})
    stand_in.says("/v1/secret/data/deleted", {"data": {"data": None, "metadata": version}}, status=404)
    stand_in.says("/v1/secret/data/sealed", {"errors": ["Vault is sealed"]}, status=503)
    stand_in.says("/v1/secret/data/standby", {}, status=307, Location="http://127.0.0.1:1/elsewhere")
    yield stand_in
    stand_in.close()


@pytest.fixture
def kubernetes(tmp_path):
    """The API server's answer for a Secret, as it is documented: entries in base64."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    stand_in = StandIn(lambda headers: headers["Authorization"] != f"Bearer {TOKEN}")
    data = {"password": base64.b64encode(CANARY.encode()).decode(), "binary": base64.b64encode(b"\xff\xfe").decode()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "type": "Opaque", "data": data}
    stand_in.says("/api/v1/namespaces/sales/secrets/db", secret)
    yield stand_in
    stand_in.close()


async def value_of(reference, **told):
    return (await resolved({"DB": reference}, SecretSettings.of(told)))["DB"]


async def refusal_of(reference, **told):
    with pytest.raises(JobFailed) as caught:
        await value_of(reference, **told)
    failure = caught.value.failure
    assert failure.code == "secret_unavailable"
    assert CANARY not in str(failure.to_json())
    assert TOKEN not in str(failure.to_json())
    return failure


# --- Vault ---------------------------------------------------------------------------------------


async def test_vault_gives_an_entry(vault, tmp_path, monkeypatch):
    told = {"store": "vault", "vault": {"address": vault.address, "namespace": "shop"}}
    assert await value_of("secret:sales/db#password", **told) == CANARY
    assert await value_of("secret:one", **told) == CANARY
    assert vault.asked[0][1]["X-Vault-Namespace"] == "shop"
    monkeypatch.setenv("VAULT_ADDR", vault.address)
    monkeypatch.delenv("VAULT_TOKEN")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    told = {"store": "vault", "vault": {"token_file": str(tmp_path / "token")}}
    assert await value_of("secret:sales/db#password", **told) == CANARY


@pytest.mark.parametrize(
    ("reference", "says", "lasting"),
    [
        ("secret:sales/db#pasword", r"no entry 'pasword' \(there are: password, port, user\)", True),
        ("secret:sales/db", r"it has 3 entries \(password, port, user\); write #key", True),
        ("secret:sales/db#port", "not a text", True),
        ("secret:nowhere#x", "no such secret", True),
        ("secret:deleted#x", "no such secret", True),
        ("secret:sealed#x", "HTTP 503", False),
        ("secret:standby#x", "redirect", True),
    ],
)
async def test_what_vault_does_not_give_is_told_without_any_value(vault, reference, says, lasting):
    failure = await refusal_of(reference, store="vault", vault={"address": vault.address})
    assert re.search(says, failure.message)
    assert f"secret DB ({reference})" in failure.message
    assert (failure.failure_class is FailureClass.TERMINAL) == lasting


async def test_without_a_token_or_with_a_wrong_one_vault_is_not_to_be_had(vault, monkeypatch):
    told = {"store": "vault", "vault": {"address": vault.address}}
    monkeypatch.setenv("VAULT_TOKEN", "another")
    assert "refuses it (403)" in (await refusal_of("secret:sales/db#password", **told)).message
    monkeypatch.delenv("VAULT_TOKEN")
    assert "no token for Vault" in (await refusal_of("secret:sales/db#password", **told)).message
    monkeypatch.delenv("VAULT_ADDR", raising=False)
    assert "VAULT_ADDR" in (await refusal_of("secret:sales/db#password", store="vault")).message


async def test_a_store_out_of_reach_may_be_there_later(monkeypatch):
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    failure = await refusal_of("secret:a#b", store="vault", vault={"address": "http://127.0.0.1:1"})
    assert failure.failure_class is FailureClass.RETRYABLE
    failure = await refusal_of("secret:a#b", store="vault", vault={"address": "file:///etc/passwd"})
    assert (failure.failure_class, "https://" in failure.message) == (FailureClass.TERMINAL, True)


# --- Kubernetes ------------------------------------------------------------------------------------


async def test_kubernetes_gives_an_entry(kubernetes, tmp_path):
    account = {"api": kubernetes.address, "token_file": str(tmp_path / "token")}
    assert await value_of("secret:sales/db#password", store="kubernetes", kubernetes=account) == CANARY
    account["namespace"] = "sales"
    assert await value_of("secret:db#password", store="kubernetes", kubernetes=account) == CANARY


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("secret:sales/db#user", r"no entry 'user' \(there are: binary, password\)"),
        ("secret:sales/db#binary", "not UTF-8"),
        ("secret:sales/other#x", "no such secret"),
        ("secret:a/b/c#x", "namespace/name#key"),
        ("secret:db#x", "the namespace of the service account cannot be read"),
    ],
)
async def test_what_kubernetes_does_not_give_is_told_without_any_value(kubernetes, tmp_path, reference, says):
    account = {"api": kubernetes.address, "token_file": str(tmp_path / "token")}
    failure = await refusal_of(reference, store="kubernetes", kubernetes=account)
    assert re.search(says, failure.message)


async def test_outside_of_a_cluster_the_message_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    account = {"token_file": str(tmp_path / "token"), "namespace": "sales"}
    failure = await refusal_of("secret:db#x", store="kubernetes", kubernetes=account)
    assert "secrets.kubernetes.api" in failure.message


# --- AWS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(moto, monkeypatch):
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("secretsmanager", region_name="eu-west-1", endpoint_url=moto)
    known = {one["Name"] for one in client.list_secrets()["SecretList"]}
    texts = {"sales/db": json.dumps({"password": CANARY, "port": 5432}), "plain": CANARY}
    for name, text in texts.items():
        if name not in known:
            client.create_secret(Name=name, SecretString=text)
    if "binary" not in known:
        client.create_secret(Name="binary", SecretBinary=b"\xff")
    client.close()
    return {"store": "aws", "aws": {"region": "eu-west-1", "endpoint": moto}}


async def test_secrets_manager_gives_a_text_or_an_entry(aws):
    assert await value_of("secret:plain", **aws) == CANARY
    assert await value_of("secret:sales/db#password", **aws) == CANARY
    assert await value_of("secret:sales/db#port", **aws) == "5432"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("secret:nowhere", "no such secret"),
        ("secret:plain#x", "no JSON object"),
        ("secret:sales/db#x", r"no entry 'x' \(there are: password, port\)"),
        ("secret:binary", "binary"),
    ],
)
async def test_what_secrets_manager_does_not_give_is_told_without_any_value(aws, reference, says):
    failure = await refusal_of(reference, **aws)
    assert re.search(says, failure.message)
    assert failure.failure_class is FailureClass.TERMINAL


async def test_secrets_manager_out_of_reach_may_be_there_later(aws):
    told = {"store": "aws", "aws": {"region": "eu-west-1", "endpoint": "http://127.0.0.1:1"}}
    assert (await refusal_of("secret:plain", **told)).failure_class is FailureClass.RETRYABLE


# --- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"store": "volt"}, r"secrets\.store: 'volt' is not one of vault, kubernetes, aws"),
        ({"vaul": {}}, r'secrets\.vaul: unknown field; did you mean "vault"'),
        ({"vault": {"adress": "x"}}, r'secrets\.vault\.adress: unknown field; did you mean "address"'),
        ({"aws": {"region": 1}}, r"secrets\.aws\.region: 1 is not a text"),
        ({"vault": []}, r"secrets\.vault: \[\] is not a table"),
    ],
)
def test_settings_that_cannot_be_read_say_where(told, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        JobSettings.of({}, tmp_path, told)
