# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox of an emulated Azure without Kubernetes, and a plain HTTP client that looks into it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from aks_sandbox import cli
from aks_sandbox.state import StateDirectory

Json = dict[str, Any]

API_VERSION = "2026-08-01"
RESOURCE_GROUP = "myResourceGroup"
CLUSTER = "myAKSCluster"


class Emulated:
    """One running sandbox."""

    def __init__(self, state: StateDirectory) -> None:
        self.state = state
        self.environment = state.environment()
        self.url = self.environment["AZURE_CLOUD_ENVIRONMENT"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = self.environment["REQUESTS_CA_BUNDLE"]
        self._session.headers["User-Agent"] = "tests-reading-back"

    # what happens in it

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self.state.request("PATCH", "/settings", settings)

    def setting(self, name: str) -> Any:
        """The value of a setting."""
        return self.state.request("GET", "/settings")["settings"][name]

    def fault(self, rule: Json) -> None:
        """Plant a fault."""
        self.state.request("POST", "/faults", rule)

    def faults(self) -> list[Json]:
        """All faults, with how often each hit."""
        rules: list[Json] = self.state.request("GET", "/faults")
        return rules

    def clear_faults(self) -> None:
        """Remove all faults."""
        self.state.request("DELETE", "/faults")

    def act(self, action: str, **values: Any) -> None:
        """Let something happen in Azure without a request."""
        self.state.request("POST", f"/actions/{action}", values)

    def mark(self) -> int:
        """The end of the record of requests, for `sent`."""
        return self.state.traffic.stat().st_size

    def sent(self, mark: int = 0) -> list[Json]:
        """Requests since a mark, but for those of this client."""
        with self.state.traffic.open("rb") as file:
            file.seek(mark)
            entries = [json.loads(line) for line in file.read().splitlines()]
        return [each for each in entries if each["request_headers"].get("user-agent") != "tests-reading-back"]

    # looking into it

    def clusters(self) -> list[str]:
        """The names of the clusters."""
        return [str(each["name"]) for each in self.state.request("GET", "/status")["clusters"]]

    def pool_path(self, pool: str, cluster: str = CLUSTER) -> str:
        """The path of a node pool."""
        return f"{self.cluster_path(cluster)}/agentPools/{pool}"

    def cluster_path(self, cluster: str = CLUSTER) -> str:
        """The path of a cluster."""
        return (
            f"/subscriptions/{self.environment['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{RESOURCE_GROUP}"
            f"/providers/Microsoft.ContainerService/managedClusters/{cluster}"
        )

    def ask(self, method: str, path: str, body: Any = None, api_version: str = API_VERSION) -> requests.Response:
        """One request, signed in as the tests' principal."""
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self.token()}"
        return self._session.request(
            method, self.url + path, params={"api-version": api_version}, json=body, timeout=60
        )

    def token(self) -> str:
        """A new access token of the tests' principal."""
        environment = self.environment
        answer = self._session.post(
            f"{self.url}/{environment['AZURE_TENANT']}/oauth2/v2.0/token",
            {
                "grant_type": "client_credentials",
                "client_id": environment["AKS_SANDBOX_OWNER_CLIENT_ID"],
                "client_secret": environment["AKS_SANDBOX_OWNER_SECRET"],
                "scope": f"{self._audience()}/.default",
            },
            timeout=60,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def _audience(self) -> str:
        answer = self._session.get(f"{self.url}/metadata/endpoints", params={"api-version": "2022-09-01"}, timeout=60)
        return str(answer.json()["authentication"]["audiences"][0]).rstrip("/")

    def pool(self, name: str, cluster: str = CLUSTER) -> Json | None:
        """A node pool's properties; None: there is none."""
        answer = self.ask("GET", self.pool_path(name, cluster))
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        properties: Json = answer.json()["properties"]
        return properties

    def pools(self, cluster: str = CLUSTER) -> dict[str, Json]:
        """All node pools' properties, by name."""
        answer = self.ask("GET", f"{self.cluster_path(cluster)}/agentPools")
        answer.raise_for_status()
        return {each["name"]: each["properties"] for each in answer.json()["value"]}

    def make_pool(self, name: str, properties: Json, cluster: str = CLUSTER) -> None:
        """Start to make a node pool as somebody else would; `settled` waits for the end of that."""
        answer = self.ask("PUT", self.pool_path(name, cluster), {"properties": properties})
        assert answer.ok, f"PUT {name}: {answer.status_code} {answer.text}"

    def settled(self, name: str, cluster: str = CLUSTER, seconds: float = 20.0) -> Json:
        """A pool's properties once nothing is under way."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.pool(name, cluster)
            assert found is not None, f"there is no pool {name}"
            if found["provisioningState"] in ("Succeeded", "Failed", "Canceled"):
                return found
            time.sleep(0.05)
        raise AssertionError(f"the pool {name} is still {found} after {seconds} s")

    def remove_pools(self, cluster: str = CLUSTER) -> None:
        """Take away every pool of a user's, whatever is under way."""
        for name, properties in self.pools(cluster).items():
            if properties["mode"] == "User":
                self.ask("POST", f"{self.pool_path(name, cluster)}/abort")
                self.act("remove_pool", cluster=cluster, pool=name)


@contextlib.contextmanager
def emulated(*options: str, name: str | None = None) -> Iterator[Emulated]:
    """A sandbox without Kubernetes that ends with this process at the latest.

    Args:
        options: More options of the sandbox's daemon.
        name: The sandbox's name; by default one of this process.
    """
    read, write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="aks-gpu-sandbox-") as home:
        state = StateDirectory(name or f"emulated-{os.getpid()}", Path(home))
        daemon = cli.start(state, ["--without-kubernetes", *options], progress=None, lifeline=read)
        try:
            yield Emulated(state)
        finally:
            os.close(write)
            os.close(read)
            cli.stop(state)
            daemon.wait()


def is_pool_write(entry: Json, path: str) -> bool:
    """Is the recorded request a PUT or DELETE of the pool at `path`?"""
    return entry["method"] in ("PUT", "DELETE") and urlsplit(entry["url"]).path.lower() == path.lower()
