"""A node plane without Kubernetes: it only counts. For large numbers of clusters."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

from .interfaces import CountsChanged, Machine
from .nodes import base36

Json = dict[str, Any]

_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster: {{server: "https://localhost:1"}}
users:
- name: {user}
  user: {{client-certificate-data: "{certificate}", client-key-data: "{key}", token: "{token}"}}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {user}}}
current-context: {name}
"""


class NullNodePlane:
    """Instance ids of nodes by cluster and pool; no control plane, so a kubeconfig leads nowhere."""

    def __init__(self) -> None:
        self._instances: dict[str, dict[str, list[int]]] = {}
        self._next: dict[tuple[str, str], int] = {}
        self._zones: dict[tuple[str, str], list[str]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._token = secrets.token_hex(16)
        self._key = base64.b64encode(secrets.token_bytes(48)).decode()
        self._certificate = base64.b64encode(b"no certificate: there is no Kubernetes").decode()

    async def create_cluster(self, cluster: Json) -> None:
        """Start to count."""
        cluster_id = cluster["id"]
        self._instances[cluster_id.lower()] = {}
        self._names[cluster_id.lower()] = (cluster["name"], cluster_id.split("/")[4])

    async def delete_cluster(self, cluster_id: str) -> None:
        """Forget the cluster."""
        self._instances.pop(cluster_id, None)

    async def apply_pool(self, cluster_id: str, pool: Json, count: int) -> None:
        """The pool has `count` nodes at once; new ones have new instance ids."""
        name = pool["name"]
        kept = self._instances[cluster_id].get(name, [])
        first = self._next.get((cluster_id, name), 0)
        fresh = range(first, first + max(0, count - len(kept)))
        self._next[(cluster_id, name)] = fresh.stop
        self._instances[cluster_id][name] = [*kept, *fresh][:count]
        self._zones[(cluster_id, name)] = pool["properties"].get("availabilityZones") or []

    async def drain_pool(
        self, cluster_id: str, pool_name: str, ignore_pod_disruption_budget: bool, timeout: float
    ) -> list[str]:
        """Nothing runs, so nothing blocks."""
        return []

    async def remove_pool(self, cluster_id: str, pool_name: str) -> None:
        """Forget the pool."""
        self._instances[cluster_id].pop(pool_name, None)
        self._next.pop((cluster_id, pool_name), None)

    async def kubeconfig(self, cluster_id: str, *, admin: bool, direct: bool = False) -> str:
        """A kubeconfig of the right form for a server that is not there."""
        name, group = self._names[cluster_id]
        user = f"cluster{'Admin' if admin else 'User'}_{group}_{name}"
        name = f"{name}-admin" if admin else name
        return _KUBECONFIG.format(name=name, user=user, certificate=self._certificate, key=self._key, token=self._token)

    async def run_command(self, cluster_id: str, command: str, files: bytes, token: str | None) -> tuple[int, bytes]:
        """There is nothing to run it on."""
        return 1, b"There is no Kubernetes in this sandbox.\n"

    async def node_counts(self, cluster_id: str) -> dict[str, int]:
        """Counts by pool."""
        return {name: len(instances) for name, instances in self._instances[cluster_id].items()}

    async def machines(self, cluster_id: str, pool_name: str) -> list[Machine]:
        """A machine for each node."""
        number = int(hashlib.sha256(cluster_id.encode()).hexdigest(), 16) % 10**8
        zones = self._zones.get((cluster_id, pool_name), [])
        return [
            Machine(
                f"aks-{pool_name}-{number:08d}-vmss{base36(instance, 6)}",
                instance,
                f"10.224.0.{4 + instance}",
                zones[instance % len(zones)] if zones else None,
            )
            for instance in self._instances[cluster_id].get(pool_name, [])
        ]

    async def remove_machines(self, cluster_id: str, pool_name: str, names: list[str]) -> None:
        """Forget them."""
        gone = {each.instance for each in await self.machines(cluster_id, pool_name) if each.name in names}
        kept = self._instances[cluster_id].get(pool_name, [])
        self._instances[cluster_id][pool_name] = [instance for instance in kept if instance not in gone]

    async def component(self, cluster_id: str, name: str, what: str, seconds: float = 0.0) -> None:
        """There is none."""

    async def settings_changed(self, names: set[str]) -> None:
        """Nothing depends on settings."""

    def on_count_changed(self, callback: CountsChanged) -> None:
        """Nothing changes by itself."""

    async def close(self) -> None:
        """Nothing runs."""
