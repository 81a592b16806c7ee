# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A node as it will be: its labels and taints before there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._diagnostics._nodes import (
    ACCELERATOR_LABEL,
    MANAGED_LABEL,
    POOL_LABEL,
    SIZE_LABEL,
    SPOT_LABEL,
    labels_of,
)


def planned_node(pool: Mapping[str, Any], stack: str | None, live: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Returns what Kubernetes will say of a new GPU node, as far as it decides which Pods are put there.

    Its labels are those that AKS has put on a live node of the cluster, with what differs by pool. Of those that
    something in the cluster adds, node feature discovery's for NVIDIA's devices are foreseen where it runs.

    Args:
        pool: Its pool as ``aks.gpu.node_pool`` returns it, or a part of that.
        stack: The ``gpu_stack`` of the pool, or None.
        live: Nodes of the cluster.
    """
    nvidia = (pool.get("gpu_profile") or {}).get("nvidia") or {}
    tags = {str(key).lower(): str(text).lower() for key, text in (pool.get("tags") or {}).items()}
    managed = nvidia.get("management_mode") == "Managed" or tags.get("enablemanagedgpuexperience") == "true"
    spot = str(pool.get("scale_set_priority")) == "Spot"
    # Grace, the processor beside GB200 and GB300, is of Arm; all other GPU sizes are not.
    arch = "arm64" if re.search(r"_gb\d", str(pool.get("vm_size")).lower()) else "amd64"
    system = str(pool.get("os_type") or "Linux").lower()
    known = {
        **_labels_of_cluster(live),
        POOL_LABEL: pool.get("name"),
        "agentpool": pool.get("name"),
        SIZE_LABEL: pool.get("vm_size"),
        "beta.kubernetes.io/instance-type": pool.get("vm_size"),
        SPOT_LABEL: "spot" if spot else None,
        MANAGED_LABEL: "enabled" if stack == "managed" or managed else None,
        "kubernetes.azure.com/mode": str(pool.get("mode") or "User").lower(),
        "kubernetes.io/os": system,
        "beta.kubernetes.io/os": system,
        "kubernetes.io/arch": arch,
        "beta.kubernetes.io/arch": arch,
        "accelerator": "nvidia",
        ACCELERATOR_LABEL: "nvidia",
        **(pool.get("node_labels") or {}),
    }
    taints = [*(pool.get("node_taints") or ()), *([f"{SPOT_LABEL}=spot:NoSchedule"] if spot else [])]
    return {
        "metadata": {"name": "", "labels": {key: str(value) for key, value in known.items() if value is not None}},
        "spec": {"taints": [_taint_of(str(text)) for text in taints]},
    }


_LABELS_OF_POOL = re.compile(
    r"kubernetes\.azure\.com/(?:agentpool|mode|accelerator|scalesetpriority|dcgm-exporter|node-image-version|os-sku.*|"
    r"storageprofile|storagetier|sku-.*|security-type|kata.*|fips.*|upgrade-status|.*gpu.*)"
)


_LABELS_OF_CLUSTER = re.compile(
    r"kubernetes\.azure\.com/.*|kubernetes\.io/role|node-role\.kubernetes\.io/.*|"
    r"(?:topology\.kubernetes\.io|failure-domain\.beta\.kubernetes\.io)/region"
)


_DISCOVERY = "feature.node.kubernetes.io/"


_DISCOVERED = ("pci-10de.present", "pci-0300_10de.present", "pci-0302_10de.present")


def _labels_of_cluster(live: Sequence[dict[str, Any]]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for node in live:
        for key, value in labels_of(node).items():
            if _LABELS_OF_CLUSTER.fullmatch(key) and not _LABELS_OF_POOL.fullmatch(key):
                labels.setdefault(key, value)
            if key.startswith(_DISCOVERY):
                labels |= {f"{_DISCOVERY}{name}": "true" for name in _DISCOVERED}
            if key == "nvidia.com/gpu.present":
                labels[key] = value
    return labels


def _taint_of(text: str) -> dict[str, str]:
    front, _colon, effect = text.rpartition(":")
    key, _equals, value = front.partition("=")
    return {"key": key, "value": value, "effect": effect}
