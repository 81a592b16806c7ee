# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planner, by examples and by generated cases.

Generated plans are carried out on the rules by which the sandbox imitates AKS; those were written by others from what
AKS documents, so the planner and its test don't share a mistake.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from aks_sandbox.arm import pool_rules
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import is_created_by_us
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import (
    BY_OPTION,
    FIELDS,
    Kind,
    Values,
    current_value,
    option_values,
    to_result,
    user_owned_part,
    values_equal,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import Pool, PoolPlan, conflicts, plan_pool
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._preflight import option_problems
from hypothesis import assume, given
from hypothesis import strategies as st

Json = dict[str, Any]

FUTURE = {"futureField": {"whoKnows": 1}}
SPOT_TAINT = pool_rules.SPOT_TAINT
ID = "/subscriptions/S/resourceGroups/Group/providers/Microsoft.Network/virtualNetworks/V/subnets/Nodes"


# --- an AKS in a few lines ---------------------------------------------------------------------------------------


def carry_out(decision: PoolPlan, current: Pool | None) -> Pool | None:
    """What AKS has after the steps of a plan; an assertion fails where it would refuse one."""
    assert decision.action != "refuse", decision.problems
    if decision.action == "delete":
        return None
    for step in decision.steps:
        assert set(step.body) <= {"properties", "tags"}
        wanted = pool_rules.read(step.body, FUTURE)
        if current is None:
            pool_rules.check("gpunp", wanted)
            properties = {**pool_rules.filled_in(wanted, "1.36", "1.36.2"), **FUTURE}
        else:
            before = current["properties"]
            assert "nodeImageVersion" not in step.body["properties"], "an echo of it is a rollback"
            pool_rules.check_immutable(before, wanted)
            assert not (
                bool(wanted.get("enableAutoScaling")) != bool(before["enableAutoScaling"])
                and wanted["count"] != before["count"]
            ), "switching the autoscaler and scaling are two requests"
            if wanted.get("enableAutoScaling"):
                assert wanted["count"] == before["count"], "under the autoscaler, count goes as it was read"
            pool_rules.check("gpunp", wanted)
            properties = pool_rules.replaced(before, wanted)
            if "orchestratorVersion" in wanted:
                asked = wanted["orchestratorVersion"]
                now = before["currentOrchestratorVersion"]
                properties["currentOrchestratorVersion"] = now if now.startswith(asked) else asked
        properties.update({"eTag": "another", "provisioningState": "Succeeded"})
        current = {"id": "/x/agentPools/gpunp", "name": "gpunp", "type": "t", "properties": properties}
    return current


def created(**params: Any) -> Pool:
    """A pool that was created with some options."""
    pool = carry_out(plan_pool(None, option_values({"vm_size": "Standard_NC4as_T4_v3", "count": 1, **params})), None)
    assert pool is not None
    return pool


def after(pool: Pool, **changes: Any) -> Pool:
    """A pool in which somebody has changed properties of ARM."""
    return {**pool, "properties": {**copy.deepcopy(pool["properties"]), **changes}}


def planned(pool: Pool | None, **params: Any) -> PoolPlan:
    return plan_pool(pool, option_values(params))


# --- each line of peers.md that the planner decides --------------------------------------------------------------


def test_a_removed_label_an_empty_map_and_a_change_of_case_are_changes() -> None:
    pool = created(node_labels={"team": "vision", "tier": "gold"})
    for labels in ({"team": "vision"}, {}, {"team": "Vision", "tier": "gold"}):
        decision = planned(pool, node_labels=labels)
        assert decision.action == "update"
        assert decision.steps[0].body["properties"]["nodeLabels"] == labels


def test_the_count_of_an_autoscaled_pool_is_the_autoscalers() -> None:
    options: Json = {"enable_auto_scaling": True, "min_count": 1, "max_count": 5, "count": 1}
    pool = after(created(**options), count=5)
    assert planned(pool, **options).action == "nothing"
    decision = planned(pool, **{**options, "max_count": 6})
    assert [step.body["properties"]["count"] for step in decision.steps] == [5]


def test_the_taint_of_spot_pools_is_aks_own() -> None:
    options: Json = {"scale_set_priority": "Spot", "node_taints": ["sku=gpu:NoSchedule"], "node_labels": {"a": "b"}}
    pool = created(**options)
    assert SPOT_TAINT in pool["properties"]["nodeTaints"]
    assert planned(pool, **options).action == "nothing"
    assert planned(pool, node_taints=["sku=gpu:NoSchedule", SPOT_TAINT]).action == "nothing"
    decision = planned(pool, node_taints=[], node_labels={})
    assert decision.steps[0].body["properties"]["nodeTaints"] == [SPOT_TAINT]
    assert decision.steps[0].body["properties"]["nodeLabels"] == {pool_rules.SPOT_LABEL: "spot"}
    assert decision.after["node_taints"] == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("scale_set_priority", "Spot"),
        ("spot_max_price", 0.5),
        ("vm_size", "Standard_NC8as_T4_v3"),
        ("os_disk_size_gb", 256),
        ("availability_zones", ["3"]),
        ("gpu_profile", {"driver": "None"}),
        ("gpu_profile", {"nvidia": {"management_mode": "Managed"}}),
    ],
)
def test_an_immutable_option_is_refused_with_old_and_new_value_and_a_way_out(option: str, value: Any) -> None:
    decision = planned(created(availability_zones=["1", "2"]), **{option: value}, max_pods=None)
    assert decision.action == "refuse"
    assert decision.steps == ()
    assert len(decision.problems) == 1
    assert option in decision.problems[0]
    new = value if not isinstance(value, dict) else value.get("driver", "Managed")
    assert repr(new) in decision.problems[0]
    assert "add O(replaces) with the name it has now" in decision.problems[0]


def test_every_immutable_option_is_named_at_once() -> None:
    decision = planned(created(), vm_size="Standard_NC8as_T4_v3", max_pods=12, os_type="Windows", count=2)
    assert decision.action == "refuse"
    assert len(decision.problems) == 3


def test_spelling_is_no_change() -> None:
    pool = created(os_type="Linux", availability_zones=["1", "2", "3"], vnet_subnet_id=ID, scale_set_priority="Regular")
    decision = planned(
        pool,
        os_type="linux",
        availability_zones=[3, 1, 2],
        vnet_subnet_id=ID.lower() + "/",
        enable_auto_scaling=False,
        scale_set_priority="regular",
        vm_size="standard_nc4as_t4_v3",
        gpu_profile={"driver": "install"},
        orchestrator_version="1.36",
    )
    assert decision.action == "nothing"


def test_what_arm_leaves_out_means_its_default() -> None:
    pool = created()
    bare = {**pool, "properties": {"vmSize": "Standard_NC4as_T4_v3", "count": 1, "enableAutoScaling": None}}
    assert (
        planned(
            bare,
            enable_auto_scaling=False,
            scale_set_priority="Regular",
            os_type="Linux",
            node_labels={},
            node_taints=[],
            tags={},
            availability_zones=[],
            enable_node_public_ip=False,
            gpu_profile={"driver": "Install", "nvidia": {"management_mode": "Unmanaged"}},
            power_state="Running",
            scale_down_mode="Delete",
        ).action
        == "nothing"
    )


def test_an_update_keeps_what_it_does_not_own() -> None:
    pool = after(
        created(upgrade_settings={"max_surge": "5", "drain_timeout_in_minutes": 7}, node_labels={"a": "b"}),
        **FUTURE,
        creationData={"sourceResourceId": "x"},
    )
    body = planned(pool, upgrade_settings={"max_surge": "3"}).steps[0].body["properties"]
    # maxUnavailable is AKS's default: CLI test_aks_nodepool_stop_and_start.yaml, 2025-07-08
    assert body["upgradeSettings"] == {"maxSurge": "3", "maxUnavailable": "0", "drainTimeoutInMinutes": 7}
    assert body["futureField"] == FUTURE["futureField"]
    assert body["creationData"] == {"sourceResourceId": "x"}
    assert body["nodeLabels"] == {"a": "b"}
    assert not body.keys() & {"nodeImageVersion", "provisioningState", "eTag", "currentOrchestratorVersion", "status"}


# --- fields that depend on each other ----------------------------------------------------------------------------


def test_switching_the_autoscaler_off_clears_its_bounds_and_scales_afterwards() -> None:
    pool = after(created(enable_auto_scaling=True, min_count=1, max_count=5), count=4)
    decision = planned(pool, enable_auto_scaling=False, count=2)
    first, second = (step.body["properties"] for step in decision.steps)
    assert (first["enableAutoScaling"], first["count"]) == (False, 4)
    assert not first.keys() & {"minCount", "maxCount"}
    assert (second["enableAutoScaling"], second["count"]) == (False, 2)


def test_switching_the_autoscaler_on_leaves_the_count() -> None:
    decision = planned(created(count=2), enable_auto_scaling=True, min_count=1, max_count=5, count=1)
    assert [step.body["properties"]["count"] for step in decision.steps] == [2]


def test_a_new_version_goes_alone_and_last() -> None:
    decision = planned(created(), orchestrator_version="1.37", node_labels={"a": "b"})
    assert [step.options for step in decision.steps] == [(("node_labels",),), (("orchestrator_version",),)]


def test_a_patch_of_the_version_that_runs_is_no_change() -> None:
    assert planned(created(), orchestrator_version="1.36.2").action == "nothing"
    assert planned(created(), orchestrator_version="1.36").action == "nothing"
    assert planned(created(), orchestrator_version="1.3").action == "update"


def test_a_stopped_pool_takes_no_change_but_a_start() -> None:
    pool = after(created(), powerState={"code": "Stopped"})
    assert planned(pool, count=1).action == "nothing"
    refused = planned(pool, count=2, node_labels={"a": "b"})
    assert refused.action == "refuse"
    assert "power_state=Running" in refused.problems[0]
    decision = planned(pool, count=2, power_state="Running")
    assert [step.options for step in decision.steps] == [(("power_state",),), (("count",),)]


def test_the_driver_may_be_dropped_where_the_retired_tag_said_so() -> None:
    tagged = created(tags={"SkipGPUDriverInstall": "true"})
    assert planned(tagged, gpu_profile={"driver": "None"}).action == "update"
    assert planned(created(), gpu_profile={"driver": "None"}).action == "refuse"


def test_a_disk_of_size_zero_means_the_default() -> None:
    assert planned(created(), os_disk_size_gb=0).action == "nothing"


def test_a_new_pool_under_the_autoscaler_begins_with_its_fewest_nodes() -> None:
    values = option_values({"vm_size": "x", "enable_auto_scaling": True, "min_count": 2, "max_count": 5})
    assert plan_pool(None, values).steps[0].body["properties"]["count"] == 2
    assert plan_pool(None, option_values({"vm_size": "x"})).steps[0].body["properties"]["count"] == 1


def test_a_created_pool_is_known_again_and_its_tag_is_nobodys_to_change() -> None:
    params: Json
    for params in ({}, {"tags": {}}, {"tags": {"owner": "ml"}}):
        pool = created(**params)
        assert is_created_by_us(pool["properties"].get("tags"))
        assert planned(pool, **params).action == "nothing"
    changed = planned(pool, tags={})
    assert changed.after == {"tags": {}}
    emptied = carry_out(changed, pool)
    assert emptied is not None
    assert is_created_by_us(emptied["properties"].get("tags"))
    assert planned(emptied, tags={}).action == "nothing"

    theirs = after(pool, tags={"owner": "ml"})
    assert not is_created_by_us(theirs["properties"].get("tags"))
    assert planned(theirs, tags={"owner": "ml"}).action == "nothing"
    updated = carry_out(planned(theirs, tags={}), theirs)
    assert updated is not None
    assert not is_created_by_us(updated["properties"].get("tags"))


def test_absent() -> None:
    assert plan_pool(None, None).action == "nothing"
    assert plan_pool(created(), None).action == "delete"


# --- two at work -------------------------------------------------------------------------------------------------


def test_a_change_of_the_same_option_by_somebody_else_is_a_conflict() -> None:
    base = created(count=1, node_labels={"a": "1"})
    desired = option_values({"count": 3, "node_labels": {"a": "1"}})
    (text,) = conflicts(base, after(base, count=2), desired)
    assert "count was 1, is now 2, and shall become 3" in text
    assert conflicts(base, after(base, count=3), desired) == ()
    assert conflicts(base, after(base, nodeLabels={"a": "2"}, eTag="new"), desired) == ()
    assert conflicts(base, after(base, tags={"x": "y"}), desired) == ()


# --- generated cases ---------------------------------------------------------------------------------------------

WORDS = st.text("abcXYZ019", min_size=1, max_size=4)
TAINTS = st.builds(lambda key, value, effect: f"{key}={value}:{effect}", WORDS, WORDS, st.just("NoSchedule"))
STRATEGIES: dict[str, st.SearchStrategy[Any]] = {
    "scale_down_mode": st.sampled_from(["Delete", "Deallocate", "delete"]),
    "mode": st.sampled_from(["User", "user"]),
    "node_taints": st.lists(TAINTS, max_size=3, unique=True),
    "node_labels": st.dictionaries(WORDS, WORDS, max_size=3),
    "tags": st.dictionaries(st.sampled_from(["a", "b", "c"]), WORDS, max_size=3),
    "os_sku": st.sampled_from(["Ubuntu", "AzureLinux"]),
    "proximity_placement_group_id": st.sampled_from(["/a/B", "/a/c"]),
    "capacity_reservation_group_id": st.sampled_from(["/a/B", "/a/c"]),
    "orchestrator_version": st.sampled_from(["1.36", "1.36.2", "1.37", "1.37.1"]),
}
SCALING: st.SearchStrategy[Json] = st.one_of(
    st.fixed_dictionaries({}),
    st.fixed_dictionaries({"count": st.integers(0, 6)}),
    st.fixed_dictionaries({"enable_auto_scaling": st.just(False)}, optional={"count": st.integers(0, 6)}),
    st.tuples(st.integers(0, 3), st.integers(0, 3)).map(
        lambda pair: {"enable_auto_scaling": True, "min_count": pair[0], "max_count": sum(pair)}
    ),
)
UPGRADE = st.fixed_dictionaries(
    {},
    optional={
        "max_surge": st.sampled_from(["1", "33%"]),
        "drain_timeout_in_minutes": st.integers(1, 60),
        "undrainable_node_behavior": st.sampled_from(["Cordon", "Schedule"]),
    },
)


@st.composite
def mutable_options(draw: st.DrawFn) -> Json:
    """Options that AKS takes at any time."""
    params: Json = draw(st.fixed_dictionaries({}, optional=STRATEGIES))
    params |= draw(SCALING)
    upgrade = draw(UPGRADE)
    return params | ({"upgrade_settings": upgrade} if upgrade else {})


@st.composite
def pools(draw: st.DrawFn) -> Pool:
    """A pool as it may be found: created by somebody, scaled by the autoscaler, with fields that nobody knows."""
    params = draw(mutable_options())
    params["vm_size"] = draw(st.sampled_from(["Standard_NC4as_T4_v3", "standard_nc24ads_a100_v4"]))
    if draw(st.booleans()):
        params["scale_set_priority"] = "Spot"
    if draw(st.booleans()):
        params["availability_zones"] = draw(st.permutations(["1", "2", "3"]))
    pool = created(**params)
    if pool["properties"]["enableAutoScaling"]:
        low, high = pool["properties"]["minCount"], pool["properties"]["maxCount"]
        pool["properties"]["count"] = draw(st.integers(low, high))
    return pool


@given(pool=pools(), params=mutable_options())
def test_applied_then_planned_again_is_nothing(pool: Pool, params: Json) -> None:
    desired = option_values(params)
    decision = plan_pool(pool, desired)
    reached = carry_out(decision, pool)
    assert plan_pool(reached, desired).action == "nothing"


@given(params=mutable_options(), spot=st.booleans())
def test_created_then_planned_again_is_nothing(params: Json, spot: bool) -> None:
    desired = option_values(
        {**params, "vm_size": "Standard_NC4as_T4_v3", **({"scale_set_priority": "Spot"} if spot else {})}
    )
    assume(not option_problems(desired, desired, {}))
    reached = carry_out(plan_pool(None, desired), None)
    assert plan_pool(reached, desired).action == "nothing"


@given(pool=pools(), params=mutable_options())
def test_what_is_unset_or_unknown_stays(pool: Pool, params: Json) -> None:
    desired = option_values(params)
    reached = carry_out(plan_pool(pool, desired), pool)
    assert reached is not None
    assert reached["properties"]["futureField"] == FUTURE["futureField"]
    bounds = ("min_count", "max_count")
    for field in FIELDS:
        if field.option in desired or (field.name in bounds and ("enable_auto_scaling",) in desired):
            continue
        if field.kind is Kind.VERSION:
            continue
        assert current_value(field, reached["properties"]) == current_value(field, pool["properties"]), field.name


@given(pool=pools())
def test_nothing_set_is_nothing_done(pool: Pool) -> None:
    assert plan_pool(pool, {}).action == "nothing"


@given(pool=pools(), params=mutable_options())
def test_the_prediction_is_what_comes(pool: Pool, params: Json) -> None:
    decision = plan_pool(pool, option_values(params))
    reached = carry_out(decision, pool)
    assert reached is not None
    assert decision.predicted is not None
    for field in FIELDS:
        predicted = current_value(field, decision.predicted["properties"])
        assert values_equal(field, current_value(field, reached["properties"]), predicted), field.name


@given(pool=pools(), params=mutable_options(), seed=st.integers())
def test_order_and_case_do_not_matter(pool: Pool, params: Json, seed: int) -> None:
    values = option_values(params)
    reached = carry_out(plan_pool(pool, values), pool)
    shuffled: Values = {}
    for option, value in values.items():
        field = BY_OPTION[option]
        if field.kind in (Kind.TAINTS, Kind.ZONES):
            value = random.Random(seed).sample(value, len(value))
        elif field.kind in (Kind.TEXT, Kind.IDENTIFIER):
            value = value.swapcase()
        elif field.kind is Kind.TAGS:
            value = {key.swapcase(): text for key, text in value.items()}
        shuffled[option] = value
    assert plan_pool(reached, shuffled).action == "nothing"


@given(pool=pools(), runs=st.lists(mutable_options(), max_size=4))
def test_no_sequence_of_plans_deletes_or_scales_what_was_not_asked(pool: Pool, runs: list[Json]) -> None:
    for params in runs:
        desired = option_values(params)
        decision = plan_pool(pool, desired)
        assert decision.action in ("update", "nothing")
        reached = carry_out(decision, pool)
        assert reached is not None
        autoscaled = reached["properties"]["enableAutoScaling"]
        if ("count",) not in desired or autoscaled:
            assert reached["properties"]["count"] == pool["properties"]["count"]
        pool = reached


@given(pool=pools(), params=mutable_options())
def test_a_diff_shows_only_what_the_options_own(pool: Pool, params: Json) -> None:
    desired = option_values(params)
    decision = plan_pool(pool, desired)
    owners = {option[0] for option in desired}
    assert decision.before.keys() <= owners
    assert decision.after.keys() <= owners
    assert (decision.before != decision.after) == (decision.action == "update")


@given(pool=pools())
def test_a_result_has_every_option_as_a_key(pool: Pool) -> None:
    result = to_result(pool)
    assert {field.option[0] for field in FIELDS} <= result.keys()
    labels = BY_OPTION["node_labels",]
    assert user_owned_part(labels, result["node_labels"]) == user_owned_part(
        labels, current_value(labels, pool["properties"])
    )
    assert result["future_field"] == {"who_knows": 1}
