# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cells of the fault matrix: one request of a job, broken in one way, and what must come of it.

A cell ends converged, or with a clear error within the deadline; then the fault is over, and a second run of the same
tasks converges. Nobody else's pool was touched, and the job's own one exists once, with the right count.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from emulated import CLUSTER, RESOURCE_GROUP, Emulated
from harness import kill_tree

from playbooks import Ansible, Ran

Json = dict[str, Any]

POOL = "gpunp"
COUNT = 2
DEADLINE_SECONDS = 15
ALLOWANCE_SECONDS = 15.0
"""For Ansible's start and the other tasks, on a busy machine."""

PATIENCE_SECONDS = 60.0
"""After which a request that hangs is given up and made again by a module that has no deadline of its own."""

LIMIT_SECONDS = 120.0
"""After which a run is taken to be without end: the deadline of one task, and what comes before and after it."""

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

SIGN_IN = ("metadata", "sign-in configuration", "token")
WITHOUT_DEADLINE = ("credentials", "skus", "usages")
"""Requests of modules without `wait_timeout`."""


@dataclass(frozen=True)
class Fault:
    """One way to break a request.

    Attributes:
        name: The column.
        rule: Fields of the sandbox's rule.
        codes: Azure's codes, one of which an error has to carry.
        writes_only: Only for PUT (and DELETE) of a pool: it is about the operation.
        arm_only: Only for requests of Resource Manager: sign-in has no such answer.
        way_out: Options with which a user runs again, as the error told them to.
        kill: Kill ansible-playbook when the request has arrived.
    """

    name: str
    rule: Json
    codes: tuple[str, ...] = ()
    writes_only: bool = False
    arm_only: bool = False
    way_out: Json = field(default_factory=dict)
    kill: bool = False


FAULTS = (
    Fault("429 after", {"status": 429, "headers": {"Retry-After": "1"}, "times": 2}, ("TooManyRequests",)),
    Fault("429", {"status": 429, "times": 2}, ("TooManyRequests",)),
    Fault("500", {"status": 500, "times": 2}, ("InternalServerError",)),
    Fault("503", {"status": 503, "times": 2}, ("ServerTimeout",)),
    Fault("reset before", {"reset": "before"}),
    Fault("reset after", {"reset": "after"}),
    Fault("hang", {"hang": 600}),
    Fault("409", {"in_progress": True, "times": 2}, ("OperationNotAllowed",), arm_only=True),
    Fault("412", {"precondition_failed": True}, ("PreconditionFailed",), arm_only=True),
    Fault(
        "expired", {"expired_token": True}, ("ExpiredAuthenticationToken", "InvalidAuthenticationToken"), arm_only=True
    ),
    Fault(
        "fails",
        {"operation": {"code": "AllocationFailed", "message": "Allocation failed. No capacity."}},
        ("AllocationFailed",),
        writes_only=True,
        way_out={"repair": True},
    ),
    Fault("endless", {"operation": {"endless": True}}, writes_only=True, way_out={"abort": True, "repair": True}),
    Fault("killed", {"hang": 2}, kill=True),
)


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Attributes:
        converged: The first run did all that was to be done.
        seconds: Of the first run.
        problems: What is not as it must be; empty when all is well.
        message: The error of the first run.
    """

    converged: bool
    seconds: float
    problems: tuple[str, ...]
    message: str = ""


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
    if fault.writes_only:
        return request in ("put pool", "delete pool")
    return not (fault.arm_only and request in SIGN_IN)


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
    first = ansible.run(
        list(job.tasks),
        limit=LIMIT_SECONDS,
        while_running=(lambda process: _kill(process, azure)) if fault.kill else None,
    )
    hit = bool(azure.faults()[0]["hits"])
    azure.clear_faults()
    problems = [] if hit else ["the request was never made"]
    allowed = (PATIENCE_SECONDS if request in WITHOUT_DEADLINE else DEADLINE_SECONDS) + ALLOWANCE_SECONDS
    problems += _problems_of_first(first, fault, allowed) + _accidents(job, azure)
    again = ansible.run(_with(job.tasks, fault.way_out if first.status else {}), limit=LIMIT_SECONDS)
    if again.status != 0:
        problems.append(f"the second run failed: {_message(again)}")
    problems += [f"after the second run {text}" for text in _differences(job, azure)]
    return Outcome(first.status == 0, first.seconds, tuple(problems), "" if first.status == 0 else _message(first))


def _kill(process: subprocess.Popen[bytes], azure: Emulated) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not azure.faults()[0]["hits"] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    kill_tree(process.pid)


def _with(tasks: tuple[Json, ...], options: Json) -> list[Json]:
    *others, pool = tasks
    return [*others, {**pool, "aks.gpu.node_pool": {**pool["aks.gpu.node_pool"], **options}}]


def _problems_of_first(ran: Ran, fault: Fault, allowed: float) -> list[str]:
    if fault.kill:
        return [] if ran.status == -signal.SIGKILL else [f"it ended by itself with {ran.status}"]
    if ran.status is None:
        return [f"it did not end within {LIMIT_SECONDS:.0f} s"]
    problems = []
    if ran.seconds > allowed:
        problems.append(f"it took {ran.seconds:.0f} s")
    if "Traceback" in ran.output:
        problems.append("a traceback")
    if ran.status:
        message = _message(ran)
        if fault.codes and not any(code in message for code in fault.codes):
            problems.append(f"the error has none of {', '.join(fault.codes)}: {message}")
        if not message or "Unexpected" in message:
            problems.append(f"no clear error: {message or ran.output[-400:]}")
    return problems


def _message(ran: Ran) -> str:
    return " ".join(str((ran.last or {}).get("msg", "") if ran.last else ran.output[-400:]).split())


def _accidents(job: Job, azure: Emulated) -> list[str]:
    """What a run must never do, however it ends."""
    pools = azure.pools()
    problems = [] if set(pools) <= {"nodepool1", POOL} else [f"there are the pools {', '.join(pools)}"]
    if pools.get("nodepool1", {}).get("count") != 1:
        problems.append("the system pool is not as it was")
    if POOL in pools and pools[POOL]["count"] != COUNT:
        problems.append(f"the pool has {pools[POOL]['count']} nodes")
    if POOL not in pools and job.there is not None and job.wanted is not None:
        problems.append("the pool is gone")
    return problems


def _differences(job: Job, azure: Emulated) -> list[str]:
    problems = _accidents(job, azure)
    pool = azure.pool(POOL)
    if job.wanted is None:
        return problems if pool is None else [*problems, f"the pool is there, {pool['provisioningState']}"]
    if pool is None:
        return [*problems, "there is no pool"]
    return problems + [f"{n} is {pool.get(n)}" for n, value in job.wanted.items() if pool.get(n) != value]
