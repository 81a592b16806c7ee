"""The emulated Azure, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..interfaces import NodePlane, SandboxError, Settings
from . import pool_rules
from .agent_pools import AgentPools
from .authorization import Authorization
from .calls import Call, Reply, route
from .clusters import Clusters, new_cluster
from .compute import Compute
from .faults import Faults
from .identity import Identity, stable_id
from .machines import Machines
from .monitor_data import MonitorData
from .monitor_resources import MonitorResources
from .operations import Operations
from .recording import Recording
from .run_command import RunCommands
from .subscriptions import Subscriptions, new_subscription
from .throttles import Throttles
from .transport import Gateway
from .world import Clock, Cluster, Pool, World, new_etag

Json = dict[str, Any]

TENANT = stable_id("tenant")
SUBSCRIPTION = stable_id("subscription")
RESOURCE_GROUP = "myResourceGroup"
CLUSTER = "myAKSCluster"
LOCATION = "westus2"


class Azure:
    """One tenant, its subscription, and everything in it."""

    def __init__(self, settings: Settings, plane: NodePlane, traffic: Path) -> None:
        self.settings = settings
        self.plane = plane
        self.world = World(settings, Clock(settings))
        self.identity = Identity(self.world, TENANT)
        self.identity.add_defaults()
        self.authorization = Authorization(self.world)
        self.faults = Faults()
        self.throttles = Throttles(self.world.clock)
        self.recording = Recording(traffic)
        self.operations = Operations(self.world)
        self.subscriptions = Subscriptions(self.world)
        self.compute = Compute(self.world, self.subscriptions)
        self.pools = AgentPools(
            self.world, plane, self.operations, self.compute, self.subscriptions, self.authorization
        )
        self.machines = Machines(self.world, plane, self.operations, self.pools)
        self.clusters = Clusters(self.world, plane, self.operations, self.subscriptions)
        self.run_commands = RunCommands(self.world, plane, settings)
        self.monitor = MonitorResources(self.world, self.subscriptions)
        self.metrics = MonitorData(self.world, plane, self.identity, self.authorization, self.monitor)
        self.monitor.on_association = self.metrics.start
        self.gateway = Gateway(
            self.world, self.identity, self.authorization, self.faults, self.throttles, self.recording
        )
        plane.on_count_changed(self.pools.count_changed)
        self._add_routes()
        self.add_subscription(SUBSCRIPTION, "aks-sandbox", RESOURCE_GROUP, LOCATION)

    def _add_routes(self) -> None:
        identity, gateway = self.identity, self.gateway
        permissions = "/providers/Microsoft.Authorization/permissions"
        read = "Microsoft.Authorization/permissions/read"
        gateway.add(
            route("GET", "/{tenant}/v2.0/.well-known/openid-configuration", identity.configuration, None),
            route("GET", "/{tenant}/.well-known/openid-configuration", identity.configuration, None),
            route("GET", "/{tenant}/discovery/v2.0/keys", identity.keys, None),
            route("POST", "/{tenant}/oauth2/v2.0/token", identity.issue, None, reads=True, secret=True),
            route("GET", "/common/discovery/instance", identity.discovery, None),
            route("GET", "/common/userrealm/{user}", identity.realm, None),
            route("GET", "/metadata/identity/oauth2/token", identity.instance_metadata, None, secret=True),
            route("GET", "/msi/token", identity.instance_metadata, None, secret=True),
            *self.subscriptions.routes(),
            *self.clusters.routes(),
            *self.run_commands.routes(),
            *self.pools.routes(),
            *self.machines.routes(),
            *self.compute.routes(),
            *self.monitor.routes(),
            *self.metrics.routes(),
            route("GET", "/subscriptions/{subscription}" + permissions, self._permissions, read),
            route("GET", "/subscriptions/{subscription}/{scope*}" + permissions, self._permissions, read),
        )

    async def _permissions(self, call: Call) -> Reply:
        assert call.principal is not None
        return Reply(200, self.authorization.permissions(call.principal))

    def add_subscription(self, subscription_id: str, name: str, resource_group: str, location: str) -> None:
        """A subscription with one resource group."""
        subscription = new_subscription(subscription_id, name, TENANT)
        self.world.subscriptions[subscription_id] = subscription
        self.add_resource_group(subscription_id, resource_group, location)

    def add_resource_group(self, subscription_id: str, name: str, location: str) -> None:
        """A resource group."""
        self.world.subscriptions[subscription_id].resource_groups[name.lower()] = {
            "id": f"/subscriptions/{subscription_id}/resourceGroups/{name}",
            "name": name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "properties": {"provisioningState": "Succeeded"},
        }

    async def add_cluster(
        self,
        name: str,
        version: str,
        *,
        subscription: str = SUBSCRIPTION,
        resource_group: str = RESOURCE_GROUP,
        location: str = LOCATION,
    ) -> Cluster:
        """A cluster that exists from the start: control plane up, system pool Ready."""
        cluster = new_cluster(subscription, resource_group, name, location, version)
        await self.plane.create_cluster(cluster.as_json())
        for pool in cluster.pools.values():
            await self.plane.apply_pool(cluster.key, pool.for_nodes(), pool.nodes)
        self.world.clusters[cluster.key] = cluster
        return cluster

    def set_base_url(self, url: str) -> None:
        """Where the server is reached."""
        self.gateway.base_url = url
        self.identity.world_url = url

    def cluster_named(self, name: str) -> Cluster:
        """The cluster of that name in any resource group.

        Raises:
            SandboxError: none.
        """
        for cluster in self.world.clusters.values():
            if cluster.name.lower() == name.lower():
                return cluster
        known = ", ".join(sorted(each.name for each in self.world.clusters.values())[:20])
        raise SandboxError(f"There is no cluster {name}. Clusters: {known}")

    async def act(self, action: str, values: Json) -> Json:
        """Something that happens in Azure without anybody's request, for tests.

        `count` (cluster, pool, count): the autoscaler moves a pool. `background` (cluster, seconds): an add-on's
        operation. `touch` (cluster): new etags. `pool` (cluster, pool, properties): somebody else's change of a pool;
        null removes; a pool that does not exist is put there, also one of type VirtualMachines.
        `cluster` (cluster, properties, tags): the same of a cluster. `remove_pool` (cluster, pool).
        `metrics_history` (cluster, minutes): agents have reported all that time. `gpu_pod` (cluster, pool, name, gpus,
        trains, namespace, container): a Pod in a cluster without Kubernetes; 0 GPUs: it goes.
        `component` (cluster, name, what: kill, restart or pause, seconds): a part of a control plane is disturbed.
        `feature` (name, state). `provider` (namespace, state). `fill_throttles`. `add_subscription` (id, name,
        resource_group, location). `add_resource_group` (name, location, subscription). `add_cluster` (name, version,
        location, resource_group, subscription).

        Raises:
            SandboxError: no such action, or wrong values.
        """
        try:
            return await self._act(action, values)
        except KeyError as error:
            raise SandboxError(f"{action}: {error} is missing or not known") from error

    async def _act(self, action: str, values: Json) -> Json:
        if action == "feature":
            subscription = self.world.subscriptions[values.get("subscription", SUBSCRIPTION)]
            key = (values.get("namespace", "Microsoft.ContainerService").lower(), values["name"].lower())
            subscription.features[key] = {"state": values["state"], "since": self.world.clock.seconds()}
            return {}
        if action == "provider":
            subscription = self.world.subscriptions[values.get("subscription", SUBSCRIPTION)]
            subscription.providers[values["namespace"].lower()]["registrationState"] = values["state"]
            return {}
        if action == "fill_throttles":
            self.throttles.clear()
            return {}
        if action == "add_subscription":
            self.add_subscription(
                values["id"],
                str(values.get("name", values["id"])),
                values.get("resource_group", RESOURCE_GROUP),
                values.get("location", LOCATION),
            )
            return {}
        if action == "add_resource_group":
            self.add_resource_group(
                values.get("subscription", SUBSCRIPTION), values["name"], values.get("location", LOCATION)
            )
            return {}
        if action == "add_cluster":
            where = {name: values[name] for name in ("location", "resource_group", "subscription") if name in values}
            return {"id": (await self.add_cluster(values["name"], values["version"], **where)).id}
        cluster = self.cluster_named(values["cluster"])
        if action == "touch":
            cluster.touch_all()
        elif action == "background":
            self.operations.background(cluster, float(values["seconds"]))
        elif action == "cluster":
            _overlay(cluster.properties, values.get("properties", {}))
            cluster.tags = values.get("tags", cluster.tags)
            cluster.touch_all()
        elif action == "count":
            pool = cluster.pools[values["pool"]]
            await self.plane.apply_pool(cluster.key, pool.for_nodes(), int(values["count"]))
            await self.pools.count_changed(cluster.key, pool.name, int(values["count"]))
        elif action == "pool":
            await self._put_pool(cluster, values["pool"], values["properties"])
        elif action == "component":
            await self.plane.component(cluster.key, values["name"], values["what"], float(values.get("seconds", 0)))
        elif action == "metrics_history":
            await self.metrics.history(cluster, int(values["minutes"]))
        elif action == "gpu_pod":
            self.metrics.pod(cluster, {name: value for name, value in values.items() if name != "cluster"})
        elif action == "remove_pool":
            pool = cluster.pools.pop(values["pool"])
            await self.plane.remove_pool(cluster.key, pool.name)
            cluster.changed()
        else:
            raise SandboxError(f"There is no action {action}.")
        return {}

    async def _put_pool(self, cluster: Cluster, name: str, properties: Json) -> None:
        """Somebody else's pool, or change of a pool.

        A pool of type VirtualMachines shows `count: null` and `vmSize: ""`. Witness: CLI
        test_aks_create_autoscaler_then_update_vms_pool.yaml, 2026-07-28.
        """
        pool = cluster.pools.get(name)
        if pool is None:
            version, full = cluster.properties["kubernetesVersion"], cluster.properties["currentKubernetesVersion"]
            fresh = pool_rules.filled_in({"count": 1, "vmSize": "Standard_D4ds_v5", **properties}, version, full)
            pool = Pool(name, {**fresh, "provisioningState": "Succeeded", "eTag": ""})
            _as_virtual_machines(pool)
            count = 0 if pool.stopped else pool.count
            await self.plane.apply_pool(cluster.key, pool.for_nodes(), count)
            pool.nodes = count
            cluster.pools[name] = pool
        else:
            stopped, count = pool.stopped, pool.properties["count"]
            _overlay(pool.properties, properties)
            _as_virtual_machines(pool)
            if pool.stopped != stopped:
                pool.properties["count"] = 0 if pool.stopped else pool.count_before_stop
                pool.count_before_stop = count if pool.stopped else 0
                pool.nodes = pool.properties["count"]
                await self.plane.apply_pool(cluster.key, pool.for_nodes(), pool.nodes)
        pool.properties["eTag"] = new_etag()
        cluster.changed()

    def describe(self) -> Json:
        """Clusters and pools in short, for `status`."""
        clusters = [
            {
                "name": each.name,
                "state": each.state,
                "power": each.power,
                "pools": [
                    {
                        "name": pool.name,
                        "size": pool.properties["vmSize"],
                        "count": pool.properties["count"],
                        "nodes": pool.nodes,
                        "state": pool.state,
                        "rollbacks": pool.rollbacks,
                    }
                    for pool in each.pools.values()
                ],
            }
            for each in self.world.clusters.values()
        ]
        return {"clusters": clusters, "operations": len(self.world.operations)}

    async def close(self) -> None:
        """End what runs."""
        await self.world.close()
        self.recording.close()


def _as_virtual_machines(pool: Pool) -> None:
    """Give a pool of type VirtualMachines what it shows instead of a size and a count."""
    properties = pool.properties
    if not pool.virtual_machines:
        return
    size, count = properties.get("vmSize"), properties.get("count")
    if size:
        properties.setdefault("virtualMachinesProfile", {"scale": {"manual": [{"size": size, "count": count or 0}]}})
    properties.update(
        count=None,
        vmSize="",
        virtualMachineNodesStatus=[{"size": each, "count": number} for each, number in pool.profiles],
    )


def _overlay(onto: Json, values: Json) -> None:
    for name, value in values.items():
        if value is None:
            onto.pop(name, None)
        else:
            onto[name] = value
