"""Compute and Network: VM sizes, quotas, subnets; and what AKS asks of them for a pool."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from ..interfaces import matching
from ..sizes import SIZES, VmSize, find, node_size
from .calls import Call, Reply, Route, route
from .errors import GatewayError, OperationFailed, ProviderError, resource_not_found
from .subscriptions import Subscriptions, group_not_found
from .world import Cluster, World

Json = dict[str, Any]

NO_LIMIT = 100_000
SPOT = "lowPriorityCores"
TOTALS = {
    "availabilitySets": "Availability Sets",
    "cores": "Total Regional vCPUs",
    "virtualMachines": "Virtual Machines",
    "virtualMachineScaleSets": "Virtual Machine Scale Sets",
    "dedicatedVCpus": "Dedicated vCPUs",
    "cloudServices": "Cloud Services",
    SPOT: "Total Regional Low-priority vCPUs",
}
"""Quotas of a region that are of no family, with their localized names."""
LIMITS = {
    "availabilitySets": 2500,
    "virtualMachines": 25000,
    "virtualMachineScaleSets": 2500,
    "dedicatedVCpus": 3000,
    "cloudServices": 2500,
}
QUOTA_ADVICE = (
    "If you want to increase the quota, please follow this instruction: "
    "https://learn.microsoft.com/en-us/azure/quotas/view-quotas. Surge nodes would also consume vcpu quota, please "
    "consider use smaller maxSurge or use maxUnavailable to proceed upgrade without surge nodes, details: "
    "aka.ms/aks/maxUnavailable."
)
DEFAULT_SUBNET_PREFIX = "10.224.0.0/16"


class Compute:
    """Handlers for Microsoft.Compute and Microsoft.Network, and the checks of sizes and quotas."""

    def __init__(self, world: World, subscriptions: Subscriptions) -> None:
        self._world = world
        self._subscriptions = subscriptions

    def routes(self) -> list[Route]:
        """Everything served here."""
        return [
            route(
                "GET",
                "/subscriptions/{subscription}/providers/Microsoft.Compute/skus",
                self.skus,
                "Microsoft.Compute/skus/read",
            ),
            route(
                "GET",
                "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/usages",
                self.usages,
                "Microsoft.Compute/locations/usages/read",
            ),
            route(
                "GET",
                ""
                "/subscriptions/{subscription}/resourcegroups/{resource_group}/providers/Microsoft.Network/virtualNetworks"
                "/{network}/subnets/{subnet}",
                self.subnet,
                "Microsoft.Network/virtualNetworks/subnets/read",
            ),
        ]

    def offered(self) -> list[VmSize]:
        """The sizes that exist: all of them in 2023, those in service today."""
        return [each for each in SIZES.values() if self._world.settings.azure_of_2023 or each.retired is None]

    def _locations(self) -> list[str]:
        groups = [group for each in self._world.subscriptions.values() for group in each.resource_groups.values()]
        return sorted({group["location"] for group in groups} | {"westus2", "eastus"})

    async def skus(self, call: Call) -> Reply:
        """GET …/skus, with the only filter there is: location.

        Witness: Compute's reference of resource SKUs, and its filter. No witness: a GPU size's entry, so which
        capabilities and restrictions it has besides those that azure-rest-api-specs' examples show, and in which form
        `RetirementDateUtc` is.
        """
        wanted = call.query.get("$filter", "")
        locations = self._locations()
        if wanted:
            name, _unused, value = wanted.partition(" eq ")
            if name.strip() != "location":
                raise GatewayError(
                    400, "BadRequest", f"The filter '{wanted}' is not supported. Only location can be filtered."
                )
            locations = [each for each in locations if each == value.strip().strip("'").lower()]
        return Reply(200, {"value": [self._sku(size, each) for each in locations for size in self.offered()]})

    def _sku(self, size: VmSize, location: str) -> Json:
        restricted = matching(self._world.settings.sizes_restricted, size.name)
        capabilities = {
            "MaxResourceVolumeMB": "65536",
            "OSVhdSizeMB": "1047552",
            "vCPUs": str(size.vcpus),
            "MemoryGB": f"{size.memory_gib:g}",
            "HyperVGenerations": ",".join(size.generations),
            "CpuArchitectureType": "Arm64" if size.arm else "x64",
            "LowPriorityCapable": str(size.spot),
            "PremiumIO": "True",
            "EphemeralOSDiskSupported": "True",
            "AcceleratedNetworkingEnabled": "True",
        }
        if size.retired:
            capabilities["RetirementDateUtc"] = size.retired
        if size.gpus:
            capabilities["GPUs"] = f"{size.gpus:.6g}" if size.gpus < 1 else f"{size.gpus:g}"
        body: Json = {
            "resourceType": "virtualMachines",
            "name": size.name,
            "tier": "Standard",
            "size": size.name.partition("_")[2],
            "family": size.family,
            "locations": [location],
            "locationInfo": [{"location": location, "zones": list(size.zones), "zoneDetails": []}],
            "capabilities": [{"name": name, "value": value} for name, value in capabilities.items()],
            "restrictions": [],
        }
        if restricted:
            body["restrictions"] = [
                {
                    "type": "Location",
                    "values": [location],
                    "restrictionInfo": {"locations": [location]},
                    "reasonCode": restricted,
                }
            ]
        return body

    # quota

    def limit(self, name: str) -> int:
        """vCPUs that may be used of a family, of the region (`cores`), or by Spot nodes (`lowPriorityCores`)."""
        return int(self._world.settings.quotas.get(name, NO_LIMIT))

    def used(self, subscription: str, location: str) -> dict[str, int]:
        """What is in use, by the name of its quota.

        Witness: Azure's documentation of Spot quotas ("a separate quota pool"): Spot nodes count in `lowPriorityCores`
        alone, neither for their family nor for the region.
        """
        used: dict[str, int] = dict.fromkeys(TOTALS, 0)
        for cluster in self._world.clusters.values():
            if cluster.subscription != subscription or cluster.location != location:
                continue
            for pool in cluster.pools.values():
                size = node_size(pool.properties["vmSize"])
                used["virtualMachineScaleSets"] += 1
                used["virtualMachines"] += pool.nodes
                for name in _counted_in(size, pool.properties):
                    used[name] = used.get(name, 0) + size.vcpus * pool.nodes
        return used

    async def usages(self, call: Call) -> Reply:
        """GET …/locations/{location}/usages

        Witness: CLI test_vm_usage.yaml, 2023 (2022-11-01): the fields, the totals and their limits, the localized
        names.
        No witness: `virtualMachines` and `virtualMachineScaleSets` count AKS's nodes and pools.
        """
        used = self.used(call.names["subscription"].lower(), call.names["location"].lower())
        families = sorted({each.family for each in self.offered()})
        usages = [(name, TOTALS[name], LIMITS.get(name) or self.limit(name)) for name in TOTALS]
        usages += [(name, _localized(name), self.limit(name)) for name in families]
        return Reply(
            200,
            {
                "value": [
                    {
                        "limit": limit,
                        "unit": "Count",
                        "currentValue": used.get(name, 0),
                        "name": {"value": name, "localizedValue": localized},
                    }
                    for name, localized, limit in usages
                ]
            },
        )

    def check_size(self, cluster: Cluster, name: str) -> None:
        """What AKS refuses on the PUT.

        Witness: https://github.com/hashicorp-education/learn-terraform-provision-aks-cluster/issues/15, 2023-04-01:
        code and text. No witness: that a retired size is refused in the same words.

        Raises:
            ProviderError: 400; the size does not exist, is retired, or is not for this subscription.
        """
        size = find(name)
        restricted = matching(self._world.settings.sizes_restricted, size.name if size else name)
        if size is not None and size in self.offered() and restricted != "NotAvailableForSubscription":
            return
        allowed = [
            each.name
            for each in self.offered()
            if matching(self._world.settings.sizes_restricted, each.name) != "NotAvailableForSubscription"
        ]
        raise ProviderError(
            400,
            "BadRequest",
            f"The VM size of {name} is not allowed in your subscription in location '{cluster.location}'. "
            f"The available VM sizes are '{','.join(sorted(each.lower() for each in allowed))}'. "
            "For more details, please visit https://aka.ms/cpu-quota",
        )

    def check_zones(self, cluster: Cluster, pool: str, wanted: Json) -> None:
        """Zones that the size has in the region.

        Raises:
            ProviderError: 400 AvailabilityZoneNotSupported, in the text of https://github.com/dapr/dapr/pull/9840.
        """
        zones = node_size(wanted["vmSize"]).zones
        missing = [str(each) for each in wanted.get("availabilityZones", []) if str(each) not in zones]
        if missing:
            raise ProviderError(
                400,
                "AvailabilityZoneNotSupported",
                f"The zone(s) '{','.join(missing)}' for resource '{pool}' is not supported. The supported zones for "
                f"location '{cluster.location}' are '{','.join(zones)}'.",
                target="agentPoolProfile.availabilityZones",
            )

    def check_quota(self, cluster: Cluster, pool: Json, more: int) -> None:
        """What AKS checks on the PUT: vCPUs of the region and of the family for `more` nodes of `pool`.

        Witness: ISS "Terraform Troubleshooting 08", azurerm's report of a pool's creation: status, body and the whole
        text; ISS motordesk#14 (2026), of a cluster's. For the region's text: ISS AKS#5808.
        No witness: which of the two is judged first, and that Spot nodes are judged in the operation only.

        Raises:
            ProviderError: 400 ErrCode_InsufficientVCPUQuota.
        """
        size = node_size(pool["vmSize"])
        requested = size.vcpus * more
        used = self.used(cluster.subscription, cluster.location)
        if requested <= 0 or _is_spot(pool):
            return
        left = self.limit("cores") - used["cores"]
        if requested > left:
            raise ProviderError(
                400,
                "ErrCode_InsufficientVCPUQuota",
                f"Insufficient regional vcpu quota left for location {cluster.location}. left regional vcpu quota "
                f"{left}, requested quota {requested}. {QUOTA_ADVICE}",
            )
        left = max(0, self.limit(size.family) - used.get(size.family, 0))
        if self._world.settings.family_quota == "put" and requested > left:
            raise ProviderError(
                400,
                "ErrCode_InsufficientVCPUQuota",
                f"Insufficient vcpu quota requested {requested}, remaining {left} for family {size.family} for region "
                f"{cluster.location}. {QUOTA_ADVICE}",
            )

    def allocate(self, cluster: Cluster, pool_name: str, size_name: str, more: int) -> None:
        """What the scale set meets when nodes are really asked for: capacity, then the quota of the family or of Spot.

        Witness: Azure/karpenter-provider-azure's AKSMachineAPIProvisioningErrorLowPriorityCoresQuota (2026) and ISS of
        the same text: `QuotaExceeded`, "exceeding approved LowPriorityCores quota". ISS jenkins-infra/azure#997
        (2025-04) and Compute's documentation of allocation failures: the other codes.
        No witness: that a family's quota fails the operation of a Regular pool (setting `family_quota`).

        Args:
            cluster: where.
            pool_name: of which pool.
            size_name: of the nodes.
            more: nodes that are new.

        Raises:
            OperationFailed: AllocationFailed and the like, or QuotaExceeded.
        """
        if more <= 0:
            return
        settings = self._world.settings
        size = node_size(size_name)
        for pattern, code in settings.capacity_missing.items():
            if fnmatch.fnmatchcase(size.name.lower(), pattern.lower()):
                raise OperationFailed(code, _capacity_text(code, size.name, cluster, pool_name))
        pool = cluster.pools.get(pool_name.lower())
        name = SPOT if pool is not None and _is_spot(pool.properties) else size.family
        shown = "LowPriorityCores" if name == SPOT else f"{name} Cores"
        limit = self.limit(name)
        current = self.used(cluster.subscription, cluster.location).get(name, 0)
        if current + size.vcpus * more > limit:
            raise OperationFailed(
                "QuotaExceeded",
                f"Operation could not be completed as it results in exceeding approved {shown} quota. Additional "
                f"details - Deployment Model: Resource Manager, Location: {cluster.location}, Current Limit: {limit}, "
                f"Current Usage: {current}, Additional Required: {size.vcpus * more}, (Minimum) New Limit Required: "
                f"{current + size.vcpus * more}. Submit a request for Quota increase at "
                "https://aka.ms/ProdportalCRP/ by "
                "specifying parameters listed in the 'Details' section for deployment to succeed.",
            )

    # network

    async def subnet(self, call: Call) -> Reply:
        """GET …/virtualNetworks/{network}/subnets/{subnet}

        Witness: Network's reference of subnets. No witness: a subnet of AKS's, with the addresses its nodes take.
        """
        names = call.names
        subscription = self._world.subscriptions[names["subscription"].lower()]
        group = subscription.resource_groups.get(names["resource_group"].lower())
        if group is None:
            raise group_not_found(names["resource_group"])
        prefix = self.subnet_prefix(call.path)
        if prefix is None:
            raise resource_not_found(
                "Microsoft.Network/virtualNetworks",
                f"{names['network']}/subnets/{names['subnet']}",
                names["resource_group"],
            )
        return Reply(
            200,
            {
                "name": names["subnet"],
                "id": call.path,
                "etag": 'W/"00000000-0000-0000-0000-000000000000"',
                "properties": {
                    "provisioningState": "Succeeded",
                    "addressPrefix": prefix,
                    "delegations": [],
                    "privateEndpointNetworkPolicies": "Disabled",
                    "privateLinkServiceNetworkPolicies": "Enabled",
                },
                "type": "Microsoft.Network/virtualNetworks/subnets",
            },
        )

    def subnet_prefix(self, subnet_id: str) -> str | None:
        """Address prefix of a subnet; None when it does not exist."""
        wanted = subnet_id.rstrip("/").lower()
        for known, prefix in self._world.settings.vnet_subnets.items():
            if known.rstrip("/").lower() == wanted:
                return prefix
        if wanted.endswith("/virtualnetworks/myvnet/subnets/mysubnet"):
            return DEFAULT_SUBNET_PREFIX
        return None


def _is_spot(pool: Json) -> bool:
    return pool.get("scaleSetPriority") == "Spot"


def _counted_in(size: VmSize, pool: Json) -> tuple[str, ...]:
    """The quotas that a node's vCPUs count in."""
    return (SPOT,) if _is_spot(pool) else ("cores", size.family)


def _localized(family: str) -> str:
    """A family's name as the portal shows it: `standardDSv2Family` is "Standard DSv2 Family vCPUs"."""
    core = re.fullmatch(r"standard *(.+?) *family", family, re.IGNORECASE)
    return f"Standard {core[1]} Family vCPUs" if core else f"{family} vCPUs"


def _capacity_text(code: str, size: str, cluster: Cluster, pool: str) -> str:
    if code == "SkuNotAvailable":
        return (
            f"The requested size for resource '{cluster.id}/agentPools/{pool}' is currently not available in location "
            f"'{cluster.location}' zones '' for subscription '{cluster.subscription}'. Please try another size or "
            "deploy to a "
            "different location or zones. See https://aka.ms/azureskunotavailable for details."
        )
    if code == "OverconstrainedAllocationRequest":
        return (
            "Allocation failed. VM(s) with the following constraints cannot be allocated, because the condition is too "
            f"restrictive. Please remove some constraints and try again. Constraints applied are: - VM Size: {size}"
        )
    where = " in this zone" if code == "ZonalAllocationFailed" else " in this region"
    return (
        f"Allocation failed. We do not have sufficient capacity for the requested VM size{where}. Read more about "
        "improving "
        "likelihood of allocation success at http://aka.ms/allocation-guidance"
    )
