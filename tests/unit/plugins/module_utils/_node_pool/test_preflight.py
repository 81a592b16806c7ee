# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input is refused with every problem named at once."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._ansible._option_names import with_names
from ansible_collections.aks.gpu.plugins.module_utils._azure._vm_sizes import vm_size_facts
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._azure_checks import (
    AzureEnvironment,
    LiveSize,
    Quota,
    Subnet,
    environment_problems,
    permitted,
    size_problems,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._compute_skus import live_size, quotas_of, subnet_of
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._fields import option_values
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._plan import resulting
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._preflight import (
    creation_problems,
    name_problems,
    option_problems,
    retirement_problems,
    stack_problems,
)
from ansible_collections.aks.gpu.plugins.module_utils._node_pool._stacks import STACKS, stack_of

Json = dict[str, Any]
SIZE = "Standard_NC4as_T4_v3"
CLUSTER: Json = {"name": "c", "id": "/c", "properties": {"powerState": {"code": "Running"}}}
FLAT: Json = {"name": "c", "id": "/c", "properties": {"networkProfile": {"networkPlugin": "azure"}}}
LIVE = LiveSize(SIZE, "westus2", gpus=1, vcpus=4, family="T4", zones=("1", "2"))


def found(name: str = "gpunp", stack: str | None = None, headers: dict[str, str] | None = None, **params: Any) -> str:
    """All problems of a new pool that its options show, as one text."""
    chosen = STACKS.get(stack or "")
    values = {**(chosen.fields if chosen else {}), **option_values(params)}
    sent = {**(chosen.headers if chosen else {}), **(headers or {})}
    return with_names(
        " | ".join(
            [
                *name_problems(name, values),
                *option_problems(values, values, sent),
                *creation_problems(values, sent, chosen),
                *size_problems(values, None),
            ]
        )
    )


TRANSIENT: Json = {"vm_size": SIZE, "node_taints": ["sku=gpu:NoSchedule"]}


@pytest.mark.parametrize("stack", [None, *STACKS])
def test_a_good_pool_has_no_problem(stack: str | None) -> None:
    assert found(stack=stack, **TRANSIENT) == ""


def test_the_articles_pool_has_no_problem_but_its_retired_size() -> None:
    params = {
        "vm_size": "Standard_NC6",
        "count": 1,
        "node_taints": ["sku=gpu:NoSchedule"],
        "enable_auto_scaling": True,
        "min_count": 1,
        "max_count": 3,
    }
    text = found(**params)  # type: ignore[arg-type]
    assert text.count("|") == 0
    assert "Azure retired Standard_NC6 (Tesla K80) on 2023-08-31. Take Standard_NC4as_T4_v3" in text
    offered = LiveSize("Standard_NC6", "westus2", gpus=1, vcpus=6)
    assert size_problems(option_values(params), offered) == [], "a region that still offers it goes before the table"


@pytest.mark.parametrize("name", ["Gpunp", "1gpu", "gpu-np", "", "abcdefghijklm"])
def test_a_name_that_aks_refuses(name: str) -> None:
    assert "is no name for a node pool" in found(name, **TRANSIENT)


def test_a_windows_name_has_six_characters() -> None:
    assert found("gpunp1", **TRANSIENT, os_type="windows") == ""
    assert "Windows" in found("gpunp12", **TRANSIENT, os_type="windows")


@pytest.mark.parametrize(
    "taint",
    ["sku:NoSchedule", "sku=gpu", "sku=gpu:Never", "=gpu:NoSchedule", "s k=g:NoExecute", "skü=gpu:NoSchedule",
     "sku=٣:NoSchedule"],
)  # fmt: skip
def test_a_taint_that_is_none(taint: str) -> None:
    assert repr(taint) in found(vm_size=SIZE, node_taints=[taint])


@pytest.mark.parametrize("taint", ["a=b:NoSchedule", "nvidia.com/gpu=present:PreferNoSchedule", "a=:NoExecute"])
def test_a_taint_that_is_one(taint: str) -> None:
    assert found(vm_size=SIZE, node_taints=[taint]) == ""


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({"node_labels": {"a b": "c"}}, "a b=c"),
        ({"node_labels": {"a": "c!"}}, "a=c!"),
        ({"node_labels": {"team": "größe"}}, "team=größe"),
        ({"node_labels": {"kubernetes.azure.com/mine": "1"}}, "kubernetes.azure.com/mine is AKS's own"),
        ({"node_labels": {"kubernetes.azure.com/scalesetpriority": "spot"}}, "is AKS's own"),
        ({"enable_auto_scaling": True, "min_count": 3, "max_count": 1}, "min_count (3) is greater than max_count (1)"),
        ({"enable_auto_scaling": True, "min_count": 1, "max_count": 2, "count": 3}, "count (3) is not between"),
        ({"enable_auto_scaling": True}, "needs min_count and max_count"),
        ({"min_count": 1}, "min_count is the autoscaler's"),
        ({"count": 1001}, "1001 is not between 0 and 1000"),
        ({"count": 0, "mode": "system"}, "0 is not between 1 and 1000"),
        ({"spot_max_price": 1.5}, "scale_set_priority: Spot"),
        ({"scale_set_priority": "Spot", "spot_max_price": 0}, "neither above zero"),
        ({"scale_set_priority": "Spot", "mode": "System"}, "Take mode: User"),
        ({"gpu_profile": {"driver": "Installed"}}, "It knows Install, None"),
        ({"os_type": "Solaris"}, "'Solaris' is unknown to Azure"),
        ({"gpu_instance_profile": "MIG1g"}, "needs a GPU that can be split"),
        ({"vm_size": "Standard_D4ds_v5"}, "has no GPU"),
        ({"vm_size": "Standard_NV8as_v4"}, "has an AMD GPU"),
        ({"vm_size": "Standard_ND96isr_MI300X_v5"}, "has an AMD GPU"),
        ({"vm_size": None}, "vm_size is needed"),
    ],
)
def test_bad_options(params: Json, text: str) -> None:
    assert text in found(**{"vm_size": SIZE, **params})


def test_the_label_of_spot_pools_may_be_given() -> None:
    label = {"kubernetes.azure.com/scalesetpriority": "spot"}
    assert found(**TRANSIENT, scale_set_priority="Spot", node_labels=label) == ""


@pytest.mark.parametrize(
    ("stack", "params", "text"),
    [
        (None, {"os_sku": "Flatcar"}, "AKS doesn't support NVIDIA GPUs on Flatcar nodes"),
        ("operator", {"os_sku": "azurelinuxosguard"}, "AKS doesn't support NVIDIA GPUs on AzureLinuxOSGuard nodes"),
        (None, {"os_sku": "AzureLinux", "vm_size": "Standard_NV12s_v3"}, "no driver for Tesla M60"),
        (None, {"os_sku": "Windows2022"}, "os_sku: Windows2022 needs os_type: Windows"),
        (None, {"os_sku": "Ubuntu", "os_type": "Windows"}, "os_sku: Ubuntu needs os_type: Linux"),
        ("operator", {"os_sku": "Windows2022", "os_type": "Windows"}, "GPU Operator doesn't run on Windows"),
        ("device_plugin", {"os_sku": "Windows2022"}, "os_type: Windows excludes gpu_stack: device_plugin"),
    ],
)
def test_an_os_sku_without_nvidia_gpus(stack: str | None, params: Json, text: str) -> None:
    problems = found(stack=stack, **{"vm_size": SIZE, **params}).split(" | ")
    assert [problem for problem in problems if "retired" not in problem] == [
        problem for problem in problems if text in problem
    ]
    assert any(text in problem for problem in problems)


@pytest.mark.parametrize("sku", ["Ubuntu2404", "azurelinux3", "AzureLinux", "AzureContainerLinux", "NewLinux"])
def test_an_os_sku_with_nvidia_gpus_or_unknown(sku: str) -> None:
    for size in (SIZE, "Standard_NC40ads_H100_v5", "Standard_NV36ads_A10_v5"):
        assert found(vm_size=size, os_sku=sku, stack="device_plugin") == ""


def test_windows_by_itself_has_gpus() -> None:
    assert found(vm_size=SIZE, name="win", os_type="Windows", os_sku="Windows2022") == ""


def test_everything_at_once() -> None:
    text = found("NO", vm_size="Standard_D4", node_taints=["x"], min_count=2, max_count=1, count=-1)
    assert text.count("|") == 5


@pytest.mark.parametrize(
    ("stack", "params", "headers", "text"),
    [
        ("managed", {"enable_auto_scaling": True, "min_count": 1, "max_count": 2}, {}, "autoscaler"),
        ("managed", {"os_type": "Windows"}, {}, "os_type: Windows excludes"),
        ("device_plugin", {"gpu_profile": {"driver": "None"}}, {}, "contradicts the other options"),
        ("device_plugin", {}, {"UseGPUDedicatedVHD": "true"}, "amount to gpu_stack: gpu_image"),
        ("device_plugin", {"gpu_profile": {"nvidia": {"management_mode": "managed"}}}, {}, "gpu_stack: managed"),
        ("gpu_image", {"gpu_profile": {"driver": "None"}}, {}, "brings a driver"),
        ("operator", {"gpu_profile": {"driver": "Install"}}, {}, "excludes gpu_stack: operator"),
        (None, {"gpu_profile": {"nvidia": {"management_mode": "Managed"}}}, {"useGPUDedicatedVHD": "True"}, "exclude"),
    ],
)
def test_two_stacks_on_one_pool(stack: str | None, params: Json, headers: dict[str, str], text: str) -> None:
    assert text in found(stack=stack, headers=headers, vm_size=SIZE, **params)


def test_an_amd_size_goes_with_the_operator_stack() -> None:
    assert found(stack="operator", vm_size="Standard_ND96isr_MI300X_v5") == ""


def test_a_stack_is_checked_against_the_pool_that_is_there() -> None:
    managed = {"properties": {"gpuProfile": {"driver": "Install", "nvidia": {"managementMode": "Managed"}}}}
    assert (
        "of the existing pool excludes gpu_stack: device_plugin"
        in stack_problems(managed, {}, STACKS["device_plugin"])[0]
    )
    assert stack_problems(managed, {}, STACKS["managed"]) == []
    assert stack_problems({"properties": {}}, {}, STACKS["device_plugin"]) == []
    assert stack_problems({"properties": {}}, {}, STACKS["operator"]) != []


EXISTING: dict[str, Json] = {
    "device_plugin": {"gpuProfile": {"driver": "Install", "nvidia": {"managementMode": "Unmanaged"}}},
    "operator": {"gpuProfile": {"driver": "None"}},
    "managed": {"gpuProfile": {"driver": "Install", "nvidia": {"managementMode": "Managed"}}},
    "managed by tag": {"gpuProfile": {"driver": "Install"}, "tags": {"enableManagedGPUExperience": "True"}},
    "older than these fields": {},
}


@pytest.mark.parametrize("existing", EXISTING)
@pytest.mark.parametrize("wanted", STACKS)
def test_going_from_one_stack_to_another_needs_a_new_pool(existing: str, wanted: str) -> None:
    """The AKS GPU image can't be seen in Azure: custom headers never come back. Its nodes tell."""
    fits = {
        "device_plugin": ("device_plugin", "older than these fields"),
        "gpu_image": ("device_plugin", "older than these fields"),
        "managed": ("managed", "managed by tag"),
        "operator": ("operator",),
    }
    problems = stack_problems({"properties": EXISTING[existing]}, {}, STACKS[wanted])
    if existing in fits[wanted]:
        assert problems == []
    else:
        assert all(f"gpu_stack: {wanted}" in problem for problem in problems)
        assert "make a pool of another name" in problems[0]


@pytest.mark.parametrize("stack", ["device_plugin", "gpu_image", "operator"])
def test_the_tag_of_managed_gpus_counts_as_the_field(stack: str) -> None:
    tagged = {"tags": {"EnableManagedGPUExperience": "true"}, **TRANSIENT}
    assert f"gpu_stack: {stack} contradicts the other options, which amount to gpu_stack: managed" in found(
        stack=stack, **tagged
    )
    assert found(stack="managed", **tagged) == ""
    autoscaled = {**tagged, "enable_auto_scaling": True, "min_count": 1, "max_count": 3}
    assert "enable_auto_scaling: true excludes gpu_stack: managed" in found(**autoscaled)
    plain = {"properties": EXISTING["device_plugin"]}
    given = option_values({"tags": {"EnableManagedGPUExperience": "true"}})
    assert "excludes gpu_stack" in stack_problems(plain, given, STACKS[stack])[0]


def test_the_stack_follows_from_fields_and_headers() -> None:
    assert stack_of({}, {"UseGPUDedicatedVHD": "true", "usegen2vm": "true"}) is STACKS["gpu_image"]
    assert stack_of({}, {"UseGPUDedicatedVHD": "false"}) is None
    assert stack_of(option_values({"gpu_profile": {"driver": "none"}}), {}) is STACKS["operator"]


def test_only_what_is_given_is_judged_on_an_existing_pool() -> None:
    odd = {"properties": {"enableAutoScaling": True, "minCount": 5, "maxCount": 3, "count": 2, "nodeTaints": ["odd"]}}
    given = option_values({"node_labels": {"a": "b"}})
    assert option_problems(resulting(odd, given), given, {}) == []
    given = option_values({"max_count": 4})
    assert option_problems(resulting(odd, given), given, {}) == ["min_count (5) is greater than max_count (4)."]
    given = option_values({"enable_auto_scaling": False})
    assert option_problems(resulting(odd, given), given, {}) == []


# --- what Azure says ---------------------------------------------------------------------------------------------


def around(**more: Any) -> AzureEnvironment:
    return AzureEnvironment(**{"cluster": CLUSTER, "size": LIVE, **more})


def test_a_place_without_problems() -> None:
    quota = Quota("T4", 12, 0)
    values = option_values({**TRANSIENT, "enable_auto_scaling": True, "min_count": 1, "max_count": 3})
    assert environment_problems(values, around(quotas=[quota], actions=[(["*"], [])])) == []


@pytest.mark.parametrize(
    ("params", "place", "text"),
    [
        ({"count": 3}, {"quotas": [Quota("T4", 12, 4)]}, "3 nodes of Standard_NC4as_T4_v3 need 12 vCPUs, and of T4 8"),
        (
            {"enable_auto_scaling": True, "min_count": 1, "max_count": 3, "count": 1},
            {"quotas": [Quota("T4", 8, 0)]},
            "Lower max_count",
        ),
        ({"availability_zones": ["2", "3"]}, {}, "not available in zone 3 of westus2; it is in 1, 2"),
        ({}, {"size": LiveSize(SIZE, "westus2", offered=False)}, "is not offered in westus2"),
        ({}, {"size": LiveSize(SIZE, "westus2", blocked="NotAvailableForSubscription")}, "may not use"),
        ({}, {"cluster": {"name": "c", "properties": {"powerState": {"code": "Stopped"}}}}, "is stopped"),
        (
            {"enable_auto_scaling": True, "min_count": 1, "max_count": 3},
            {"cluster": {"properties": {"nodeProvisioningProfile": {"mode": "Auto"}}}},
            "node auto-provisioning",
        ),
        ({}, {"actions": [(["*/read"], [])]}, "agentPools/write"),
        (
            {"count": 8},
            {"cluster": FLAT, "subnet": Subnet("/s", True, "10.0.0.0/24", 10)},
            "need 248 addresses (31 each)",
        ),
        ({"count": 8}, {"subnet": Subnet("/s", True, "10.0.0.0/28", 5)}, "and /s (10.0.0.0/28) has 6 left"),
        ({}, {"subnet": Subnet("/s", exists=False)}, "there is no subnet /s"),
        ({}, {"subnet": Subnet("/s"), "subnet_actions": [(["*/read"], [])]}, "subnets/join/action on /s"),
        ({}, {"actions": [(["*"], ["Microsoft.ContainerService/*/write"])]}, "agentPools/write"),
    ],
)
def test_a_place_with_a_problem(params: Json, place: Json, text: str) -> None:
    (problem,) = environment_problems(option_values({**TRANSIENT, **params}), around(**place))
    assert text in problem


def test_a_retired_size_that_is_not_offered_names_its_successor() -> None:
    (problem,) = environment_problems(
        option_values({"vm_size": "Standard_NC6s_v3"}),
        around(size=LiveSize("Standard_NC6s_v3", "westus2", offered=False)),
    )
    assert "retired" in problem
    assert "Standard_NC24ads_A100_v4" in problem


@pytest.mark.parametrize(
    ("stack", "offered", "refused"),
    [
        ("gpu_image", [SIZE, "Standard_NC6s_v3"], True),
        ("gpu_image", [], True),
        ("gpu_image", [SIZE, "standard_nc6"], False),
        ("gpu_image", None, False),
        ("managed", [SIZE], False),
        (None, [SIZE], False),
    ],
)
def test_a_stack_is_retired_where_older_sizes_are_gone(
    stack: str | None, offered: list[str] | None, refused: bool
) -> None:
    problems = retirement_problems(STACKS.get(stack or ""), offered)
    assert bool(problems) == refused
    assert all("2025-01-10" in text and "gpu_stack: managed" in text for text in problems)


def test_what_could_not_be_asked_is_not_judged() -> None:
    assert environment_problems(option_values(TRANSIENT), AzureEnvironment(CLUSTER)) == []


def test_a_subnet_that_is_large_enough() -> None:
    values = option_values({**TRANSIENT, "count": 8, "max_pods": 20})
    assert environment_problems(values, around(cluster=FLAT, subnet=Subnet("/s", True, "10.0.0.0/24", 0))) == []
    overlay = {"properties": {"networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay"}}}
    values = option_values({**TRANSIENT, "count": 8})
    assert environment_problems(values, around(cluster=overlay, subnet=Subnet("/s", True, "10.0.0.0/28", 0))) == []
    body = {"properties": {"addressPrefixes": ["fd00::/64", "10.1.0.0/16"], "ipConfigurations": [{}, {}]}}
    assert subnet_of("/s", body) == Subnet("/s", True, "10.1.0.0/16", 2)
    assert subnet_of("/s", None) == Subnet("/s", exists=False)


def test_actions_match_as_azure_matches_them() -> None:
    action = "Microsoft.ContainerService/managedClusters/agentPools/write"
    assert permitted(action, [(["microsoft.containerservice/MANAGEDCLUSTERS/agentPools/*"], [])])
    assert not permitted(action, [(["Microsoft.ContainerService/managedClusters/write"], [])])
    assert permitted(action, [(["*"], [action]), (["*/write"], [])])


SKU: Json = {
    "name": SIZE,
    "resourceType": "virtualMachines",
    "family": "Standard NCASv3_T4 Family",
    "locationInfo": [{"location": "westus2", "zones": ["2", "1", "3"]}],
    "capabilities": [{"name": "GPUs", "value": "1"}, {"name": "vCPUs", "value": "4"}],
    "restrictions": [{"type": "Zone", "reasonCode": "NotAvailable", "restrictionInfo": {"zones": ["3"]}}],
}
USAGES: list[Json] = [
    {"name": {"value": "cores", "localizedValue": "Total Regional vCPUs"}, "limit": 100, "currentValue": 10},
    {"name": {"value": "standard NCASV3_T4 Family", "localizedValue": "T4"}, "limit": 24, "currentValue": 4},
    {"name": {"value": "lowPriorityCores", "localizedValue": "Spot"}, "limit": 3, "currentValue": 0},
]


def test_a_size_is_read_from_computes_list() -> None:
    size = live_size(SIZE.lower(), "westus2", [SKU])
    assert (size.gpus, size.vcpus, size.zones, size.blocked) == (1, 4, ("1", "2"), None)
    assert not live_size("Standard_NC6", "westus2", [SKU]).offered
    blocked = {**SKU, "restrictions": [{"type": "Location", "reasonCode": "NotAvailableForSubscription"}]}
    assert live_size(SIZE, "westus2", [blocked]).blocked == "NotAvailableForSubscription"
    part = {**SKU, "capabilities": [{"name": "GPUs", "value": "0.166667"}, {"name": "vCPUs", "value": "6"}]}
    assert live_size(SIZE, "westus2", [part]).gpus == 1, "a part of a GPU is one device to a node"


def test_spot_has_a_quota_of_its_own() -> None:
    size = live_size(SIZE, "westus2", [SKU])
    assert [quota.left for quota in quotas_of(size, False, USAGES)] == [20, 90]
    assert [quota.left for quota in quotas_of(size, True, USAGES)] == [3]


@pytest.mark.parametrize(
    ("name", "gpus", "model", "retired"),
    [
        ("Standard_NC4as_T4_v3", 1, "NVIDIA T4", None),
        ("Standard_NC64as_T4_v3", 4, "NVIDIA T4", None),
        ("Standard_NC96ads_A100_v4", 4, "NVIDIA A100", None),
        ("Standard_NC80adis_H100_v5", 2, "NVIDIA H100", None),
        ("Standard_ND40rs_v2", 8, "NVIDIA V100", None),
        ("Standard_ND96asr_v4", 8, "NVIDIA A100", None),
        ("Standard_ND96amsr_A100_v4", 8, "NVIDIA A100", None),
        ("Standard_ND96isr_H200_v5", 8, "NVIDIA H200", None),
        ("Standard_NV6ads_A10_v5", 1, "NVIDIA A10", None),
        ("Standard_NV72ads_A10_v5", 2, "NVIDIA A10", None),
        ("Standard_NC6", 1, "Tesla K80", "2023-08-31"),
        ("Standard_NC24r_Promo", 4, "Tesla K80", "2023-08-31"),
        ("Standard_NC6s_v2", 1, "Tesla P100", "2023-08-31"),
        ("Standard_ND12s", 2, "Tesla P40", "2023-08-31"),
        ("Standard_NV6", 1, "Tesla M60", "2023-09-06"),
        ("Standard_NC24rs_v3", 4, "Tesla V100", "2025-09-30"),
        ("Standard_NV12s_v3", 1, "Tesla M60", "2026-09-30"),
        ("Standard_NV4as_v4", 1, "AMD Radeon Instinct MI25", "2026-09-30"),
        ("Standard_NC128ds_FUTURE_v9", None, None, None),
        ("Standard_D4ds_v5", 0, None, None),
        ("Standard_NP10s", 0, None, None),
    ],
)
def test_what_a_name_tells(name: str, gpus: int | None, model: str | None, retired: str | None) -> None:
    known = vm_size_facts(name)
    assert (known.gpus, known.model, known.retired) == (gpus, model, retired)


@pytest.mark.parametrize(
    ("name", "gpus", "vendor", "model"),
    [
        # https://learn.microsoft.com/azure/virtual-machines/sizes/gpu-accelerated/nvadsv710-v5-series
        ("Standard_NV4ads_V710_v5", 1, "amd", "AMD Radeon Pro V710"),
        ("Standard_NV28adms_V710_v5", 1, "amd", "AMD Radeon Pro V710"),
        # …/ngads-v620-series
        ("Standard_NG32adms_V620_v1", 1, "amd", "AMD Radeon PRO V620"),
        # …/nccadsh100v5-series
        ("Standard_NCC40ads_H100_v5", 1, "nvidia", "NVIDIA H100"),
        # …/nc-rtxpro6000-bse-v6-series: a quarter, a half, one, two
        ("Standard_NC24lds_xl_RTXPRO6000BSE_v6", 1, "nvidia", "NVIDIA RTX PRO 6000"),
        ("Standard_NC72ds_xl_RTXPRO6000BSE_v6", 1, "nvidia", "NVIDIA RTX PRO 6000"),
        ("Standard_NC144lds_xl_RTXPRO6000BSE_v6", 1, "nvidia", "NVIDIA RTX PRO 6000"),
        ("Standard_NC288ds_xl_RTXPRO6000BSE_v6", 2, "nvidia", "NVIDIA RTX PRO 6000"),
        # …/nd-gb200-v6-series, …/nd-gb300-v6-series
        ("Standard_ND128isr_NDR_GB200_v6", 4, "nvidia", "NVIDIA GB200"),
        ("Standard_ND128isr_GB300_v6", 4, "nvidia", "NVIDIA GB300"),
        ("standard_nd96isrf_h100_v5", 8, "nvidia", "NVIDIA H100"),  # Azure/ai-infrastructure-on-azure
        # Not in the table: what the name says, and no more.
        ("Standard_NC8ads_A10_v4", None, "nvidia", None),  # Azure/AgentBaker, its list of GPU sizes
        ("Standard_ND96isr_MI400X_v6", None, "amd", None),
        ("Standard_NV16ads_X9_v7", None, None, None),
        ("Standard_NP20s", 0, None, None),  # FPGAs: …/sizes/fpga-accelerated/np-family
    ],
)
def test_vendors_and_fractions(name: str, gpus: int | None, vendor: str | None, model: str | None) -> None:
    known = vm_size_facts(name)
    assert (known.gpus, known.vendor, known.model) == (gpus, vendor, model)
