"""Machines of agent pools, one for each node: read, and deleted."""

from __future__ import annotations

import copy
from typing import Any

from ..interfaces import Machine, NodePlane
from . import pool_rules
from .agent_pools import ACTION, CLUSTERS, NAMESPACE, AgentPools, find_cluster, pool_failed
from .calls import Call, Reply, Route, route
from .errors import ProviderError
from .operations import Operations, fail_if_planted
from .world import Cluster, Operation, Pool, World, new_etag

Json = dict[str, Any]


class Machines:
    """Handlers of machines."""

    def __init__(self, world: World, plane: NodePlane, operations: Operations, pools: AgentPools) -> None:
        self._world = world
        self._plane = plane
        self._operations = operations
        self._pools = pools

    def routes(self) -> list[Route]:
        """Everything served here."""
        pool = CLUSTERS + "/{cluster}/agentPools/{pool}"
        action = f"{ACTION}/agentPools"
        delete = f"{action}/deleteMachines/action"
        return [
            route("GET", pool + "/machines", self.list, f"{action}/machines/read", throttle="Other"),
            route("GET", pool + "/machines/{machine}", self.get, f"{action}/machines/read", throttle="Other"),
            route("POST", pool + "/deleteMachines", self.delete_machines, delete, throttle="Other"),
        ]

    async def list(self, call: Call) -> Reply:
        """GET …/agentPools/{pool}/machines: a machine for each node.

        Witness: CLI test_aks_machine_cmds.yaml, 2025-06-24: no nextLink, `resourceGroups` as in the request.
        """
        cluster = find_cluster(self._world, call)
        pool = self._pools.find(cluster, call)
        found = await self._plane.machines(cluster.key, pool.name)
        return Reply(200, {"value": [_machine_json(cluster, pool, each) for each in found]})

    async def get(self, call: Call) -> Reply:
        """GET …/agentPools/{pool}/machines/{machine}

        Its id ends with the name twice. Witness: CLI test_aks_machine_cmds.yaml, 2025-06-24. No witness: the 404.
        """
        cluster = find_cluster(self._world, call)
        pool = self._pools.find(cluster, call)
        for each in await self._plane.machines(cluster.key, pool.name):
            if each.name == call.names["machine"].lower():
                body = _machine_json(cluster, pool, each)
                return Reply(200, {**body, "id": f"{body['id']}/{each.name}"})
        raise ProviderError(404, "NotFound", f"Could not find the machine: {call.names['machine']} in {pool.name}.")

    async def delete_machines(self, call: Call) -> Reply:
        """POST …/agentPools/{pool}/deleteMachines: 202 with both URLs and no body.

        The machines go without a drain ("AKS doesn't perform cordon and drain", its documentation says), and the pool's
        count falls with them: 4, and 3 after one was deleted. Witness: CLI test_aks_nodepool_delete_machines.yaml,
        2024-09-19. No witness: a pool under the autoscaler (the same here), the pool's provisioning state meanwhile,
        refusals of names.
        """
        cluster = find_cluster(self._world, call)
        pool = self._pools.find(cluster, call)
        names = call.json().get("machineNames")
        known = {each.name for each in await self._plane.machines(cluster.key, pool.name)}
        if not isinstance(names, list) or not names or not known.issuperset(map(str, names)):
            raise pool_rules.invalid(
                "machineNames", f"Machines {names} are not all machines of agent pool {pool.name}."
            )
        self._pools.check_free(cluster, pool, "Updating")
        settings, clock = self._world.settings, self._world.clock

        async def work(operation: Operation) -> None:
            await clock.sleep(settings.delete_seconds)
            fail_if_planted(operation, settings.failure_shape)
            await self._plane.remove_machines(cluster.key, pool.name, names)
            if settings.delete_machines_lowers_count:
                pool.properties["count"] = max(0, int(pool.properties["count"]) - len(set(names)))
            else:
                await self._plane.apply_pool(cluster.key, copy.deepcopy(pool.for_nodes()), pool.count)
            pool.nodes = (await self._plane.node_counts(cluster.key)).get(pool.name, 0)
            pool.properties.update(provisioningState="Succeeded", eTag=new_etag())

        def failed(operation: Operation) -> None:
            pool_failed(pool, operation)

        pool.properties.update(provisioningState="Updating", eTag=new_etag())
        operation = self._operations.start(
            call, cluster, "Updating", work, failed, pool.name, seconds=settings.delete_seconds
        )
        cluster.changed()
        return Reply(202, None, self._operations.urls(call, operation, location=True))


def _machine_json(cluster: Cluster, pool: Pool, machine: Machine) -> Json:
    group = f"/subscriptions/{cluster.subscription}/resourceGroups"
    body: Json = {
        "id": f"{group}/{cluster.resource_group}/providers/{NAMESPACE}/managedClusters/{cluster.name}"
        f"/agentPools/{pool.name}/machines/{machine.name}",
        "name": machine.name,
        "type": f"{NAMESPACE}/managedClusters/agentPools/machines",
        "properties": {
            "network": {"ipAddresses": [{"ip": machine.address, "family": "IPv4"}]},
            "resourceId": f"{group}/{cluster.properties['nodeResourceGroup']}/providers/Microsoft.Compute"
            f"/virtualMachineScaleSets/{machine.scale_set}/virtualMachines/{machine.instance}",
        },
    }
    return {**body, "zones": [machine.zone]} if machine.zone else body
