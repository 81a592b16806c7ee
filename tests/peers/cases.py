# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module for node pools has to get right, one case each: what is there, what is asked, what must come of it.

Every case is a defect that users met, or that running azure.azcollection's `azure_rm_aksagentpool` showed. The same
cases are run through that module (`make peers`, a table) and through ours (`make peers`, and `make test`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

SIZE = "Standard_NC4as_T4_v3"
SUBNET = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/network/providers/Microsoft.Network"
    "/virtualNetworks/vnet/subnets/gpu"
)
ABSENT = object()
"""Of a property: it must not be there."""

UNCHANGED = object()
"""Of a pool: it must be as it was."""

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"


@dataclass(frozen=True)
class Expected:
    """What must come of a case.

    Attributes:
        changed: The result's `changed`; None when the task must fail.
        message: Regular expressions that the failure's text must all match.
        writes: How many PUTs and DELETEs of the pool are sent; None: any number.
        pool: Properties of the pool afterwards, by ARM path; None: there is none; UNCHANGED: as before.
        returned: Values that the returned pool shows.
        diff: Texts that the difference shows, in `before` or in `after`.
        headers: Headers that the first write carries, by lower-case name; a value of None: any value.
        within: Seconds that the task may take.
        hidden: True when the result must be censored.
    """

    changed: bool | None
    message: tuple[str, ...] = ()
    writes: int | None = None
    pool: Any = field(default_factory=dict)
    returned: Json = field(default_factory=dict)
    diff: tuple[str, ...] = ()
    headers: Mapping[str, str | None] = field(default_factory=dict)
    within: float = 60.0
    hidden: bool = False


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        name: An identifier.
        line: What is tested, in words.
        asked: Options of the task, besides which pool is meant.
        expected: What must come of it.
        there: Properties of the pool that exists before; None: there is none.
        touched: Properties that Azure changed on that pool afterwards; null removes.
        settings: Settings of the sandbox while the task runs.
        faults: Faults of the sandbox while the task runs; `{pool}` in a path is the pool's path.
        broken: Faults of the sandbox while the pool is made.
        check: Run in check mode.
        ours: Our module's name.
        peer: The peer's modules that might do it, as a shell pattern; the first one found is run.
        ours_only: Options that only ours is given: what they ask for has no counterpart.
    """

    name: str
    line: str
    asked: Json
    expected: Expected
    there: Json | None = None
    touched: Json = field(default_factory=dict)
    settings: Json = field(default_factory=dict)
    faults: tuple[Json, ...] = ()
    broken: tuple[Json, ...] = ()
    check: bool = False
    ours: str = "node_pool"
    peer: str = "azure_rm_aksagentpool"
    ours_only: Json = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Must the case have a run of its own? Where its time counts, or what is there right after it."""
        return self.expected.within < Expected.within


def _made(**properties: Any) -> Json:
    """A pool as somebody made it before, with ARM's names."""
    return {"vmSize": SIZE, "count": 1, "mode": "User", "osType": "Linux", **properties}


def _asked(**options: Any) -> Json:
    """Options that say what `_made` made, and more."""
    return {"vm_size": SIZE, "count": 1, "mode": "User", **options}


LABELLED = _made(nodeLabels={"team": "Vision", "tier": "gold"})
AUTOSCALED = _made(count=5, enableAutoScaling=True, minCount=1, maxCount=5)
AUTOSCALER_ASKED = {"enable_auto_scaling": True, "min_count": 1, "max_count": 5}
SPOT = _made(
    scaleSetPriority="Spot",
    scaleSetEvictionPolicy="Delete",
    spotMaxPrice=-1,
    nodeTaints=[SPOT_TAINT, "sku=gpu:NoSchedule"],
)
SPOT_ASKED = _asked(scale_set_priority="Spot", node_taints=["sku=gpu:NoSchedule"])

WRITE = {"method": "PUT", "path": "{pool}"}
REMOVE = {"method": "DELETE", "path": "{pool}"}

CASES = (
    # Absent
    Case(
        "absent-check-nothing",
        "absent in check mode, no such pool: unchanged",
        {"state": "absent"},
        Expected(False, writes=0, pool=None),
        check=True,
    ),
    Case(
        "absent-check",
        "absent in check mode, the pool exists: changed, and it stays",
        {"state": "absent"},
        Expected(True, writes=0, pool=UNCHANGED),
        there=_made(),
        check=True,
    ),
    Case(
        "absent-waits",
        "absent returns when the pool is gone",
        {"state": "absent"},
        Expected(True, pool=None, within=30.0),
        settings={"delete_seconds": 200.0},
        there=_made(),
    ),
    Case(
        "absent-error",
        "absent tells the error of the operation",
        {"state": "absent"},
        Expected(None, message=("PodDrainFailure", "jobs/train-0")),
        there=_made(),
        faults=(
            {
                **REMOVE,
                "operation": {"code": "PodDrainFailure", "message": "Drain blocked by jobs/train-0"},
            },
        ),
    ),
    # What is returned
    Case(
        "unchanged-returns",
        "no change: the pool is returned",
        _asked(),
        Expected(False, writes=0, returned={"vm_size": SIZE, "count": 1}),
        there=_made(),
    ),
    Case(
        "check-create-returns",
        "create in check mode: the predicted pool is returned",
        _asked(node_labels={"team": "vision"}),
        Expected(True, writes=0, pool=None, returned={"vm_size": SIZE, "node_labels": {"team": "vision"}}),
        check=True,
    ),
    Case(
        "check-update-returns",
        "update in check mode: the predicted pool is returned",
        _asked(node_labels={"team": "vision"}),
        Expected(True, writes=0, pool=UNCHANGED, returned={"node_labels": {"team": "vision"}}),
        there=_made(),
        check=True,
    ),
    # Labels
    Case(
        "label-removed",
        "a label removed",
        {"node_labels": {"team": "Vision"}},
        Expected(True, pool={"nodeLabels": {"team": "Vision"}}),
        there=LABELLED,
    ),
    Case(
        "labels-emptied",
        "an empty dict of labels",
        {"node_labels": {}},
        Expected(True, pool={"nodeLabels": {}}),
        there=LABELLED,
    ),
    Case(
        "label-case",
        "a label's value in other letter case",
        {"node_labels": {"team": "vision", "tier": "gold"}},
        Expected(True, pool={"nodeLabels": {"team": "vision", "tier": "gold"}}),
        there=LABELLED,
    ),
    Case(
        "tags-emptied",
        "an empty dict of tags",
        {"tags": {}},
        Expected(True, pool={"tags": {}}),
        there=_made(tags={"owner": "ml"}),
    ),
    # The autoscaler
    Case(
        "autoscaled-count",
        "count: 1 on a pool that the autoscaler moved to 5: unchanged",
        _asked(**AUTOSCALER_ASKED),
        Expected(False, writes=0, pool={"count": 5}),
        there=AUTOSCALED,
        settings={"count_under_autoscaler": "accept"},
    ),
    Case(
        "autoscaled-update",
        "another change of that pool does not scale it",
        _asked(**AUTOSCALER_ASKED, node_labels={"team": "vision"}),
        Expected(True, pool={"count": 5, "nodeLabels": {"team": "vision"}}),
        there=AUTOSCALED,
        settings={"count_under_autoscaler": "accept"},
    ),
    Case(
        "autoscaler-off-null",
        "enable_auto_scaling: false where Azure says nothing: unchanged",
        _asked(enable_auto_scaling=False),
        Expected(False, writes=0, pool=UNCHANGED),
        there=_made(),
        touched={"enableAutoScaling": None},
    ),
    # Spot
    Case(
        "spot-taint",
        "a Spot pool with a taint of one's own: unchanged",
        SPOT_ASKED,
        Expected(False, writes=0, pool=UNCHANGED),
        there=SPOT,
    ),
    Case(
        "spot-taint-update",
        "another change of that pool keeps the taint that AKS added",
        {**SPOT_ASKED, "node_labels": {"team": "vision"}},
        Expected(True, pool={"nodeTaints": [SPOT_TAINT, "sku=gpu:NoSchedule"]}),
        there=SPOT,
    ),
    # Immutable fields
    Case(
        "priority-changed",
        "scale_set_priority changed: refused by name",
        _asked(scale_set_priority="Spot"),
        Expected(None, message=("scale_set_priority", "Regular", "Spot"), writes=0, pool=UNCHANGED),
        there=_made(scaleSetPriority="Regular"),
    ),
    Case(
        "price-changed",
        "spot_max_price changed: refused by name",
        {**SPOT_ASKED, "spot_max_price": 0.5},
        Expected(None, message=("spot_max_price", r"0\.5"), writes=0, pool=UNCHANGED),
        there=SPOT,
    ),
    Case(
        "size-changed",
        "vm_size changed: refused before any request",
        _asked(vm_size="Standard_NC8as_T4_v3"),
        Expected(None, message=("(?i)vm_?size", SIZE, "Standard_NC8as_T4_v3"), writes=0, pool=UNCHANGED),
        there=_made(),
    ),
    # What is no difference
    Case(
        "os-type-case",
        "os_type: linux",
        _asked(os_type="linux"),
        Expected(False, writes=0, pool=UNCHANGED),
        there=_made(),
    ),
    Case(
        "zone-order",
        "zones in other order",
        _asked(availability_zones=[2, 1]),
        Expected(False, writes=0, pool=UNCHANGED),
        there=_made(availabilityZones=["1", "2"]),
    ),
    Case(
        "id-case",
        "an ARM id in other letter case",
        _asked(vnet_subnet_id=SUBNET.lower()),
        Expected(False, writes=0, pool=UNCHANGED),
        there=_made(vnetSubnetID=SUBNET),
        settings={"vnet_subnets": {SUBNET: "10.10.0.0/16"}},
    ),
    # States
    Case(
        "failed-pool",
        "a pool in state Failed: the task fails and says why",
        _asked(),
        Expected(None, message=("Failed", "AllocationFailed"), pool={"provisioningState": "Failed"}),
        there=_made(),
        broken=({**WRITE, "operation": {"code": "AllocationFailed", "message": "Allocation failed. No capacity."}},),
    ),
    # Updates keep what they do not know
    Case(
        "drain-settings",
        "an update keeps drain timeout and soak time",
        _asked(node_labels={"team": "vision"}, upgrade_settings={"max_surge": "2"}),
        Expected(
            True,
            pool={"upgradeSettings.drainTimeoutInMinutes": 60, "upgradeSettings.nodeSoakDurationInMinutes": 5},
        ),
        there=_made(upgradeSettings={"maxSurge": "1", "drainTimeoutInMinutes": 60, "nodeSoakDurationInMinutes": 5}),
    ),
    Case(
        "unknown-fields",
        "an update keeps fields that the module does not know",
        _asked(node_labels={"team": "vision"}),
        Expected(True, pool={"nodeLabels": {"team": "vision"}, "fieldOfNextYear": {"kept": True}}),
        there=_made(),
        settings={"future_fields": {"fieldOfNextYear": {"kept": True}}},
    ),
    # Conflicts, waiting
    Case(
        "in-progress",
        "409, another operation is in progress: waited for",
        _asked(node_labels={"team": "vision"}),
        Expected(True, pool={"nodeLabels": {"team": "vision"}}),
        there=_made(),
        faults=({**WRITE, "in_progress": True, "times": 2},),
    ),
    Case(
        "diff",
        "--diff shows what changes",
        _asked(node_labels={"team": "research"}),
        Expected(True, diff=("vision", "research")),
        there=_made(nodeLabels={"team": "vision"}),
    ),
    Case(
        "deadline",
        "an operation without end: the task ends at its deadline, and says what it waited for",
        _asked(),
        Expected(None, message=("Creating",), within=25.0, pool={"provisioningState": "Creating"}),
        ours_only={"wait_timeout": 3},
        faults=({**WRITE, "operation": {"endless": True}},),
    ),
    Case(
        "no-wait",
        "wait: false starts and returns",
        _asked(wait=False),
        Expected(True, pool={"provisioningState": "Creating"}, within=20.0),
        faults=({**WRITE, "operation": {"endless": True}},),
    ),
    # What can be asked for
    Case(
        "gpu-profile",
        "gpu_profile",
        _asked(gpu_profile={"driver": "None"}),
        Expected(True, pool={"gpuProfile.driver": "None"}),
    ),
    Case(
        "headers",
        "custom headers",
        _asked(custom_headers={"X-Preview-Image": "true"}),
        Expected(True, headers={"x-preview-image": "true"}),
    ),
    Case(
        "etag-create",
        "a create cannot overwrite somebody else's pool",
        _asked(),
        Expected(True, headers={"if-none-match": "*"}),
    ),
    Case(
        "etag-update",
        "an update carries the etag that it read",
        _asked(node_labels={"team": "vision"}),
        Expected(True, headers={"if-match": None}),
        there=_made(),
    ),
    Case(
        "etag-stale",
        "412, the etag is stale: planned again",
        _asked(node_labels={"team": "vision"}),
        Expected(True, pool={"nodeLabels": {"team": "vision"}}),
        there=_made(),
        faults=({**WRITE, "precondition_failed": True},),
    ),
    # Modules
    Case(
        "feature",
        "a module for preview features",
        {"name": "ManagedGPUExperiencePreview"},
        Expected(True),
        ours="feature",
        peer="*feature*",
    ),
    Case(
        "provider",
        "a module for resource providers",
        {"namespace": "Microsoft.ContainerService", "refresh": True},
        Expected(True),
        ours="resource_provider",
        peer="*provider*",
    ),
    Case(
        "credentials",
        "kubeconfigs are censored where they are shown",
        {},
        Expected(False, hidden=True),
        ours="kubeconfig",
        peer="azure_rm_akscredentials_info",
        ours_only={"return_content": True},
    ),
)


@dataclass(frozen=True)
class Observation:
    """What came of a task.

    Attributes:
        result: What Ansible's callbacks are given; None when the task did not end.
        seconds: How long the task took, Ansible's start included; 0 when it ran together with others.
        writes: The PUTs and DELETEs of the pool that were sent, as recorded.
        before: Properties of the pool before; None: there was none.
        after: Properties of the pool afterwards.
        missing: Why there was nothing to run.
    """

    result: Json | None
    seconds: float
    writes: tuple[Json, ...] = ()
    before: Json | None = None
    after: Json | None = None
    missing: str = ""


def shortcomings(case: Case, seen: Observation) -> list[str]:
    """What is not as it must be, in a few words each; empty when all is right."""
    if seen.missing:
        return [seen.missing]
    if seen.result is None:
        return [f"not ended after {seen.seconds:.0f} s"]
    expected, result = case.expected, seen.result
    wrong = []
    text = str(result.get("msg", ""))
    if result.get("failed"):
        if expected.changed is not None:
            wrong.append(f"failed: {_short(text)}")
        else:
            wrong += [f"the error does not name {p}" for p in expected.message if not re.search(p, text)]
    elif expected.changed is None:
        wrong.append(f"ok, changed={_word(result.get('changed'))}, no error")
    elif bool(result.get("changed")) != expected.changed:
        wrong.append(f"changed={_word(result.get('changed'))}")
    if expected.writes is not None and len(seen.writes) != expected.writes:
        wrong.append(f"{len(seen.writes)} write{'' if len(seen.writes) == 1 else 's'} sent")
    if result.get("failed") and expected.changed is not None:
        return wrong
    return [*wrong, *_wrong_pool(expected, seen), *_wrong_result(expected, seen)]


def _wrong_pool(expected: Expected, seen: Observation) -> list[str]:
    if expected.pool is None:
        return [] if seen.after is None else [f"the pool is there, {seen.after.get('provisioningState')}"]
    if expected.pool is UNCHANGED:
        if seen.after is None:
            return ["the pool is gone"]
        before = {name: value for name, value in (seen.before or {}).items() if name != "eTag"}
        names = [name for name, value in before.items() if seen.after.get(name) != value]
        return [f"{name}: {_short(before[name])} -> {_short(seen.after.get(name))}" for name in names]
    wrong = []
    for path, value in expected.pool.items():
        actual: Any = seen.after
        for part in path.split("."):
            actual = actual.get(part) if isinstance(actual, dict) else None
        if value in ({}, []):
            actual = actual or value
        if (sorted(actual) if isinstance(actual, list) else actual) != (
            sorted(value) if isinstance(value, list) else value
        ):
            wrong.append(f"{path} is {_short(actual)}")
    return wrong


def _wrong_result(expected: Expected, seen: Observation) -> list[str]:
    assert seen.result is not None
    wrong = []
    if expected.returned:
        pool = seen.result.get("node_pool", seen.result.get("aks_agent_pools"))
        if not isinstance(pool, dict):
            wrong.append("returns null")
        else:
            wrong += [f"returns {n}={_short(pool.get(n))}" for n, v in expected.returned.items() if pool.get(n) != v]
    if expected.diff:
        shown = str(seen.result.get("diff", ""))
        wrong += [] if all(text in shown for text in expected.diff) else ["no diff"]
    if expected.headers:
        sent = seen.writes[0]["request_headers"] if seen.writes else {}
        wrong += [
            f"no {name} sent"
            for name, value in expected.headers.items()
            if name not in sent or value not in (None, sent[name])
        ]
    if seen.seconds > expected.within:
        wrong.append(f"took {seen.seconds:.0f} s")
    if expected.hidden and "censored" not in seen.result:
        wrong.append("shown in clear")
    return wrong


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _word(value: Any) -> str:
    return str(bool(value)).lower()


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 70 else f"{text[:67]}..."
