"""A small cluster autoscaler: adds nodes for Pods that cannot be scheduled, removes nodes that run nothing.

It does what AKS's does in the cases that matter here: pools with `enableAutoScaling`, from `minCount` to `maxCount`;
a Pod must fit an empty node of the pool (selector, affinity, taints, resources). It understands `nvidia.com/gpu` only,
by the VM size: other names, such as `nvidia.com/gpu.shared`, never trigger it.
"""

from __future__ import annotations

from collections.abc import Iterable

from aks_sandbox.gpus import GPU, extended_resources
from aks_sandbox.interfaces import Json
from aks_sandbox.nodes import ClusterFacts, base_resources, node_labels, node_taints
from aks_sandbox.sizes import node_size


def wants_nodes(pod: Json) -> bool:
    """Is the Pod waiting because no node takes it?"""
    if pod["spec"].get("nodeName") or "deletionTimestamp" in pod["metadata"]:
        return False
    return any(
        condition["type"] == "PodScheduled"
        and condition["status"] == "False"
        and condition.get("reason") == "Unschedulable"
        for condition in pod.get("status", {}).get("conditions", ())
    )


def fits_pool(pod: Json, pool: Json, facts: ClusterFacts) -> bool:
    """Would an empty node of the pool take the Pod?"""
    labels = node_labels(facts, pool, "", 0)
    spec = pod["spec"]
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if affinity and not any(_matches_term(term, labels) for term in affinity.get("nodeSelectorTerms", ())):
        return False
    tolerations = spec.get("tolerations") or []
    if not all(
        any(_tolerates(toleration, taint) for toleration in tolerations)
        for taint in node_taints(pool)
        if taint["effect"] != "PreferNoSchedule"
    ):
        return False
    room = node_room(pool)
    return all(room.get(name, 0.0) >= amount for name, amount in pod_requests(pod).items())


def nodes_needed(pods: Iterable[Json], pool: Json) -> int:
    """Nodes that the Pods fill, packed first fit."""
    room = node_room(pool)
    nodes: list[dict[str, float]] = []
    for pod in pods:
        wanted = pod_requests(pod)
        for left in nodes:
            if all(left.get(name, 0.0) >= amount for name, amount in wanted.items()):
                break
        else:
            left = dict(room)
            nodes.append(left)
        for name, amount in wanted.items():
            left[name] = left.get(name, 0.0) - amount
    return len(nodes)


def node_room(pool: Json) -> dict[str, float]:
    """What an empty node of the pool offers: cores, bytes, GPUs."""
    size = node_size(pool["properties"]["vmSize"])
    _unused, allocatable = base_resources(size, pool)
    room = {"cpu": quantity(allocatable["cpu"]), "memory": quantity(allocatable["memory"])}
    if size.nvidia:
        room[GPU] = float(size.gpu_devices)
    return room


def pod_requests(pod: Json) -> dict[str, float]:
    """Cores, bytes and devices that a Pod asks for."""
    containers = pod["spec"]["containers"]
    wanted: dict[str, float] = {}
    for container in containers:
        resources = container.get("resources") or {}
        asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        for name in ("cpu", "memory"):
            if name in asked:
                wanted[name] = wanted.get(name, 0.0) + quantity(asked[name])
    wanted.update({name: float(count) for name, count in extended_resources(containers).items()})
    return wanted


_SUFFIXES = {
    "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def quantity(text: str | int | float) -> float:
    """A Kubernetes quantity as a number."""
    value = str(text)
    for length in (2, 1):
        if value[-length:] in _SUFFIXES:
            return float(value[:-length]) * _SUFFIXES[value[-length:]]
    return float(value)


def _matches_term(term: Json, labels: dict[str, str]) -> bool:
    for rule in term.get("matchExpressions", ()):
        value, values = labels.get(rule["key"]), rule.get("values", ())
        matches = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }.get(rule["operator"], False)
        if not matches:
            return False
    return True


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if not toleration.get("key"):
        return toleration.get("operator") == "Exists"
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or (toleration.get("value") or "") == (taint.get("value") or "")
