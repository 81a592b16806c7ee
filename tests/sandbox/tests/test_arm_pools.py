"""Agent pools on the wire: formats, defaults, refusals, disputed behaviour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from aks_sandbox.arm import pool_rules
from aks_sandbox.arm_client import GPU_POOL, Arm
from aks_sandbox.testing import Sandbox

SPOT_TAINT = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
SCALED = {"enableAutoScaling": True, "minCount": 1, "maxCount": 3}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.started("test-arm-pools", kubernetes=False, settings={"clock_speed": 40}) as sandbox:
        yield sandbox


@pytest.fixture
def arm(sandbox: Sandbox) -> Iterator[Arm]:
    arm = Arm(sandbox)
    yield arm
    sandbox.clear_faults()
    arm.delete_all()


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The provider's bare error."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert body["code"] == code, body
    assert set(body) - {"target"} == {"code", "details", "message", "subcode"}
    assert "x-ms-failure-cause" not in response.headers
    return body


def test_put_answers_as_recorded_traffic_does(arm: Arm) -> None:
    response = arm.put_pool("gpunp", {**GPU_POOL, "vmSize": "standard_nc4as_t4_V3"})
    assert response.status_code == 201
    assert "location" not in response.headers
    assert "retry-after" not in response.headers
    url = response.headers["azure-asyncoperation"]
    assert "/locations/westus2/operations/" in url
    assert len(url) > 1500
    first = arm.ask("GET", url).json()
    assert set(first) == {"name", "status", "startTime"}
    assert first["status"] == "CreatingAgentPool"  # ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18
    last = arm.wait(response)
    assert set(last) == {"name", "status", "startTime", "endTime"}
    body = arm.ask("GET", arm.pool("gpunp")).json()
    assert "/resourcegroups/myResourceGroup/" in body["id"]
    assert body["properties"]["vmSize"] == "standard_nc4as_t4_V3"
    assert body["properties"]["powerState"] == {"code": "Running"}
    assert "nodeTaints" not in body["properties"]
    again = arm.put_pool("gpunp", body["properties"])
    assert again.status_code == 200
    arm.wait(again)


def test_delete_answers_202_with_both_urls_then_204(arm: Arm) -> None:
    arm.create("gpunp")
    response = arm.ask("DELETE", arm.pool("gpunp"))
    assert response.status_code == 202
    assert "/operationresults/" in response.headers["location"]
    assert arm.ask("GET", response.headers["location"]).status_code == 202
    arm.wait(response)
    assert arm.ask("GET", response.headers["location"]).status_code == 204
    assert arm.ask("DELETE", arm.pool("gpunp")).status_code == 204


def test_the_last_system_pool_stays(arm: Arm) -> None:
    refused(arm.ask("DELETE", arm.pool("nodepool1")), 400, "OperationNotAllowed")


@pytest.mark.parametrize(
    ("change", "target"),
    [
        ({"vmSize": "Standard_NC8as_T4_v3"}, "properties.vmSize"),
        ({"maxPods": 30}, "properties.maxPods"),
        ({"osDiskSizeGB": 64}, "properties.osDiskSizeGB"),
        ({"osType": "Windows"}, "properties.osType"),
        ({"scaleSetPriority": "Spot"}, "properties.scaleSetPriority"),
        ({"availabilityZones": ["1"]}, "properties.availabilityZones"),
        ({"gpuProfile": {"driver": "None"}}, "properties.gpuProfile.driver"),
        ({"gpuProfile": {"nvidia": {"managementMode": "Managed"}}}, "properties.gpuProfile.nvidia.managementMode"),
    ],
)
def test_immutable_properties(arm: Arm, change: dict[str, Any], target: str) -> None:
    if arm.ask("GET", arm.pool("gpunp")).status_code == 404:
        arm.create("gpunp")
    body = refused(arm.put_pool("gpunp", {**GPU_POOL, **change}), 400, "PropertyChangeNotAllowed")
    assert body["target"] == target
    assert body["message"] == f"Changing property '{target}' is not allowed."


def test_repeating_immutable_properties_is_no_change(arm: Arm) -> None:
    arm.create("gpunp", {**GPU_POOL, "availabilityZones": ["1", "2"]})
    same = {
        **GPU_POOL,
        "vmSize": "STANDARD_NC4AS_T4_V3",
        "availabilityZones": ["2", "1"],
        "scaleSetPriority": "Regular",
    }
    assert arm.create("gpunp", same)["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"properties": {**GPU_POOL, "gpuCount": 1}}, 'unknown field "gpuCount"'),
        ({"properties": {**GPU_POOL, "gpuProfile": {"driverType": "CUDA"}}}, 'unknown field "driverType"'),
        ({"properties": {**GPU_POOL, "count": "1"}}, "cannot unmarshal string into Go struct field"),
        ({"properties": GPU_POOL, "sku": {}}, 'unknown field "sku"'),
    ],
)
def test_unknown_fields_are_refused(arm: Arm, body: dict[str, Any], text: str) -> None:
    assert text in refused(arm.ask("PUT", arm.pool("gpunp"), body), 400, "UnmarshalError")["message"]


@pytest.mark.parametrize(
    ("name", "properties"),
    [
        ("GpuNp", GPU_POOL),
        ("averylongname", GPU_POOL),
        ("winpool", {**GPU_POOL, "osType": "Windows"}),
        ("gpunp", {**GPU_POOL, "nodeTaints": ["sku=gpu:NoSchedules"]}),
        ("gpunp", {**GPU_POOL, "nodeTaints": ["sku:NoSchedule"]}),
        ("gpunp", {**GPU_POOL, "nodeLabels": {"team": "a b"}}),
        ("gpunp", {**GPU_POOL, "nodeLabels": {"-team": "a"}}),
        ("gpunp", {**GPU_POOL, **SCALED, "count": 4}),
        ("gpunp", {**GPU_POOL, **SCALED, "count": 0}),
        ("gpunp", {**GPU_POOL, "enableAutoScaling": True, "minCount": 3, "maxCount": 1}),
        ("gpunp", {**GPU_POOL, "minCount": 1}),
        ("gpunp", {"vmSize": "Standard_NC4as_T4_v3"}),
        ("gpunp", {**GPU_POOL, "count": 1001}),
        ("gpunp", {**GPU_POOL, "spotMaxPrice": 0.5}),
    ],
)
def test_invalid_pools(arm: Arm, name: str, properties: dict[str, Any]) -> None:
    refused(arm.put_pool(name, properties), 400, "InvalidParameter")
    assert arm.ask("GET", arm.pool(name)).status_code == 404


@pytest.mark.parametrize(
    ("properties", "code", "text"),
    [
        ({"osSKU": "Ubuntu1604"}, "InvalidOSSKU", "OSSKU='Ubuntu1604' is invalid, details: Unrecognized OSSKU"),
        ({"osSKU": "Windows2022"}, "InvalidOSSKU", "Unrecognized OSSKU"),
        ({"nodeLabels": {"kubernetes.azure.com/mine": "1"}}, "BadRequest", "prefix is preserved by aks system labels"),
        ({"nodeLabels": {"node-role.kubernetes.io/gpu": ""}}, "BadRequest", "must begin with an allowed prefix"),
        ({"availabilityZones": ["1", "4"]}, "AvailabilityZoneNotSupported", "The zone(s) '4' for resource 'gpunp'"),
    ],
)
def test_refusals_with_codes_of_their_own(arm: Arm, properties: dict[str, Any], code: str, text: str) -> None:
    assert text in refused(arm.put_pool("gpunp", {**GPU_POOL, **properties}), 400, code)["message"]


@pytest.mark.parametrize("path", pool_rules.ENUMS, ids=".".join)
def test_enumerations(arm: Arm, path: tuple[str, ...]) -> None:
    value: Any = "Whatever"
    for part in reversed(path):
        value = {part: value}
    body = refused(arm.put_pool("gpunp", {**GPU_POOL, **value}), 400, "InvalidParameter")
    assert body["target"] == f"agentPoolProfile.{'.'.join(path)}"


def test_labels_of_aks_may_be_sent_back(arm: Arm) -> None:
    arm.create("spot", {**GPU_POOL, "scaleSetPriority": "Spot"})
    assert arm.create("spot", {**arm.properties("spot"), "tags": {"a": "1"}})["status"] == "Succeeded"
    allowed = {"nodeLabels": {"node.kubernetes.io/tier": "gpu", "example.com/team": ""}}
    assert arm.create("gpunp", {**GPU_POOL, **allowed})["status"] == "Succeeded"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/agentPools", "NoRegisteredProviderFound"),
        ("/providers/Microsoft.Authorization/permissions", "InvalidApiVersionParameter"),
    ],
)
def test_api_versions_that_were_never_published(arm: Arm, path: str, code: str) -> None:
    answer = arm.ask("GET", arm.cluster + path, version="2026-08-02")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert arm.ask("GET", "/subscriptions", version="2022-12-02").json()["error"]["code"] == (
        "InvalidApiVersionParameter"
    )
    assert arm.ask("GET", "/subscriptions", version="2022-12-01").status_code == 200


def test_etags(arm: Arm, sandbox: Sandbox) -> None:
    refused(arm.put_pool("gpunp", GPU_POOL, **{"If-Match": '"x"'}), 412, "PreconditionFailed")
    arm.create("gpunp", None, **{"If-None-Match": "*"})
    refused(arm.put_pool("gpunp", GPU_POOL, **{"If-None-Match": "*"}), 412, "PreconditionFailed")
    etag = arm.properties("gpunp")["eTag"]
    sandbox.act("touch", cluster=sandbox.cluster)
    refused(arm.put_pool("gpunp", GPU_POOL, **{"If-Match": f'"{etag}"'}), 412, "PreconditionFailed")
    response = arm.ask("DELETE", arm.pool("gpunp"), headers={"If-Match": etag})
    refused(response, 412, "PreconditionFailed")


def test_a_put_replaces(arm: Arm, sandbox: Sandbox) -> None:
    with sandbox.having(future_fields={"futureProfile": {"mode": "New"}}):
        marked = {"tags": {"a": "1"}, "nodeLabels": {"b": "2"}, "nodeTaints": ["sku=gpu:NoSchedule"], **SCALED}
        arm.create("gpunp", {**GPU_POOL, **marked})
        seen = arm.properties("gpunp")
        assert seen["futureProfile"] == {"mode": "New"}
        arm.create("gpunp", seen)
        assert {name: value for name, value in arm.properties("gpunp").items() if name != "eTag"} == {
            name: value for name, value in seen.items() if name != "eTag"
        }
        arm.create("gpunp", GPU_POOL)
        left = arm.properties("gpunp")
        assert not {"tags", "nodeLabels", "nodeTaints", "minCount", "maxCount", "futureProfile"} & set(left)
        assert left["enableAutoScaling"] is False


def test_an_echoed_node_image_rolls_back(arm: Arm, sandbox: Sandbox) -> None:
    arm.create("gpunp")
    image = arm.properties("gpunp")["nodeImageVersion"]
    arm.wait(arm.put_pool("gpunp", {**GPU_POOL, "nodeImageVersion": image}))
    pools = {pool["name"]: pool for pool in sandbox.status()["clusters"][0]["pools"]}
    assert pools["gpunp"]["rollbacks"] == [image]


def test_spot_pools_get_a_taint_and_a_label(arm: Arm, sandbox: Sandbox) -> None:
    arm.create("spot", {**GPU_POOL, "scaleSetPriority": "Spot", "nodeTaints": ["sku=gpu:NoSchedule"]})
    pool = arm.properties("spot")
    assert pool["nodeTaints"] == ["sku=gpu:NoSchedule", SPOT_TAINT]
    assert pool["nodeLabels"] == {"kubernetes.azure.com/scalesetpriority": "spot"}
    assert (pool["scaleSetEvictionPolicy"], pool["spotMaxPrice"]) == ("Delete", -1.0)
    # https://github.com/pulumi/pulumi-azure-native/issues/959 (2021)
    dropped = arm.put_pool("spot", {**GPU_POOL, "nodeTaints": ["sku=gpu:NoSchedule"]})
    assert refused(dropped, 400, "PropertyChangeNotAllowed")["target"] == "properties.nodeTaints"
    with sandbox.having(spot_taint_dropped="accept"):
        arm.create("spot", {**GPU_POOL, "nodeTaints": ["sku=gpu:NoSchedule"]})
    assert arm.properties("spot")["nodeTaints"] == ["sku=gpu:NoSchedule"]
    with sandbox.having(spot_taint_dropped="readd"):
        arm.create("spot", {**GPU_POOL, "nodeTaints": ["sku=gpu:NoSchedule"]})
    assert SPOT_TAINT in arm.properties("spot")["nodeTaints"]


def test_one_operation_a_cluster_or_two(arm: Arm, sandbox: Sandbox) -> None:
    first = arm.put_pool("one", GPU_POOL)
    refused(arm.put_pool("two", GPU_POOL), 409, "OperationNotAllowed")
    refused(arm.put_pool("one", GPU_POOL), 409, "OperationNotAllowed")
    with sandbox.having(two_pools_at_a_time="accept"):
        second = arm.put_pool("two", GPU_POOL)
        refused(arm.put_pool("one", GPU_POOL), 409, "OperationNotAllowed")
    assert {arm.wait(each)["status"] for each in (first, second)} == {"Succeeded"}
    leaving = arm.ask("DELETE", arm.pool("one"))
    assert "since deletion was issued" in refused(arm.put_pool("one", GPU_POOL), 409, "OperationNotAllowed")["message"]
    arm.wait(leaving)


def test_operations_in_the_background(arm: Arm, sandbox: Sandbox) -> None:
    etag = arm.properties("nodepool1")["eTag"]
    sandbox.act("background", cluster=sandbox.cluster, seconds=8)
    body = refused(arm.put_pool("gpunp", GPU_POOL), 409, "OperationNotAllowed")
    assert "there's an in progress update managed cluster operation" in body["message"]  # azure-cli-extensions#9855
    time.sleep(0.3)
    assert arm.properties("nodepool1")["eTag"] != etag
    arm.create("gpunp")


@pytest.mark.parametrize("behaviour", ["ignore", "refuse", "accept"])
def test_count_under_the_autoscaler(arm: Arm, sandbox: Sandbox, behaviour: str) -> None:
    with sandbox.having(count_under_autoscaler=behaviour):
        arm.create("gpunp", {**GPU_POOL, **SCALED})
        sandbox.act("count", cluster=sandbox.cluster, pool="gpunp", count=3)
        assert arm.properties("gpunp")["count"] == 3
        response = arm.put_pool("gpunp", {**GPU_POOL, **SCALED})
        if behaviour == "refuse":
            refused(response, 400, "BadRequest")
        else:
            arm.wait(response)
        assert arm.properties("gpunp")["count"] == (1 if behaviour == "accept" else 3)


def test_switching_and_scaling_in_one_put(arm: Arm, sandbox: Sandbox) -> None:
    arm.create("gpunp")
    with sandbox.having(count_under_autoscaler="refuse"):
        body = refused(arm.put_pool("gpunp", {**GPU_POOL, **SCALED, "count": 2}), 400, "BadRequest")
        assert "Cannot manually scale and enable cluster autoscaler in the same update" in body["message"]
        arm.create("gpunp", {**GPU_POOL, **SCALED})


def test_sizes_and_quotas(arm: Arm, sandbox: Sandbox) -> None:
    body = refused(arm.put_pool("gpunp", {"count": 1, "vmSize": "Standard_NC6"}), 400, "BadRequest")
    assert body["message"].startswith("The VM size of Standard_NC6 is not allowed in your subscription")
    with sandbox.having(quotas={"cores": 6}):
        body = refused(arm.put_pool("gpunp", GPU_POOL | {"count": 2}), 400, "ErrCode_InsufficientVCPUQuota")
        assert "left regional vcpu quota 2, requested quota 8" in body["message"]
        usages = arm.ask(
            "GET", f"{arm.subscription}/providers/Microsoft.Compute/locations/westus2/usages", version="2026-04-01"
        ).json()["value"]
        assert [(each["currentValue"], each["limit"]) for each in usages if each["name"]["value"] == "cores"] == [
            (4, 6)
        ]
    with sandbox.having(capacity_missing={"Standard_NC4*": "ZonalAllocationFailed"}):
        end = arm.create("gpunp")
        assert (end["status"], end["error"]["code"]) == ("Failed", "ZonalAllocationFailed")
    with sandbox.having(sizes_restricted={"Standard_NC8*": "NotAvailableForSubscription"}):
        refused(arm.put_pool("other", {"count": 1, "vmSize": "Standard_NC8as_T4_v3"}), 400, "BadRequest")
        skus = arm.ask(
            "GET",
            f"{arm.subscription}/providers/Microsoft.Compute/skus",
            version="2021-07-01",
            params={"$filter": "location eq 'westus2'"},
        ).json()["value"]
    found = {each["name"]: each for each in skus}
    assert found["Standard_NC8as_T4_v3"]["restrictions"][0]["reasonCode"] == "NotAvailableForSubscription"
    assert {"name": "GPUs", "value": "1"} in found["Standard_NC4as_T4_v3"]["capabilities"]
    assert "Standard_NC6" not in found


def test_the_gpu_image_of_2023(arm: Arm, sandbox: Sandbox) -> None:
    image = {"UseGPUDedicatedVHD": "true"}
    refused(arm.put_pool("gpunp", GPU_POOL, **image), 400, "BadRequest")
    feature = f"{arm.subscription}/providers/Microsoft.Features/providers/Microsoft.ContainerService/features"
    feature += "/GPUDedicatedVHDPreview"
    old = {"count": 1, "vmSize": "Standard_NC6"}
    with sandbox.having(azure_of_2023=True, feature_seconds=4.0):
        body = refused(arm.put_pool("gpunp", old, **image), 400, "PreviewFeatureNotRegistered")
        assert body["message"] == ("Preview feature Microsoft.ContainerService/GPUDedicatedVHDPreview not registered.")
        assert arm.ask("GET", feature, version="2021-07-01").json()["properties"]["state"] == "NotRegistered"
        begun = arm.ask("POST", feature + "/register", version="2021-07-01").json()
        assert begun["properties"]["state"] == "Registering"
        deadline = time.monotonic() + 10
        while arm.ask("GET", feature, version="2021-07-01").json()["properties"]["state"] != "Registered":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        refused(arm.put_pool("gpunp", old, **image), 400, "PreviewFeatureNotRegistered")
        arm.ask("POST", f"{arm.subscription}/providers/Microsoft.ContainerService/register", version="2025-04-01")
        assert arm.create("gpunp", old, **image)["status"] == "Succeeded"
        assert arm.create("gen2", {"count": 1, "vmSize": "Standard_NC24ads_A100_v4"}, **image)["status"] == "Failed"
        assert (
            arm.create("gen2b", {"count": 1, "vmSize": "Standard_NC24ads_A100_v4"}, usegen2vm="true", **image)["status"]
            == "Succeeded"
        )


def test_features_that_need_approval(arm: Arm, sandbox: Sandbox) -> None:
    feature = f"{arm.subscription}/providers/Microsoft.Features/providers/Microsoft.ContainerService/features"
    with sandbox.having(features_pending=["AKSWindowsGPU*"]):
        begun = arm.ask("POST", f"{feature}/AKSWindowsGPUPreview/register", version="2021-07-01")
    assert begun.json()["properties"]["state"] == "Pending"
    missing = arm.ask("GET", f"{feature}/NoSuchPreview", version="2021-07-01")
    assert missing.status_code == 404
    assert missing.headers["x-ms-failure-cause"] == "gateway"


def test_managed_gpu(arm: Arm, sandbox: Sandbox) -> None:
    managed = {**GPU_POOL, "gpuProfile": {"nvidia": {"managementMode": "Managed"}}}
    sandbox.act("feature", name="ManagedGPUExperiencePreview", state="NotRegistered")
    refused(arm.put_pool("gpunp", managed), 400, "PreviewFeatureNotRegistered")
    refused(
        arm.put_pool("gpunp", {**GPU_POOL, "tags": {"EnableManagedGPUExperience": "true"}}),
        400,
        "PreviewFeatureNotRegistered",
    )
    with sandbox.having(managed_gpu_needs_feature=False):
        refused(arm.put_pool("gpunp", {**managed, **SCALED}), 400, "BadRequest")
        assert arm.create("gpunp", managed)["status"] == "Succeeded"
        assert arm.properties("gpunp")["gpuProfile"]["nvidia"] == {"managementMode": "Managed"}


def test_permissions_are_told(arm: Arm, sandbox: Sandbox) -> None:
    path = arm.cluster + "/providers/Microsoft.Authorization/permissions"
    actions = arm.ask("GET", path, version="2022-04-01").json()["value"][0]["actions"]
    assert "Microsoft.ContainerService/managedClusters/agentPools/write" in actions
    assert Arm(sandbox, "owner").ask("GET", path, version="2022-04-01").json()["value"][0]["actions"] == ["*"]


def test_subnets(arm: Arm) -> None:
    group = f"{arm.subscription}/resourceGroups/myResourceGroup/providers/Microsoft.Network/virtualNetworks"
    subnet = f"{group}/myVnet/subnets/mySubnet"
    found = arm.ask("GET", subnet, version="2024-05-01").json()
    assert found["properties"]["addressPrefix"] == "10.224.0.0/16"
    assert arm.ask("GET", f"{group}/myVnet/subnets/other", version="2024-05-01").status_code == 404
    assert arm.create("gpunp", {**GPU_POOL, "vnetSubnetID": subnet})["status"] == "Succeeded"
