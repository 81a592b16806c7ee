"""Requests to Resource Manager without any SDK, for what SDKs hide."""

from __future__ import annotations

import time
from typing import Any

import requests

from .testing import SCOPE, Sandbox

Json = dict[str, Any]
GPU_POOL: Json = {"count": 1, "vmSize": "Standard_NC4as_T4_v3"}


class Arm:
    """A session of a principal, with the paths of one cluster.

    Args:
        who: default, owner or stranger.
    """

    def __init__(self, sandbox: Sandbox, who: str = "default") -> None:
        self.sandbox = sandbox
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(sandbox.state.ca)
        self.session.headers["Authorization"] = f"Bearer {sandbox.credential(who).get_token(SCOPE).token}"
        self.subscription = f"/subscriptions/{sandbox.subscription}"
        self.cluster = (
            f"{self.subscription}/resourceGroups/{sandbox.resource_group}/providers/Microsoft.ContainerService"
            f"/managedClusters/{sandbox.cluster}"
        )

    def ask(
        self, method: str, path: str, body: Any = None, version: str = "2026-08-01", **more: Any
    ) -> requests.Response:
        """One request; `path` under the server's root, or a whole URL."""
        url = path if path.startswith("https:") else self.sandbox.url + path
        query = {} if "api-version=" in url else {"api-version": version}
        return self.session.request(
            method, url, params={**query, **more.pop("params", {})}, json=body, timeout=30, **more
        )

    def pool(self, name: str) -> str:
        """Path of a pool."""
        return f"{self.cluster}/agentPools/{name}"

    def put_pool(self, name: str, properties: Json, **headers: str) -> requests.Response:
        """PUT a pool."""
        return self.ask("PUT", self.pool(name), {"properties": properties}, headers=headers)

    def properties(self, name: str) -> Json:
        """A pool's properties now."""
        return dict(self.ask("GET", self.pool(name)).json()["properties"])

    def wait(self, response: requests.Response, seconds: float = 20) -> Json:
        """The end of the operation that `response` started."""
        assert response.status_code in (200, 201, 202), response.text
        deadline = time.monotonic() + seconds
        while True:
            status = self.ask("GET", response.headers["azure-asyncoperation"]).json()
            if status["status"] in ("Succeeded", "Failed", "Canceled"):
                return dict(status)
            assert time.monotonic() < deadline, status
            time.sleep(0.05)

    def create(self, name: str, properties: Json | None = None, **headers: str) -> Json:
        """PUT a pool and wait; returns the operation's end."""
        return self.wait(self.put_pool(name, properties or GPU_POOL, **headers))

    def delete(self, name: str) -> None:
        """DELETE a pool and wait."""
        response = self.ask("DELETE", self.pool(name))
        if response.status_code != 204:
            assert self.wait(response)["status"] == "Succeeded"

    def delete_all(self) -> None:
        """DELETE every pool but the cluster's first one, and wait."""
        for pool in self.ask("GET", self.cluster + "/agentPools").json()["value"]:
            if pool["name"] != "nodepool1":
                self.delete(pool["name"])
