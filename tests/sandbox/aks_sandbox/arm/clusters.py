"""Managed clusters: read, list, update, start, stop, credentials."""

from __future__ import annotations

import base64
import copy
import hashlib
import uuid
from typing import Any

import yaml

from ..entra import with_kubelogin
from ..interfaces import NodePlane
from . import pool_rules
from .agent_pools import ACTION, CLUSTERS, NAMESPACE, find_cluster
from .calls import Call, Reply, Route, route
from .errors import GatewayError, ProviderError, busy, cancel_not_allowed, not_emulated
from .identity import stable_id
from .operations import Operations, fail_if_planted
from .paging import page
from .subscriptions import Subscriptions, group_not_found
from .world import Cluster, Operation, Pool, World, new_etag

Json = dict[str, Any]


def cluster_properties(subscription: str, name: str, resource_group: str, location: str, version: str) -> Json:
    """What a cluster's `properties` show when nothing special was asked for.

    Witness: ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18 (2026-05-01), and PS TestSpot.json, 2025-10-28
    (2025-08-01): all of it. The network is that of the overlay, as `az aks create` makes it since 2025.
    """
    digest = hashlib.sha256(f"{resource_group}/{name}".lower().encode()).hexdigest()
    dns = f"{name.lower()}-{resource_group.lower()}-{digest[:6]}"
    full = version if version.count(".") >= 2 else f"{version}.0"
    nodes = f"MC_{resource_group}_{name}_{location}"
    kubelet, address, issuer = (str(uuid.uuid5(uuid.NAMESPACE_URL, digest + what)) for what in ("id", "ip", "oidc"))
    return {
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "kubernetesVersion": ".".join(full.split(".")[:2]),
        "currentKubernetesVersion": full,
        "dnsPrefix": dns,
        "fqdn": f"{dns}-{digest[6:14]}.hcp.{location}.azmk8s.io",
        "azurePortalFQDN": f"{dns}-{digest[6:14]}.portal.hcp.{location}.azmk8s.io",
        "servicePrincipalProfile": {"clientId": "msi"},
        "addonProfiles": {"extensionManager": {"enabled": True, "config": None}},
        "nodeResourceGroup": nodes,
        "enableRBAC": True,
        "supportPlan": "KubernetesOfficial",
        "networkProfile": {
            "networkPlugin": "azure",
            "networkPluginMode": "overlay",
            "networkPolicy": "none",
            "networkDataplane": "azure",
            "loadBalancerSku": "standard",
            "loadBalancerProfile": {
                "managedOutboundIPs": {"count": 1},
                "effectiveOutboundIPs": [
                    {
                        "id": f"/subscriptions/{subscription}/resourceGroups/{nodes}/providers/Microsoft.Network"
                        f"/publicIPAddresses/{address}"
                    }
                ],
                "backendPoolType": "nodeIPConfiguration",
            },
            "podCidr": "10.244.0.0/16",
            "serviceCidr": "10.0.0.0/16",
            "dnsServiceIP": "10.0.0.10",
            "outboundType": "loadBalancer",
            "podCidrs": ["10.244.0.0/16"],
            "serviceCidrs": ["10.0.0.0/16"],
            "ipFamilies": ["IPv4"],
        },
        "maxAgentPools": 100,
        "identityProfile": {
            "kubeletidentity": {
                "resourceId": f"/subscriptions/{subscription}/resourcegroups/{nodes}/providers"
                f"/Microsoft.ManagedIdentity/userAssignedIdentities/{name}-agentpool",
                "clientId": kubelet,
                "objectId": str(uuid.uuid5(uuid.NAMESPACE_URL, kubelet)),
            }
        },
        "autoUpgradeProfile": {"nodeOSUpgradeChannel": "NodeImage"},
        "securityProfile": {},
        "storageProfile": {
            "diskCSIDriver": {"enabled": True},
            "fileCSIDriver": {"enabled": True},
            "snapshotController": {"enabled": True},
        },
        "oidcIssuerProfile": {
            "enabled": True,
            "issuerURL": f"https://{location}.oic.prod-aks.azure.com/{stable_id('tenant')}/{issuer}/",
        },
        "workloadAutoScalerProfile": {},
        "resourceUID": digest[:24],
        "metricsProfile": {"costAnalysis": {"enabled": False}},
        "nodeProvisioningProfile": {"mode": "Manual", "defaultNodePools": "Auto"},
        "bootstrapProfile": {"artifactSource": "Direct"},
        "hostedSystemProfile": {"enabled": False},
    }


SINCE = {"kind": "2025-08-01", "nodeProvisioningProfile": "2025-08-01", "hostedSystemProfile": "2026-05-01"}
"""Properties of a cluster and its `kind`, and the stable API version that they were first seen in.

Witness: CLI test_aks_create_spot_node_pool.yaml, 2025-07-07 (2025-04-01) has none; PS TestSpot.json, 2025-10-28
(2025-08-01), the first two; ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18 (2026-05-01), all.
No witness: the versions between these, and that previews, which have all here, show them earlier."""
UNTIL = {"nodeProvisioningProfile.defaultNodePools": "2026-05-01"}
"""The API version in which a property was not seen any more.

Witness: as for `SINCE`. No witness: whether it is the version or the date that decides."""


def not_in(version: str) -> tuple[str, ...]:
    """The properties of a cluster that an API version does not have, or no longer has."""
    if version.endswith("-preview"):
        return ()
    early = tuple(name for name, first in SINCE.items() if version < first)
    return early + tuple(name for name, last in UNTIL.items() if version >= last)


SYSTEM_POOL = {"count": 1, "vmSize": "Standard_D4ds_v5", "mode": "System", "osType": "Linux"}


def new_cluster(subscription: str, resource_group: str, name: str, location: str, version: str) -> Cluster:
    """A running cluster with one system pool, nodepool1."""
    properties = cluster_properties(subscription, name, resource_group, location, version)
    cluster = Cluster(subscription, resource_group, name, location, properties)
    cluster.top = {
        "kind": "Base",
        "identity": {
            "type": "SystemAssigned",
            "principalId": new_etag(),
            "tenantId": new_etag(),
        },
        "sku": {"name": "Base", "tier": "Free"},
    }
    properties = pool_rules.filled_in(
        dict(SYSTEM_POOL), cluster.properties["kubernetesVersion"], cluster.properties["currentKubernetesVersion"]
    )
    properties.update(eTag=new_etag(), provisioningState="Succeeded")
    cluster.pools["nodepool1"] = Pool("nodepool1", properties, nodes=properties["count"])
    return cluster


READ_ONLY_BELOW = (
    ("networkProfile", "loadBalancerProfile", "effectiveOutboundIPs"),
    ("oidcIssuerProfile", "issuerURL"),
)
"""Fields below `properties` that AKS alone sets: a PUT may leave them out or send anything."""
READ_ONLY = (
    "provisioningState",
    "powerState",
    "maxAgentPools",
    "currentKubernetesVersion",
    "fqdn",
    "privateFQDN",
    "azurePortalFQDN",
    "resourceUID",
    "agentPoolProfiles",
)


class Clusters:
    """Handlers of managed clusters."""

    def __init__(self, world: World, plane: NodePlane, operations: Operations, subscriptions: Subscriptions) -> None:
        self._world = world
        self._plane = plane
        self._operations = operations
        self._subscriptions = subscriptions

    def routes(self) -> list[Route]:
        """Everything served here."""
        one = CLUSTERS + "/{cluster}"
        in_subscription = "/subscriptions/{subscription}/providers/Microsoft.ContainerService/managedClusters"
        locations = "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}"
        operation = "Microsoft.ContainerService/locations"
        credential = f"{ACTION}/listCluster{{}}Credential/action"
        return [
            route("GET", in_subscription, self.list, f"{ACTION}/read", throttle="ListManagedClusters"),
            route("GET", CLUSTERS, self.list_group, f"{ACTION}/read", throttle="ListManagedClustersByResourceGroup"),
            route("GET", one, self.get, f"{ACTION}/read", throttle="GetManagedCluster"),
            route("PUT", one, self.put, f"{ACTION}/write", throttle="PutManagedCluster"),
            route("PATCH", one, self.patch, f"{ACTION}/write", throttle="Other"),
            route("POST", one + "/start", self.power, f"{ACTION}/start/action", throttle="Other"),
            route("POST", one + "/stop", self.power, f"{ACTION}/stop/action", throttle="Other"),
            route("POST", one + "/abort", self.abort, f"{ACTION}/abort/action", throttle="Other"),
            *(
                route(
                    "POST",
                    f"{one}/listCluster{kind}Credential",
                    self.credentials,
                    credential.format(kind),
                    reads=True,
                    throttle="Other",
                    secret=True,
                )
                for kind in ("User", "Admin", "MonitoringUser")
            ),
            route(
                "GET",
                locations + "/operations/{operation}",
                self._operations.status,
                f"{operation}/operations/read",
                throttle="GetOperationStatus",
            ),
            route(
                "GET",
                locations + "/operationresults/{operation}",
                self._operations.result,
                f"{operation}/operationresults/read",
                throttle="GetOperationStatus",
            ),
        ]

    async def list(self, call: Call) -> Reply:
        """GET …/managedClusters of a subscription"""
        wanted = call.names["subscription"].lower()
        return page(
            self._world,
            call,
            [self._json(call, each) for each in self._world.clusters.values() if each.subscription == wanted],
            of="clusters",
        )

    async def list_group(self, call: Call) -> Reply:
        """GET …/managedClusters of a resource group"""
        subscription = self._world.subscriptions[call.names["subscription"].lower()]
        group = call.names["resource_group"].lower()
        if group not in subscription.resource_groups:
            raise group_not_found(call.names["resource_group"])
        clusters = [
            self._json(call, each)
            for each in self._world.clusters.values()
            if each.subscription == subscription.id and each.resource_group.lower() == group
        ]
        return page(self._world, call, clusters, of="clusters")

    async def get(self, call: Call) -> Reply:
        """GET …/managedClusters/{cluster}"""
        return Reply(200, self._json(call, find_cluster(self._world, call)))

    def _json(self, call: Call, cluster: Cluster) -> bytes:
        """The cluster as this request's API version answers it."""
        version = call.query["api-version"]
        return cluster.serialised(self._world.etags(version), not_in(version))

    async def put(self, call: Call) -> Reply:
        """PUT …/managedClusters/{cluster} of an existing cluster: replaces what can be written.

        The sandbox makes clusters by its own command line, not by this. No witness: entity tags in this answer; that of
        a creation has none (ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18).
        """
        self._subscriptions.require_provider(call.names["subscription"], NAMESPACE)
        try:
            cluster = find_cluster(self._world, call)
        except GatewayError as error:
            if error.code == "ResourceNotFound":
                raise not_emulated(
                    "the creation of clusters by a PUT. `aks_sandbox act add_cluster` and `start --clusters` make them."
                ) from error
            raise
        body = call.json()
        self._check(call, cluster)
        properties = body.get("properties", {})
        profile = properties.get("azureMonitorProfile") or {}
        if "containerInsights" in profile and not self._world.settings.container_insights_in_profile:
            raise ProviderError(
                400,
                "UnmarshalError",
                'UnmarshalEntity encountered error: json: unknown field "containerInsights"',
            )
        for pool in properties.get("agentPoolProfiles") or ():
            if pool.get("name") in cluster.pools and pool.get("nodeImageVersion"):
                cluster.pools[pool["name"]].rollbacks.append(pool["nodeImageVersion"])
        version = properties.get("kubernetesVersion") or cluster.properties["kubernetesVersion"]
        if not f"{cluster.properties['currentKubernetesVersion']}.".startswith(f"{version}."):
            raise not_emulated(
                f"the upgrade of a control plane; this one stays at {cluster.properties['currentKubernetesVersion']}."
            )
        kept = {name: cluster.properties[name] for name in READ_ONLY if name in cluster.properties}
        defaults = cluster_properties(
            cluster.subscription, cluster.name, cluster.resource_group, cluster.location, version
        )
        sent = {name: value for name, value in properties.items() if name not in READ_ONLY and value is not None}
        cluster.properties = {**defaults, **sent, **kept}
        for *path, name in READ_ONLY_BELOW:
            _keep(cluster.properties, defaults, path, name)
        cluster.tags = body.get("tags")
        return self._update(call, cluster, 200)

    async def patch(self, call: Call) -> Reply:
        """PATCH …/managedClusters/{cluster}: tags only.

        No witness: status and headers; they are those of a PUT.
        """
        cluster = find_cluster(self._world, call)
        self._check(call, cluster)
        cluster.tags = call.json().get("tags")
        return self._update(call, cluster, 200)

    def _check(self, call: Call, cluster: Cluster) -> None:
        for each in cluster.under_way():
            raise busy(each.what, each.pool, each.id, each.started, self._world.settings.busy_answer)
        match = call.headers.get("if-match")
        if match and match not in ("*", cluster.etag, f'"{cluster.etag}"'):
            raise ProviderError(412, "PreconditionFailed", "The eTag of the managed cluster is another one.")

    def _update(self, call: Call, cluster: Cluster, status: int) -> Reply:
        async def work(operation: Operation) -> None:
            await self._world.clock.sleep(self._world.settings.cluster_update_seconds)
            fail_if_planted(operation, self._world.settings.failure_shape)
            cluster.properties["provisioningState"] = "Succeeded"
            cluster.touch_all()

        def failed(operation: Operation) -> None:
            cluster.properties["provisioningState"] = operation.status
            cluster.touch_all()

        cluster.properties["provisioningState"] = "Updating"
        cluster.touch_all()
        seconds = self._world.settings.cluster_update_seconds
        operation = self._operations.start(call, cluster, "Updating", work, failed, seconds=seconds)
        return Reply(status, self._json(call, cluster), self._operations.urls(call, operation, location=False))

    async def power(self, call: Call) -> Reply:
        """POST …/start and …/stop: 202.

        No witness: a stopped cluster's JSON, its pools' counts in it, and an API server that goes on answering.
        """
        cluster = find_cluster(self._world, call)
        self._check(call, cluster)
        stop = call.path.lower().rstrip("/").endswith("/stop")

        async def work(operation: Operation) -> None:
            await self._world.clock.sleep(self._world.settings.cluster_power_seconds)
            for pool in cluster.pools.values():
                if pool.stopped and (stop or pool.count_before_stop):
                    continue  # No witness: a pool that was stopped by itself stays so when its cluster starts.
                pool.properties["powerState"] = {"code": "Stopped" if stop else "Running"}
                count = 0 if stop else pool.count
                await self._plane.apply_pool(cluster.key, copy.deepcopy(pool.for_nodes()), count)
                pool.nodes = count
            cluster.properties["powerState"] = {"code": "Stopped" if stop else "Running"}
            cluster.properties["provisioningState"] = "Succeeded"
            cluster.touch_all()

        def failed(operation: Operation) -> None:
            cluster.properties["provisioningState"] = operation.status
            cluster.touch_all()

        what = "Stopping" if stop else "Starting"
        cluster.properties["provisioningState"] = what
        cluster.touch_all()
        seconds = self._world.settings.cluster_power_seconds
        operation = self._operations.start(call, cluster, what, work, failed, seconds=seconds)
        return Reply(202, None, self._operations.urls(call, operation, location=True))

    async def abort(self, call: Call) -> Reply:
        """POST …/abort: 202 with the cluster, or 409.

        Witness: CLI test_aks_abort.yaml, 2025-05-16.
        """
        cluster = find_cluster(self._world, call)
        running = [each for each in cluster.under_way() if each.pool is None]
        if not running:
            raise cancel_not_allowed(cluster.state)
        body = self._json(call, cluster)
        operation = self._operations.abort(cluster, running, None)
        return Reply(202, body, self._operations.urls(call, operation, location=True))

    async def credentials(self, call: Call) -> Reply:
        """POST …/listCluster{User,Admin,MonitoringUser}Credential

        Witness: CLI test_aks_nodepool_update_taints_msi.yaml, 2022-05-13. No witness: the refusal where local accounts
        are disabled, and the kubeconfigs of private clusters and of those with Microsoft Entra ID.
        """
        cluster = find_cluster(self._world, call)
        admin = "admin" in call.path.lower().rpartition("/")[2]
        if admin and cluster.properties.get("disableLocalAccounts"):
            raise ProviderError(
                400,
                "BadRequest",
                "Getting static credential is not allowed because this cluster is set to disable local accounts.",
            )
        text = await self._plane.kubeconfig(cluster.key, admin=admin)
        if (cluster.properties.get("apiServerAccessProfile") or {}).get("enablePrivateCluster"):
            text = _at(text, _private_name(cluster))
        if cluster.properties.get("aadProfile") and not admin:
            text = with_kubelogin(text, self._world.subscriptions[cluster.subscription].tenant)
        name = "clusterAdmin" if admin else "clusterUser"
        return Reply(200, {"kubeconfigs": [{"name": name, "value": base64.b64encode(text.encode()).decode()}]})


def _keep(properties: Json, defaults: Json, path: list[str], name: str) -> None:
    """Give a field AKS's own value, wherever the object that it is in exists."""
    own: Json | None = defaults
    for key in path:
        properties, own = properties.get(key) or {}, (own or {}).get(key)
    if properties and own and name in own:
        properties[name] = own[name]


def _private_name(cluster: Cluster) -> str:
    """The name of a private cluster's API server, which nobody outside its network resolves."""
    if cluster.properties.get("privateFQDN"):
        return str(cluster.properties["privateFQDN"])
    zone = uuid.uuid5(uuid.NAMESPACE_URL, cluster.key)
    return f"{cluster.properties['fqdn'].partition('.')[0]}.{zone}.privatelink.{cluster.location}.azmk8s.io"


def _at(kubeconfig: str, host: str) -> str:
    """A kubeconfig that leads to another host."""
    config = yaml.safe_load(kubeconfig)
    config["clusters"][0]["cluster"]["server"] = f"https://{host}:443"
    return yaml.safe_dump(config, sort_keys=False)
