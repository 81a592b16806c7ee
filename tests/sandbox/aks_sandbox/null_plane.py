"""A node plane without Kubernetes: it only counts. For large numbers of clusters."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from .interfaces import CountsChanged

Json = dict[str, Any]

_KUBECONFIG = """\
apiVersion: v1
kind: Config
clusters:
- name: {name}
  cluster: {{server: "https://localhost:1"}}
users:
- name: {user}
  user: {{client-key-data: "{key}", token: "{token}"}}
contexts:
- name: {name}
  context: {{cluster: {name}, user: {user}}}
current-context: {name}
"""


class NullNodePlane:
    """Counts of nodes by cluster and pool; no control plane, so a kubeconfig leads nowhere."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._token = secrets.token_hex(16)
        self._key = base64.b64encode(secrets.token_bytes(48)).decode()

    async def create_cluster(self, cluster: Json) -> None:
        """Start to count."""
        cluster_id = cluster["id"]
        self._counts[cluster_id.lower()] = {}
        self._names[cluster_id.lower()] = (cluster["name"], cluster_id.split("/")[4])

    async def delete_cluster(self, cluster_id: str) -> None:
        """Forget the cluster."""
        self._counts.pop(cluster_id, None)

    async def apply_pool(self, cluster_id: str, pool: Json, count: int) -> None:
        """The pool has `count` nodes at once."""
        self._counts[cluster_id][pool["name"]] = count

    async def drain_pool(
        self, cluster_id: str, pool_name: str, ignore_pod_disruption_budget: bool, timeout: float
    ) -> list[str]:
        """Nothing runs, so nothing blocks."""
        return []

    async def remove_pool(self, cluster_id: str, pool_name: str) -> None:
        """Forget the pool."""
        self._counts[cluster_id].pop(pool_name, None)

    async def kubeconfig(self, cluster_id: str, *, admin: bool, direct: bool = False) -> str:
        """A kubeconfig of the right form for a server that is not there."""
        name, group = self._names[cluster_id]
        user = f"cluster{'Admin' if admin else 'User'}_{group}_{name}"
        name = f"{name}-admin" if admin else name
        return _KUBECONFIG.format(name=name, user=user, key=self._key, token=self._token)

    async def run_command(self, cluster_id: str, command: str, files: bytes, token: str | None) -> tuple[int, bytes]:
        """There is nothing to run it on."""
        return 1, b"There is no Kubernetes in this sandbox.\n"

    async def node_counts(self, cluster_id: str) -> dict[str, int]:
        """Counts by pool."""
        return dict(self._counts[cluster_id])

    async def component(self, cluster_id: str, name: str, what: str, seconds: float = 0.0) -> None:
        """There is none."""

    async def settings_changed(self, names: set[str]) -> None:
        """Nothing depends on settings."""

    def on_count_changed(self, callback: CountsChanged) -> None:
        """Nothing changes by itself."""

    async def close(self) -> None:
        """Nothing runs."""
