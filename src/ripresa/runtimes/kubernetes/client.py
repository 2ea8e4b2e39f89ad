"""The client: the verbs that we need of a cluster's API, with errors that say whose move it is.

`kubernetes_asyncio` finds the cluster and proves who we are – service account, kubeconfig, certificates, tokens that
programs renew – and its HTTP session carries our calls.  Objects are plain JSON, as the API has them.

One client serves all attempts of a runtime.  Connections are not limited: each attempt keeps one for the watch and one
for the output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from ripresa.runtimes.kubernetes.manifest import KEY_LABEL, MANAGED, MANAGER
from ripresa.runtimes.kubernetes.policy import KubernetesPolicy
from ripresa.runtimes.kubernetes.stamped_lines import StampedLines
from ripresa.runtimes.remote import Refused, Unreachable

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_JSON: Final = "application/json"
_TIMEOUT_S: Final = 60.0
_SILENCE_S: Final = 30.0
"""How much longer than it should last a watch is listened to."""
_LINE_BYTES: Final = 1 << 16
_BUSY: Final = ("ServerTimeout", "Timeout", "TooManyRequests", "InternalError", "ServiceUnavailable")


class NoCluster(Exception):
    """No cluster is configured, or its configuration cannot be used."""


class Expired(Exception):
    """What the watch was to go on from is forgotten (410): look at everything again."""


class Client:
    """A cluster, and the namespace in which jobs run there; made by `connect`."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self._api = api
        self._host = str(api.configuration.host)
        self.namespace = namespace

    @classmethod
    async def connect(cls, policy: KubernetesPolicy) -> Client:
        """Find the cluster; nothing is asked of it yet.  Raises NoCluster that says where was looked."""
        known: Any = Configuration()
        known.connection_pool_maxsize = 0  # as many as are needed
        try:
            namespace = await _configure(known, policy)
            return cls(ApiClient(known), policy.namespace or namespace or "default")
        except Exception as error:  # noqa: BLE001 - a program that gives tokens fails as it likes
            raise NoCluster(
                f"no Kubernetes cluster can be reached: {error}; name a file with runtimes.kubernetes.kubeconfig in"
                " ripresa.toml or with KUBECONFIG, or run the engine in the cluster, with a service account"
            ) from None

    async def close(self) -> None:
        """Let go of its connections, at once: a farewell over TLS might outlive the loop."""
        session: aiohttp.ClientSession = self._api.rest_client.pool_manager
        if isinstance(session.connector, aiohttp.TCPConnector):
            await session.connector.close(abort_ssl=True)
        await self._api.close()

    # --- jobs and what is theirs ---------------------------------------------------------------

    async def job(self, name: str) -> dict[str, Any] | None:
        """A Job; None: there is none."""
        return await self._found(f"{self._jobs()}/{name}")

    async def create_job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Create a Job.  Raises Refused, with status 409 if it is there."""
        return await self._call("POST", self._jobs(), body=job)

    async def delete_job(self, name: str, *, wait: bool = False) -> None:
        """Delete it with its pods; `wait`: it stays until they are gone.  One that is not there is fine."""
        options = {"propagationPolicy": "Foreground" if wait else "Background"}
        with _gone():
            await self._call("DELETE", f"{self._jobs()}/{name}", body=options)

    async def jobs(self, operation: str | None = None) -> list[dict[str, Any]]:
        """The Jobs that ripresa made, of every engine; or those of an operation."""
        return await self._all(self._jobs(), operation)

    async def secret(self, name: str) -> dict[str, Any] | None:
        """A Secret; None: there is none."""
        return await self._found(f"{self._core('secrets')}/{name}")

    async def secrets(self) -> list[dict[str, Any]]:
        """The Secrets that ripresa made, of every engine."""
        return await self._all(self._core("secrets"), None)

    async def put_secret(self, secret: Mapping[str, Any]) -> None:
        """Create a Secret, or replace the one of this name."""
        try:
            await self._call("POST", self._core("secrets"), body=secret)
        except Refused as error:
            if error.status != 409:
                raise
            await self._call("PUT", f"{self._core('secrets')}/{secret['metadata']['name']}", body=secret)

    async def delete_secret(self, name: str) -> None:
        """Delete a Secret; one that is not there is fine."""
        with _gone():
            await self._call("DELETE", f"{self._core('secrets')}/{name}")

    async def complaints(self, uid: str) -> str:
        """What the cluster last said is wrong with an object; empty: nothing."""
        params = {"fieldSelector": f"involvedObject.uid={uid},type=Warning"}
        found = (await self._call("GET", self._core("events"), params=params)).get("items") or []
        found.sort(key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")
        return str(found[-1].get("message") or "").strip() if found else ""

    # --- pods ----------------------------------------------------------------------------------

    async def pods(self, selector: str) -> tuple[list[dict[str, Any]], str]:
        """The pods of a selector, and the version of what was looked at."""
        told = await self._call("GET", self._core("pods"), params={"labelSelector": selector})
        return list(told.get("items") or ()), str(told["metadata"].get("resourceVersion") or "")

    async def changes(self, selector: str, version: str, for_s: int) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """What happens to the pods of a selector: ADDED, MODIFIED or DELETED, and the pod.

        Ends after `for_s` seconds, or earlier.  Raises Expired, Unreachable, Refused.
        """
        params = {"labelSelector": selector, "resourceVersion": version, "watch": "1", "timeoutSeconds": str(for_s)}
        silence = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=for_s + _SILENCE_S)
        async with self._asked("GET", self._core("pods"), params=params, timeout=silence) as answer:
            async for line in answer.content:
                kind, told = _change(line)
                if kind == "ERROR":
                    raise _refusal(int(told.get("code") or 500), told)
                if kind != "BOOKMARK":
                    yield kind, told

    async def pieces(self, pod: str, container: str, *, follow: bool) -> AsyncIterator[tuple[str, int | None, bytes]]:
        """What a container has written, and writes (`follow`): stream, time in microseconds, bytes.

        A cluster makes one stream of stdout and stderr.
        """
        params = {"container": container, "timestamps": "true", "follow": str(follow).lower()}
        endless = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=None if follow else _TIMEOUT_S)
        path = f"{self._core('pods')}/{pod}/log"
        async with self._asked("GET", path, params=params, timeout=endless) as answer:
            cut = StampedLines()
            async for data in answer.content.iter_chunked(_LINE_BYTES):
                for at, piece in cut.feed(data):
                    yield "stdout", at, piece
            for at, piece in cut.end():
                yield "stdout", at, piece

    async def written(self, pod: str, container: str, bytes_max: int) -> bytes:
        """All that a container has written, up to so many bytes."""
        params = {"container": container, "limitBytes": str(bytes_max)}
        async with self._asked("GET", f"{self._core('pods')}/{pod}/log", params=params) as answer:
            return await answer.read()

    # --- plumbing ------------------------------------------------------------------------------

    def _jobs(self) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    def _core(self, kind: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{kind}"

    async def _found(self, path: str) -> dict[str, Any] | None:
        try:
            return await self._call("GET", path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    async def _all(self, path: str, operation: str | None) -> list[dict[str, Any]]:
        selector = f"{MANAGED}={MANAGER}" + (f",{KEY_LABEL}={operation}" if operation else f",{KEY_LABEL}")
        return list((await self._call("GET", path, params={"labelSelector": selector})).get("items") or ())

    async def _call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        async with self._asked(method, path, params=params, body=body) as answer:
            told: dict[str, Any] = json.loads(await answer.read())
            return told

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One call's answer, if it is a good one.  Raises Unreachable, Refused, Expired."""
        headers = {"Accept": f"{_JSON}, */*", "Content-Type": _JSON, "User-Agent": "ripresa"}
        session: aiohttp.ClientSession = self._api.rest_client.pool_manager
        told: dict[str, Any] = {
            "proxy": self._api.rest_client.proxy,
            "server_hostname": self._api.rest_client.server_hostname,
        }
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"])
            async with session.request(
                method,
                f"{self._host}{path}",
                params=params,
                data=None if body is None else json.dumps(body),
                headers=headers,
                timeout=timeout or aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=10),
                **{name: value for name, value in told.items() if value},
            ) as answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await _status(answer), answer.headers)
                try:
                    yield answer
                finally:
                    _hang_up(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unreachable(f"{self._host}: {str(error) or type(error).__name__}") from None
        except ValueError as error:
            raise Unreachable(f"{self._host}: its answer cannot be read ({error})") from None


def _kubeconfig(policy: KubernetesPolicy) -> Path | None:
    """The file that says where the cluster is; None: it is the one that this process runs in."""
    named = policy.kubeconfig or os.environ.get("KUBECONFIG")
    file = Path(named or "~/.kube/config").expanduser()
    inside = not named and policy.context is None and "KUBERNETES_SERVICE_HOST" in os.environ
    return None if inside and not file.is_file() else file


def _own_namespace() -> str | None:
    with contextlib.suppress(OSError):
        return (ACCOUNT / "namespace").read_text("utf-8").strip()
    return None


async def _configure(known: Any, policy: KubernetesPolicy) -> str | None:
    """Fill the configuration in; the namespace that it names."""
    file = await asyncio.to_thread(_kubeconfig, policy)
    if file is None:
        inside: Any = config.load_incluster_config  # it has no types
        inside(client_configuration=known)
        return await asyncio.to_thread(_own_namespace)
    loader: Any = await config.load_kube_config(
        config_file=str(file), context=policy.context, client_configuration=known
    )
    if hasattr(loader, "exec_plugin_expiry"):
        known.refresh_api_key_hook = partial(_renew, loader)
    return (loader.current_context.get("context") or {}).get("namespace")


async def _renew(loader: Any, configuration: Any) -> None:
    """Have a token that a program gives renewed; this costs nothing while the last one holds."""
    if await loader.load_from_exec_plugin():
        configuration.api_key["BearerToken"] = loader.token


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """Break the connection off if the answer was not read to its end, as of a watch that nobody needs any more."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


async def _status(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """The API's account of an error."""
    text = await answer.text("utf-8", "replace")
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    return told if isinstance(told, dict) else {"message": text.strip()[:500]}


def _refusal(status: int, told: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Exception:
    """What an error of the API means for us."""
    reason, message = str(told.get("reason") or ""), str(told.get("message") or f"HTTP {status}")
    if status == 410 or reason in ("Expired", "Gone"):
        return Expired(message)
    if status == 429 or status >= 500 or reason in _BUSY:
        return Unreachable(message, after_s=_after(told, headers or {}))
    return Refused(status, message, reason=reason)


def _after(told: Mapping[str, Any], headers: Mapping[str, str]) -> float:
    """How long the API asks to be left alone, in seconds, up to a minute."""
    said = headers.get("Retry-After") or (told.get("details") or {}).get("retryAfterSeconds") or 0
    try:
        return min(60.0, max(0.0, float(said)))
    except (TypeError, ValueError):
        return 0.0


def _change(line: bytes) -> tuple[str, dict[str, Any]]:
    told = json.loads(line)
    return str(told["type"]), dict(told["object"])


@contextlib.contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        if error.status != 404:
            raise
