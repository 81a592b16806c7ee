"""Agent pools: create, update, stop, start, delete, list, abort; with real long-running operations."""

from __future__ import annotations

import copy
from typing import Any

from ..interfaces import Machine, NodePlane
from ..sizes import find, node_size
from . import pool_rules
from .api_versions import not_in
from .authorization import Authorization
from .calls import Call, Reply, Route, route
from .compute import Compute
from .errors import (
    GatewayError,
    OperationFailed,
    ProviderError,
    busy,
    cancel_not_allowed,
    create_precondition_failed,
    not_emulated,
    parent_not_found,
    pool_not_found,
    resource_not_found,
    version_too_new,
)
from .operations import Operations, fail_if_planted
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
CHOSEN_SIZE = "Standard_D4plds_v5"
"""What AKS takes for an empty `vmSize`. Witness: CLI test_aks_create_spot_node_pool.yaml, 2025-07-07."""

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
        pools = [self._json(call, cluster, pool) for pool in cluster.pools.values()]
        return page(self._world, call, pools, of="pools")

    async def get(self, call: Call) -> Reply:
        """GET …/agentPools/{pool}"""
        cluster = find_cluster(self._world, call)
        return Reply(200, self._json(call, cluster, self.find(cluster, call)))

    def _json(self, call: Call, cluster: Cluster, pool: Pool, **shown: Any) -> Json:
        """The pool as this request's API version answers it.

        Args:
            shown: Properties that the answer shows and the pool doesn't have (yet).
        """
        body = cluster.pool_json(pool, self._world.etags(call.query["api-version"]), not_in(call.query["api-version"]))
        body["properties"] = {name: shown.get(name, value) for name, value in body["properties"].items()}
        return body

    def find(self, cluster: Cluster, call: Call) -> Pool:
        """The pool that the request is about.

        Raises:
            ProviderError: 404.
        """
        pool = cluster.pools.get(call.names["pool"].lower())
        if pool is None:
            raise pool_not_found(cluster.subscription, cluster.resource_group, cluster.name, call.names["pool"])
        return pool

    # writing

    async def put(self, call: Call) -> Reply:
        """PUT …/agentPools/{pool}: 201 for a new pool, 200 for an existing one; both with `azure-asyncoperation`.

        No witness: code and text of the refusal in a stopped cluster.
        """
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
        if wanted.get("type") == "VirtualMachines" or (pool is not None and pool.virtual_machines):
            raise not_emulated(
                "writing agent pools of type VirtualMachines. `aks_sandbox act pool` puts one there to be read."
            )
        self._check_conditions(call, pool)
        self.check_free(cluster, pool, "Updating" if pool else "Creating")
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
        """
        Raises:
            ProviderError: 412. No witness: the body of a 412, and its text where the pool exists.
        """
        match, none_match = call.headers.get("if-match"), call.headers.get("if-none-match")
        refused = none_match == "*" and call.method == "PUT" and self._world.settings.create_precondition == "refuse"
        if pool is None and (match or refused):
            raise create_precondition_failed()
        failed = none_match == "*" and pool is not None
        if pool is not None and match and match != "*":
            failed = failed or match.strip('"') != pool.properties["eTag"]
        if failed:
            raise ProviderError(
                412,
                "PreconditionFailed",
                "The condition specified using HTTP conditional header(s) is not met: the eTag of "
                "the resource is another one.",
            )

    def check_free(self, cluster: Cluster, pool: Pool | None, what: str) -> None:
        """
        Raises:
            ProviderError: 409, another operation is in progress. No witness: the text during a pool's own deletion, and
                whether AKS accepts operations on two pools at a time (setting `two_pools_at_a_time`).
        """
        settings = self._world.settings
        for operation in cluster.under_way():
            answer = busy(operation.what, operation.pool, operation.id, operation.started, settings.busy_answer)
            if operation.pool is None:
                raise answer
            same = pool is not None and operation.pool == pool.name
            if same and operation.what == "Deleting":
                raise ProviderError(
                    409,
                    "OperationNotAllowed",
                    f"Unable to perform '{what}' operation on 'agentpool' since deletion was issued on 'agentpool'. "
                    "Please see https://aka.ms/aks-pending-operation for more details",
                )
            if same or settings.two_pools_at_a_time != "accept":
                raise answer

    def _create(self, call: Call, cluster: Cluster, name: str, wanted: Json) -> Reply:
        if "vmSize" not in wanted:
            raise pool_rules.invalid("properties.vmSize", "Required parameter properties.vmSize is missing (null).")
        wanted["vmSize"] = wanted["vmSize"] or CHOSEN_SIZE
        pool_rules.check(name, wanted)
        pool_rules.check_first_count(wanted)
        self._check_version(cluster, wanted)
        self._compute.check_size(cluster, wanted["vmSize"])
        self._compute.check_zones(cluster, name, wanted)
        self._check_stack(cluster, call, wanted)
        self._compute.check_quota(cluster, wanted, wanted["count"])
        version, full = cluster.properties["kubernetesVersion"], cluster.properties["currentKubernetesVersion"]
        price_shown = self._world.settings.spot_max_price_default == "shown"
        max_pods = pool_rules.default_max_pods(cluster.properties["networkProfile"])
        properties = pool_rules.filled_in(wanted, version, full, price_shown=price_shown, max_pods=max_pods)
        for field, value in self._world.settings.future_fields.items():
            properties.setdefault(field, copy.deepcopy(value))
        properties.update(eTag=new_etag(), provisioningState="Creating")
        headers: dict[str, str] = {key: call.headers[key] for key in GPU_IMAGE_HEADERS if key in call.headers}
        pool = Pool(name, properties, headers)
        cluster.pools[name.lower()] = pool
        seconds = self._world.settings.create_seconds
        operation = self._run(call, cluster, pool, "Creating", seconds, seconds * NODES_JOIN_AFTER)
        return Reply(201, self._json(call, cluster, pool), self._operations.urls(call, operation, location=False))

    def _check_stack(self, cluster: Cluster, call: Call, wanted: Json) -> None:
        """How the nodes get drivers, and the network they are in.

        No witness: the refusal of the retired GPU image, that managed GPU requires a feature (setting
        `managed_gpu_needs_feature`), and the refusal of the autoscaler beside node auto-provisioning.
        """
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
        """Witness: Microsoft's page on LinkedAuthorizationFailed. No witness: the answer for a missing subnet."""
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
        """No witness: codes and texts of these refusals."""
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
        """Witness: Microsoft's page aks-managed-gpu-nodes, its limitations.

        No witness: codes and texts of these refusals.
        """
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
        if self._world.settings.spot_taint_dropped == "refuse":
            pool_rules.check_spot_taint(current, wanted)
        self._check_version(cluster, wanted)
        merged = {**wanted, "mode": wanted.get("mode", current["mode"]), "osType": current["osType"]}
        merged.setdefault("scaleSetPriority", current.get("scaleSetPriority", "Regular"))
        pool_rules.check(pool.name, merged, kept_labels=current.get("nodeLabels", {}))
        managed = current.get("gpuProfile", {}).get("nvidia", {}).get("managementMode") == "Managed"
        if managed:
            self._check_managed_gpu({**wanted, "osType": current["osType"]})
        self._decide_power(pool, wanted, merged["mode"])
        self._decide_count(pool, wanted)
        self._check_system_pool(cluster, pool, merged["mode"])
        self._compute.check_quota(cluster, current, wanted["count"] - count)
        fresh = pool_rules.replaced(current, wanted)
        spot = current.get("scaleSetPriority") == "Spot"
        if spot and self._world.settings.spot_taint_dropped == "readd":
            pool_rules.add_spot_marks(fresh)
        what, seconds = "Updating", self._world.settings.update_seconds
        if fresh["powerState"] != current["powerState"]:
            what = "Stopping" if fresh["powerState"].get("code") == "Stopped" else "Starting"
        elif fresh["orchestratorVersion"] != current["orchestratorVersion"]:
            what = "Upgrading"
        elif fresh["count"] != count:
            what, seconds = "Scaling", self._world.settings.scale_seconds
        elif rollback is not None:
            what = "Upgrading"
        if rollback is not None:
            pool.rollbacks.append(rollback)
        if what in ("Stopping", "Starting"):
            pool.count_before_stop = count if what == "Stopping" else 0
        pool.properties = fresh
        fresh.update(eTag=new_etag(), provisioningState=what)
        fresh.pop("status", None)
        operation = self._run(call, cluster, pool, what, seconds, seconds * NODES_JOIN_AFTER)
        shown = {"count": 0} if what == "Stopping" else {}
        urls = self._operations.urls(call, operation, location=False)
        return Reply(200, self._json(call, cluster, pool, **shown), urls)

    @staticmethod
    def _check_version(cluster: Cluster, wanted: Json) -> None:
        """
        Raises:
            ProviderError: the pool's version would be above the control plane's.
        """
        version, full = wanted.get("orchestratorVersion"), str(cluster.properties["currentKubernetesVersion"])
        parts = str(version or full).split(".")
        if all(part.isdecimal() for part in parts) and [int(part) for part in parts] > [
            int(part) for part in full.split(".")[: len(parts)]
        ]:
            raise version_too_new(str(version), full)

    @staticmethod
    def _decide_power(pool: Pool, wanted: Json, mode: str) -> None:
        """What the power state in the body means for the count.

        The PUT that stops answers count 0 whatever was sent; a GET shows the old count until the end of the operation,
        and 0 from then on. The PUT that starts restores the old count whatever was sent. Witness: CLI
        test_aks_nodepool_abort.yaml, 2023-06-29; CLX test_aks_nodepool_stop_and_start.yaml, 2023-06-21; CLI
        test_aks_nodepool_stop_and_start.yaml, 2025-07-08. No witness: another count than 0 while the pool is, or stays,
        stopped (it is taken for 0).

        Raises:
            ProviderError: 400, a system pool can't be stopped. Witness: Microsoft's page on starting and stopping node
                pools. No witness: code and text of that refusal.
        """
        power = wanted.get("powerState") or pool.properties["powerState"]
        stop = power.get("code") == "Stopped"
        if stop and mode == "System":
            raise ProviderError(
                400,
                "OperationNotAllowed",
                f"Agent pool '{pool.name}' is of mode System: it can't be stopped.",
                target="properties.powerState",
            )
        if stop:
            wanted["count"] = pool.properties["count"]
        elif pool.stopped:
            wanted["count"] = pool.count_before_stop

    def _decide_count(self, pool: Pool, wanted: Json) -> None:
        """What a `count` in the body means while the cluster autoscaler is, or gets, switched on.

        The answer echoes the count, whatever the bounds; AKS moves it within the operation. Witness: CLI
        test_aks_nodepool_autoscaler_then_update.yaml, 2023-06-29. No witness: another count than the pool's while the
        autoscaler is on (setting `count_under_autoscaler`).
        """
        current = pool.properties
        if pool.stopped or wanted.get("powerState", {}).get("code") == "Stopped":
            return
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

    def _check_system_pool(self, cluster: Cluster, pool: Pool, mode: str | None) -> None:
        """Witness: Microsoft's page on system node pools. No witness: code and text of the refusal."""
        others = [each for each in cluster.pools.values() if each is not pool and each.properties["mode"] == "System"]
        if pool.properties["mode"] == "System" and mode != "System" and not others:
            raise ProviderError(
                400, "OperationNotAllowed", "There has to be at least one agent pool of mode System in the cluster."
            )

    def _run(self, call: Call, cluster: Cluster, pool: Pool, what: str, seconds: float, join: float) -> Operation:
        clock, settings = self._world.clock, self._world.settings
        begun = clock.seconds()

        async def work(operation: Operation) -> None:
            await clock.sleep(join)
            properties = pool.properties
            fail_if_planted(operation, settings.failure_shape)
            count = 0 if pool.stopped else _within_bounds(properties)
            if not pool.stopped and properties["count"] != count:
                properties.update(count=count, eTag=new_etag())
                cluster.changed()
            self._check_generation(pool)
            self._compute.allocate(cluster, pool.name, properties["vmSize"], count - pool.nodes)
            try:
                await self._plane.apply_pool(cluster.key, copy.deepcopy(pool.for_nodes()), count)
            finally:
                pool.nodes = (await self._plane.node_counts(cluster.key)).get(pool.name, 0)
            await clock.sleep(begun + seconds - clock.seconds())
            if pool.stopped:
                pool.properties["count"] = 0
            self._upgraded(cluster, pool)
            pool.properties.update(provisioningState="Succeeded", eTag=new_etag())
            pool.properties.pop("status", None)

        def failed(operation: Operation) -> None:
            pool_failed(pool, operation)

        count = int(pool.properties["count"])
        operation = self._operations.start(call, cluster, what, work, failed, pool.name, seconds=seconds, count=count)
        cluster.changed()
        return operation

    @staticmethod
    def _upgraded(cluster: Cluster, pool: Pool) -> None:
        """The nodes run the version that was asked for. No witness: the patch that AKS chooses for a mere 1.33."""
        version, full = pool.properties["orchestratorVersion"], cluster.properties["currentKubernetesVersion"]
        current = str(pool.properties["currentOrchestratorVersion"])
        if not f"{current}.".startswith(f"{version}."):
            pool.properties["currentOrchestratorVersion"] = full if f"{full}.".startswith(f"{version}.") else version

    @staticmethod
    def _check_generation(pool: Pool) -> None:
        """The GPU image is of generation 1 unless `usegen2vm` says otherwise.

        Witness: Compute's text for a generation that a size cannot boot. No witness: the operation's code.
        """
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

    async def delete(self, call: Call) -> Reply:
        """DELETE …/agentPools/{pool}: 202, or 204 when there is none.

        Witness: CLI test_aks_nodepool_delete_with_ignore_pod_disruption_budget.yaml, 2025-01-27. A drain that a
        disruption budget blocks fails the operation as in
        https://github.com/hashicorp/terraform-provider-azurerm/issues/10411, 2021-02.
        """
        cluster = find_cluster(self._world, call)
        pool = cluster.pools.get(call.names["pool"].lower())
        if pool is None:
            return Reply(204)
        self._check_conditions(call, pool)
        self.check_free(cluster, pool, "Deleting")
        self._check_system_pool(cluster, pool, None)
        ignore = truth(call.query.get("ignore-pod-disruption-budget"))
        settings, clock = self._world.settings, self._world.clock
        begun = clock.seconds()

        async def work(operation: Operation) -> None:
            await clock.sleep(settings.delete_seconds / 3)
            fail_if_planted(operation, settings.failure_shape)
            machines = await self._plane.machines(cluster.key, pool.name)
            blocking = await self._plane.drain_pool(cluster.key, pool.name, ignore, settings.drain_timeout_seconds)
            if blocking and not ignore:
                raise _drain_failure(machines, blocking, settings.drain_timeout_seconds)
            await self._plane.remove_pool(cluster.key, pool.name)
            await clock.sleep(begun + settings.delete_seconds - clock.seconds())
            cluster.pools.pop(pool.name.lower(), None)

        def failed(operation: Operation) -> None:
            pool_failed(pool, operation)

        pool.properties.update(provisioningState="Deleting", eTag=new_etag())
        pool.properties.pop("status", None)
        operation = self._operations.start(
            call, cluster, "Deleting", work, failed, pool.name, seconds=settings.delete_seconds, count=pool.count
        )
        cluster.changed()
        return Reply(202, None, self._operations.urls(call, operation, location=True))

    async def abort(self, call: Call) -> Reply:
        """POST …/agentPools/{pool}/abort: 202 with the pool as its operation's PUT answered it, or 409.

        Witness: CLI test_aks_nodepool_abort.yaml, 2023-06-29.
        """
        cluster = find_cluster(self._world, call)
        pool = self.find(cluster, call)
        running = [each for each in cluster.under_way() if each.pool == pool.name]
        if not running:
            raise cancel_not_allowed(pool.state)
        shown = {"count": 0} if running[-1].what == "Stopping" else {}
        body = self._json(call, cluster, pool, **shown)
        operation = self._operations.abort(cluster, running, pool.name)
        return Reply(202, body, self._operations.urls(call, operation, location=True))

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


def pool_failed(pool: Pool, operation: Operation) -> None:
    """The pool after an operation that failed or was aborted.

    An aborted stop leaves the pool Canceled and Running with its old count. Witness: CLI
    test_aks_nodepool_abort.yaml, 2023-06-29. No witness: the power state after a stop that failed (the same).
    """
    state = "Canceled" if operation.status == "Canceled" else "Failed"
    if operation.what == "Stopping":
        pool.properties["powerState"] = {"code": "Running"}
        pool.count_before_stop = 0
    pool.properties.update(provisioningState=state, eTag=new_etag())
    if operation.error is not None and state == "Failed":
        pool.properties["status"] = {"provisioningError": dict(operation.error)}


def _within_bounds(properties: Json) -> int:
    """The nodes that a running pool gets: its count, or the nearest that the cluster autoscaler allows."""
    count = int(properties["count"])
    if not properties.get("enableAutoScaling"):
        return count
    return min(max(count, int(properties["minCount"])), int(properties["maxCount"]))


def _drain_failure(machines: list[Machine], blocking: list[str], seconds: float) -> OperationFailed:
    """Names one node, as the recorded text does, and the Pods that block, each with its reason."""
    minutes, rest = divmod(seconds, 60)
    lasted = f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
    node = machines[0].name if machines else ""
    return OperationFailed(
        "PodDrainFailure",
        f"Node '{node}' failed to be drained with error: 'Drain did not complete pods [{', '.join(blocking)}] within "
        f"{lasted}'",
        wrapped="json_in_message",
    )
