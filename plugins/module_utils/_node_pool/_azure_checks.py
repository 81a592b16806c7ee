# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Azure has to say before a node pool is created: sizes, quota, subnets, permissions."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import (
    AMD,
    MINIMUM_SIZE,
    SizeFacts,
    vm_size_facts,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    ANY_ZONES,
    AUTOSCALER,
    COUNT,
    MAX_COUNT,
    Values,
    properties_of,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._options import (
    MAX_PODS,
    MIG,
    OS_SKU,
    POD_SUBNET,
    VM_SIZE,
    ZONES,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._os_skus import OS_SKUS, WINDOWS
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._stacks import (
    DRIVER,
    OS_TYPE,
    STACKS,
    stack_of,
)

JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"


FLAT_CNI_MAX_PODS = 30


def size_problems(values: Values, live: LiveSize | None) -> list[str]:
    """Finds what is wrong with the size of a pool that is to be created.

    Args:
        values: The options that are set, with those of the stack.
        live: What the region says of the size, or None when it can't be asked.
    """
    name = values.get(VM_SIZE)
    if name is None:
        return []
    known = vm_size_facts(name)
    problems = []
    gpus = live.gpus if live is not None and live.offered else known.gpus
    if live is None and known.retired:
        problems.append(_retired_text(known))
    if gpus == 0:
        problems.append(f"vm_size: {name} has no GPU. {MINIMUM_SIZE} is the smallest size with one.")
    elif known.vendor == AMD and values.get(DRIVER) != "None":
        problems.append(
            f"vm_size: {name} has an AMD GPU, and every stack but gpu_stack: operator (gpu_profile.driver: None) is "
            f"NVIDIA's. Take an NVIDIA size such as {MINIMUM_SIZE}."
        )
    if MIG in values and known.mig is False and gpus != 0:
        problems.append(
            f"gpu_instance_profile: {values[MIG]} needs a GPU that can be split (A100, H100, H200); "
            f"{name} has {known.model or 'none'}."
        )
    return problems + (_os_sku_problems(values, known) if gpus != 0 and known.vendor != AMD else [])


def _os_sku_problems(values: Values, size: SizeFacts) -> list[str]:
    sku = OS_SKUS.get(str(values.get(OS_SKU)).lower())
    if values.get(OS_TYPE) == WINDOWS and stack_of(values, {}) is STACKS["operator"]:
        return ["NVIDIA's GPU Operator doesn't run on Windows nodes, so gpu_stack: operator needs os_type: Linux."]
    if sku is not None and sku.nvidia is False:
        return [
            f"os_sku: AKS doesn't support NVIDIA GPUs on {sku.name} nodes. Leave O(os_sku) out, which means Ubuntu."
        ]
    if sku is not None and size.model in sku.excluded:
        return [f"os_sku: AKS has no driver for {size.model} ({size.name}) on {sku.name} nodes. Take os_sku: Ubuntu."]
    return []


def _retired_text(known: SizeFacts) -> str:
    return f"vm_size: Azure retired {known.name} ({known.model}) on {known.retired}. Take {known.successor} instead."


@dataclass(frozen=True)
class LiveSize:
    """What a region says of a VM size (Compute resource SKUs).

    Attributes:
        name: The size.
        location: The region.
        offered: Whether the region has it at all.
        gpus: GPUs of a node.
        vcpus: vCPUs of a node.
        family: The quota family, or None.
        zones: Zones that have it and that the subscription may use.
        blocked: The reason why the subscription may not use it, or None.
    """

    name: str
    location: str
    offered: bool = True
    gpus: int = 0
    vcpus: int = 0
    family: str | None = None
    zones: tuple[str, ...] = ()
    blocked: str | None = None


@dataclass(frozen=True)
class Quota:
    """A vCPU quota of a region.

    Attributes:
        name: What it is a quota of, in Azure's words.
        limit: vCPUs allowed.
        used: vCPUs in use.
    """

    name: str
    limit: int
    used: int

    @property
    def left(self) -> int:
        """What is left, in vCPUs."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True)
class Subnet:
    """A subnet that nodes shall join.

    Attributes:
        id: Its ARM id.
        exists: Whether it is there.
        prefix: Its addresses, such as ``10.0.0.0/24``, or None when Azure names none.
        used: Addresses in use, as far as Azure says.
    """

    id: str
    exists: bool = True
    prefix: str | None = None
    used: int = 0

    @property
    def free(self) -> int | None:
        """Addresses that are left; None when unknown. Azure keeps five of each subnet for itself."""
        if self.prefix is None:
            return None
        return max(0, ipaddress.ip_network(self.prefix, strict=False).num_addresses - 5 - self.used)


@dataclass(frozen=True)
class AzureEnvironment:
    """What Azure says of the place where a pool is to be created. None: could not be asked, so it is not judged.

    Attributes:
        cluster: The managed cluster as ARM returns it.
        size: What the region says of the size.
        quotas: The quotas that count against the pool.
        actions: Permitted and excluded actions on the cluster, one pair for each role: ``[(actions, not_actions), …]``.
        subnet: The subnet of the nodes.
        subnet_actions: Likewise on the subnet.
    """

    cluster: Mapping[str, Any]
    size: LiveSize | None = None
    quotas: Sequence[Quota] = ()
    actions: Sequence[tuple[Sequence[str], Sequence[str]]] | None = None
    subnet: Subnet | None = None
    subnet_actions: Sequence[tuple[Sequence[str], Sequence[str]]] | None = None


NEEDED_ACTIONS = (
    "Microsoft.ContainerService/managedClusters/agentPools/read",
    "Microsoft.ContainerService/managedClusters/agentPools/write",
)


def environment_problems(values: Values, found: AzureEnvironment) -> list[str]:
    """Finds what Azure would refuse about a pool that is to be created.

    Args:
        values: The options that are set, with those of the stack.
        found: What Azure says.
    """
    return [
        *_cluster_problems(values, found.cluster),
        *_offer_problems(values, found.size),
        *_quota_problems(values, found),
        *_subnet_problems(values, found),
        *_permission_problems(found),
    ]


def _cluster_problems(values: Values, cluster: Mapping[str, Any]) -> list[str]:
    properties = properties_of(cluster)
    problems = []
    if (properties.get("powerState") or {}).get("code") == "Stopped":
        problems.append(
            f"The cluster {cluster.get('name')} is stopped. Start it with: az aks start --resource-group … --name "
            f"{cluster.get('name')}."
        )
    provisioning = (properties.get("nodeProvisioningProfile") or {}).get("mode")
    if provisioning == "Auto" and values.get(AUTOSCALER):
        problems.append(
            "The cluster has node auto-provisioning, which excludes the cluster autoscaler: leave "
            "O(enable_auto_scaling) out and set O(count)."
        )
    return problems


def _offer_problems(values: Values, size: LiveSize | None) -> list[str]:
    if size is None:
        return []
    if not size.offered:
        known = vm_size_facts(size.name)
        if known.retired:
            return [_retired_text(known)]
        return [
            f"vm_size: {size.name} is not offered in {size.location}. The module aks.gpu.vm_size_info lists the GPU "
            "sizes that are."
        ]
    if size.blocked:
        return [
            f"vm_size: the subscription may not use {size.name} in {size.location} ({size.blocked}). Ask Azure support "
            "for access, or take another size or region; aks.gpu.vm_size_info lists them."
        ]
    missing = [zone for zone in values.get(ZONES, ()) if zone not in (*size.zones, ANY_ZONES)]
    if missing:
        return [
            f"availability_zones: {size.name} is not available in zone {', '.join(missing)} of {size.location}; "
            + (f"it is in {', '.join(size.zones)}." if size.zones else "in none: leave O(availability_zones) out.")
        ]
    return []


def _quota_problems(values: Values, found: AzureEnvironment) -> list[str]:
    size = found.size
    if size is None or not size.offered or not size.vcpus:
        return []
    nodes = _most_nodes(values)
    needed = size.vcpus * nodes
    return [
        f"Quota: {nodes} nodes of {size.name} need {needed} vCPUs, and of {quota.name} {quota.left} of {quota.limit} "
        f"are left in {size.location}. Lower {'max_count' if values.get(AUTOSCALER) else 'count'}, or ask for more at "
        "https://aka.ms/aks/quota (Azure portal, Quotas)."
        for quota in found.quotas
        if quota.left < needed
    ]


def _subnet_problems(values: Values, found: AzureEnvironment) -> list[str]:
    subnet = found.subnet
    if subnet is None:
        return []
    if not subnet.exists:
        return [f"vnet_subnet_id: there is no subnet {subnet.id}."]
    nodes = _most_nodes(values)
    each = addresses_of_a_node(values, properties_of(found.cluster))
    if subnet.free is None or nodes * each <= subnet.free:
        return []
    return [
        f"vnet_subnet_id: {nodes} nodes need {nodes * each} addresses ({each} each), and {subnet.id} ({subnet.prefix}) "
        f"has {subnet.free} left. Take a larger subnet, fewer nodes, or a lower max_pods."
    ]


def addresses_of_a_node(values: Values, cluster: Mapping[str, Any]) -> int:
    """Returns how many addresses of its subnet a node takes: with flat Azure CNI one for each Pod as well.

    Source: https://learn.microsoft.com/en-us/azure/aks/concepts-network-ip-address-planning

    Args:
        values: The options of the pool.
        cluster: The properties of the cluster.
    """
    network = cluster.get("networkProfile") or {}
    flat_cni = network.get("networkPlugin") == "azure" and network.get("networkPluginMode") != "overlay"
    if not flat_cni or values.get(POD_SUBNET):
        return 1
    return 1 + int(values.get(MAX_PODS) or FLAT_CNI_MAX_PODS)


def _most_nodes(values: Values) -> int:
    return int((values.get(MAX_COUNT) if values.get(AUTOSCALER) else values.get(COUNT, 1)) or 0)


def _permission_problems(found: AzureEnvironment) -> list[str]:
    problems = []
    if found.actions is not None:
        missing = [action for action in NEEDED_ACTIONS if not permitted(action, found.actions)]
        if missing:
            problems.append(
                f"The signed-in principal may not {', '.join(missing)} on {found.cluster.get('id')}. Give it a role "
                "that has them, such as Azure Kubernetes Service Contributor Role."
            )
    if found.subnet is not None and found.subnet_actions is not None and not permitted(JOIN, found.subnet_actions):
        problems.append(
            f"The signed-in principal may not {JOIN} on {found.subnet.id}. Give it a role that has it, such as Network "
            "Contributor."
        )
    return problems


def permitted(action: str, roles: Iterable[tuple[Sequence[str], Sequence[str]]]) -> bool:
    """Says whether one of the roles allows an action; ``*`` matches anything, letter case is ignored."""
    return any(
        any(_action_matches(pattern, action) for pattern in allowed)
        and not any(_action_matches(p, action) for p in excluded)
        for allowed, excluded in roles
    )


def _action_matches(pattern: str, action: str) -> bool:
    return re.fullmatch(re.escape(pattern.lower()).replace(r"\*", ".*"), action.lower()) is not None
