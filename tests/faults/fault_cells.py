# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells of the fault matrix with requests to Resource Manager: one request of a job, broken in one way.

However it ends, nobody else's pool was touched, and the job's own one exists once, with the right count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from emulated import CLUSTER, RESOURCE_GROUP, Emulated
from fault_runs import ALLOWANCE_SECONDS, DEADLINE_SECONDS, LIMIT_SECONDS, PATIENCE_SECONDS, Fault, Outcome
from fault_runs import run_cell as run_tasks

from playbooks import Ansible

Json = dict[str, Any]

POOL = "gpunp"
COUNT = 2
WHERE = {"resource_group": RESOURCE_GROUP, "cluster_name": CLUSTER}
WAIT = {"wait_timeout": DEADLINE_SECONDS}
PRESENT = {
    **WHERE,
    **WAIT,
    "name": POOL,
    "vm_size": "Standard_NC4as_T4_v3",
    "count": COUNT,
    "node_taints": ["sku=gpu:NoSchedule"],
    "node_labels": {"team": "vision"},
}
ARM_POOL = {
    "vmSize": "Standard_NC4as_T4_v3",
    "count": COUNT,
    "mode": "User",
    "nodeTaints": ["sku=gpu:NoSchedule"],
}
FEATURE = "ManagedGPUExperiencePreview"


@dataclass(frozen=True)
class Job:
    """What is run.

    Attributes:
        name: An identifier.
        tasks: As in a playbook; the last one is the node pool's.
        there: The pool that exists before; None: there is none.
        wanted: Properties of the pool when all is well; None: it is gone.
    """

    name: str
    tasks: tuple[Json, ...]
    there: Json | None
    wanted: Json | None


JOBS = (
    Job(
        "create",
        (
            {"name": "provider", "aks.gpu.resource_provider": {"namespace": "Microsoft.ContainerService", **WAIT}},
            {"name": "feature", "aks.gpu.feature": {"name": FEATURE, **WAIT}},
            {"name": "credentials", "aks.gpu.kubeconfig": WHERE},
            {"name": "sizes", "aks.gpu.vm_size_info": {"location": "westus2"}},
            {"name": "pool", "aks.gpu.node_pool": PRESENT},
        ),
        None,
        {"count": COUNT, "nodeLabels": {"team": "vision"}, "provisioningState": "Succeeded"},
    ),
    Job(
        "update",
        ({"name": "pool", "aks.gpu.node_pool": PRESENT},),
        ARM_POOL,
        {"count": COUNT, "nodeLabels": {"team": "vision"}, "provisioningState": "Succeeded"},
    ),
    Job(
        "delete",
        ({"name": "pool", "aks.gpu.node_pool": {**WHERE, **WAIT, "name": POOL, "state": "absent"}},),
        ARM_POOL,
        None,
    ),
)

REQUESTS: Mapping[str, tuple[str, str]] = {
    "metadata": ("GET", r"/metadata/endpoints"),
    "sign-in configuration": ("GET", r"/openid-configuration"),
    "token": ("POST", r"/oauth2/v2\.0/token"),
    "get provider": ("GET", r"/providers/Microsoft\.ContainerService\?"),
    "register provider": ("POST", r"/providers/Microsoft\.ContainerService/register"),
    "get feature": ("GET", r"/features/[^/]+\?"),
    "register feature": ("POST", r"/features/[^/]+/register"),
    "credentials": ("POST", r"/listClusterUserCredential"),
    "get cluster": ("GET", r"/managedClusters/[^/]+\?"),
    "permissions": ("GET", r"/permissions"),
    "skus": ("GET", r"/Microsoft\.Compute/skus"),
    "usages": ("GET", r"/usages"),
    "get pool": ("GET", r"/agentPools/[^/]+\?"),
    "list pools": ("GET", r"/agentPools\?"),
    "put pool": ("PUT", r"/agentPools/[^/]+\?"),
    "delete pool": ("DELETE", r"/agentPools/[^/]+\?"),
    "operation": ("GET", r"/operations/"),
    "operation result": ("GET", r"/operationresults/"),
}
"""Kinds of requests, by method and path."""

ETAG_MISMATCH: Json = {
    "code": "EtagMismatch",
    "details": [{"code": "Unspecified", "message": "rpc error: code = FailedPrecondition desc = Etag mismatched"}],
    "message": "Operation is not allowed: Another operation is in progress",
    "subcode": "PutManagedClusterAndComponents_Fa",
}
"""Of two operations on one cluster: https://github.com/Azure/terraform-azurerm-aks/issues/604 (2024-11-15)."""

BUSY_CLUSTER: Json = {
    "code": "OperationNotAllowed",
    "details": None,
    "message": "Operation is not allowed because there's an in progress create managed cluster operation (operation "
    "ID: 0d52f9f1) on the managed cluster. Please wait for it to finish before starting a new operation.",
    "subcode": "",
}
"""The text since 2025: https://github.com/hashicorp/terraform-provider-azurerm/issues/28878 (2025-02-27)."""

FREE_TEXT: Json = {
    "name": "b0e3c0de-9653-4983-9899-d3119104b19f",
    "status": "CreatingAgentPools: 0/1 nodes completed",
    "startTime": "2025-12-12T09:07:48.3685935Z",
}
"""An operation that is under way: azure-powershell TestAPI20250801WithMSI.json (2025-12-12)."""

SIGN_IN = ("metadata", "sign-in configuration", "token")
WITHOUT_DEADLINE = ("credentials", "skus", "usages")
"""Requests of modules without `wait_timeout`."""


FAULTS = (
    Fault("429 after", {"status": 429, "headers": {"Retry-After": "1"}, "times": 2}, ("TooManyRequests",)),
    Fault("429", {"status": 429, "times": 2}, ("TooManyRequests",)),
    Fault("500", {"status": 500, "times": 2}, ("InternalServerError",)),
    Fault("503", {"status": 503, "times": 2}, ("ServerTimeout",)),
    Fault("reset before", {"reset": "before"}),
    Fault("reset after", {"reset": "after"}),
    Fault("hang", {"hang": 600}),
    Fault("409", {"in_progress": True, "times": 2}, ("OperationNotAllowed",), "signed in"),
    Fault("412", {"precondition_failed": True}, ("PreconditionFailed",), "signed in"),
    Fault("etag", {"status": 409, "body": ETAG_MISMATCH, "times": 2}, ("EtagMismatch",), only="write of a pool"),
    Fault("busy", {"status": 409, "body": BUSY_CLUSTER, "times": 2}, ("OperationNotAllowed",), only="write of a pool"),
    Fault("free text", {"status": 200, "body": FREE_TEXT, "times": 2}, only="operation"),
    Fault(
        "expired", {"expired_token": True}, ("ExpiredAuthenticationToken", "InvalidAuthenticationToken"), "signed in"
    ),
    Fault(
        "fails",
        {"operation": {"code": "AllocationFailed", "message": "Allocation failed. No capacity."}},
        ("AllocationFailed",),
        only="write of a pool",
        way_out={"repair": True},
    ),
    Fault("endless", {"operation": {"endless": True}}, only="write of a pool", way_out={"abort": True, "repair": True}),
    Fault("killed", {"hang": 2}, kill=True),
)


def kinds(entries: list[Json]) -> list[str]:
    """The kinds of recorded requests, in the order in which they came first."""
    found: dict[str, None] = {}
    for entry in entries:
        parts = urlsplit(entry["url"])
        path = f"{parts.path}?{parts.query}"
        for name, (method, pattern) in REQUESTS.items():
            if entry["method"] == method and re.search(pattern, path, re.IGNORECASE):
                found[name] = None
                break
        else:
            raise AssertionError(f"no kind of request: {entry['method']} {path}")
    return list(found)


def requests_of(job: Job, azure: Emulated, ansible: Ansible) -> list[str]:
    """The kinds of requests that a job makes, found by running it."""
    prepare(job, azure)
    mark = azure.mark()
    ran = ansible.run(list(job.tasks), limit=LIMIT_SECONDS)
    assert ran.status == 0, ran.output
    return kinds(azure.sent(mark))


def applies(fault: Fault, request: str) -> bool:
    """Can this request be broken in this way?"""
    if fault.only == "write of a pool":
        return request in ("put pool", "delete pool")
    if fault.only == "operation":
        return request == "operation"
    return not fault.only or request not in SIGN_IN


def prepare(job: Job, azure: Emulated) -> None:
    """Bring about what is there before the job."""
    azure.clear_faults()
    azure.remove_pools()
    azure.act("feature", name=FEATURE, state="NotRegistered")
    if job.there is not None:
        azure.make_pool(POOL, job.there)
        azure.settled(POOL)


def run_cell(job: Job, request: str, fault: Fault, azure: Emulated, ansible: Ansible) -> Outcome:
    """Run a job with one request broken, look, end the fault, run it again, and look again."""
    prepare(job, azure)
    method, path = REQUESTS[request]
    azure.fault({"method": method, "path": path, **fault.rule})
    patience = PATIENCE_SECONDS if request in WITHOUT_DEADLINE else DEADLINE_SECONDS
    *others, pool = job.tasks

    def again(failed: bool) -> list[Json]:
        options = {**pool["aks.gpu.node_pool"], **(fault.way_out if failed else {})}
        return [*others, {**pool, "aks.gpu.node_pool": options}]

    return run_tasks(job.tasks, again, fault, patience + ALLOWANCE_SECONDS, Pools(job, azure), ansible)


@dataclass(frozen=True)
class Pools:
    """The cluster's node pools, as a job found and as it has to leave them."""

    job: Job
    azure: Emulated

    def faults(self) -> list[Json]:
        return self.azure.faults()

    def clear_faults(self) -> None:
        self.azure.clear_faults()

    def accidents(self) -> list[str]:
        pools = self.azure.pools()
        problems = [] if set(pools) <= {"nodepool1", POOL} else [f"there are the pools {', '.join(pools)}"]
        if pools.get("nodepool1", {}).get("count") != 1:
            problems.append("the system pool is not as it was")
        if POOL in pools and pools[POOL]["count"] != COUNT:
            problems.append(f"the pool has {pools[POOL]['count']} nodes")
        if POOL not in pools and self.job.there is not None and self.job.wanted is not None:
            problems.append("the pool is gone")
        return problems

    def differences(self, _message: str) -> list[str]:
        problems = self.accidents()
        pool = self.azure.pool(POOL)
        wanted = self.job.wanted
        if wanted is None:
            return problems if pool is None else [*problems, f"the pool is there, {pool['provisioningState']}"]
        if pool is None:
            return [*problems, "there is no pool"]
        return problems + [f"{n} is {pool.get(n)}" for n, value in wanted.items() if pool.get(n) != value]
