# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clusters as hosts of an inventory: their variables, names and groups, and which are wanted. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import AMD, vm_size_facts
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import BY_OPTION, current_value
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._stacks import DRIVER, MANAGEMENT, stack_of

Facts = dict[str, Any]
"""The variables of one cluster, by name."""

ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourcegroups/(?P<group>[^/]+)/providers/[^/]+/managedclusters/(?P<name>[^/]+)/?",
    re.IGNORECASE,
)

WITHOUT_STACK = "device_plugin"
"""What a pool with a driver is, as far as Azure tells: nobody knows from there how its GPUs become schedulable."""

WITHOUT_GPUS = "aks_without_gpus"
STOPPED = "aks_stopped"


def cluster_facts(cluster: Mapping[str, Any], subscription_name: str | None = None) -> Facts:
    """Returns the variables of a host; always the same names.

    Args:
        cluster: A managed cluster as ARM lists it.
        subscription_name: The subscription's display name where it is known.

    Raises:
        Failure: Its id is not that of a managed cluster.
    """
    identifier = str(cluster.get("id") or "")
    place = ID.fullmatch(identifier)
    if place is None:
        raise Failure(f"Azure lists a cluster whose id is no id of a managed cluster: {identifier!r}.")
    properties: Mapping[str, Any] = cluster.get("properties") or {}
    profiles = [profile for profile in properties.get("agentPoolProfiles") or () if isinstance(profile, Mapping)]
    pools = [pool for pool in map(gpu_pool_facts, profiles) if pool is not None]
    counts = [pool["gpus"] for pool in pools]
    return {
        "aks_subscription_id": place["subscription"],
        "aks_subscription_name": subscription_name,
        "aks_resource_group": place["group"],
        "aks_cluster_name": str(cluster.get("name") or place["name"]),
        "aks_id": identifier,
        "aks_location": str(cluster.get("location") or ""),
        "aks_tags": dict(cluster.get("tags") or {}),
        "aks_sku": (cluster.get("sku") or {}).get("name"),
        "aks_kubernetes_version": properties.get("currentKubernetesVersion") or properties.get("kubernetesVersion"),
        "aks_provisioning_state": properties.get("provisioningState"),
        "aks_power_state": (properties.get("powerState") or {}).get("code"),
        "aks_private": bool((properties.get("apiServerAccessProfile") or {}).get("enablePrivateCluster")),
        "aks_fqdn": properties.get("fqdn") or properties.get("privateFQDN"),
        "aks_node_pools": [str(profile.get("name")) for profile in profiles],
        "aks_gpu_pools": pools,
        "aks_gpus": None if None in counts else sum(counts),
        "aks_gpu_models": _distinct(pool["gpu_model"] for pool in pools),
        "aks_gpu_stacks": _distinct(pool["gpu_stack"] for pool in pools),
    }


def gpu_pool_facts(profile: Mapping[str, Any]) -> Facts | None:
    """Returns what an inventory tells of a node pool, or None when its size has no GPUs.

    Args:
        profile: An entry of ``agentPoolProfiles``.
    """
    size = vm_size_facts(str(profile.get("vmSize") or ""))
    if size.gpus == 0:
        return None
    stack = stack_of({option: current_value(BY_OPTION[option], profile) for option in (MANAGEMENT, DRIVER)}, {})
    count = int(profile.get("count") or 0)
    return {
        "name": profile.get("name"),
        "vm_size": profile.get("vmSize"),
        "count": count,
        "enable_auto_scaling": bool(profile.get("enableAutoScaling")),
        "min_count": profile.get("minCount"),
        "max_count": profile.get("maxCount"),
        "gpus_per_node": size.gpus,
        "gpus": None if size.gpus is None else count * size.gpus,
        "gpu_model": size.model,
        "gpu_vendor": size.vendor,
        "gpu_stack": (stack.name if stack else WITHOUT_STACK) if size.vendor != AMD else None,
        "gpu_instance_profile": profile.get("gpuInstanceProfile"),
        "scale_set_priority": profile.get("scaleSetPriority") or "Regular",
        "provisioning_state": profile.get("provisioningState"),
        "power_state": (profile.get("powerState") or {}).get("code"),
    }


def _distinct(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value})


# --- which are wanted -----------------------------------------------------------------------------------------------


def matches(text: str, patterns: Sequence[str]) -> bool:
    """Says whether a text fits one of the patterns and none of those that begin with ``!``; letter case is ignored.

    Without a pattern that wants something, everything is wanted.

    Args:
        text: What is looked at.
        patterns: As a shell has them: ``*``, ``?``, ``[abc]``.
    """
    lower = text.lower()
    wanted = [pattern.lower() for pattern in patterns if not pattern.startswith("!")]
    unwanted = [pattern[1:].lower() for pattern in patterns if pattern.startswith("!")]
    if any(fnmatchcase(lower, pattern) for pattern in unwanted):
        return False
    return not wanted or any(fnmatchcase(lower, pattern) for pattern in wanted)


@dataclass(frozen=True)
class Wanted:
    """Which clusters an inventory is to have; what is left out of it wants all.

    Attributes:
        names: Patterns of the clusters' names.
        resource_groups: Patterns of the resource groups' names.
        locations: Regions, also as the portal writes them (``West US 2``).
        tags: Patterns of the value of each tag; none: the tag has to be there. Tags' names ignore letter case.
        gpu_pools: Whether it must have GPU pools (True) or must have none (False).
        power_state: ``Running`` or ``Stopped``.
    """

    names: Sequence[str] = ()
    resource_groups: Sequence[str] = ()
    locations: Sequence[str] = ()
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gpu_pools: bool | None = None
    power_state: str | None = None

    def fits(self, cluster: Facts) -> bool:
        """Says whether a cluster is wanted."""
        tags = {name.lower(): str(value) for name, value in cluster["aks_tags"].items()}
        return (
            matches(cluster["aks_cluster_name"], self.names)
            and matches(cluster["aks_resource_group"], self.resource_groups)
            and matches(cluster["aks_location"], [location.replace(" ", "") for location in self.locations])
            and all(
                name.lower() in tags and _value_fits(tags[name.lower()], values) for name, values in self.tags.items()
            )
            and (self.gpu_pools is None or self.gpu_pools == bool(cluster["aks_gpu_pools"]))
            and (self.power_state is None or self.power_state == cluster["aks_power_state"])
        )


def _value_fits(value: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


# --- names and groups -----------------------------------------------------------------------------------------------


def host_names(clusters: Sequence[Facts], asked: Callable[[Facts], str | None]) -> list[str]:
    """Returns the host name of each cluster, unique among them.

    It is the cluster's name; where several have it, all of these are called ``NAME.RESOURCE_GROUP``; and where also
    that is not unique, ``NAME.RESOURCE_GROUP.SUBSCRIPTION``. So a name doesn't depend on the order of the clusters.

    Args:
        clusters: The clusters of the inventory.
        asked: Returns the name that the user asked for, None where the rule above is to name the cluster.

    Raises:
        Failure: Two of the names that the user asked for are the same.
    """
    given = [asked(cluster) for cluster in clusters]
    parts = ("aks_cluster_name", "aks_resource_group", "aks_subscription_id")
    steps = [[".".join(str(cluster[part]) for part in parts[:length]) for cluster in clusters] for length in (1, 2, 3)]
    counts = [Counter(name.lower() for name in step) for step in steps]
    names = []
    for number, name in enumerate(given):
        unique = (step[number] for step, count in zip(steps, counts, strict=True) if count[step[number].lower()] == 1)
        names.append(name or next(unique, steps[-1][number]))
    for name, count in Counter(names).items():
        if count > 1:
            ids = ", ".join(str(cluster["aks_id"]) for cluster, own in zip(clusters, names, strict=True) if own == name)
            raise Failure(f"hostname gives several clusters the name {name!r}: {ids}.")
    return names


def groups_of(cluster: Facts) -> list[str]:
    """Returns the groups that a cluster belongs to without being asked: by region, version, subscription, GPUs."""
    minor = ".".join(str(cluster["aks_kubernetes_version"] or "").split(".")[:2])
    named = {
        "aks_region": [cluster["aks_location"]],
        "aks_version": [minor],
        "aks_subscription": [cluster["aks_subscription_id"]],
        "aks_gpu_model": cluster["aks_gpu_models"],
        "aks_gpu_stack": cluster["aks_gpu_stacks"],
    }
    groups = [f"{prefix}_{_word(value)}" for prefix, values in named.items() for value in values if value]
    if not cluster["aks_gpu_pools"]:
        groups.append(WITHOUT_GPUS)
    if cluster["aks_power_state"] == "Stopped":
        groups.append(STOPPED)
    return groups


def _word(text: str) -> str:
    """A text as part of a group's name."""
    return re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")
