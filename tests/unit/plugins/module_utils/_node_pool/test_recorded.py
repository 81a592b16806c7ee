# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner against node pools that real Azure was recorded to show, and against what Azure does to them by itself.

``recorded/pools.yml`` holds the pools, each with its recording. The options that made a pool plan to nothing on every
form in which Azure shows it; one changed option changes one field of the PUT.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import FIELDS, option_values
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import Pool, PoolPlan, plan_pool
from hypothesis import assume, given
from hypothesis import strategies as st

Json = dict[str, Any]

RECORDED: dict[str, Json] = {
    each["name"]: each for each in yaml.safe_load((Path(__file__).parent / "recorded" / "pools.yml").read_text())
}
OURS = [name for name in RECORDED if name != "VirtualMachines"]
STOPPED = "stopped"
RUNNING = [name for name in OURS if name != STOPPED]

AS_RECORDED = "as recorded"
API_VERSIONS = (AS_RECORDED, "2025-08-01", "2026-05-01", "2026-08-01")

READ_ONLY = {
    "provisioningState",
    "currentOrchestratorVersion",
    "nodeImageVersion",
    "eTag",
    "status",
    "virtualMachineNodesStatus",
}
"""The first three are those that the az CLI leaves out of its PUTs (test_aks_nodepool_autoscaler_then_update.yaml,
2023-06-29; test_aks_nodepool_update_taints_msi.yaml, 2022-05-13); the others are read-only by Azure's specification.
"""

PREVIEW_ONLY = ("networkProfile", "workloadRuntime", "enableCustomCATrust")
"""Only preview versions of the API show them."""

FILLED_IN = {"enableAutoScaling": False, "scaleDownMode": "Delete", "enableNodePublicIP": False}
"""Absent in recordings of 2022 and 2023 unless sent, filled in by those of 2025 (azure-powershell TestSpot.json)."""

ONLY_IF_SENT = ("enableEncryptionAtHost", "enableUltraSSD")
"""Absent unless sent (azure-powershell TestSpot.json, 2025-10-28; Test_AKS_ManagedCluster_20260501_CRUD.yaml)."""

DEFAULT_UPGRADE = {"maxSurge": "10%", "maxUnavailable": "0"}
"""Of a pool that isn't Spot (Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18)."""

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
SPOT_LABEL = {"kubernetes.azure.com/scalesetpriority": "spot"}
FUTURE = {"futureField": {"whoKnows": [1, {"a": None}]}}
ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/x/y"


def answered(properties: Json, api: str) -> Json:
    """The properties of a recorded pool as a version of the API shows them today.

    Nothing was found with 2026-08-01: it is 2026-05-01 with a field that nobody knows yet.
    """
    found = copy.deepcopy(properties)
    if api == AS_RECORDED:
        return found
    for name in PREVIEW_ONLY:
        found.pop(name, None)
    found = {**FILLED_IN, **found}
    found.setdefault("currentOrchestratorVersion", found["orchestratorVersion"])
    if found["vmSize"].lower().startswith(("standard_nc", "standard_nd")):
        found.setdefault("gpuProfile", {"driver": "Install"})
    found["securityProfile"] = {"sshAccess": "LocalUser", **found.get("securityProfile", {})}
    if not found.get("upgradeSettings"):
        found.pop("upgradeSettings", None)
        if found.get("scaleSetPriority") != "Spot":
            found["upgradeSettings"] = dict(DEFAULT_UPGRADE)
    for name in ONLY_IF_SENT:
        if found.get(name) is False:
            del found[name]
    found.pop("eTag", None)  # stable versions up to 2025-08-01 have none (azure-powershell, 2025-10 and 2025-12)
    if api >= "2026-05-01":
        found["eTag"] = "9e3b2c0a-52c5-4c0b-8a54-8b9d8f0c3b61"
    if api >= "2026-08-01":
        found.update(copy.deepcopy(FUTURE))
    return found


def as_resource(properties: Json) -> Json:
    return {
        "id": "/subscriptions/s/resourcegroups/g/providers/Microsoft.ContainerService/managedClusters/c/agentPools/p",
        "name": "p",
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "properties": properties,
    }


def shown(name: str, api: str) -> Json:
    """A recorded pool in the form of a version of the API."""
    return as_resource(answered(RECORDED[name]["properties"], api))


def planned(pool: Pool, options: Json) -> PoolPlan:
    return plan_pool(pool, option_values(options))


def flattened(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a nested map by its dotted path; lists, empty maps, labels and tags are leaves."""
    leaf = path.removeprefix(".") in ("nodeLabels", "tags")
    if isinstance(value, Mapping) and value and not leaf:
        return {key: leaf for name, each in value.items() for key, leaf in flattened(each, f"{path}.{name}").items()}
    return {path.removeprefix("."): value}


def changes_of(body: Json, pool: Pool) -> dict[str, Any]:
    """What a PUT changes: new values by path; a field that is left out is None.

    Fails where the body holds what only AKS may say, or anything next to the properties.
    """
    assert set(body) <= {"properties"}
    assert not READ_ONLY & set(body["properties"])
    before = flattened({key: each for key, each in pool["properties"].items() if key not in READ_ONLY})
    after = flattened(body["properties"])
    changed = {path: each for path, each in after.items() if path not in before or before[path] != each}
    gone = {path: None for path in before if path not in after and not any(p.startswith(f"{path}.") for p in after)}
    return changed | gone


# --- the options that made it ------------------------------------------------------------------------------------

each_form = pytest.mark.parametrize("api", API_VERSIONS)


@each_form
@pytest.mark.parametrize("name", OURS)
def test_the_options_that_made_a_pool_change_nothing(name: str, api: str) -> None:
    options = RECORDED[name]["options"]
    decision = planned(shown(name, api), options)
    assert decision.problems == ()
    assert (decision.action, decision.steps) == ("nothing", ())
    assert decision.before == decision.after
    for option in options:  # and so does each of them alone
        alone = planned(shown(name, api), {option: options[option]})
        assert (alone.action, alone.problems) == ("nothing", ()), option


def test_every_recorded_pool_names_its_witness() -> None:
    assert [name for name, each in RECORDED.items() if not each["witness"]] == []
    kinds = {
        "GPU driver": "gpuProfile",
        "MIG": "gpuInstanceProfile",
        "Spot, a price that is truncated": "spotMaxPrice",
        "autoscaler": "maxCount",
        "taints": "nodeTaints",
        "upgraded": "currentOrchestratorVersion",
        "VirtualMachines": "virtualMachinesProfile",
    }
    assert [name for name, field in kinds.items() if field not in RECORDED[name]["properties"]] == []
    assert {RECORDED[name]["properties"]["mode"] for name in RECORDED} == {"System", "User"}
    assert RECORDED[STOPPED]["properties"]["count"] == 0


# --- one changed option, one changed field -----------------------------------------------------------------------


def own_taints(properties: Json) -> list[str]:
    return [taint for taint in properties.get("nodeTaints") or [] if taint.startswith("kubernetes.azure.com/")]


def mutable_changes(properties: Json) -> dict[str, tuple[Json, Json]]:
    """Changes of one option that AKS takes at any time: the option, and what the PUT has to change for it."""
    labels = {"team": "vision"}
    spot = properties.get("scaleSetPriority") == "Spot"
    mode = "System" if properties["mode"] == "User" else "User"
    changes: dict[str, tuple[Json, Json]] = {
        "scale_down_mode": ({"scale_down_mode": "deallocate"}, {"scaleDownMode": "Deallocate"}),
        "mode": ({"mode": mode}, {"mode": mode}),
        "node_taints": (
            {"node_taints": ["sku=gpu:NoSchedule"]},
            {"nodeTaints": [*own_taints(properties), "sku=gpu:NoSchedule"]},
        ),
        "node_labels": ({"node_labels": labels}, {"nodeLabels": {**(SPOT_LABEL if spot else {}), **labels}}),
        "tags": ({"tags": {"owner": "ml"}}, {"tags": {"owner": "ml"}}),
        "os_sku": ({"os_sku": "AzureLinux"}, {"osSKU": "AzureLinux"}),
        "proximity_placement_group_id": ({"proximity_placement_group_id": ID}, {"proximityPlacementGroupID": ID}),
        "capacity_reservation_group_id": ({"capacity_reservation_group_id": ID}, {"capacityReservationGroupID": ID}),
        "orchestrator_version": ({"orchestrator_version": "1.99"}, {"orchestratorVersion": "1.99"}),
        "power_state": ({"power_state": "stopped"}, {"powerState.code": "Stopped"}),
    }
    for option, field, value in (
        ("max_surge", "maxSurge", "33%"),
        ("max_unavailable", "maxUnavailable", "2"),
        ("drain_timeout_in_minutes", "drainTimeoutInMinutes", 45),
        ("node_soak_duration_in_minutes", "nodeSoakDurationInMinutes", 5),
        ("undrainable_node_behavior", "undrainableNodeBehavior", "Cordon"),
    ):
        changes[option] = ({"upgrade_settings": {option: value}}, {f"upgradeSettings.{field}": value})
    if properties.get("enableAutoScaling"):
        changes["max_count"] = ({"max_count": 9}, {"maxCount": 9})
        changes["min_count"] = ({"min_count": 1}, {"minCount": 1})
        changes["enable_auto_scaling"] = (
            {"enable_auto_scaling": False},
            {"enableAutoScaling": False, "minCount": None, "maxCount": None},
        )
    else:
        changes["count"] = ({"count": 7}, {"count": 7})
        changes["enable_auto_scaling"] = (
            {"enable_auto_scaling": True, "min_count": 1, "max_count": 4},
            {"enableAutoScaling": True, "minCount": 1, "maxCount": 4},
        )
    return changes


def immutable_changes(properties: Json) -> dict[str, Json]:
    """Changes of one option that AKS refuses on a pool that exists."""
    spot = properties.get("scaleSetPriority") == "Spot"
    return {
        "vm_size": {"vm_size": "Standard_NC24ads_A100_v4"},
        "availability_zones": {"availability_zones": ["2"]},
        "os_type": {"os_type": "Windows"},
        "os_disk_size_gb": {"os_disk_size_gb": 1023},
        "os_disk_type": {"os_disk_type": "Managed" if properties["osDiskType"] == "Ephemeral" else "Ephemeral"},
        "kubelet_disk_type": {"kubelet_disk_type": "Temporary"},
        "max_pods": {"max_pods": 13},
        "vnet_subnet_id": {"vnet_subnet_id": ID},
        "pod_subnet_id": {"pod_subnet_id": ID},
        "enable_node_public_ip": {"enable_node_public_ip": True},
        "scale_set_priority": {"scale_set_priority": "Regular" if spot else "Spot"},
        "scale_set_eviction_policy": {"scale_set_eviction_policy": "Deallocate"},
        "spot_max_price": {"spot_max_price": 3.25},
        "gpu_profile.driver": {"gpu_profile": {"driver": "None"}},
        "gpu_profile.nvidia.management_mode": {"gpu_profile": {"nvidia": {"management_mode": "Managed"}}},
        "gpu_instance_profile": {"gpu_instance_profile": "MIG7g"},
        "host_group_id": {"host_group_id": ID},
    }


def changed_options(options: Json, change: Json) -> Json:
    """Options with one of them changed; nested ones are merged."""
    merged = {**options}
    for option, value in change.items():
        nested = isinstance(value, dict) and isinstance(options.get(option), dict) and option == "upgrade_settings"
        merged[option] = {**options[option], **value} if nested else value
    if change.get("enable_auto_scaling") is False:  # the bounds go with it, and the count is a change of its own
        for option in ("min_count", "max_count", "count"):
            merged.pop(option, None)
    return merged


def check_one_change(pool: Pool, options: Json, change: Json, expected: Json) -> None:
    """One option changes exactly its field, alone and among the options that made the pool."""
    for asked in (change, changed_options(options, change)):
        decision = planned(pool, asked)
        assert decision.problems == ()
        assert decision.action == "update"
        assert len(decision.steps) == 1
        assert changes_of(decision.steps[0].body, pool) == expected
        assert decision.before != decision.after


@each_form
@pytest.mark.parametrize("name", RUNNING)
def test_one_changed_option_changes_one_field(name: str, api: str) -> None:
    pool = shown(name, api)
    changes = mutable_changes(pool["properties"])
    named = {".".join(field.option).removeprefix("upgrade_settings.") for field in FIELDS if not field.immutable}
    bounds = {"min_count", "max_count", "count"}
    assert set(changes) >= named - bounds, "an option without a case"
    for change, expected in changes.values():
        check_one_change(pool, RECORDED[name]["options"], change, expected)


@each_form
@pytest.mark.parametrize("name", RUNNING)
def test_one_immutable_option_is_refused_by_its_name(name: str, api: str) -> None:
    pool = shown(name, api)
    changes = immutable_changes(pool["properties"])
    assert set(changes) == {field.name for field in FIELDS if field.immutable}
    for option, change in changes.items():
        decision = planned(pool, changed_options(RECORDED[name]["options"], change))
        assert (decision.action, decision.steps) == ("refuse", ()), option
        assert len(decision.problems) == 1, decision.problems
        assert decision.problems[0].startswith(f"{option} can't be changed")


@each_form
def test_the_count_of_an_autoscaled_pool_is_nobodys(api: str) -> None:
    pool = shown("autoscaler", api)
    for count in (0, 1, 3, 7):
        assert planned(pool, {**RECORDED["autoscaler"]["options"], "count": count}).action == "nothing"


# --- stopped -----------------------------------------------------------------------------------------------------


@each_form
@pytest.mark.parametrize("power", [{}, {"power_state": "Stopped"}])
@pytest.mark.parametrize("count", [{}, {"count": 0}, {"count": 2}, {"count": 5}])
def test_a_stopped_pool_stays_stopped(api: str, power: Json, count: Json) -> None:
    """A stopped pool shows 0 nodes; a start brings back those that it had (test_aks_nodepool_stop_and_start.yaml)."""
    options = {**RECORDED[STOPPED]["options"], **power}
    options.pop("count")
    decision = planned(shown(STOPPED, api), {**options, **count})
    assert (decision.action, decision.problems) == ("nothing", ())


@each_form
def test_a_stopped_pool_is_started_with_the_count_that_azure_shows(api: str) -> None:
    """The recorded start sent count 0 and Running, and was answered with the old count."""
    pool = shown(STOPPED, api)
    alone = planned(pool, {"power_state": "Running"})
    assert [changes_of(step.body, pool) for step in alone.steps] == [{"powerState.code": "Running"}]
    among = planned(pool, {**RECORDED[STOPPED]["options"], "power_state": "Running"})
    assert among.action == "update"
    assert changes_of(among.steps[0].body, pool) == {"powerState.code": "Running"}
    assert [step.options for step in among.steps] in ([(("power_state",),)], [(("power_state",),), (("count",),)])

    started = copy.deepcopy(pool)
    started["properties"].update(count=2, powerState={"code": "Running"})
    assert planned(started, {**RECORDED[STOPPED]["options"], "power_state": "Running"}).action == "nothing"


@each_form
def test_a_stopped_pool_takes_no_other_change(api: str) -> None:
    pool = shown(STOPPED, api)
    for option, (change, _expected) in mutable_changes(pool["properties"]).items():
        if option in ("power_state", "count", "orchestrator_version"):
            continue
        decision = planned(pool, changed_options(RECORDED[STOPPED]["options"], change))
        assert (decision.action, decision.steps) == ("refuse", ()), option
        assert len(decision.problems) == 1
        assert "power_state=Running" in decision.problems[0]
        assert "count" not in decision.problems[0].replace("max_count", "").replace("min_count", "")


@each_form
def test_a_stopped_pool_can_be_upgraded(api: str) -> None:
    """https://learn.microsoft.com/en-us/azure/aks/start-stop-nodepools: "Stopped node pools can be upgraded"."""
    pool = shown(STOPPED, api)
    for options in ({}, RECORDED[STOPPED]["options"], {"power_state": "Stopped"}):
        decision = planned(pool, {**options, "orchestrator_version": "1.26"})
        assert decision.problems == ()
        assert [changes_of(step.body, pool) for step in decision.steps] == [{"orchestratorVersion": "1.26"}]


@each_form
def test_a_new_pool_may_be_stopped_at_once(api: str) -> None:
    """Creation, then a stop: what Azure shows after that is what was asked for."""
    options = {**RECORDED[STOPPED]["options"], "power_state": "Stopped"}
    first, second = plan_pool(None, option_values(options)).steps
    assert first.body["properties"]["count"] == 2
    assert "powerState" not in first.body["properties"]
    assert second.body["properties"]["powerState"] == {"code": "Stopped"}
    assert planned(shown(STOPPED, api), options).action == "nothing"


# --- VirtualMachines ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"count": 1},
        {"count": 3, "mode": "System"},
        {"node_labels": {"team": "vision"}},
        {"vm_size": "Standard_D2s_v3"},
        {"enable_auto_scaling": True, "min_count": 1, "max_count": 3},
        {"power_state": "Stopped"},
        {"orchestrator_version": "1.36"},
    ],
)
def test_a_pool_of_virtual_machines_is_never_changed(change: Json) -> None:
    """Its sizes and counts are in virtualMachinesProfile, which this collection doesn't know."""
    decision = planned(as_resource(copy.deepcopy(RECORDED["VirtualMachines"]["properties"])), change)
    assert (decision.action, decision.steps) == ("refuse", ())
    assert len(decision.problems) == 1, "one reason, not one for each option"
    assert "VirtualMachines" in decision.problems[0]


# --- generated cases: what Azure does by itself ------------------------------------------------------------------

KEYS = st.text("abcXYZ", min_size=1, max_size=4)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, -1.0]), KEYS)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2))
UNKNOWN = st.dictionaries(KEYS.map(lambda key: f"future{key}"), VALUES, max_size=2)


def truncated(price: float) -> float:
    """How Azure keeps a price: five digits, cut off in binary arithmetic (0.577 is 0.57699)."""
    return math.trunc(price * 100000) / 100000


def drop_some(draw: st.DrawFn, properties: Json, defaults: Json) -> None:
    """Leaves out, or puts in, some fields that have their default."""
    for name, default in defaults.items():
        if properties.get(name, default) == default:
            if draw(st.booleans()):
                properties[name] = copy.deepcopy(default)
            else:
                properties.pop(name, None)


@st.composite
def altered(draw: st.DrawFn, names: list[str]) -> tuple[Pool, Json]:
    """A pool as it may be found, and the options that made it: some of those of its recording, and defaults."""
    name = draw(st.sampled_from(names))
    recorded = RECORDED[name]
    properties: Json = answered(recorded["properties"], draw(st.sampled_from(API_VERSIONS)))
    options: Json = draw(
        st.fixed_dictionaries({}, optional={key: st.just(each) for key, each in recorded["options"].items()})
    )
    spot = properties.get("scaleSetPriority") == "Spot"

    drop_some(draw, properties, FILLED_IN | dict.fromkeys(ONLY_IF_SENT, False))
    drop_some(draw, properties, {"nodeLabels": {}, "tags": {}, "nodeTaints": [], "kubeletDiskType": "OS"})
    if "gpuProfile" in properties and draw(st.booleans()):
        del properties["gpuProfile"]
    if not spot:
        drop_some(draw, properties, {"scaleSetPriority": "Regular", "spotMaxPrice": -1.0})
        options |= draw(st.fixed_dictionaries({}, optional={"scale_set_priority": st.just("regular")}))
    elif draw(st.booleans()):
        price = draw(st.one_of(st.integers(1, 2_000_000).map(lambda n: n / 100000), st.just(-1)))
        options["spot_max_price"] = price
        properties["spotMaxPrice"] = truncated(price)
        drop_some(draw, properties, {"spotMaxPrice": -1.0})

    settings: Json = properties.pop("upgradeSettings", {})
    wanted: Json = {**options.pop("upgrade_settings", {})}
    if draw(st.booleans()):
        wanted["node_soak_duration_in_minutes"] = 0
        drop_some(draw, settings, {"nodeSoakDurationInMinutes": 0})
    if draw(st.booleans()):
        wanted["max_surge"] = settings["maxSurge"] = draw(st.sampled_from(["1", "50%"]))
    if wanted:
        options["upgrade_settings"] = wanted
    empty_is_shown: bool = draw(st.booleans())
    if settings or empty_is_shown:
        properties["upgradeSettings"] = settings

    if draw(st.booleans()):
        options["node_labels"] = {"tier": "gold"}
        properties["nodeLabels"] = {**(SPOT_LABEL if spot else {}), "tier": "gold"}
    if draw(st.booleans()):
        taints = ["x=y:NoSchedule", "a=:NoExecute"]
        options["node_taints"] = taints
        properties["nodeTaints"] = draw(st.permutations([*taints, *([SPOT_TAINT] if spot else [])]))
    if draw(st.booleans()):
        asked = draw(st.sampled_from(["1.32", "1.32.7"]))
        options["orchestrator_version"] = "1.32"
        properties["orchestratorVersion"] = asked
        properties["currentOrchestratorVersion"] = draw(st.sampled_from(["1.32.7", "1.32.11"]))
        if asked == "1.32.7" and draw(st.booleans()):
            del properties["currentOrchestratorVersion"]
    if draw(st.booleans()):
        properties["vmSize"] = properties["vmSize"].swapcase()
    if draw(st.booleans()):
        options["os_disk_size_gb"] = 0
        properties["osDiskSizeGB"] = draw(st.integers(30, 400))
    if properties.get("enableAutoScaling"):
        properties["count"] = draw(st.integers(properties["minCount"], properties["maxCount"]))
        options |= draw(st.fixed_dictionaries({}, optional={"count": st.integers(0, 9)}))

    properties["provisioningState"] = draw(st.sampled_from(["Succeeded", "Updating", "Scaling", "Canceled", "Failed"]))
    properties |= draw(UNKNOWN)
    if "securityProfile" in properties:
        properties["securityProfile"] |= draw(UNKNOWN)
    resource = as_resource(properties)
    etag = draw(st.sampled_from([None, "properties", "resource"]))
    properties.pop("eTag", None)
    if etag is not None:
        (properties if etag == "properties" else resource)["eTag"] = "an-etag"
    if properties["powerState"]["code"] == "Running":
        options |= draw(st.fixed_dictionaries({}, optional={"power_state": st.just("running")}))
        if draw(st.booleans()):
            del properties["powerState"]
    return resource, options


@st.composite
def stopped(draw: st.DrawFn) -> tuple[Pool, Json]:
    """A pool that is stopped or stopping, and the options that made it.

    While it stops, GET shows the old count; the answer of the PUT and the pool afterwards show 0. What becomes of the
    autoscaler's bounds was not recorded.
    """
    names = [name for name in OURS if RECORDED[name]["properties"]["mode"] == "User"]
    pool, options = draw(altered(names))
    properties = pool["properties"]
    properties["powerState"] = {"code": "Stopped"}
    properties["count"] = draw(st.sampled_from([0, properties["count"]]))
    properties["provisioningState"] = draw(st.sampled_from(["Succeeded", "Stopping"]))
    if properties.get("enableAutoScaling") and draw(st.booleans()):
        bounds: Json = draw(st.sampled_from([{}, {"minCount": 0, "maxCount": 0}]))
        for name in ("minCount", "maxCount"):
            properties.pop(name)
        properties |= bounds
    options.pop("power_state", None)
    options |= draw(st.fixed_dictionaries({}, optional={"power_state": st.just("Stopped")}))
    return pool, options


@given(case=altered(RUNNING))
def test_what_azure_alters_by_itself_is_no_change(case: tuple[Pool, Json]) -> None:
    pool, options = case
    decision = planned(pool, options)
    assert (decision.action, decision.problems, decision.steps) == ("nothing", (), ())


@given(case=altered(RUNNING), data=st.data())
def test_one_change_of_an_altered_pool_changes_one_field(case: tuple[Pool, Json], data: st.DataObject) -> None:
    pool, options = case
    changes = mutable_changes(pool["properties"])
    change, expected = changes[data.draw(st.sampled_from(sorted(changes)))]
    options = {option: value for option, value in options.items() if option != "power_state"}
    options.pop("orchestrator_version", None)
    if expected.keys() <= {"nodeTaints"}:
        # AKS's own taints stay, wherever they stood.
        decision = planned(pool, change)
        sent = decision.steps[0].body["properties"]["nodeTaints"]
        assert sorted(sent) == sorted(expected["nodeTaints"] or [])
        return
    settings = pool["properties"].get("upgradeSettings")
    if settings == {} and any(path.startswith("upgradeSettings.") for path in expected):
        pool["properties"].pop("upgradeSettings")
    check_one_change(pool, options, change, expected)


@given(case=altered(RUNNING), data=st.data())
def test_an_altered_pool_still_refuses_what_is_immutable(case: tuple[Pool, Json], data: st.DataObject) -> None:
    pool, options = case
    changes = immutable_changes(pool["properties"])
    option = data.draw(st.sampled_from(sorted(changes)))
    decision = planned(pool, changed_options(options, changes[option]))
    assert (decision.action, decision.steps) == ("refuse", ())
    assert [text.partition(" ")[0] for text in decision.problems] == [option]


@given(case=stopped())
def test_a_stopped_pool_is_left_alone(case: tuple[Pool, Json]) -> None:
    pool, options = case
    decision = planned(pool, options)
    assert (decision.action, decision.problems, decision.steps) == ("nothing", (), ())


@given(case=stopped())
def test_a_stopped_pool_is_only_started(case: tuple[Pool, Json]) -> None:
    """No count of the options gets into the PUT that starts it."""
    pool, options = case
    if pool["properties"].get("enableAutoScaling"):
        assume("minCount" in pool["properties"] and pool["properties"]["maxCount"])
    decision = planned(pool, {**options, "power_state": "Running"})
    assert decision.action == "update"
    assert decision.steps[0].options == (("power_state",),)
    assert changes_of(decision.steps[0].body, pool) == {"powerState.code": "Running"}
    assert all(step.options == (("count",),) for step in decision.steps[1:])


@given(case=stopped(), data=st.data())
def test_a_stopped_pool_refuses_other_changes(case: tuple[Pool, Json], data: st.DataObject) -> None:
    pool, options = case
    changes = mutable_changes({"maxCount": 3, "minCount": 0, **pool["properties"]})
    for option in ("power_state", "count", "min_count", "max_count", "orchestrator_version"):
        changes.pop(option, None)
    change, _expected = changes[data.draw(st.sampled_from(sorted(changes)))]
    decision = planned(pool, changed_options(options, change))
    assert (decision.action, decision.steps) == ("refuse", ())
    assert len(decision.problems) == 1
    assert "power_state=Running" in decision.problems[0]


@given(number=st.integers(1, 50_000_000), digits=st.integers(1, 5))
def test_a_price_that_azure_cut_off_is_the_one_that_was_asked_for(number: int, digits: int) -> None:
    """Fits every recorded price; 71 of the prices 0.01, 0.02 … 10.00 come back smaller."""
    price = number / 10**digits
    pool = shown("Spot, a price that is truncated", "2025-08-01")
    pool["properties"]["spotMaxPrice"] = truncated(price)
    assert planned(pool, {"spot_max_price": price}).action == "nothing"
    for other in (price + 0.0001, price - 0.0001):
        assert planned(pool, {"spot_max_price": other}).action == "refuse"


@pytest.mark.parametrize(("found", "asked"), [(-1.0, -1), (None, -1), (None, -1.0), (-1, -1.0)])
def test_no_price_and_minus_one_are_the_same(found: float | None, asked: float) -> None:
    """-1 is Azure's default; whether it is shown was not recorded."""
    pool = shown("Spot, a price that is truncated", "2026-05-01")
    pool["properties"].pop("spotMaxPrice")
    if found is not None:
        pool["properties"]["spotMaxPrice"] = found
    assert planned(pool, {"spot_max_price": asked}).action == "nothing"
    assert planned(pool, {"spot_max_price": 0.5}).action == "refuse"
    priced = shown("Spot, a price that is truncated", "2026-05-01")
    assert planned(priced, {"spot_max_price": asked}).action == "refuse"


@given(case=altered(RUNNING), unknown=UNKNOWN, data=st.data())
def test_what_nobody_knows_survives_every_update(case: tuple[Pool, Json], unknown: Json, data: st.DataObject) -> None:
    pool, _options = case
    properties = pool["properties"]
    properties |= unknown
    properties["upgradeSettings"] = {**(properties.get("upgradeSettings") or {}), **unknown}
    changes = mutable_changes(properties)
    change, _expected = changes[data.draw(st.sampled_from(sorted(changes)))]
    for step in planned(pool, change).steps:
        sent = step.body["properties"]
        assert {key: sent[key] for key in unknown} == unknown
        assert {key: sent["upgradeSettings"][key] for key in unknown} == unknown
        assert not READ_ONLY & set(sent)
