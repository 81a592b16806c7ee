# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts about VM sizes, quotas and permissions, from what Azure says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._arguments import ArgumentSpec
from ansible_collections.aks.gpu.plugins.module_utils._ansible._kernel import Plan, Task
from ansible_collections.aks.gpu.plugins.module_utils._azure._arguments import AZURE_ARGUMENTS
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError
from ansible_collections.aks.gpu.plugins.module_utils._azure._session import Session, open_session
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import permissions, vm_skus, vm_usages
from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import vm_size_facts
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._azure_checks import (
    NEEDED_ACTIONS,
    LiveSize,
    Quota,
    Subnet,
    permitted,
)

REGIONAL = "cores"
"""The name of a region's whole quota among the usages."""

SPOT = "lowPriorityCores"
"""The name of a region's quota of Spot vCPUs."""


SIZE_FIELDS = ("name", "resourceType", "family", "capabilities", "locationInfo", "restrictions")
"""What is needed of an entry of Compute's list, which has a hundred times as much."""

CAPABILITIES = ("GPUs", "vCPUs", "MemoryGB")


def sizes_of_region(session: Session, location: str) -> list[dict[str, Any]] | None:
    """Returns the VM sizes of a region, or None when the principal may not ask. Once for the clusters of a run."""

    def ask() -> Any:
        return unless_forbidden(
            lambda: [_needed(sku) for sku in vm_skus(session.client, session.subscription_id, location)]
        )

    found: list[dict[str, Any]] | None = session.cached(f"sizes {location}", ask)
    return found


def usages_of_region(session: Session, location: str) -> list[dict[str, Any]] | None:
    """Returns the quotas of a region, or None when the principal may not ask. Once for the clusters of a run."""

    def ask() -> Any:
        return unless_forbidden(lambda: vm_usages(session.client, session.subscription_id, location))

    found: list[dict[str, Any]] | None = session.cached(f"usages {location}", ask)
    return found


def actions_on_cluster(session: Session, cluster_id: str) -> Any:
    """Returns what the principal may do on a cluster, as ``permissions`` does, or None when it may not ask.

    What a role of the resource group allows, it allows on each cluster in it: where that suffices, it is asked for once
    for the clusters of a run. Source: https://learn.microsoft.com/en-us/azure/role-based-access-control/scope-overview
    """
    group = cluster_id.rsplit("/providers/", 1)[0]

    def ask(scope: str) -> Any:
        return unless_forbidden(lambda: permissions(session.client, scope))

    found = session.cached(f"permissions {group.lower()}", lambda: ask(group))
    if found is not None and all(permitted(action, found) for action in NEEDED_ACTIONS):
        return found
    return ask(cluster_id)


def _needed(sku: Mapping[str, Any]) -> dict[str, Any]:
    needed = {name: sku[name] for name in SIZE_FIELDS if name in sku}
    needed["capabilities"] = [each for each in sku.get("capabilities") or () if each.get("name") in CAPABILITIES]
    return needed


def unless_forbidden(ask: Callable[[], Any]) -> Any:
    """Returns an answer, or None when the principal may not ask."""
    try:
        return ask()
    except AzureError as error:
        if error.status == 403:
            return None
        raise


def live_size(name: str, location: str, skus: Sequence[Mapping[str, Any]]) -> LiveSize:
    """Returns what a region says of a VM size.

    Args:
        name: Of the size; letter case is ignored.
        location: The region.
        skus: The region's sizes, as Compute lists them.
    """
    sku = next((sku for sku in skus if str(sku.get("name")).lower() == name.lower()), None)
    return LiveSize(name, location, offered=False) if sku is None else size_of(sku, location)


def size_of(sku: Mapping[str, Any], location: str) -> LiveSize:
    """Returns what an entry of Compute's list says, restrictions applied."""
    capabilities = capabilities_of(sku)
    zones = {str(zone) for info in sku.get("locationInfo") or () for zone in info.get("zones") or ()}
    blocked = None
    for restriction in sku.get("restrictions") or ():
        if restriction.get("type") == "Location":
            blocked = str(restriction.get("reasonCode") or "restricted")
        elif restriction.get("type") == "Zone":
            zones -= {str(zone) for zone in (restriction.get("restrictionInfo") or {}).get("zones") or ()}
    return LiveSize(
        name=str(sku.get("name")),
        location=location,
        offered=True,
        gpus=_number(capabilities.get("GPUs")),
        vcpus=_number(capabilities.get("vCPUs")),
        family=sku.get("family"),
        zones=tuple(sorted(zones)),
        blocked=blocked,
    )


def capabilities_of(sku: Mapping[str, Any]) -> dict[str, str]:
    """Returns the capabilities of a size by name."""
    return {str(entry.get("name")): str(entry.get("value")) for entry in sku.get("capabilities") or ()}


def quota_of(name: str | None, usages: Sequence[Mapping[str, Any]]) -> Quota | None:
    """Returns a quota of a region, or None when it isn't listed.

    Args:
        name: A family such as ``Standard NCASv3_T4 Family``, ``cores``, or ``lowPriorityCores``.
        usages: The region's quotas, as Compute lists them.
    """
    for usage in usages:
        names = usage.get("name") or {}
        if name and str(names.get("value")).lower() == name.lower():
            return Quota(
                str(names.get("localizedValue") or name),
                _number(usage.get("limit")),
                _number(usage.get("currentValue")),
            )
    return None


def quotas_of(size: LiveSize, spot: bool, usages: Sequence[Mapping[str, Any]]) -> tuple[Quota, ...]:
    """Returns the quotas that a node of a size counts against: Spot has one of its own."""
    names = (SPOT,) if spot else (size.family, REGIONAL)
    return tuple(quota for quota in (quota_of(name, usages) for name in names) if quota is not None)


def subnet_of(subnet_id: str, body: Mapping[str, Any] | None) -> Subnet:
    """Returns what Network says of a subnet.

    Args:
        subnet_id: Its ARM id.
        body: The subnet as ARM returned it, or None when there is none.
    """
    if body is None:
        return Subnet(subnet_id, exists=False)
    properties = body.get("properties") or {}
    prefixes = [properties.get("addressPrefix"), *(properties.get("addressPrefixes") or ())]
    # A subnet may have an IPv6 range besides; nodes and Pods take their first address from the IPv4 one.
    prefix = next((str(each) for each in prefixes if each and ":" not in str(each)), None)
    return Subnet(subnet_id, True, prefix, len(properties.get("ipConfigurations") or ()))


def _number(value: Any) -> int:
    """A whole number; Azure counts a part of a GPU as a fraction, and a node sees it as one."""
    try:
        return math.ceil(float(value))
    except (TypeError, ValueError, OverflowError):
        return 0


VM_SIZE_INFO_ARGUMENTS = AZURE_ARGUMENTS.merge(
    ArgumentSpec(
        options={
            "location": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str"},
        }
    )
)


def plan_vm_size_info(task: Task) -> Plan:
    """Lists the GPU sizes of a region, or the sizes that are named. Raises ``AzureError`` and others of sign-in."""
    session = open_session(task)
    location = task.params["location"].replace(" ", "").lower()
    skus = vm_skus(session.client, session.subscription_id, location)
    usages = vm_usages(session.client, session.subscription_id, location)
    names = task.params["names"]
    if names is None:
        found = [size_info(sku, location, usages) for sku in skus if size_of(sku, location).gpus > 0]
        return Plan(changed=False, result={"vm_sizes": sorted(found, key=lambda size: str(size["name"]))})
    by_name = {str(sku.get("name")).lower(): sku for sku in skus}
    return Plan(
        changed=False,
        result={"vm_sizes": [size_info(by_name.get(name.lower(), {"name": name}), location, usages) for name in names]},
    )


def size_info(sku: Mapping[str, Any], location: str, usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns a size as the module ``vm_size_info`` returns it; always the same keys.

    Args:
        sku: The entry of Compute's list; only a name where the region doesn't have the size.
        location: The region.
        usages: The region's quotas.
    """
    offered = "resourceType" in sku
    size = size_of(sku, location)
    known = vm_size_facts(size.name)
    memory = capabilities_of(sku).get("MemoryGB")
    family = quota_of(size.family, usages)
    region = quota_of(REGIONAL, usages)
    return {
        "name": size.name,
        "location": location,
        "offered": offered,
        "available": offered and size.blocked is None,
        "gpus": size.gpus if offered else known.gpus,
        "gpu_model": known.model,
        "vendor": known.vendor,
        "vcpus": size.vcpus if offered else None,
        "memory_gb": float(memory) if memory else None,
        "family": size.family,
        "zones": list(size.zones),
        "restrictions": [
            {
                "type": restriction.get("type"),
                "reason_code": restriction.get("reasonCode"),
                "zones": list((restriction.get("restrictionInfo") or {}).get("zones") or ()),
            }
            for restriction in sku.get("restrictions") or ()
        ],
        "retired": known.retired,
        "successor": known.successor,
        "quota": _quota_info(family),
        "regional_quota": _quota_info(region),
    }


def _quota_info(quota: Quota | None) -> dict[str, Any] | None:
    if quota is None:
        return None
    return {"name": quota.name, "limit": quota.limit, "used": quota.used, "left": quota.left}
