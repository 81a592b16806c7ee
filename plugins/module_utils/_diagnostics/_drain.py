# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Emptying the nodes of a pool: cordoned, then drained as the disruption budgets allow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import DeadlineExceeded
from ansible_collections.aks.gpu.plugins.module_utils._ansible._progress import Deadline, duration_text
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import POOL_LABEL, name_of
from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._pods import is_over
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._client import Client
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._errors import KubernetesError
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._paths import NODE, POD
from ansible_collections.aks.gpu.plugins.module_utils._kubernetes._resources import Resources

EVICTION_FIRST_INTERVAL = 0.5
EVICTION_LONGEST_INTERVAL = 10.0
_MIRROR = "kubernetes.io/config.mirror"


def pool_nodes(client: Client, node_pool: str) -> list[dict[str, Any]]:
    """Returns the nodes of a pool. Raises ``KubernetesError``."""
    return Resources(client).items(NODE, label_selector=f"{POOL_LABEL}={node_pool}")


def cordon(client: Client, node_pool: str) -> list[str]:
    """Keeps new Pods off the nodes of a pool, and returns their names. Raises ``KubernetesError``."""
    names = []
    for node in pool_nodes(client, node_pool):
        names.append(name_of(node))
        if not (node.get("spec") or {}).get("unschedulable"):
            client.request(
                "PATCH",
                NODE.path(name=name_of(node)),
                body={"spec": {"unschedulable": True}},
                content_type="application/merge-patch+json",
            )
    return names


def is_evictable(pod: dict[str, Any]) -> bool:
    """True for a Pod that a drain has to move: not one of a DaemonSet, of the kubelet itself, or at its end."""
    metadata = pod.get("metadata") or {}
    owners = metadata.get("ownerReferences") or []
    return not (
        is_over(pod)
        or _MIRROR in (metadata.get("annotations") or {})
        or any(owner.get("kind") == "DaemonSet" and owner.get("controller") for owner in owners)
    )


def drain(
    client: Client,
    node_pool: str,
    deadline: Deadline,
    progress: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Evicts the Pods from the nodes of a pool, and waits until they are gone. A disruption budget is never broken.

    Args:
        client: The cluster.
        node_pool: The pool; its nodes are cordoned.
        deadline: The end of the wait.
        progress: Told how far it is.
        sleep: Waits a number of seconds.

    Raises:
        DeadlineExceeded: Pods are left; the message names them with the reason.
        KubernetesError: The API server refused.
    """
    interval = EVICTION_FIRST_INTERVAL
    while True:
        left = [
            pod
            for node in pool_nodes(client, node_pool)
            for pod in Resources(client).items(POD, field_selector=f"spec.nodeName={name_of(node)}")
            if is_evictable(pod)
        ]
        if not left:
            return
        reasons = [f"{_name(pod)}: {_evict(client, pod)}" for pod in left]
        progress(f"{node_pool}: draining, {len(left)} Pods left; {reasons[0]}")
        if deadline.expired:
            raise DeadlineExceeded(
                f"Node pool {node_pool} could not be drained within {duration_text(deadline.seconds)}. "
                f"Left: {'; '.join(reasons)}.",
                hint="Its nodes are cordoned and nothing was deleted. Give the Pods another place, change their "
                "disruption budgets, or set O(ignore_pod_disruption_budget=true); then run again.",
                pods=[_name(pod) for pod in left],
            )
        sleep(min(interval, deadline.remaining()))
        interval = min(EVICTION_LONGEST_INTERVAL, interval * 1.5)


def _name(pod: dict[str, Any]) -> str:
    return f"{pod['metadata'].get('namespace')}/{pod['metadata']['name']}"


def _evict(client: Client, pod: dict[str, Any]) -> str:
    """Asks for the eviction of a Pod; returns how that stands.

    Raises:
        KubernetesError: It is refused for another reason than a disruption budget.
    """
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        return "is ending"
    path = POD.path(metadata["namespace"], metadata["name"], "eviction")
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
        # Another Pod may have taken the name since the list was read.
        "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
    }
    try:
        client.request("POST", path, body=body, retry_seconds=0)
    except KubernetesError as error:
        if error.status == 429:
            return " ".join(cause.get("message", "") for cause in error.causes) or "its disruption budget forbids it"
        if error.status in (404, 409):
            return "is gone"
        if any(cause.get("reason") == "NamespaceTerminating" for cause in error.causes):
            # It goes with its namespace, which takes no new object, not even an eviction; kubectl waits as well.
            return "its namespace is being deleted"
        raise
    return "is ending"
