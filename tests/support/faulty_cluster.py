"""A stand-in for a cluster's API that fails on demand as a real one does not: expired watches, storms, lost answers.

It keeps Jobs, Secrets and one pod a Job, and does with the pod what the test says.  What a cluster really does is
tested on a real one (tests/kubernetes); only faults that cannot be had there are tested on this.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections import Counter

from aiohttp import web

CONTEXT = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%d"}}]
contexts: [{name: c, context: {cluster: c, namespace: shop}}]
current-context: c
"""


class FaultyCluster:
    """`faults` are taken one by one by the calls they are for: `("GET", "pods")` with "watch" or "log" for those."""

    def __init__(self):
        self.objects = {"jobs": {}, "secrets": {}, "pods": {}}
        self.events = []
        self.log = []
        self.calls = Counter()
        self.version = 100
        self._faults = {}
        self._changed = asyncio.Condition()
        self._runner = None

    async def start(self, folder):
        """Serve, and write the kubeconfig that leads here."""
        app = web.Application()
        for prefix in ("/api/v1", "/apis/batch/v1"):
            app.router.add_route("*", f"{prefix}/namespaces/shop/{{kind}}", self._many)
            app.router.add_route("*", f"{prefix}/namespaces/shop/{{kind}}/{{name}}", self._one)
            app.router.add_get(f"{prefix}/namespaces/shop/pods/{{name}}/log", self._read_log)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(CONTEXT % site._server.sockets[0].getsockname()[1])

    async def close(self):
        await self._runner.cleanup()

    def fail(self, method, what, *faults):
        """Have the next calls of this kind fail: a status, an event to send, "cut", "lost" (done, not answered)."""
        self._faults.setdefault((method, what), []).extend(faults)

    async def pod(self, **status):
        """The Job's pod now has this status."""
        (job,) = self.objects["jobs"].values()
        name = f"{job['metadata']['name']}-abcde"
        meta = {"name": name, "uid": "pod-1", "labels": job["spec"]["template"]["metadata"]["labels"]}
        await self.put("pods", {"metadata": meta, "spec": job["spec"]["template"]["spec"], "status": status})

    async def put(self, kind, made):
        """An object is there, or changes."""
        async with self._changed:
            self.version += 1
            made["metadata"]["resourceVersion"] = str(self.version)
            name = made["metadata"]["name"]
            self.events.append((self.version, "MODIFIED" if name in self.objects[kind] else "ADDED", kind, made))
            self.objects[kind][name] = made
            self._changed.notify_all()

    async def drop(self, kind, name):
        """An object is gone."""
        async with self._changed:
            self.version += 1
            if (gone := self.objects[kind].pop(name, None)) is not None:
                self.events.append((self.version, "DELETED", kind, copy.deepcopy(gone)))
            self._changed.notify_all()

    async def write(self, *lines, end="\n"):
        """The job writes lines."""
        async with self._changed:
            self.log.append("\n".join(f"2026-11-21T17:00:{len(self.log):02}Z {line}" for line in lines) + end)
            self._changed.notify_all()

    # --- serving -------------------------------------------------------------------------------

    def _fault(self, method, what):
        self.calls[method, what] += 1
        faults = self._faults.get((method, what))
        return faults.pop(0) if faults else None

    async def _many(self, request):
        kind = request.match_info["kind"]
        what = "watch" if "watch" in request.query else kind
        fault = self._fault(request.method, what)
        if isinstance(fault, int):
            return _error(fault)
        if what == "watch":
            return await self._watch(request, fault)
        if request.method == "POST":
            made = await request.json()
            if made["metadata"]["name"] in self.objects[kind]:
                return _error(409, "AlreadyExists")
            made["metadata"]["uid"] = f"uid-{len(self.objects[kind])}"
            await self.put(kind, made)
            if fault == "lost":
                request.transport.abort()
            return web.json_response(made, status=201)
        found = list(self.objects.get(kind, {}).values())
        for wanted in filter(None, request.query.get("labelSelector", "").split(",")):
            name, _, value = wanted.partition("=")
            found = [
                one
                for one in found
                if one["metadata"]["labels"].get(name) == (value or one["metadata"]["labels"].get(name))
            ]
        return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": found})

    async def _one(self, request):
        kind, name = request.match_info["kind"], request.match_info["name"]
        fault = self._fault(request.method, kind)
        if isinstance(fault, int):
            return _error(fault)
        found = self.objects[kind].get(name)
        if found is None:
            return _error(404, "NotFound")
        if request.method == "PUT":
            found = await request.json()
            await self.put(kind, found)
        if request.method == "DELETE":
            if kind == "jobs":
                for pod in list(self.objects["pods"]):
                    await self.drop("pods", pod)
            await self.drop(kind, name)
        return web.json_response(found)

    async def _watch(self, request, fault):
        answer = web.StreamResponse()
        await answer.prepare(request)
        if fault == "cut":
            await answer.write(b'{"type": "MODIFIED", "obj')
            request.transport.abort()
            return answer
        if fault is not None:
            await answer.write(json.dumps(fault).encode() + b"\n")
            return answer
        told = int(request.query["resourceVersion"])
        try:
            async with asyncio.timeout(float(request.query["timeoutSeconds"])), self._changed:
                while True:
                    for version, change, kind, made in self.events:
                        if version > told and kind == "pods":
                            await answer.write(json.dumps({"type": change, "object": made}).encode() + b"\n")
                    told = self.version
                    await self._changed.wait()
        except (TimeoutError, ConnectionError):  # told enough, or nobody listens any more
            return answer

    async def _read_log(self, request):
        fault = self._fault("GET", "log")
        if isinstance(fault, int):
            return _error(fault)
        answer = web.StreamResponse()
        await answer.prepare(request)
        at = 0
        async with self._changed:
            while True:
                for text in self.log[at:]:
                    if fault == "cut":
                        await answer.write(text.encode()[:-3])
                        request.transport.abort()
                        return answer
                    await answer.write(text.encode())
                at = len(self.log)
                if request.query["follow"] == "false" or not self._runs():
                    return answer
                await self._changed.wait()

    def _runs(self):
        return any(pod["status"].get("phase") == "Running" for pod in self.objects["pods"].values())


def _error(status, reason=""):
    headers = {"Retry-After": "0"} if status == 429 else {}
    body = {"kind": "Status", "code": status, "reason": reason, "message": f"a fault: {status} {reason}"}
    return web.json_response(body, status=status, headers=headers)
