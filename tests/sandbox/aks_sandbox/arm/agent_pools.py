"""Agent pools: create, update, delete, list, abort, with real long-running operations."""

from __future__ import annotations

import copy
from typing import Any

from ..interfaces import NodePlane
from ..sizes import find, node_size
from . import pool_rules
from .authorization import Authorization
from .calls import Call, Reply, Route, route
from .compute import Compute
from .errors import GatewayError, OperationFailed, ProviderError, in_progress, parent_not_found, resource_not_found
from .operations import Operations
from .paging import page
from .subscriptions import Subscriptions, group_not_found
from .world import Cluster, Operation, Pool, World, new_etag

Json = dict[str, Any]

NAMESPACE = "Microsoft.ContainerService"
CLUSTERS = (
    "/subscriptions/{subscription}/resourcegroups/{resource_group}/providers/Microsoft.ContainerService/managedClusters"
)
ACTION = "Microsoft.ContainerService/managedClusters"
GPU_IMAGE_HEADERS: tuple[str, ...] = ("usegpudedicatedvhd", "usegen2vm")
NODES_JOIN_AFTER = 0.5
"""The part of a creation that passes before its nodes join."""


def truth(text: str | None) -> bool:
    """A header that switches something on."""
    return (text or "").strip().lower() == "true"


def find_cluster(world: World, call: Call) -> Cluster:
    """The cluster that the request is about.

    Raises:
        GatewayError: 404, of the resource group or of the cluster.
    """
    names = call.names
    cluster = world.cluster(names["subscription"], names["resource_group"], names["cluster"])
    if cluster is not None:
        return cluster
    subscription = world.subscriptions[names["subscription"].lower()]
    if names["resource_group"].lower() not in subscription.resource_groups:
        raise group_not_found(names["resource_group"])
    raise resource_not_found(f"{NAMESPACE}/managedClusters", names["cluster"], names["resource_group"])


class AgentPools:
    """Handlers of agent pools."""

    def __init__(
        self,
        world: World,
        plane: NodePlane,
        operations: Operations,
        compute: Compute,
        subscriptions: Subscriptions,
        authorization: Authorization,
    ) -> None:
        self._world = world
        self._plane = plane
        self._operations = operations
        self._compute = compute
        self._subscriptions = subscriptions
        self._authorization = authorization

    def routes(self) -> list[Route]:
        """Everything served here."""
        pools = CLUSTERS + "/{cluster}/agentPools"
        one = pools + "/{pool}"
        action = f"{ACTION}/agentPools"
        return [
            route("GET", pools, self.list, f"{action}/read", throttle="Other"),
            route("GET", one, self.get, f"{action}/read", throttle="Other"),
            route("PUT", one, self.put, f"{action}/write", throttle="PutAgentPool"),
            route("DELETE", one, self.delete, f"{action}/delete", throttle="Other"),
            route("POST", one + "/abort", self.abort, f"{action}/abort/action", throttle="Other"),
        ]

    # reading

    async def list(self, call: Call) -> Reply:
        """GET …/agentPools"""
        cluster = find_cluster(self._world, call)
        return page(self._world, call, [cluster.pool_json(pool) for pool in cluster.pools.values()], of="pools")

    async def get(self, call: Call) -> Reply:
        """GET …/agentPools/{pool}"""
        cluster = find_cluster(self._world, call)
        return Reply(200, cluster.pool_json(self._pool(cluster, call)))

    def _pool(self, cluster: Cluster, call: Call) -> Pool:
        pool = cluster.pools.get(call.names["pool"].lower())
        if pool is None:
            raise ProviderError(
                404,
                "NotFound",
                f"Could not find the agent pool {call.names['pool']} in {cluster.id}.",
                subcode="GetAgentPool_NotFound",
            )
        return pool

    # writing

    async def put(self, call: Call) -> Reply:
        """PUT …/agentPools/{pool}: 201 for a new pool, 200 for an existing one; both with `azure-asyncoperation`."""
        self._subscriptions.require_provider(call.names["subscription"], NAMESPACE)
        try:
            cluster = find_cluster(self._world, call)
        except GatewayError as error:
            if error.code == "ResourceNotFound":
                raise parent_not_found(call.names["cluster"], call.names["pool"]) from error
            raise
        name = call.names["pool"]
        pool = cluster.pools.get(name.lower())
        wanted = pool_rules.read(call.json(), self._world.settings.future_fields)
        self._check_conditions(call, pool)
        self._check_free(cluster, pool, "Updating" if pool else "Creating")
        if cluster.power != "Running":
            raise ProviderError(
                400,
                "OperationNotAllowed",
                f'managed cluster {cluster.name} is in "Stopped" power state: operation is not allowed. Start the '
                "cluster first.",
            )
        if pool is None:
            return self._create(call, cluster, name, wanted)
        return self._update(call, cluster, pool, wanted)

    def _check_conditions(self, call: Call, pool: Pool | None) -> None:
        match, none_match = call.headers.get("if-match"), call.headers.get("if-none-match")
        failed = none_match == "*" and pool is not None
        if match and match != "*":
            failed = failed or pool is None or match.strip('"') != pool.properties["eTag"]
        if match == "*" and pool is None:
            failed = True
        if failed:
            raise ProviderError(
                412,
                "PreconditionFailed",
                "The condition specified using HTTP conditional header(s) is not met: the eTag of "
                "the resource is another one.",
            )

    def _check_free(self, cluster: Cluster, pool: Pool | None, what: str) -> None:
        for operation in cluster.under_way():
            if operation.pool is None:
                raise in_progress(f"Another operation ({operation.what})")
            same = pool is not None and operation.pool == pool.name
            if same and operation.what == "Deleting":
                raise ProviderError(
                    409,
                    "OperationNotAllowed",
                    f"Unable to perform '{what}' operation on 'agentpool' since deletion was issued on 'agentpool'. "
                    "Please see https://aka.ms/aks-pending-operation for more details",
                )
            if same or self._world.settings.two_pools_at_a_time != "accept":
                raise in_progress(f"Another agentpool operation ({operation.pool} - {operation.what})")

    def _create(self, call: Call, cluster: Cluster, name: str, wanted: Json) -> Reply:
        if not wanted.get("vmSize"):
            raise pool_rules.invalid("properties.vmSize", "Required parameter properties.vmSize is missing (null).")
        pool_rules.check(name, wanted)
        pool_rules.check_first_count(wanted)
        self._compute.check_size(cluster, wanted["vmSize"])
        self._compute.check_zones(cluster, name, wanted)
        self._check_stack(cluster, call, wanted)
        self._compute.check_quota(cluster, wanted, wanted["count"])
        version, full = cluster.properties["kubernetesVersion"], cluster.properties["currentKubernetesVersion"]
        properties = pool_rules.filled_in(wanted, version, full)
        for field, value in self._world.settings.future_fields.items():
            properties.setdefault(field, copy.deepcopy(value))
        properties.update(eTag=new_etag(), provisioningState="Creating")
        headers: dict[str, str] = {key: call.headers[key] for key in GPU_IMAGE_HEADERS if key in call.headers}
        pool = Pool(name, properties, headers)
        cluster.pools[name.lower()] = pool
        seconds = self._world.settings.create_seconds
        operation = self._run(call, cluster, pool, "Creating", seconds, seconds * NODES_JOIN_AFTER)
        return Reply(201, cluster.pool_json(pool), self._operations.urls(call, operation, location=False))

    def _check_stack(self, cluster: Cluster, call: Call, wanted: Json) -> None:
        settings, subscription = self._world.settings, cluster.subscription
        if truth(call.headers.get("usegpudedicatedvhd")):
            if not settings.azure_of_2023:
                raise ProviderError(
                    400,
                    "BadRequest",
                    "The AKS GPU image (UseGPUDedicatedVHD) was retired on 2025-01-10. New node pools can't be "
                    "created with it.",
                )
            self._require_feature(subscription, "GPUDedicatedVHDPreview")
        tags = {name.lower(): str(value).lower() for name, value in wanted.get("tags", {}).items()}
        managed = wanted.get("gpuProfile", {}).get("nvidia", {}).get("managementMode") == "Managed"
        if managed or tags.get("enablemanagedgpuexperience") == "true":
            if settings.managed_gpu_needs_feature:
                self._require_feature(subscription, "ManagedGPUExperiencePreview")
            self._check_managed_gpu(wanted)
        self._check_gpu_options(wanted)
        subnet = wanted.get("vnetSubnetID")
        if subnet:
            self._check_subnet(call, subnet)
        provisioning = cluster.properties.get("nodeProvisioningProfile", {}).get("mode")
        if provisioning == "Auto" and wanted.get("enableAutoScaling"):
            raise ProviderError(
                400,
                "BadRequest",
                "Cluster autoscaler can't be enabled on an agent pool of a cluster with node auto-provisioning.",
                target="properties.enableAutoScaling",
            )

    def _check_subnet(self, call: Call, subnet: str) -> None:
        assert call.principal is not None
        join = "Microsoft.Network/virtualNetworks/subnets/join/action"
        if not self._authorization.may(call.principal, join):
            raise GatewayError(
                403,
                "LinkedAuthorizationFailed",
                f"The client '{call.principal.client_id}' with object id '{call.principal.object_id}' has permission "
                "to "
                f"perform action '{ACTION}/agentPools/write' on scope '{call.path}'; however, it does not have "
                "permission "
                f"to perform action(s) '{join}' on the linked scope(s) '{subnet}' (respectively) or the linked "
                "scope(s) are "
                "invalid.",
            )
        if self._compute.subnet_prefix(subnet) is None:
            raise ProviderError(
                400, "InvalidParameter", f"The subnet {subnet} does not exist.", target="properties.vnetSubnetID"
            )

    @staticmethod
    def _check_gpu_options(wanted: Json) -> None:
        size = find(wanted["vmSize"])
        if wanted.get("gpuInstanceProfile") and (size is None or size.gpu is None or not size.gpu.mig_slices):
            raise ProviderError(
                400,
                "BadRequest",
                f"GPUInstanceProfile is not supported for VM size {wanted['vmSize']}.",
                target="properties.gpuInstanceProfile",
            )
        if "gpuProfile" in wanted and (size is None or size.gpu is None):
            raise ProviderError(
                400,
                "BadRequest",
                f"gpuProfile is not supported for VM size {wanted['vmSize']}, which has no GPU.",
                target="properties.gpuProfile",
            )
        amd = size is not None and size.gpu is not None and size.gpu.vendor == "amd"
        if amd and wanted.get("gpuProfile", {}).get("driver", "Install") != "None":
            raise ProviderError(
                400,
                "BadRequest",
                f"VM size {wanted['vmSize']} has AMD GPUs: gpuProfile.driver must be None.",
                target="properties.gpuProfile.driver",
            )

    @staticmethod
    def _check_managed_gpu(wanted: Json) -> None:
        if wanted.get("enableAutoScaling"):
            raise ProviderError(
                400,
                "BadRequest",
                "Cluster autoscaler is not supported for agent pools with managed GPU.",
                target="properties.enableAutoScaling",
            )
        if wanted.get("osType") == "Windows":
            raise ProviderError(
                400,
                "BadRequest",
                "Windows is not supported for agent pools with managed GPU.",
                target="properties.osType",
            )

    def _require_feature(self, subscription: str, feature: str) -> None:
        if not self._subscriptions.feature_in_effect(subscription, NAMESPACE, feature):
            raise ProviderError(
                400, "PreviewFeatureNotRegistered", f"Preview feature {NAMESPACE}/{feature} not registered."
            )

    def _update(self, call: Call, cluster: Cluster, pool: Pool, wanted: Json) -> Reply:
        current = pool.properties
        count = int(current["count"])
        wanted.setdefault("count", count)
        rollback = wanted.pop("nodeImageVersion", None)
        pool_rules.check_immutable(current, wanted)
        merged = {**wanted, "mode": wanted.get("mode", current["mode"]), "osType": current["osType"]}
        merged.setdefault("scaleSetPriority", current.get("scaleSetPriority", "Regular"))
        pool_rules.check(pool.name, merged, kept_labels=current.get("nodeLabels", {}))
        managed = current.get("gpuProfile", {}).get("nvidia", {}).get("managementMode") == "Managed"
        if managed:
            self._check_managed_gpu({**wanted, "osType": current["osType"]})
        self._decide_count(pool, wanted)
        self._check_system_pool(cluster, pool, merged["mode"])
        self._compute.check_quota(cluster, current, wanted["count"] - count)
        fresh = pool_rules.replaced(current, wanted)
        spot = current.get("scaleSetPriority") == "Spot"
        if spot and self._world.settings.spot_taint_readded:
            pool_rules.add_spot_marks(fresh)
        what, seconds = "Updating", self._world.settings.update_seconds
        if fresh["powerState"] != current["powerState"]:
            what = "Stopping" if fresh["powerState"].get("code") == "Stopped" else "Starting"
        elif fresh["count"] != count:
            what, seconds = "Scaling", self._world.settings.scale_seconds
        elif rollback is not None:
            what = "Upgrading"
        if rollback is not None:
            pool.rollbacks.append(rollback)
        pool.properties = fresh
        fresh.update(eTag=new_etag(), provisioningState=what)
        fresh.pop("status", None)
        operation = self._run(call, cluster, pool, what, seconds, seconds * NODES_JOIN_AFTER)
        return Reply(200, cluster.pool_json(pool), self._operations.urls(call, operation, location=False))

    def _decide_count(self, pool: Pool, wanted: Json) -> None:
        """What a `count` in the body means while the cluster autoscaler is, or gets, switched on."""
        current = pool.properties
        before, after = bool(current.get("enableAutoScaling")), bool(wanted.get("enableAutoScaling"))
        behaviour = self._world.settings.count_under_autoscaler
        if wanted["count"] != current["count"] and (before or after):
            if behaviour == "refuse" and before and after:
                raise ProviderError(
                    400,
                    "BadRequest",
                    f"Cannot manually scale VMSS Agentpool '{pool.name}': cluster autoscaler is enabled.",
                    target="properties.count",
                )
            if behaviour == "refuse":
                switch = "enable" if after else "disable"
                raise ProviderError(
                    400,
                    "BadRequest",
                    f"Cannot manually scale and {switch} cluster autoscaler in the same update operation on VMSS "
                    "Agentpool "
                    f"'{pool.name}'.",
                    target="properties.count",
                )
            if behaviour == "ignore" and after:
                wanted["count"] = current["count"]
        if after:
            wanted["count"] = min(max(wanted["count"], wanted["minCount"]), wanted["maxCount"])

    def _check_system_pool(self, cluster: Cluster, pool: Pool, mode: str | None) -> None:
        others = [each for each in cluster.pools.values() if each is not pool and each.properties["mode"] == "System"]
        if pool.properties["mode"] == "System" and mode != "System" and not others:
            raise ProviderError(
                400, "OperationNotAllowed", "There has to be at least one agent pool of mode System in the cluster."
            )

    def _run(self, call: Call, cluster: Cluster, pool: Pool, what: str, seconds: float, join: float) -> Operation:
        clock = self._world.clock
        begun = clock.seconds()

        async def work(operation: Operation) -> None:
            await clock.sleep(join)
            properties = pool.properties
            if operation.forced_failure is not None:
                raise OperationFailed(
                    str(operation.forced_failure.get("code", "InternalOperationError")),
                    str(operation.forced_failure.get("message", "Internal server error")),
                )
            stopped = properties["powerState"].get("code") == "Stopped"
            count = 0 if stopped else int(properties["count"])
            self._check_generation(pool)
            self._compute.allocate(cluster, pool.name, properties["vmSize"], count - pool.nodes)
            try:
                await self._plane.apply_pool(cluster.key, copy.deepcopy(pool.for_nodes()), count)
            finally:
                pool.nodes = (await self._plane.node_counts(cluster.key)).get(pool.name, 0)
            await clock.sleep(begun + seconds - clock.seconds())
            pool.properties.update(provisioningState="Succeeded", eTag=new_etag())
            pool.properties.pop("status", None)

        def failed(operation: Operation) -> None:
            self._failed(pool, operation)

        operation = self._operations.start(call, cluster, what, work, failed, pool.name)
        cluster.changed()
        return operation

    @staticmethod
    def _check_generation(pool: Pool) -> None:
        """The GPU image is of generation 1 unless `usegen2vm` says otherwise."""
        size = node_size(pool.properties["vmSize"])
        if not truth(pool.headers.get("usegpudedicatedvhd")):
            return
        if truth(pool.headers.get("usegen2vm")):
            if "V2" not in size.generations:
                raise OperationFailed(
                    "BadRequest", f"The selected VM size '{size.name}' cannot boot Hypervisor Generation '2'."
                )
        elif "V1" not in size.generations:
            raise OperationFailed(
                "BadRequest",
                f"The selected VM size '{size.name}' cannot boot Hypervisor Generation '1'. If this was a Create "
                "operation "
                "please check that the Hypervisor Generation of the Image matches the Hypervisor Generation of the "
                "selected "
                "VM Size.",
            )

    @staticmethod
    def _failed(pool: Pool, operation: Operation) -> None:
        state = "Canceled" if operation.status == "Canceled" else "Failed"
        pool.properties.update(provisioningState=state, eTag=new_etag())
        if operation.error is not None and state == "Failed":
            pool.properties["status"] = {"provisioningError": dict(operation.error)}

    async def delete(self, call: Call) -> Reply:
        """DELETE …/agentPools/{pool}: 202, or 204 when there is none."""
        cluster = find_cluster(self._world, call)
        pool = cluster.pools.get(call.names["pool"].lower())
        if pool is None:
            return Reply(204)
        self._check_conditions(call, pool)
        self._check_free(cluster, pool, "Deleting")
        self._check_system_pool(cluster, pool, None)
        ignore = truth(call.query.get("ignore-pod-disruption-budget"))
        settings, clock = self._world.settings, self._world.clock
        begun = clock.seconds()

        async def work(operation: Operation) -> None:
            await clock.sleep(settings.delete_seconds / 3)
            if operation.forced_failure is not None:
                raise OperationFailed(
                    str(operation.forced_failure.get("code", "InternalOperationError")),
                    str(operation.forced_failure.get("message", "Internal server error")),
                )
            blocking = await self._plane.drain_pool(cluster.key, pool.name, ignore, settings.drain_timeout_seconds)
            if blocking and not ignore:
                raise OperationFailed(
                    "PodDrainFailure", _drain_text(pool.name, blocking, settings.drain_timeout_seconds)
                )
            await self._plane.remove_pool(cluster.key, pool.name)
            await clock.sleep(begun + settings.delete_seconds - clock.seconds())
            cluster.pools.pop(pool.name.lower(), None)

        def failed(operation: Operation) -> None:
            self._failed(pool, operation)

        pool.properties.update(provisioningState="Deleting", eTag=new_etag())
        pool.properties.pop("status", None)
        operation = self._operations.start(call, cluster, "Deleting", work, failed, pool.name)
        cluster.changed()
        return Reply(202, None, self._operations.urls(call, operation, location=True))

    async def abort(self, call: Call) -> Reply:
        """POST …/agentPools/{pool}/abort: 202, or 204 when nothing is under way."""
        cluster = find_cluster(self._world, call)
        pool = self._pool(cluster, call)
        running = [each for each in cluster.under_way() if each.pool == pool.name]
        if not running:
            return Reply(204)
        pool.properties.update(provisioningState="Canceling", eTag=new_etag())
        cluster.changed()
        operation = Operation(
            id=new_etag(),
            location=cluster.location,
            subscription=cluster.subscription,
            what="Canceling",
            started=self._world.clock.timestamp(),
            pool=pool.name,
        )
        self._world.operations[operation.id] = operation

        async def work() -> None:
            for each in running:
                await self._operations.cancel(each)
            operation.status, operation.ended = "Succeeded", self._world.clock.timestamp()

        operation.task = self._world.spawn(work(), f"abort {cluster.name}/{pool.name}")
        return Reply(202, None, self._operations.urls(call, operation, location=True))

    # by itself

    async def count_changed(self, cluster_id: str, pool_name: str, count: int) -> None:
        """The autoscaler or an eviction moved a pool's count."""
        cluster = self._world.clusters.get(cluster_id.lower())
        pool = cluster.pools.get(pool_name.lower()) if cluster else None
        if cluster is None or pool is None or pool.properties["count"] == count:
            return
        pool.nodes = count
        pool.properties.update(count=count, eTag=new_etag())
        cluster.changed()


def _drain_text(pool: str, blocking: list[str], seconds: float) -> str:
    return (
        f"Node pool '{pool}' failed to be drained with error: 'Drain did not complete pods [{', '.join(blocking)}] "
        "within "
        f"{seconds:g}s'. See http://aka.ms/aks/debugdrainfailures"
    )
