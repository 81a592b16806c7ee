# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequences that were recorded, asked of the sandbox. They ask and wait; they judge nothing."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from aks_sandbox.interfaces import SandboxError
from aks_sandbox.testing import Sandbox
from client import Client, Stopped

Json = dict[str, Any]

POOL_VERSIONS = ("2025-04-01", "2025-08-01", "2026-05-01", "2026-08-01")
"""API versions of recordings, and the collection's own."""
NEWEST = POOL_VERSIONS[-1]
AKS = "Microsoft.ContainerService"
CPU_SIZE = "Standard_D4ds_v5"
GPU_SIZE = "Standard_NC4as_T4_v3"
FEATURE = "GPUDedicatedVHDPreview"
SLOW_SECONDS = 15.0
"""Of the sandbox's clock."""
NOT_ECHOED = (
    "nodeImageVersion",
    "provisioningState",
    "currentOrchestratorVersion",
    "eTag",
    "virtualMachineNodesStatus",
)
"""What the CLI leaves out of a GET before it sends it back, and what is read-only besides."""


class World:
    """A sandbox, a client of it, and the paths in it."""

    def __init__(self, sandbox: Sandbox, client: Client) -> None:
        self.sandbox = sandbox
        self.client = client
        self.subscription = f"/subscriptions/{sandbox.subscription}"
        self.group = f"{self.subscription}/resourceGroups/{sandbox.resource_group}"
        self.location = sandbox.variables["AKS_SANDBOX_LOCATION"]
        self.cluster = f"{self.group}/providers/{AKS}/managedClusters/{sandbox.cluster}"

    def pool(self, name: str) -> str:
        """Path of a pool."""
        return f"{self.cluster}/agentPools/{name}"

    def put_pool(self, name: str, properties: Json, **headers: str) -> Any:
        """Ask for a pool, after a look whether there is one."""
        self.client.ask("GET", self.pool(name))
        return self.client.ask("PUT", self.pool(name), {"properties": properties}, headers=headers)

    def create(self, name: str, properties: Json, **headers: str) -> None:
        """Make a pool and wait for it."""
        self.client.wait(self.put_pool(name, properties, **headers), self.pool(name))

    def update(self, name: str, change: Json) -> None:
        """Send a pool back as it is, with a change, and wait."""
        self.client.wait(self.client.ask("PUT", self.pool(name), self.echo(name, change)), self.pool(name))

    def echo(self, name: str, change: Json) -> Json:
        """A GET's answer without what is read-only, with a change; None takes a property out."""
        properties = self.client.body(self.pool(name))["properties"]
        sent = {key: value for key, value in {**properties, **change}.items() if key not in NOT_ECHOED}
        return {"properties": {key: value for key, value in sent.items() if value is not None}}

    def delete(self, name: str) -> None:
        """Delete a pool and wait."""
        self.client.wait(self.client.ask("DELETE", self.pool(name)), self.pool(name))

    def usages(self) -> None:
        """Read the quotas of the region."""
        path = f"{self.subscription}/providers/Microsoft.Compute/locations/{self.location}/usages"
        self.client.ask("GET", path, version="2026-04-01")

    @contextlib.contextmanager
    def slowly(self) -> Iterator[None]:
        """Operations that begin in this block take long enough to be met under way."""
        names = ("create_seconds", "update_seconds", "scale_seconds", "cluster_update_seconds")
        with self.sandbox.having(**dict.fromkeys(names, SLOW_SECONDS)):
            yield

    def settled(self, path: str) -> None:
        """Read a resource until nothing is under way in it.

        Raises:
            Stopped: it does not come to rest.
        """
        for _attempt in range(300):
            state = (self.client.body(path).get("properties") or {}).get("provisioningState")
            if state in (None, "Succeeded", "Failed", "Canceled"):
                return
            time.sleep(0.03)
        raise Stopped(f"{path} stays {state}")


def life_of_a_pool(world: World) -> None:
    """create, list, update, scale, taints, stop, start, abort, delete"""
    client, path = world.client, world.pool("cpu")
    client.body(world.cluster)
    list_pools(world)
    regular = {"scaleSetPriority": "Regular", "scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1.0}
    first = {"count": 2, "vmSize": CPU_SIZE, **regular, "virtualMachineNodesStatus": None}
    world.create("cpu", first)
    list_pools(world)
    client.body(world.cluster)
    world.update("cpu", {"tags": {"team": "a"}})
    read_only = world.echo("cpu", {"tags": {"team": "b"}})
    read_only["properties"]["virtualMachineNodesStatus"] = None
    client.wait(client.ask("PUT", path, read_only), path)
    world.update("cpu", {"upgradeSettings": {"undrainableNodeBehavior": "Schedule"}})
    world.update("cpu", {"nodeTaints": ["sku=gpu:NoSchedule"]})
    world.update("cpu", {"nodeTaints": []})
    world.update("cpu", {"count": 3})
    world.update("cpu", {"powerState": {"code": "Stopped"}})
    list_pools(world)
    client.body(world.cluster)
    world.update("cpu", {"count": 0, "powerState": {"code": "Running"}})
    with world.slowly():
        client.accepted(client.ask("PUT", path, world.echo("cpu", {"tags": {"team": "c"}})))
    client.ask("GET", path)
    abort(world, path)
    client.ask("POST", f"{path}/abort")
    world.update("cpu", {"tags": {}})
    world.delete("cpu")
    client.ask("GET", path)


def abort(world: World, path: str) -> None:
    """abort what is under way in a pool or a cluster, and follow it"""
    answer = world.client.ask("POST", f"{path}/abort")
    world.client.wait(answer, path)
    if "location" in answer.headers:
        world.client.ask("GET", answer.headers["location"])
    world.settled(path)


def list_pools(world: World) -> None:
    """LIST, with every page"""
    page = world.client.accepted(world.client.ask("GET", f"{world.cluster}/agentPools")).json()
    while link := page.get("nextLink"):
        page = world.client.accepted(world.client.ask("GET", link)).json()


def spot_pools(world: World) -> None:
    """Spot pools: price, taint, label, upgrade settings"""
    spot = {"count": 1, "vmSize": CPU_SIZE, "scaleSetPriority": "Spot", "nodeTaints": []}
    world.create("spot", {**spot, "spotMaxPrice": 0.577})
    list_pools(world)
    world.usages()
    world.update("spot", {"tags": {"team": "a"}})
    without_taint = world.echo("spot", {"nodeTaints": None, "tags": {"team": "b"}})
    answer = world.client.ask("PUT", world.pool("spot"), without_taint)
    if answer.status_code < 400:
        world.client.wait(answer, world.pool("spot"))
    world.delete("spot")
    sent = {"spotMaxPrice": 88.88888, "upgradeSettings": {"undrainableNodeBehavior": "Schedule"}}
    world.create("spot2", {**spot, **sent})
    world.delete("spot2")


def autoscaled_pool(world: World) -> None:
    """the autoscaler switched on for an empty pool"""
    world.create("scaled", {"count": 0, "vmSize": CPU_SIZE})
    world.update("scaled", {"enableAutoScaling": True, "minCount": 0, "maxCount": 3})
    world.update("scaled", {"enableAutoScaling": True, "minCount": 1, "maxCount": 3})
    world.update("scaled", {"powerState": {"code": "Stopped"}})
    world.delete("scaled")


def gpu_pools(world: World) -> None:
    """GPU pools: driver, MIG, size in lower case, the booleans sent"""
    with world.sandbox.having(azure_of_2023=True):
        booleans = {"enableEncryptionAtHost": False, "enableUltraSSD": False}
        world.create("gpu", {"count": 1, "vmSize": "standard_nc6s_v3", "osDiskType": "Ephemeral", **booleans})
        world.delete("gpu")
    world.create("gpu2", {"count": 1, "vmSize": GPU_SIZE}, **{"if-none-match": "*"})
    list_pools(world)
    world.delete("gpu2")
    world.create("mig", {"count": 1, "vmSize": "Standard_ND96asr_v4", "gpuInstanceProfile": "MIG3g"})
    world.delete("mig")
    world.create("mig2", {"count": 1, "vmSize": "Standard_NC24ads_A100_v4", "gpuInstanceProfile": "MIG1g"})
    world.delete("mig2")


def pool(properties: Json) -> Callable[[World], None]:
    """A sequence that makes one pool and deletes it again."""

    def sequence(world: World) -> None:
        world.create("one", {"count": 1, **properties})
        world.delete("one")

    sequence.__doc__ = f"a pool {json.dumps(properties)}"
    return sequence


def pool_with_network(network: Json) -> Callable[[World], None]:
    """A sequence that makes a pool in a cluster of another network."""

    def sequence(world: World) -> None:
        whole = world.client.body(world.cluster)["properties"]["networkProfile"]
        other = {key: value for key, value in {**whole, **network}.items() if value is not None}
        world.sandbox.act("cluster", cluster=world.sandbox.cluster, properties={"networkProfile": other})
        try:
            world.client.body(world.cluster)
            world.create("one", {"count": 1, "vmSize": CPU_SIZE})
            world.delete("one")
        finally:
            world.sandbox.act("cluster", cluster=world.sandbox.cluster, properties={"networkProfile": whole})
            world.client.body(world.cluster)

    sequence.__doc__ = f"a pool in a cluster with the network {json.dumps(network)}"
    return sequence


def stopped_pool_upgraded(world: World) -> None:
    """the version of a stopped pool, sent again"""
    world.create("off", {"count": 1, "vmSize": CPU_SIZE})
    world.update("off", {"powerState": {"code": "Stopped"}})
    answer = world.client.ask("PUT", world.pool("off"), world.echo("off", {"orchestratorVersion": None}))
    if answer.status_code < 400:
        world.client.wait(answer, world.pool("off"))
    world.delete("off")


def conflicts(world: World) -> None:
    """two pools at a time, a cluster beside a pool, a pool beside a cluster"""
    client = world.client
    cluster = writable(client.body(world.cluster))
    with world.slowly():
        client.accepted(world.put_pool("first", {"count": 1, "vmSize": CPU_SIZE}))
    client.ask("GET", world.pool("first"))
    world.put_pool("second", {"count": 1, "vmSize": CPU_SIZE})
    client.ask("PUT", world.cluster, cluster)
    for answer in ("on_agent_pool", "etag_mismatch"):
        with world.sandbox.having(busy_answer=answer):
            client.ask("PUT", world.cluster, cluster)
    abort(world, world.pool("first"))
    world.delete("first")
    with world.slowly():
        client.accepted(client.ask("PUT", world.cluster, cluster))
    client.ask("GET", world.cluster)
    world.put_pool("second", {"count": 1, "vmSize": CPU_SIZE})
    abort(world, world.cluster)


def refusals(world: World) -> None:
    """missing resources, refused input, conditions, quotas, an API version that is gone"""
    client = world.client
    client.ask("GET", f"{world.cluster}-missing")
    client.ask("GET", f"{world.cluster}-missing/agentPools/gpu")
    client.ask("GET", world.pool("missing"))
    world.put_pool("bad", {"count": 1, "vmSize": "Standard_Nothing"})
    labels = {"kubernetes.azure.com/mine": "x"}
    world.put_pool("bad", {"count": 1, "vmSize": CPU_SIZE, "nodeLabels": labels})
    world.put_pool("bad", {"count": 1, "vmSize": CPU_SIZE}, **{"if-match": "11111111-1111-1111-1111-111111111111"})
    family = {"standardDDSv5Family": 4, "Standard DDSv5 Family": 4}
    with world.sandbox.having(quotas=family):
        answer = world.put_pool("bad", {"count": 2, "vmSize": CPU_SIZE})
        if answer.status_code < 400:
            client.wait(answer, world.pool("bad"))
            world.delete("bad")
    client.ask("GET", f"{world.cluster}/agentPools", version="2020-01-01")
    for change in ({"powerState": {"code": "Stopped"}}, {"orchestratorVersion": "9.99"}):
        answer = client.ask("PUT", world.pool("nodepool1"), world.echo("nodepool1", change))
        if answer.status_code < 400:
            client.wait(answer, world.pool("nodepool1"))
            world.update("nodepool1", {"powerState": {"code": "Running"}})


def failed_operations(world: World) -> None:
    """operations that Azure itself fails"""
    for number, shape in enumerate(("recorded", "code_in_message", "details")):
        name = f"broken{number}"
        missing = {CPU_SIZE: "OverconstrainedAllocationRequest"}
        with world.sandbox.having(capacity_missing=missing, failure_shape=shape):
            world.client.wait(world.put_pool(name, {"count": 1, "vmSize": CPU_SIZE}), world.pool(name))
        world.delete(name)
    world.create("broken", {"count": 1, "vmSize": CPU_SIZE})
    for shape in ("subcode_in_message", "internal"):
        missing = {CPU_SIZE: "AllocationFailed"}
        with world.sandbox.having(capacity_missing=missing, failure_shape=shape):
            world.update("broken", {"count": 2})
        world.update("broken", {"count": 1})
    world.delete("broken")


def writable(cluster: Json) -> Json:
    """A cluster as it is sent back: what is read-only is null."""
    nothing = dict.fromkeys(("provisioningState", "powerState", "fqdn", "azurePortalFQDN", "resourceUID"))
    return {**cluster, "properties": {**cluster["properties"], **nothing}}


def life_of_a_cluster(world: World) -> None:
    """read, list, update, metrics switched on, stop, start"""
    client = world.client
    client.body(world.cluster)
    client.ask("GET", f"{world.group}/providers/{AKS}/managedClusters")
    client.ask("GET", f"{world.subscription}/providers/{AKS}/managedClusters")
    client.wait(client.ask("PUT", world.cluster, writable(client.body(world.cluster))), world.cluster)
    body = writable(client.body(world.cluster))
    metrics = {"enabled": True, "kubeStateMetrics": {"metricLabelsAllowlist": "", "metricAnnotationsAllowList": ""}}
    body["properties"]["azureMonitorProfile"] = {"metrics": metrics}
    client.wait(client.ask("PUT", world.cluster, body), world.cluster)
    for action in ("stop", "start"):
        client.wait(client.ask("POST", f"{world.cluster}/{action}"), world.cluster)


def aborted_cluster(world: World) -> None:
    """abort an update of a cluster, and one more time when nothing is under way"""
    client = world.client
    with world.slowly():
        client.accepted(client.ask("PUT", world.cluster, writable(client.body(world.cluster))))
    client.ask("GET", world.cluster)
    abort(world, world.cluster)
    client.ask("POST", f"{world.cluster}/abort")


def access(world: World) -> None:
    """credentials and run-command"""
    client = world.client
    client.body(world.cluster)
    client.ask("POST", f"{world.cluster}/listClusterUserCredential")
    answer = client.ask("POST", f"{world.cluster}/runCommand", {"command": "kubectl get nodes", "context": ""})
    location = client.accepted(answer).headers["location"]
    for _attempt in range(300):
        if client.accepted(client.ask("GET", location)).status_code != 202:
            return
        time.sleep(0.03)
    raise Stopped("the command does not end")


def subscription(world: World) -> None:
    """features, providers, sizes, usages"""
    client = world.client
    feature = f"{world.subscription}/providers/Microsoft.Features/providers/{AKS}/features/{FEATURE}"
    client.version = "2021-07-01"
    client.ask("GET", feature)
    client.ask("POST", f"{feature}/register")
    for _attempt in range(300):
        if client.body(feature)["properties"]["state"] == "Registered":
            break
        time.sleep(0.03)
    client.ask("POST", f"{feature}/unregister")
    client.ask("GET", feature)
    client.version = "2021-04-01"
    for namespace in (AKS, "Microsoft.Insights", "Microsoft.Monitor"):
        client.ask("GET", f"{world.subscription}/providers/{namespace}")
    client.ask("POST", f"{world.subscription}/providers/Microsoft.Monitor/register")
    client.version = "2021-07-01"
    with world.sandbox.having(
        azure_of_2023=True, sizes_restricted={"Standard_NC8as_T4_v3": "NotAvailableForSubscription"}
    ):
        client.ask("GET", f"{world.subscription}/providers/Microsoft.Compute/skus?api-version=2021-07-01"
                          f"&$filter=location eq '{world.location}'")  # fmt: skip
    world.usages()


def monitor(world: World) -> None:
    """workspaces, data collection endpoint, rule and association"""
    client = world.client
    providers = f"{world.group}/providers"
    workspaces = f"{providers}/Microsoft.OperationalInsights/workspaces"
    workspace, account = f"{workspaces}/witness-logs", f"{providers}/Microsoft.Monitor/accounts/witness-metrics"
    endpoint = f"{providers}/Microsoft.Insights/dataCollectionEndpoints/witness-endpoint"
    rule = f"{providers}/Microsoft.Insights/dataCollectionRules/witness-rule"
    association = f"{world.cluster}/providers/Microsoft.Insights/dataCollectionRuleAssociations/witness-association"
    location = {"location": world.location}
    client.version = "2020-08-01"
    body = {**location, "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 30}}
    make(client, workspace, body)
    world.settled(workspace)
    for version in ("2025-02-01", "2015-11-01-preview"):
        client.ask("GET", workspaces, version=version)
    client.version = "2023-04-03"
    make(client, account, {**location, "properties": {}})
    client.ask("GET", f"{providers}/Microsoft.Monitor/accounts")
    client.version = "2022-06-01"
    make(client, endpoint, {**location, "kind": "Linux", "properties": {}})
    metrics = {
        "destinations": {"monitoringAccounts": [{"accountResourceId": account, "name": "MonitoringAccount1"}]},
        "dataFlows": [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount1"]}],
    }
    make(client, rule, {**location, "kind": "Linux", "properties": {"dataCollectionEndpointId": endpoint, **metrics}})
    make(client, association, {"properties": {"description": "a rule of the cluster", "dataCollectionRuleId": rule}})


def make(client: Client, path: str, body: Json) -> None:
    """PUT a resource that is not there, and read it."""
    client.ask("GET", path)
    client.accepted(client.ask("PUT", path, body))
    client.ask("GET", path)


VERSIONED: tuple[Callable[[World], None], ...] = (life_of_a_pool, spot_pools)
"""Asked with every version of `POOL_VERSIONS`."""
ONCE: tuple[Callable[[World], None], ...] = (
    autoscaled_pool,
    gpu_pools,
    *(pool(size) for size in (
        {"vmSize": "", "osDiskSizeGB": 0},
        {"vmSize": "Standard_D4plds_v5"},
        {"vmSize": "Standard_D4ds_v4"},
        {"vmSize": "Standard_D8plds_v5"},
        {"vmSize": CPU_SIZE, "osDiskSizeGB": 0, "tags": {}, "nodeLabels": {}, "nodeTaints": []},
        {"vmSize": CPU_SIZE, "osDiskType": "Managed"},
        {"vmSize": CPU_SIZE, "osSKU": "AzureContainerLinux"},
    )),
    pool_with_network({"networkPlugin": "kubenet", "networkPluginMode": None}),
    pool_with_network({"networkPlugin": "azure", "networkPluginMode": None}),
    stopped_pool_upgraded,
    conflicts,
    refusals,
    failed_operations,
    life_of_a_cluster,
    aborted_cluster,
    access,
    subscription,
    monitor,
)  # fmt: skip
"""Asked with the newest version, or with versions of their own."""


def drive(world: World) -> dict[str, str]:
    """Ask everything. Returns the sequences that could not be carried to their end, with the reason."""
    broken: dict[str, str] = {}
    for version in POOL_VERSIONS:
        for sequence in VERSIONED:
            _run(world, sequence, version, broken)
    for sequence in ONCE:
        _run(world, sequence, NEWEST, broken)
    return broken


def _run(world: World, sequence: Callable[[World], None], version: str, broken: dict[str, str]) -> None:
    world.client.version = version
    try:
        sequence(world)
    except (Stopped, SandboxError) as reason:
        broken[f"{sequence.__doc__} ({version})"] = str(reason)
        _tidy(world)


def _tidy(world: World) -> None:
    """After a sequence that broke off: nothing under way, no pools but the system's."""
    world.client.version = NEWEST
    try:
        for path in (world.cluster, *(world.pool(name) for name in _pools(world))):
            world.settled(path)
        for name in _pools(world):
            world.delete(name)
    except Stopped as reason:
        raise SystemExit(f"make witness: the sandbox can't be brought to rest: {reason}") from reason


def _pools(world: World) -> list[str]:
    profiles = world.client.body(world.cluster)["properties"]["agentPoolProfiles"]
    return [each["name"] for each in profiles if each["name"] != "nodepool1"]
