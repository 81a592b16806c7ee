# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would put a second device plugin on the nodes of a pool, and which nodes depend on the one that is there.

Everything here reads what ``wait_for_gpus`` returned, and asks no cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OPERANDS_LABEL = "nvidia.com/gpu.deploy.operands"
"""A node with the value ``false`` gets nothing from NVIDIA's GPU Operator."""

COLLECTIONS = {
    "daemon_sets": "DaemonSets in all namespaces",
    "pods": "Pods in all namespaces",
    "cluster_policies": "ClusterPolicies (nvidia.com)",
    "gpu_clusters": "GPUClusters (nvidia.com)",
    "resource_slices": "ResourceSlices (resource.k8s.io)",
}
"""By their names in ``not_looked_at``, the collections that tell what hands out GPUs."""

DUPLICATE = "Two device plugins on one node would hand out each GPU twice."

GpuNodes = Mapping[str, Any]
"""What ``wait_for_gpus`` returned."""


@dataclass(frozen=True)
class PluginOptions:
    """The device plugin that a user asks for, and the pool that it is for.

    Attributes:
        gpu_stack: ``device_plugin``, ``gpu_image``, ``managed`` or ``operator``.
        manifest: ``current`` or ``article``.
        daemon_set: The DaemonSet, ``namespace/name``.
        node_pool: The pool that is planned.
        pool_filter: The only pool that the DaemonSet runs on; empty for all GPU nodes.
        operator_namespace: The namespace of NVIDIA's GPU Operator.
        node_labels: The labels of the planned pool.
        sharing: ``time_slicing``, ``mps``, or empty.
        sharing_replicas: The shares of a GPU.
        sharing_rename: Whether shares have a resource name of their own.
        mig_strategy: ``none``, ``single`` or ``mixed``.
        autoscaling: Whether the pool has the cluster autoscaler.
    """

    gpu_stack: str
    manifest: str
    daemon_set: str
    node_pool: str
    pool_filter: str = ""
    operator_namespace: str = "gpu-operator"
    node_labels: Mapping[str, Any] | None = None
    sharing: str = ""
    sharing_replicas: int = 0
    sharing_rename: bool = False
    mig_strategy: str = "none"
    autoscaling: bool = True

    @property
    def is_limited(self) -> bool:
        """Whether the DaemonSet runs on one pool only. The article's manifest knows no pools."""
        return self.manifest == "current" and bool(self.pool_filter)

    @property
    def is_kept_off(self) -> bool:
        """Whether the labels of the planned pool keep NVIDIA's GPU Operator off its nodes."""
        return str((self.node_labels or {}).get(OPERANDS_LABEL, "")).lower() == "false"


def plugin_problems(seen: GpuNodes, options: PluginOptions) -> list[str]:
    """Returns a sentence for each reason why the device plugin can't be had as asked for.

    Args:
        seen: The GPU nodes.
        options: What is asked for.
    """
    conflicts = list(_conflicts(seen, options))
    own = list(plugin_option_problems(options)) if options.gpu_stack == "device_plugin" else []
    return [*conflicts, *([DUPLICATE] if conflicts else []), *own]


def _conflicts(seen: GpuNodes, options: PluginOptions) -> Iterator[str]:
    if served := _served_nodes(seen["nodes"], options):
        yield (
            f"{', '.join(served)} already bring a device plugin, as nodes of the AKS GPU image and managed ones do, so "
            "the device plugin's DaemonSet must not run there. Take gpu_stack: gpu_image or managed, as the node pool "
            "has it, or make a pool of another name; a pool can't go from one to the other in place."
        )
    if others := _other_daemon_sets(seen, options):
        it = "it" if len(others) == 1 else "them"
        yield (
            f"The DaemonSet{'s' * (len(others) > 1)} {', '.join(others)} would make a Pod for each node of the pool, "
            f"and with gpu_stack: {options.gpu_stack} another device plugin runs there. Remove {it} first, or keep "
            f"{it} off these nodes by labels or taints; what aks.gpu.device_plugin has made goes with "
            "device_plugin_state: absent. One that hands out no GPUs of NVIDIA is passed over with "
            "device_plugin_ignored_daemon_sets."
        )
    if operators := _operators(seen, options):
        yield (
            f"NVIDIA's GPU Operator is in the cluster ({', '.join(operators)}) and hands out the GPUs of every GPU "
            "node. Take gpu_stack: operator, which needs a new pool, for Azure's driver must not be on it; or keep the "
            f'operator off this pool by node_pool_node_labels: {{{OPERANDS_LABEL}: "false"}}; or remove the operator '
            "first."
        )
    if by_dra := [node["name"] for node in _of_pool(seen["nodes"], options.node_pool) if node["gpus_from"] == "dra"]:
        yield (
            f"NVIDIA's DRA driver hands out the GPUs of {', '.join(by_dra)} (ResourceSlices of gpu.nvidia.com). Keep "
            "it off the nodes of the pool, or take another pool."
        )


def _of_pool(nodes: Iterable[Mapping[str, Any]], pool: str) -> list[Mapping[str, Any]]:
    return [node for node in nodes if node["node_pool"] == pool]


def _served_nodes(nodes: Iterable[Mapping[str, Any]], options: PluginOptions) -> list[str]:
    """Today's manifest keeps away from managed GPUs by itself, the article's does not."""
    if options.gpu_stack != "device_plugin":
        return []
    candidates = _of_pool(nodes, options.pool_filter) if options.is_limited else nodes
    sources = ("node", "managed") if options.manifest == "article" or options.is_limited else ("node",)
    return [node["name"] for node in candidates if node["gpus_from"] in sources]


def _other_daemon_sets(seen: GpuNodes, options: PluginOptions) -> list[str]:
    """A node that is there says more than what is foreseen of one that is to come."""
    on_nodes = [name for node in _of_pool(seen["nodes"], options.node_pool) for name in node["daemon_sets"]]
    own = options.daemon_set if options.gpu_stack == "device_plugin" else None
    of_operator = f"{options.operator_namespace}/" if options.gpu_stack == "operator" else None
    return [
        name
        for name in dict.fromkeys([*seen["pool_device_plugins"], *on_nodes])
        if name != own and not (of_operator and name.startswith(of_operator))
    ]


def _operators(seen: GpuNodes, options: PluginOptions) -> list[str]:
    if options.gpu_stack == "operator" or options.is_kept_off:
        return []
    clusters = seen.get("gpu_clusters") or []
    return [
        *(f"ClusterPolicy {name}" for name in seen["cluster_policies"]),
        *(f"GPUCluster {name}" for name in clusters),
    ]


def plugin_option_problems(options: PluginOptions) -> Iterator[str]:
    """Yields a sentence for each option that excludes another one.

    Args:
        options: What is asked for.
    """
    if options.sharing and options.sharing_replicas < 2:
        yield (
            f"device_plugin_sharing: {options.sharing} needs device_plugin_sharing_replicas, the shares of a GPU, of 2 "
            "or more."
        )
    if options.manifest == "article" and (options.sharing or options.mig_strategy != "none"):
        yield "The article's manifest knows neither MIG nor sharing: take device_plugin_manifest: current."
    if options.sharing == "mps" and options.mig_strategy != "none":
        yield (
            f"device_plugin_sharing: mps does not go with MIG (device_plugin_mig_strategy: {options.mig_strategy}); "
            "time_slicing does."
        )


def plugin_warnings(seen: GpuNodes, options: PluginOptions) -> list[str]:
    """Returns what may turn out wrong, a sentence or two each.

    Args:
        seen: The GPU nodes.
        options: What is asked for.
    """
    return [*_possible_conflicts(seen, options), *_not_listed(seen), *_autoscaler_warning(options)]


def _possible_conflicts(seen: GpuNodes, options: PluginOptions) -> Iterator[str]:
    known = {options.daemon_set, *_other_daemon_sets(seen, options)}
    if possible := [name for name in dict.fromkeys(seen.get("possible_device_plugins") or []) if name not in known]:
        yield (
            f"{', '.join(possible)} may put another device plugin on the nodes of the pool: their labels, or the "
            "devices they register, can't be foreseen. If they hand out NVIDIA's GPUs there, keep them off these "
            "nodes; if they don't, name them in device_plugin_ignored_daemon_sets."
        )


def _not_listed(seen: GpuNodes) -> Iterator[str]:
    missing = set(seen.get("not_looked_at") or [])
    if words := [words for name, words in COLLECTIONS.items() if name in missing]:
        yield (
            "Whether anything else hands out GPUs in the cluster is not known, for this identity may not list "
            f"{', '.join(words)}. docs/azure.md has the rights that aks.gpu requires."
        )


def _autoscaler_warning(options: PluginOptions) -> Iterator[str]:
    """The autoscaler foresees only ``nvidia.com/gpu`` of nodes that are yet to come."""
    other_name = options.mig_strategy == "mixed" or (options.sharing and options.sharing_rename)
    if options.gpu_stack == "device_plugin" and options.autoscaling and other_name:
        yield (
            "The cluster autoscaler understands nvidia.com/gpu only, and the nodes will offer another name "
            f"(device_plugin_mig_strategy: {options.mig_strategy}, device_plugin_sharing_rename: "
            f"{options.sharing_rename}). Pods that ask for it start no new node: keep node_pool_min_count nodes for "
            "them."
        )


def dependent_nodes(seen: GpuNodes, daemon_set: str, deleted_pool: str = "") -> list[str]:
    """Returns the GPU nodes that lose their GPUs with a DaemonSet.

    Where DaemonSets may not be listed, every node that has GPUs may have them from this one.

    Args:
        seen: The GPU nodes; without ``nodes`` where they were not looked at.
        daemon_set: The DaemonSet, ``namespace/name``.
        deleted_pool: The pool that has gone, or in check mode will have; empty for none.
    """
    unknown = "daemon_sets" in (seen.get("not_looked_at") or [])
    return [
        node["name"]
        for node in seen.get("nodes") or []
        if node["node_pool"] != deleted_pool
        and (node.get("capacity", 0) > 0 if unknown else daemon_set in node["daemon_sets"])
    ]


def operator_problems(seen: GpuNodes, namespace: str) -> list[str]:
    """Returns a sentence when nodes already have a device plugin and NVIDIA's GPU Operator would add a second one.

    Args:
        seen: The GPU nodes.
        namespace: The namespace of the operator.
    """
    conflicting = [
        node["name"]
        for node in seen["nodes"]
        if (node.get("labels") or {}).get(OPERANDS_LABEL) != "false"
        and (node["gpus_from"] in ("managed", "node") or (node["daemon_sets"] and not _is_served(node, namespace)))
    ]
    if not conflicting:
        return []
    return [
        f"{', '.join(conflicting)} already have a device plugin, and NVIDIA's GPU Operator puts one on every GPU node: "
        "two device plugins on one node would hand out each GPU twice. Keep it off the other pools by "
        f'node_pool_node_labels: {{{OPERANDS_LABEL}: "false"}}, or remove them first; a pool can\'t go from one GPU '
        "stack to another in place."
    ]


def operator_dependent_nodes(seen: GpuNodes, namespace: str, deleted_pool: str = "") -> list[str]:
    """Returns the nodes whose GPUs a DaemonSet of the operator hands out.

    Args:
        seen: The GPU nodes.
        namespace: The namespace of the operator.
        deleted_pool: The pool that has gone, or in check mode will have; empty for none.
    """
    return [node["name"] for node in seen["nodes"] if _is_served(node, namespace) and node["node_pool"] != deleted_pool]


def _is_served(node: Mapping[str, Any], namespace: str) -> bool:
    return any(name.startswith(f"{namespace}/") for name in node["daemon_sets"])
