"""The process that is a sandbox: Resource Manager over TLS, the Kubernetes side, and the control socket.

It says what it does on standard output, a line each, `ready` as the last; then it writes to its log only. It ends on
SIGTERM and SIGINT, when told to on the control socket, when nobody reads its output while it starts, and when the
lifeline, a pipe whose other end a `run` holds, is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from . import build
from .arm.azure import CLUSTER, RESOURCE_GROUP, SUBSCRIPTION, TENANT, Azure
from .certificates import Authority, write_private
from .interfaces import NodePlane, SandboxError, Settings
from .nodeplane import KubernetesNodePlane
from .null_plane import NullNodePlane
from .state import StateDirectory

Json = dict[str, Any]
log = logging.getLogger("aks_sandbox")

REALISTIC: Json = {
    "create_seconds": 232.0,
    "update_seconds": 60.0,
    "scale_seconds": 150.0,
    "delete_seconds": 120.0,
    "cluster_update_seconds": 90.0,
    "cluster_power_seconds": 240.0,
    "feature_seconds": 300.0,
    "provider_seconds": 30.0,
    "node_join_seconds": 20.0,
    "node_ready_seconds": 40.0,
    "gpu_registration_seconds": 15.0,
    "image_pull_seconds": 60.0,
    "pod_termination_seconds": 5.0,
    "restart_backoff_seconds": 10.0,
    "workload_seconds": 90.0,
    "drain_timeout_seconds": 600.0,
}
"""Settings of the profile `realistic`: a GPU pool's creation in recorded traffic took 3 min 52 s."""


class Daemon:
    """One running sandbox."""

    def __init__(self, options: argparse.Namespace, state: StateDirectory) -> None:
        self.options = options
        self.state = state
        self.begun = time.monotonic()
        self.settings = Settings.from_json(
            {**(REALISTIC if options.profile == "realistic" else {}), **options.settings}
        )
        self.settings.update({"azure_of_2023": self.settings.azure_of_2023 or options.azure_of_2023})
        self.plane: NodePlane | None = None
        self.azure: Azure | None = None
        self.ended = asyncio.Event()
        self._said: list[str] = []
        self._tools: build.Binaries | None = None
        self._runners: list[web.BaseRunner] = []

    def say(self, text: str) -> None:
        """A line of progress, for the person who waits and for the log."""
        line = f"[{time.monotonic() - self.begun:5.1f}s] {text}"
        self._said.append(line)
        log.info("%s", text)
        try:
            print(line, flush=True)
        except OSError:
            self.ended.set()

    async def run(self) -> None:
        """Start, serve until told to end, stop."""
        try:
            starting = asyncio.ensure_future(self._start())
            ended = asyncio.ensure_future(self.ended.wait())
            await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.gather(starting, return_exceptions=True)
            else:
                starting.result()
            await ended
        finally:
            await self._stop()

    async def _start(self) -> None:
        options = self.options
        loop = asyncio.get_running_loop()
        await self._control()
        authority = Authority(f"AKS sandbox {self.state.name}")
        self.state.ca.write_text(authority.certificate)
        version = await self._make_plane()
        assert self.plane is not None
        azure = self.azure = Azure(self.settings, self.plane, self.state.traffic)
        port, plain_port = await self._listen(authority)
        azure.set_base_url(f"https://localhost:{port}")
        if isinstance(self.plane, KubernetesNodePlane):
            self.plane.faults = azure.faults
            self.plane.entra = azure.identity.for_kubernetes(authority.certificate)
        default = azure.identity.named("default")
        certificate = await loop.run_in_executor(None, azure.identity.make_certificate, default)
        write_private(self.state.path / "client.pem", certificate.pem)
        federated = azure.identity.federated_token(default, azure.gateway.base_url)
        write_private(self.state.path / "federated-token", federated)
        self.say(f"Azure Resource Manager, sign-in and metadata on {azure.gateway.base_url}")
        await self._add_clusters(version)
        environment = self._environment(certificate.thumbprint, plain_port)
        write_private(self.state.path / "environment.json", json.dumps(environment, indent=1))
        self.say(f"ready: {options.clusters} cluster{'' if options.clusters == 1 else 's'} in {RESOURCE_GROUP}")
        with contextlib.suppress(OSError):
            print("ready", flush=True)
        _quiet()

    async def _make_plane(self) -> str:
        options = self.options
        if options.without_kubernetes:
            self.plane = NullNodePlane()
            return str(options.kubernetes_version or "1.36.0")
        if options.kubernetes_version:
            os.environ["AKS_SANDBOX_KUBERNETES_VERSION"] = options.kubernetes_version
        loop = asyncio.get_running_loop()
        built: asyncio.Future[build.Binaries] = loop.create_future()

        def progress(text: str) -> None:
            loop.call_soon_threadsafe(self.say, text)

        def work() -> None:
            try:
                found = build.binaries(progress)
                loop.call_soon_threadsafe(built.set_result, found)
            except SandboxError as error:
                loop.call_soon_threadsafe(built.set_exception, error)

        threading.Thread(target=work, name="build", daemon=True).start()
        binaries = await built
        self._tools = binaries
        self.plane = KubernetesNodePlane(self.settings, self.state.path, binaries)
        self.say(f"Kubernetes {binaries.kubernetes_version}: {options.clusters} control plane(s) starting")
        return binaries.kubernetes_version

    async def _add_clusters(self, version: str) -> None:
        azure, count = self.azure, self.options.clusters
        assert azure is not None
        limit = asyncio.Semaphore(4)
        locations = self.options.location.split(",")

        async def add(number: int) -> None:
            async with limit:
                name = CLUSTER if number == 1 else f"{CLUSTER}{number}"
                location = locations[(number - 1) % len(locations)]
                cluster = await azure.add_cluster(name, version, location=location)
                if count <= 20:
                    self.say(f"cluster {cluster.name}: nodepool1 ready")

        await asyncio.gather(*(add(number) for number in range(1, count + 1)))
        clusters = sorted(azure.world.clusters.values(), key=lambda each: (len(each.name), each.name))
        azure.world.clusters = {each.key: each for each in clusters}

    async def _listen(self, authority: Authority) -> tuple[int, int]:
        assert self.azure is not None
        pair = authority.server()
        certificate, key = pair.write(self.state.path, "server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        key.unlink()
        gateway = self.azure.gateway
        ports = []
        for tls in (context, None):
            handler = gateway.handle if tls else gateway.handle_instance_metadata
            runner = web.ServerRunner(web.Server(handler, access_log=None))  # type: ignore[arg-type]
            await runner.setup()
            self._runners.append(runner)
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            ports.append(int(runner.addresses[0][1]))
        return ports[0], ports[1]

    def _environment(self, thumbprint: str, plain_port: int) -> dict[str, str]:
        azure = self.azure
        assert azure is not None
        default, owner, user = (azure.identity.named(name) for name in ("default", "owner", "user"))
        monitoring = azure.identity.named("monitoring")
        stranger, system, assigned = (
            azure.identity.named(name) for name in ("stranger", "system-identity", "user-identity")
        )
        base = azure.gateway.base_url
        direct = [each for each in (os.environ.get("NO_PROXY") or os.environ.get("no_proxy", "")).split(",") if each]
        no_proxy = ",".join(dict.fromkeys([*direct, "localhost", "127.0.0.1"]))
        values: dict[str, str | None] = {
            "AZURE_SUBSCRIPTION_ID": SUBSCRIPTION,
            "AZURE_TENANT": TENANT,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": default.client_id,
            "AZURE_SECRET": default.secret,
            "AZURE_CLIENT_SECRET": default.secret,
            "AZURE_CLOUD_ENVIRONMENT": base,
            "AZURE_AUTHORITY_HOST": base,
            "REQUESTS_CA_BUNDLE": str(self.state.ca),
            "NO_PROXY": no_proxy,
            "no_proxy": no_proxy,
            "AKS_SANDBOX_KUBECTL": str(self._tools.path("kubectl")) if self._tools else None,
            "AKS_SANDBOX_NAME": self.state.name,
            "AKS_SANDBOX_HOME": str(self.state.home),
            "AKS_SANDBOX_URL": base,
            "AKS_SANDBOX_RESOURCE_GROUP": RESOURCE_GROUP,
            "AKS_SANDBOX_CLUSTER": CLUSTER,
            "AKS_SANDBOX_LOCATION": self.options.location.partition(",")[0],
            "AKS_SANDBOX_OWNER_CLIENT_ID": owner.client_id,
            "AKS_SANDBOX_OWNER_SECRET": owner.secret,
            "AKS_SANDBOX_STRANGER_CLIENT_ID": stranger.client_id,
            "AKS_SANDBOX_STRANGER_SECRET": stranger.secret,
            "AKS_SANDBOX_MONITORING_CLIENT_ID": monitoring.client_id,
            "AKS_SANDBOX_MONITORING_SECRET": monitoring.secret,
            "AKS_SANDBOX_USER": user.user,
            "AKS_SANDBOX_PASSWORD": user.password,
            "AKS_SANDBOX_CLIENT_CERTIFICATE": str(self.state.path / "client.pem"),
            "AKS_SANDBOX_CLIENT_THUMBPRINT": thumbprint,
            "AKS_SANDBOX_FEDERATED_TOKEN_FILE": str(self.state.path / "federated-token"),
            "AKS_SANDBOX_IMDS": f"http://127.0.0.1:{plain_port}",
            "AKS_SANDBOX_IDENTITY_HEADER": azure.identity.identity_header,
            "AKS_SANDBOX_SYSTEM_IDENTITY_CLIENT_ID": system.client_id,
            "AKS_SANDBOX_USER_IDENTITY_CLIENT_ID": assigned.client_id,
        }
        return {name: value for name, value in values.items() if value is not None}

    # control

    async def _control(self) -> None:
        app = web.Application(middlewares=[_errors])
        app.add_routes(
            [
                web.get("/status", self._status),
                web.get("/settings", self._get_settings),
                web.patch("/settings", self._patch_settings),
                web.get("/faults", self._get_faults),
                web.post("/faults", self._post_faults),
                web.delete("/faults", self._delete_faults),
                web.post("/actions/{action}", self._act),
                web.get("/kubeconfig/{cluster}", self._kubeconfig),
                web.post("/stop", self._end),
            ]
        )
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.SockSite(runner, self.state.listen()).start()

    def _ready_azure(self) -> Azure:
        if self.azure is None:
            raise SandboxError("The sandbox is still starting.")
        return self.azure

    async def _status(self, request: web.Request) -> web.Response:
        answer: Json = {
            "name": self.state.name,
            "pid": os.getpid(),
            "seconds": round(time.monotonic() - self.begun, 1),
            "progress": self._said,
            "cpu_seconds": round(time.process_time(), 2),
        }
        if self.azure is not None:
            answer.update(url=self.azure.gateway.base_url, **self.azure.describe())
            answer["faults"] = len(self.azure.faults.list())
        defaults = Settings().as_json()
        changed = {name: value for name, value in self.settings.as_json().items() if value != defaults[name]}
        answer["settings"] = changed
        return web.json_response(answer)

    async def _get_settings(self, request: web.Request) -> web.Response:
        return web.json_response({"settings": self.settings.as_json(), "documentation": Settings.documentation()})

    async def _patch_settings(self, request: web.Request) -> web.Response:
        changed = self.settings.update(await request.json())
        if self.azure is not None:
            self.azure.recording.enabled = self.settings.record_traffic
        if self.plane is not None and changed:
            await self.plane.settings_changed(changed)
        return web.json_response({"changed": sorted(changed)})

    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._ready_azure().faults.list())

    async def _post_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._ready_azure().faults.add(await request.json()))

    async def _delete_faults(self, request: web.Request) -> web.Response:
        wanted = request.query.get("id")
        self._ready_azure().faults.clear(int(wanted) if wanted else None)
        return web.json_response({})

    async def _act(self, request: web.Request) -> web.Response:
        return web.json_response(await self._ready_azure().act(request.match_info["action"], await request.json()))

    async def _kubeconfig(self, request: web.Request) -> web.Response:
        azure = self._ready_azure()
        cluster = azure.cluster_named(request.match_info["cluster"])
        admin = request.query.get("admin") == "true"
        return web.json_response({"kubeconfig": await azure.plane.kubeconfig(cluster.key, admin=admin, direct=True)})

    async def _end(self, request: web.Request) -> web.Response:
        asyncio.get_running_loop().call_later(0.05, self.ended.set)
        return web.json_response({})

    async def _stop(self) -> None:
        log.info("stopping")
        if self.azure is not None:
            await self.azure.close()
        if self.plane is not None:
            await self.plane.close()
        for runner in self._runners:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(runner.cleanup(), 5)


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except (SandboxError, json.JSONDecodeError) as error:
        return web.json_response({"error": str(error)}, status=400)


def _quiet() -> None:
    """Let go of the pipe to the command line."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)


def _log_to(path: Path) -> None:
    logging.basicConfig(
        filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def main(arguments: list[str]) -> int:
    """Be a daemon. `arguments` as `cli` passes them."""
    parser = argparse.ArgumentParser(prog="aks_sandbox.daemon")
    parser.add_argument("--name", required=True)
    parser.add_argument("--clusters", type=int, default=1)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--location", default="westus2")
    parser.add_argument("--without-kubernetes", action="store_true")
    parser.add_argument("--azure-of-2023", action="store_true")
    parser.add_argument("--kubernetes-version")
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--lifeline", type=int)
    options = parser.parse_args(arguments)
    os.umask(0o077)
    state = StateDirectory(options.name)
    state.claim()
    _log_to(state.log)
    os.chdir(state.path)
    try:
        return asyncio.run(_main(options, state))
    finally:
        os.chdir("/")
        _end_children()
        state.release()


def _end_children() -> None:
    """End what this process has started and not ended, a build for example; it leads a process group of its own."""
    if os.getpgid(0) == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)


async def _main(options: argparse.Namespace, state: StateDirectory) -> int:
    daemon = Daemon(options, state)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, daemon.ended.set)
    if options.lifeline is not None:
        loop.add_reader(options.lifeline, daemon.ended.set)
    try:
        await daemon.run()
    except SandboxError as error:
        log.error("%s", error)
        daemon.say(f"failed: {error}")
        return 1
    except Exception:
        log.exception("the sandbox failed")
        daemon.say("failed; the end of its log:")
        for line in state.log.read_text().splitlines()[-30:]:
            with contextlib.suppress(OSError):
                print(line, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SandboxError as failure:
        print(f"failed: {failure}", flush=True)
        sys.exit(1)
