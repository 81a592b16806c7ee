# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would go wrong with a node pool, found before anything is written. Pure: facts in, problems out.

Each problem is a sentence that says what to do instead. All of them are returned at once.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import AMD, MINIMUM_SIZE, SizeFacts, facts
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    AKS_PREFIX,
    ANY_ZONES,
    AUTOSCALER,
    BY_OPTION,
    COUNT,
    MAX_COUNT,
    MIN_COUNT,
    Values,
    observed,
    properties_of,
    same,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._os_skus import LINUX, OS_SKUS, WINDOWS
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import Pool
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._stacks import (
    DRIVER,
    GPU_IMAGE_HEADER,
    MANAGED_TAG,
    MANAGEMENT,
    OS_TYPE,
    STACKS,
    TAGS,
    Stack,
    managed_by_tag,
    stack_of,
)

VM_SIZE = ("vm_size",)
TAINTS = ("node_taints",)
LABELS = ("node_labels",)
MODE = ("mode",)
ZONES = ("availability_zones",)
PRIORITY = ("scale_set_priority",)
EVICTION = ("scale_set_eviction_policy",)
PRICE = ("spot_max_price",)
MIG = ("gpu_instance_profile",)
OS_SKU = ("os_sku",)
SUBNET = ("vnet_subnet_id",)
POD_SUBNET = ("pod_subnet_id",)
MAX_PODS = ("max_pods",)

# The pattern that the az CLI applies to --node-taints; AKS itself answers with less.
TAINT = re.compile(
    r"[a-zA-Z\d][\w\-./]{0,252}=([a-zA-Z\d]([\w\-.]{0,61}[a-zA-Z\d])?)?:(NoSchedule|PreferNoSchedule|NoExecute)",
    re.ASCII,
)
LABEL_KEY = re.compile(r"([a-z\d]([a-z\d\-.]{0,251}[a-z\d])?/)?[a-zA-Z\d]([\w\-.]{0,61}[a-zA-Z\d])?", re.ASCII)
LABEL_VALUE = re.compile(r"([a-zA-Z\d]([\w\-.]{0,61}[a-zA-Z\d])?)?", re.ASCII)
SPOT_LABEL = AKS_PREFIX + "scalesetpriority"
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
WINDOWS_NAME = re.compile(r"[a-z][a-z0-9]{0,5}")
LARGEST_COUNT = 1000
JOIN = "Microsoft.Network/virtualNetworks/subnets/join/action"
FLAT_CNI_MAX_PODS = 30


# --- what the options say by themselves --------------------------------------------------------------------------


def option_problems(values: Values, given: Values, headers: Mapping[str, str]) -> list[str]:
    """Finds what is wrong with options whatever the state of Azure is.

    Args:
        values: The values that the pool will have, as far as they are known.
        given: The options that are set.
        headers: The custom headers.
    """
    problems = _choice_problems(given)
    for taint in given.get(TAINTS, ()):
        if not TAINT.fullmatch(taint):
            problems.append(
                f"node_taints: {taint!r} is no taint that AKS takes. Write key=value:Effect with one of NoSchedule, "
                "PreferNoSchedule, NoExecute; for example sku=gpu:NoSchedule."
            )
    for key, text in given.get(LABELS, {}).items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(text):
            problems.append(
                f"node_labels: {key}={text} is no Kubernetes label: up to 63 letters, digits, '-', '_' and '.', "
                "beginning and ending with a letter or a digit."
            )
        elif key.startswith(AKS_PREFIX) and not (key == SPOT_LABEL and values.get(PRIORITY) == "Spot"):
            problems.append(
                f"node_labels: {key} is AKS's own: it sets the labels of {AKS_PREFIX} itself and refuses them from "
                "others. Leave it out, or take a key of a domain of yours."
            )
    for name, text in headers.items():
        if not HEADER_NAME.fullmatch(name) or re.search(r"[\r\n]", text):
            problems.append(f"custom_headers: {name!r} can't be sent as an HTTP header.")
    return problems + _count_problems(values, given) + _spot_problems(values, given)


def name_problems(name: str, values: Values) -> list[str]:
    """Finds what is wrong with the name of a pool that is to be created."""
    if same(BY_OPTION[OS_TYPE], values.get(OS_TYPE), "Windows"):
        if not WINDOWS_NAME.fullmatch(name):
            return [
                f"name: {name!r} is no name for a Windows node pool. AKS takes a lower-case letter and up to 5 "
                "lower-case letters and digits."
            ]
    elif not NAME.fullmatch(name):
        return [
            f"name: {name!r} is no name for a node pool. AKS takes a lower-case letter and up to 11 lower-case letters "
            "and digits; for example gpunp."
        ]
    return []


def _choice_problems(given: Values) -> list[str]:
    problems = []
    for option, value in given.items():
        row = BY_OPTION[option]
        if row.choices and value not in row.choices:
            problems.append(f"{row.name}: {value!r} is unknown to Azure. It knows {', '.join(row.choices)}.")
    return problems


def _count_problems(values: Values, given: Values) -> list[str]:
    problems = []
    autoscaled = bool(values.get(AUTOSCALER))
    least, most = values.get(MIN_COUNT), values.get(MAX_COUNT)
    smallest = 1 if values.get(MODE) == "System" else 0
    for option in (COUNT, MIN_COUNT, MAX_COUNT):
        number = given.get(option)
        if number is not None and not smallest <= number <= LARGEST_COUNT:
            problems.append(
                f"{BY_OPTION[option].name}: {number} is not between {smallest} and {LARGEST_COUNT}"
                + (", which a pool of mode System may have." if smallest else ", which a node pool may have.")
            )
    if not autoscaled:
        for option in (MIN_COUNT, MAX_COUNT):
            if option in given:
                problems.append(f"{BY_OPTION[option].name} is the autoscaler's: add O(enable_auto_scaling=true).")
        return problems
    if AUTOSCALER in given and (least is None or most is None):
        problems.append("O(enable_auto_scaling=true) needs O(min_count) and O(max_count).")
    if least is not None and most is not None and least > most and {MIN_COUNT, MAX_COUNT} & given.keys():
        problems.append(f"min_count ({least}) is greater than max_count ({most}).")
    return problems


def _spot_problems(values: Values, given: Values) -> list[str]:
    problems = []
    spot = values.get(PRIORITY) == "Spot"
    if not spot:
        problems += [
            f"{BY_OPTION[option].name} is for Spot pools: add O(scale_set_priority=Spot)."
            for option in (EVICTION, PRICE)
            if option in given
        ]
    price = given.get(PRICE)
    if price is not None and price != -1 and price <= 0:
        problems.append(f"spot_max_price: {price} is neither above zero nor -1, which means up to the on-demand price.")
    if spot and given.get(MODE) == "System":
        problems.append("A Spot pool can't have O(mode=System), because its nodes may be evicted. Take O(mode=User).")
    return problems


# --- what a new pool needs besides -------------------------------------------------------------------------------


def creation_problems(values: Values, headers: Mapping[str, str], stack: Stack | None) -> list[str]:
    """Finds what is wrong with a pool that is to be created, as far as its options show it.

    Args:
        values: The options that are set, with those of the stack.
        headers: The custom headers, with those of the stack.
        stack: The stack that was chosen, or None.
    """
    problems = []
    if VM_SIZE not in values:
        problems.append(f"vm_size is needed to create a node pool; {MINIMUM_SIZE} is the smallest GPU size.")
    count, least, most = (values.get(option) for option in (COUNT, MIN_COUNT, MAX_COUNT))
    outside = least is not None and most is not None and count is not None and not least <= count <= most
    if values.get(AUTOSCALER) and outside:
        problems.append(f"count ({count}) is not between min_count ({least}) and max_count ({most}).")
    meant = stack_of(values, headers)
    if meant is not None and stack is not None and meant is not stack:
        problems.append(
            f"gpu_stack: {stack.name} contradicts the other options, which amount to gpu_stack: {meant.name}. A pool "
            "has one GPU stack: two device plugins on a node would hand out each GPU twice."
        )
    elif meant is not None and meant.name == "managed" and _gpu_image(headers):
        problems.append(f"The header {GPU_IMAGE_HEADER} and management_mode: Managed exclude each other.")
    if DRIVER in values and values[DRIVER] == "None" and _gpu_image(headers):
        problems.append(f"The header {GPU_IMAGE_HEADER} brings a driver; gpu_profile.driver: None asks for none.")
    chosen = stack or meant
    return [*problems, *stack_problems(None, values, chosen), *_os_type_problems(values, chosen)]


def _os_type_problems(values: Values, stack: Stack | None) -> list[str]:
    sku = OS_SKUS.get(str(values.get(OS_SKU)).lower())
    if sku is None or sku.os_type == values.get(OS_TYPE, LINUX):
        return []
    if stack is not None and stack.forbids.get(OS_TYPE) == sku.os_type:
        return []  # which is said already
    return [f"os_sku: {sku.name} needs os_type: {sku.os_type}."]


def stack_problems(current: Pool | None, values: Values, stack: Stack | None) -> list[str]:
    """Finds what contradicts a stack.

    Args:
        current: The pool as it is, or None when it is to be created.
        values: The options that are set.
        stack: The stack that was chosen, or the one that the options amount to.
    """
    if stack is None:
        return []
    problems = []
    for option, forbidden in stack.forbids.items():
        row = BY_OPTION[option]
        value = values.get(option)
        if option == OS_TYPE and value is None and str(values.get(OS_SKU)).lower().startswith("windows"):
            value = "Windows"
        where = ""
        if value is None and current is not None and not (option == MANAGEMENT and managed_by_tag(_tags_of(current))):
            value = observed(row, properties_of(current))
            where = " of the existing pool"
        if value is not None and same(row, value, forbidden):
            text = f"{row.name}: {value}" if not isinstance(value, bool) else f"{row.name}: {str(value).lower()}"
            problems.append(f"{text}{where} excludes gpu_stack: {stack.name}.{_STACK_WAY_OUT.get(option, '')}")
    return problems or _tag_problems(current, values, stack)


def _tag_problems(current: Pool | None, values: Values, stack: Stack) -> list[str]:
    existing = _tags_of(current)
    if stack is STACKS["managed"] or not managed_by_tag(values.get(TAGS, existing)):
        return []
    where = " of the existing pool" if TAGS not in values else ""
    text = f"tags: {MANAGED_TAG}=true{where} means managed GPUs, which excludes gpu_stack: {stack.name}."
    return [text + _STACK_WAY_OUT[MANAGEMENT]]


def _tags_of(current: Pool | None) -> Mapping[str, str]:
    tags: Mapping[str, str] = observed(BY_OPTION[TAGS], properties_of(current or {}))
    return tags


def retirement_problems(stack: Stack | None, offered: Iterable[str] | None) -> list[str]:
    """Finds that Azure has retired the stack of a pool that is to be created.

    No API tells. But where a subscription can still have a size that was retired before the stack, the stack isn't
    retired yet.

    Args:
        stack: The stack that was chosen, or the one that the options amount to.
        offered: The sizes that the subscription may use in the region, or None when that can't be asked.
    """
    if stack is None or stack.retired is None or offered is None:
        return []
    days = (facts(name).retired for name in offered)
    if any(day is not None and day < stack.retired for day in days):
        return []
    return [f"gpu_stack: {stack.name}: {stack.warning} (preflight: false asks Azure nevertheless.)"]


_STACK_WAY_OUT = {
    AUTOSCALER: " Managed GPU nodes have a fixed count: leave the autoscaler off, or take O(gpu_stack=device_plugin).",
    OS_TYPE: " Take os_type: Linux.",
    MANAGEMENT: " It can't be changed in place: choose the other stack, or make a pool of another name.",
    DRIVER: " It can't be changed in place: choose the other stack, or make a pool of another name.",
}


def _gpu_image(headers: Mapping[str, str]) -> bool:
    return stack_of({}, headers) is STACKS["gpu_image"]


def size_problems(values: Values, live: LiveSize | None) -> list[str]:
    """Finds what is wrong with the size of a pool that is to be created.

    Args:
        values: The options that are set, with those of the stack.
        live: What the region says of the size, or None when it can't be asked.
    """
    name = values.get(VM_SIZE)
    if name is None:
        return []
    known = facts(name)
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


# --- what Azure says ---------------------------------------------------------------------------------------------


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
class Surroundings:
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


def surroundings_problems(values: Values, found: Surroundings) -> list[str]:
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
        known = facts(size.name)
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


def _quota_problems(values: Values, found: Surroundings) -> list[str]:
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


def _subnet_problems(values: Values, found: Surroundings) -> list[str]:
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


def _permission_problems(found: Surroundings) -> list[str]:
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
        any(_matches(pattern, action) for pattern in allowed) and not any(_matches(p, action) for p in excluded)
        for allowed, excluded in roles
    )


def _matches(pattern: str, action: str) -> bool:
    return re.fullmatch(re.escape(pattern.lower()).replace(r"\*", ".*"), action.lower()) is not None
