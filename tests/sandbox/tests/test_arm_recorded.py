"""Agent pools answer as real Azure was recorded to: values from the recordings that each test names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from aks_sandbox.arm.errors import BUSY_ANSWERS, FAILURE_SHAPES
from aks_sandbox.arm.pool_rules import truncated
from aks_sandbox.arm_client import GPU_POOL, Arm
from aks_sandbox.interfaces import SandboxError, Settings
from aks_sandbox.testing import Sandbox
from azure.core.exceptions import HttpResponseError, ResourceExistsError

SCALED = {"enableAutoScaling": True, "minCount": 1, "maxCount": 3}
SPOT = {**GPU_POOL, "scaleSetPriority": "Spot", "nodeTaints": ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]}
GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.started("test-arm-recorded", kubernetes=False, settings={"clock_speed": 40}) as sandbox:
        yield sandbox


@pytest.fixture
def arm(sandbox: Sandbox) -> Iterator[Arm]:
    arm = Arm(sandbox, "owner")
    yield arm
    sandbox.clear_faults()
    arm.delete_all()


def shown(properties: dict[str, Any]) -> tuple[int, str, str]:
    """Count, power state and provisioning state."""
    return properties["count"], properties["powerState"]["code"], properties["provisioningState"]


def test_stop_and_start(arm: Arm) -> None:
    """CLI test_aks_nodepool_abort.yaml, 2023-06-29; CLX test_aks_nodepool_stop_and_start.yaml, 2023-06-21."""
    arm.create("gpunp", {**GPU_POOL, "count": 2})
    stopping = arm.put_pool("gpunp", {**arm.properties("gpunp"), "powerState": {"code": "Stopped"}})
    assert stopping.status_code == 200
    assert shown(stopping.json()["properties"]) == (0, "Stopped", "Stopping")
    assert shown(arm.properties("gpunp")) == (2, "Stopped", "Stopping")
    arm.wait(stopping)
    assert shown(arm.properties("gpunp")) == (0, "Stopped", "Succeeded")
    (listed,) = [
        each["properties"]
        for each in arm.ask("GET", arm.cluster + "/agentPools").json()["value"]
        if each["name"] == "gpunp"
    ]
    assert shown(listed) == (0, "Stopped", "Succeeded")
    starting = arm.put_pool("gpunp", {**listed, "powerState": {"code": "Running"}})
    assert shown(starting.json()["properties"]) == (2, "Running", "Starting")
    arm.wait(starting)
    assert shown(arm.properties("gpunp")) == (2, "Running", "Succeeded")


def test_a_stopped_pool_under_the_autoscaler_stays_stopped(arm: Arm) -> None:
    """CLI test_aks_nodepool_stop_and_start.yaml, 2025-07-08; the bounds: no witness."""
    arm.create("gpunp", {**GPU_POOL, **SCALED, "count": 2})
    arm.wait(arm.put_pool("gpunp", {**arm.properties("gpunp"), "powerState": {"code": "Stopped"}}))
    stopped = arm.properties("gpunp")
    assert shown(stopped) == (0, "Stopped", "Succeeded")
    assert (stopped["minCount"], stopped["maxCount"]) == (1, 3)
    arm.wait(arm.put_pool("gpunp", {**stopped, "tags": {"a": "1"}}))
    assert shown(arm.properties("gpunp")) == (0, "Stopped", "Succeeded")
    arm.wait(arm.put_pool("gpunp", {**stopped, "powerState": {"code": "Running"}}))
    assert shown(arm.properties("gpunp")) == (2, "Running", "Succeeded")


def test_somebody_else_stops_and_starts_a_pool(arm: Arm, sandbox: Sandbox) -> None:
    """As `test_stop_and_start`, without a request."""
    arm.create("gpunp", {**GPU_POOL, "count": 2})
    for power, count in (("Stopped", 0), ("Running", 2)):
        sandbox.act("pool", cluster=sandbox.cluster, pool="gpunp", properties={"powerState": {"code": power}})
        assert shown(arm.properties("gpunp")) == (count, power, "Succeeded")
        assert len(arm.ask("GET", arm.pool("gpunp") + "/machines").json()["value"]) == count


def test_a_system_pool_can_not_be_stopped(arm: Arm) -> None:
    """Microsoft's page on starting and stopping node pools; code and text: no witness."""
    body = {**arm.properties("nodepool1"), "powerState": {"code": "Stopped"}}
    body.pop("nodeImageVersion")
    refused = arm.put_pool("nodepool1", body)
    assert (refused.status_code, refused.json()["code"]) == (400, "OperationNotAllowed")
    assert shown(arm.properties("nodepool1")) == (1, "Running", "Succeeded")


def test_abort_of_a_pool(arm: Arm, sandbox: Sandbox) -> None:
    """CLI test_aks_nodepool_abort.yaml, 2023-06-29."""
    arm.create("gpunp", {**GPU_POOL, "count": 2})
    sandbox.fault("PUT", "/agentPools/gpunp", operation={"endless": True})
    stopping = arm.put_pool("gpunp", {**GPU_POOL, "count": 2, "powerState": {"code": "Stopped"}})
    aborted = arm.ask("POST", arm.pool("gpunp") + "/abort")
    assert aborted.status_code == 202
    assert aborted.headers["content-type"] == "application/json"
    assert shown(aborted.json()["properties"]) == (0, "Stopped", "Stopping")
    assert {"azure-asyncoperation", "location"} <= set(aborted.headers)
    assert arm.wait(aborted)["status"] == "Succeeded"
    result = arm.ask("GET", aborted.headers["location"])
    assert (result.status_code, result.content) == (204, b"")
    assert "/operationresults/" in result.headers["location"]
    assert result.headers["content-type"] == "application/json"
    assert shown(arm.properties("gpunp")) == (2, "Running", "Canceled")
    assert arm.wait(stopping)["status"] == "Canceled"


def test_abort_of_a_cluster(arm: Arm, sandbox: Sandbox) -> None:
    """CLI test_aks_abort.yaml, 2025-05-16."""
    sandbox.act("background", cluster=sandbox.cluster, seconds=4000)
    aborted = arm.ask("POST", arm.cluster + "/abort")
    assert aborted.status_code == 202
    assert aborted.json()["name"] == sandbox.cluster
    assert aborted.json()["properties"]["agentPoolProfiles"]
    arm.wait(aborted)
    assert arm.ask("GET", aborted.headers["location"]).status_code == 204
    cluster = arm.ask("GET", arm.cluster).json()["properties"]
    assert cluster["powerState"] == {"code": "Running"}


def test_abort_with_nothing_under_way(arm: Arm) -> None:
    """The text: VijayRod/demo, k8s-aks-op.md; the status: no witness."""
    for path in (arm.pool("nodepool1"), arm.cluster):
        refused = arm.ask("POST", path + "/abort")
        assert (refused.status_code, refused.json()["code"]) == (409, "OperationNotAllowed")
        assert re.fullmatch(
            "Cancel operation is not allowed when the ProvisioningState is (Succeeded|Canceled)",
            refused.json()["message"],
        )


BUSY: dict[str, tuple[str, str]] = {
    "another_operation": ("OperationNotAllowed", "Another agentpool operation (gpunp - Creating) is in progress"),
    "in_progress_operation": (
        "OperationNotAllowed",
        "Operation is not allowed because there's an in progress create managed cluster operation (operation ID: ",
    ),
    "on_agent_pool": (
        "OperationNotAllowed",
        "Managed Cluster operation is not allowed: Another operation (Creating) is in progress on agent pool (gpunp)",
    ),
    "etag_mismatch": ("EtagMismatch", "Operation is not allowed: Another operation is in progress"),
}
"""cilium#25944, 2023-06-06; azure-cli-extensions#9855, 2026-05-22; Microsoft's article; retina#1212, 2025-01-13."""


@pytest.mark.parametrize("answer", BUSY)
def test_what_a_busy_cluster_answers(arm: Arm, sandbox: Sandbox, answer: str) -> None:
    code, text = BUSY[answer]
    arm.create("other")
    with sandbox.having(busy_answer=answer):
        creating = arm.put_pool("gpunp", GPU_POOL)
        cluster = arm.ask("GET", arm.cluster).json()
        for refused in (
            arm.put_pool("gpunp", GPU_POOL),
            arm.ask("DELETE", arm.pool("other")),
            arm.ask("PUT", arm.cluster, cluster),
        ):
            assert refused.status_code == 409
            assert refused.json()["code"] == code
            assert text in refused.json()["message"]
            assert set(refused.json()) == {"code", "details", "message", "subcode"}
    arm.wait(creating)


def test_a_busy_cluster_answers_by_the_operation(arm: Arm, sandbox: Sandbox) -> None:
    """azure-cli-extensions#9855, 2026-05-22."""
    sandbox.act("background", cluster=sandbox.cluster, seconds=20)
    refused = arm.put_pool("gpunp", GPU_POOL)
    assert re.fullmatch(
        r"Operation is not allowed because there's an in progress update managed cluster operation \(operation ID: "
        + GUID
        + r"\) on the managed cluster started on UTC \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\. Please wait for it to finish "
        r"before starting a new operation\. You can also use 'az aks operation-abort \.\.\.' to abort the ongoing "
        r"operation\.",
        refused.json()["message"],
    )
    arm.wait(arm.ask("POST", arm.cluster + "/abort"))


def test_etag_mismatch(arm: Arm, sandbox: Sandbox) -> None:
    """terraform-azurerm-aks#604, 2024-11-15: nothing is sent that could mismatch."""
    sandbox.fault("PUT", "/agentPools/gpunp", in_progress="etag_mismatch", times=2)
    for _unused in range(2):
        refused = arm.put_pool("gpunp", GPU_POOL)
        assert refused.status_code == 409
        assert refused.json() == {
            "code": "EtagMismatch",
            "details": [
                {"code": "Unspecified", "message": "rpc error: code = FailedPrecondition desc = Etag mismatched"}
            ],
            "message": "Operation is not allowed: Another operation is in progress",
            "subcode": "PutManagedClusterAndComponents_FailedPrecondition",
        }
        assert "x-ms-failure-cause" not in refused.headers
    assert arm.create("gpunp")["status"] == "Succeeded"
    sandbox.fault("PUT", "/managedClusters/myAKSCluster[?]", in_progress="etag_mismatch")
    assert arm.ask("PUT", arm.cluster, arm.ask("GET", arm.cluster).json()).json()["code"] == "EtagMismatch"


@pytest.mark.parametrize("price", [0.577, 0.57699, 88.88888, -1.0, 0.29, 0.57, 0.58, 1.13])
def test_a_spot_price_is_cut_off(arm: Arm, price: float) -> None:
    """PS TestSpot.json, 2025-10-28: 0.577; CLI test_aks_create_spot_node_pool.yaml, 2025-07-07: 88.88888."""
    kept = {0.577: 0.57699, 0.57699: 0.57699, 88.88888: 88.88888, -1.0: -1.0}.get(price, truncated(price))
    created = arm.put_pool("spot", {**SPOT, "spotMaxPrice": price})
    assert created.status_code == 201
    assert created.json()["properties"]["spotMaxPrice"] == kept
    arm.wait(created)
    assert arm.properties("spot")["spotMaxPrice"] == kept
    assert arm.create("spot", {**SPOT, "spotMaxPrice": kept})["status"] == "Succeeded"
    assert arm.create("spot", {**SPOT, "spotMaxPrice": price})["status"] == "Succeeded"
    other = arm.put_pool("spot", {**SPOT, "spotMaxPrice": price + 0.001 if price > 0 else 0.5})
    assert (other.status_code, other.json()["code"]) == (400, "PropertyChangeNotAllowed")


def test_71_of_the_cents_up_to_10_are_cut_off() -> None:
    """The formula that fits both recordings; its reach as counted for them."""
    cents = [number / 100 for number in range(1, 1001)]
    assert len([price for price in cents if truncated(price) != price]) == 71
    assert [price for price in cents if truncated(price) != price][:3] == [0.29, 0.57, 0.58]


def test_the_default_price_may_be_absent(arm: Arm, sandbox: Sandbox) -> None:
    """No witness, neither for nor against."""
    with sandbox.having(spot_max_price_default="absent"):
        arm.create("spot", SPOT)
        assert "spotMaxPrice" not in arm.properties("spot")
        assert arm.create("spot", {**SPOT, "spotMaxPrice": -1, "tags": {"a": "1"}})["status"] == "Succeeded"
        assert "spotMaxPrice" not in arm.properties("spot")


def test_the_status_of_an_operation_is_free_text(arm: Arm, sandbox: Sandbox) -> None:
    """ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18; PS TestAPI20250801WithMSI.json, 2025-12-12."""
    seen = []
    response = arm.put_pool("gpunp", {**GPU_POOL, "count": 2})
    while True:
        status = arm.ask("GET", response.headers["azure-asyncoperation"]).json()
        if status["status"] not in seen:
            seen.append(status["status"])
        if "endTime" in status:
            break
    assert seen == ["CreatingAgentPool", "CreatingAgentPool: 0/2 nodes completed", "Succeeded"]
    with sandbox.having(operation_status_texts={"Updating": ["ProvisioningControlPlane"]}):
        response = arm.put_pool("gpunp", {**GPU_POOL, "count": 2, "tags": {"a": "1"}})
        assert arm.ask("GET", response.headers["azure-asyncoperation"]).json()["status"] == "ProvisioningControlPlane"
        arm.wait(response)
        leaving = arm.ask("DELETE", arm.pool("gpunp"))
        assert arm.ask("GET", leaving.headers["azure-asyncoperation"]).json()["status"] == "InProgress"
        arm.wait(leaving)


INNER = {"code": "ZonalAllocationFailed", "message": "No capacity."}
SHAPES: dict[str, tuple[str, str]] = {
    "direct": ("ZonalAllocationFailed", "No capacity."),
    "json_in_message": (
        "CreateVMSSAgentPoolFailed",
        'VMSSAgentPoolReconciler retry failed: {\n  "code": "ZonalAllocationFailed",\n  "message": "No capacity."\n}',
    ),
    "code_in_message": ("CreateVMSSAgentPoolFailed", 'Details: Code="ZonalAllocationFailed" Message="No capacity."'),
    "subcode_in_message": ("CreateVMSSAgentPoolFailed", "Category: ClientError; SubCode: ZonalAllocationFailed; "),
    "details": ("ResourceOperationFailure", "The resource operation completed with terminal provisioning state"),
    "internal": ("CreateVMSSAgentPoolFailed", "Internal server error"),
}


def test_every_shape_is_tested() -> None:
    assert set(SHAPES) == set(FAILURE_SHAPES)
    assert set(BUSY) == set(BUSY_ANSWERS) - {"recorded"}


@pytest.mark.parametrize("shape", SHAPES)
def test_where_a_failure_has_its_cause(arm: Arm, sandbox: Sandbox, shape: str) -> None:
    """jenkins-infra/azure#997, terraform#10411, terraform#9342, AKS#2417, kaito#2075, AKS#4975."""
    code, text = SHAPES[shape]
    sandbox.fault("PUT", "/agentPools/gpunp", operation={**INNER, "shape": shape})
    error = arm.create("gpunp")["error"]
    assert error["code"] == code
    assert text in error["message"]
    assert error.get("details") == ([{**INNER, "target": "11"}] if shape == "details" else None)
    assert arm.properties("gpunp")["status"]["provisioningError"] == error


def test_wrapper_codes_go_with_the_operation(arm: Arm, sandbox: Sandbox) -> None:
    with sandbox.having(failure_shape="json_in_message", capacity_missing={"Standard_NC4*": "AllocationFailed"}):
        assert arm.create("gpunp")["error"]["code"] == "CreateVMSSAgentPoolFailed"
        assert arm.create("gpunp", {**GPU_POOL, "count": 2})["error"]["code"] == "ReconcileVMSSAgentPoolFailed"
        sandbox.fault("DELETE", "/agentPools/gpunp", operation={"code": "X", "message": "planted"})
        error = arm.wait(arm.ask("DELETE", arm.pool("gpunp")))["error"]
        assert error["code"] == "DeleteVMSSAgentPoolFailed"
        assert '"code": "X"' in error["message"]


def test_a_missing_pool(arm: Arm, sandbox: Sandbox) -> None:
    """ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18."""
    missing = arm.ask("GET", arm.pool("nopool"))
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/json"
    assert "x-ms-failure-cause" not in missing.headers
    assert missing.json() == {
        "code": "NotFound",
        "details": [{"code": "Unspecified", "message": "rpc error: code = NotFound desc = Agent Pool not found"}],
        "message": f"Could not find the agentpool: nopool in subscription: {sandbox.subscription}, resourceGroup: "
        f"{sandbox.resource_group}, resourceName: {sandbox.cluster}.",
        "subcode": "GetAgentPool_NotFound_HCPServerError",
    }


def test_defaults_of_a_new_pool(arm: Arm) -> None:
    """ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18; PS TestSpot.json, 2025-10-28."""
    arm.create("gpunp")
    pool = arm.properties("gpunp")
    assert pool["upgradeSettings"] == {"maxSurge": "10%", "maxUnavailable": "0"}
    assert pool["securityProfile"] == {"sshAccess": "LocalUser", "enableVTPM": False, "enableSecureBoot": False}
    assert not {"enableEncryptionAtHost", "enableUltraSSD", "nodeLabels", "nodeTaints", "tags"} & set(pool)
    arm.create("gpunp", {**GPU_POOL, "upgradeSettings": {"undrainableNodeBehavior": "Schedule"}})
    assert arm.properties("gpunp")["upgradeSettings"] == {
        "maxSurge": "10%",
        "maxUnavailable": "0",
        "undrainableNodeBehavior": "Schedule",
    }
    sent = {"enableEncryptionAtHost": False, "enableUltraSSD": False}
    arm.create("sent", {**GPU_POOL, **sent})
    assert sent.items() <= arm.properties("sent").items()
    arm.create("spot", SPOT)
    assert "upgradeSettings" not in arm.properties("spot")
    arm.create("spot", {**SPOT, "upgradeSettings": {"maxUnavailable": "1"}})
    assert arm.properties("spot")["upgradeSettings"] == {"maxUnavailable": "1"}


@pytest.mark.parametrize(
    ("size", "disk"),
    [("Standard_NC24ads_A100_v4", 128), ("Standard_ND96asr_v4", 128), ("Standard_NC6s_v3", 320)],
)
def test_ephemeral_os_disks(arm: Arm, sandbox: Sandbox, size: str, disk: int) -> None:
    """CLX test_aks_nodepool_add_with_gpu_instance_profile.yaml, 2022-09; PS TestGpuInstanceProfile.json, 2023-05; CLI
    test_aks_create_gpu_driver_flow.yaml, 2025-03-21.
    """
    with sandbox.having(azure_of_2023=True):
        arm.create("gpunp", {"count": 1, "vmSize": size, "osDiskSizeGB": 0})
    assert (arm.properties("gpunp")["osDiskSizeGB"], arm.properties("gpunp")["osDiskType"]) == (disk, "Ephemeral")


@pytest.mark.parametrize(
    ("version", "since", "there"),
    [
        ("2025-08-01", "2026-05-01", False),
        ("2026-05-01", "2026-05-01", True),
        ("2026-08-01", "2026-05-01", True),
        ("2026-08-01", "never", False),
    ],
)
def test_etags_by_api_version(arm: Arm, sandbox: Sandbox, version: str, since: str, there: bool) -> None:
    """PS TestSpot.json, 2025-10-28; ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18."""
    with sandbox.having(etag_since=since):
        created = arm.ask("PUT", arm.pool("gpunp"), {"properties": GPU_POOL}, version=version)
        assert created.status_code == 201
        arm.wait(created)
        cluster = arm.ask("GET", arm.cluster, version=version).json()
        listed = arm.ask("GET", arm.cluster.rpartition("/")[0], version=version).json()["value"]
        pools = [
            created.json()["properties"],
            arm.ask("GET", arm.pool("gpunp"), version=version).json()["properties"],
            *(
                each["properties"]
                for each in arm.ask("GET", arm.cluster + "/agentPools", version=version).json()["value"]
            ),
            *cluster["properties"]["agentPoolProfiles"],
        ]
    assert "etag" not in created.headers
    for each in (*pools, cluster, *listed):
        assert ("eTag" in each) is there
        assert not there or list(each)[-1] == "eTag"


def test_preconditions_of_a_create(arm: Arm, sandbox: Sandbox) -> None:
    """azure-cli#30309, 2024-11-13; that a create may carry it: ARO-HCP's aks-cluster-create, 2026."""
    text = "Resource not found but ETag header is provided. If this is a request to create, please do not provide ETag."
    with sandbox.having(create_precondition="refuse"):
        for _unused in range(3):
            refused = arm.put_pool("gpunp", GPU_POOL, **{"If-None-Match": "*"})
            assert (refused.status_code, refused.json()["code"]) == (412, "PreconditionFailed")
            assert refused.json()["message"] == text
        assert arm.create("plain")["status"] == "Succeeded"
    assert arm.put_pool("gpunp", GPU_POOL, **{"If-Match": '"x"'}).json()["message"] == text
    assert arm.create("gpunp", None, **{"If-None-Match": "*"})["status"] == "Succeeded"


def test_headers_of_a_put_and_of_a_delete(arm: Arm) -> None:
    """PS TestSpot.json, 2025-10-28; the DELETE: CLI test_aks_create_gpu_driver_flow.yaml, 2025-03-21; an application's
    identifier begins with it: CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23."""
    created = arm.put_pool("gpunp", GPU_POOL)
    headers = {name.lower(): value for name, value in created.headers.items()}
    assert set(headers) - {"server", "date", "content-length"} == {
        *("cache-control", "pragma", "expires", "content-type", "strict-transport-security", "x-content-type-options"),
        *("x-cache", "x-msedge-ref", "x-ms-operation-identifier", "x-ms-correlation-request-id", "x-ms-request-id"),
        *("x-ms-routing-request-id", "x-ms-ratelimit-remaining-subscription-writes"),
        *("x-ms-ratelimit-remaining-subscription-global-writes", "azure-asyncoperation"),
    }
    assert headers["content-type"] == "application/json"
    assert headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert headers["x-ms-ratelimit-remaining-subscription-global-writes"] == "2999"
    assert f"/operations/{headers['x-ms-request-id']}?api-version=2025-03-01&t=" in headers["azure-asyncoperation"]
    assert re.fullmatch(
        rf"appId={GUID},tenantId={GUID},objectId={GUID}/westus2/{GUID}", headers["x-ms-operation-identifier"]
    )
    end = arm.wait(created)
    assert all(
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z", end[each])
        for each in ("startTime", "endTime")
    )
    status = arm.ask("GET", created.headers["azure-asyncoperation"])
    assert not {"retry-after", "location"} & {name.lower() for name in status.headers}
    leaving = arm.ask("DELETE", arm.pool("gpunp"))
    assert (leaving.status_code, leaving.headers["content-length"], leaving.content) == (202, "0", b"")
    assert {"azure-asyncoperation", "location"} <= {name.lower() for name in leaving.headers}
    assert leaving.headers["x-ms-ratelimit-remaining-subscription-deletes"] == "199"
    assert "content-type" not in leaving.headers
    assert "retry-after" not in leaving.headers
    arm.wait(leaving)


def test_answers_of_the_gateway_have_a_charset(arm: Arm) -> None:
    """PS TestSpot.json, 2025-10-28."""
    missing = arm.ask("GET", arm.cluster + "x")
    assert missing.headers["content-type"] == "application/json; charset=utf-8"
    assert missing.headers["x-ms-failure-cause"] == "gateway"


def test_the_autoscaler_moves_the_count_after_the_answer(arm: Arm) -> None:
    """CLI test_aks_nodepool_autoscaler_then_update.yaml, 2023-06-29: 0 in the answer, 1 within 8 s."""
    arm.create("gpunp", {**GPU_POOL, "count": 0})
    response = arm.put_pool("gpunp", {**GPU_POOL, **SCALED, "count": 0})
    assert response.json()["properties"]["count"] == 0
    arm.wait(response)
    assert arm.properties("gpunp")["count"] == 1


def test_versions_of_pools(arm: Arm) -> None:
    """rancher#33426, 2021-06-29."""
    full = arm.ask("GET", arm.cluster).json()["properties"]["currentKubernetesVersion"]
    major, minor, *_patch = full.split(".")
    newer, older = f"{major}.{int(minor) + 1}", f"{major}.{int(minor) - 1}"
    for properties in ({**GPU_POOL, "orchestratorVersion": newer}, {**GPU_POOL, "orchestratorVersion": f"{newer}.1"}):
        refused = arm.put_pool("gpunp", properties)
        assert (refused.status_code, refused.json()["code"]) == (400, "NodePoolMcVersionIncompatible")
        assert (
            f"Minor version of node pool version {int(minor) + 1} is bigger than control plane version {minor}"
            in (refused.json()["message"])
        )
    arm.create("gpunp", {**GPU_POOL, "orchestratorVersion": older})
    assert arm.properties("gpunp")["orchestratorVersion"] == older
    upgrading = arm.put_pool("gpunp", {**GPU_POOL, "orchestratorVersion": f"{major}.{minor}"})
    assert upgrading.json()["properties"]["provisioningState"] == "Upgrading"
    assert upgrading.json()["properties"]["currentOrchestratorVersion"] == older
    arm.wait(upgrading)
    assert arm.properties("gpunp")["currentOrchestratorVersion"] == full


def test_what_is_not_emulated_says_so(arm: Arm, sandbox: Sandbox) -> None:
    cluster = arm.ask("GET", arm.cluster).json()
    version = f"1.{int(cluster['properties']['kubernetesVersion'].split('.')[1]) + 1}"
    upgraded = {**cluster, "properties": {**cluster["properties"], "kubernetesVersion": version}}
    for answer in (
        arm.put_pool("vms", {**GPU_POOL, "type": "VirtualMachines"}),
        arm.ask("PUT", arm.cluster + "2", {"location": "westus2", "properties": {}}),
        arm.ask("PUT", arm.cluster, upgraded),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "SandboxDoesNotEmulate")
        assert "does not emulate" in answer.json()["message"]
    assert arm.ask("GET", arm.cluster).json()["properties"]["kubernetesVersion"] != version


def test_pools_of_type_virtual_machines_are_read(arm: Arm, sandbox: Sandbox) -> None:
    """CLI test_aks_create_autoscaler_then_update_vms_pool.yaml, 2026-07-28."""
    sandbox.act("pool", cluster=sandbox.cluster, pool="vms", properties={"type": "VirtualMachines", "count": 2})
    pool = arm.properties("vms")
    assert (pool["type"], pool["count"], pool["vmSize"]) == ("VirtualMachines", None, "")
    assert pool["virtualMachinesProfile"] == {"scale": {"manual": [{"size": "Standard_D4ds_v5", "count": 2}]}}
    assert pool["virtualMachineNodesStatus"] == [{"size": "Standard_D4ds_v5", "count": 2}]
    cluster = arm.ask("GET", arm.cluster).json()
    (profile,) = [each for each in cluster["properties"]["agentPoolProfiles"] if each["name"] == "vms"]
    assert profile["count"] is None
    assert {each["name"]: each["nodes"] for each in sandbox.status()["clusters"][0]["pools"]}["vms"] == 2
    client: Any = sandbox.container_service()
    assert client.agent_pools.get(sandbox.resource_group, sandbox.cluster, "vms").properties.count is None
    refused = arm.put_pool("vms", {"vmSize": "", "tags": {"a": "1"}})
    assert refused.json()["code"] == "SandboxDoesNotEmulate"


def test_machines(arm: Arm, sandbox: Sandbox) -> None:
    """CLI test_aks_machine_cmds.yaml, 2025-06-24."""
    arm.create("gpunp", {**GPU_POOL, "count": 2, "availabilityZones": ["2", "3"]})
    listed = arm.ask("GET", arm.pool("gpunp") + "/machines")
    assert set(listed.json()) == {"value"}
    first, second = listed.json()["value"]
    assert re.fullmatch(r"aks-gpunp-\d{8}-vmss000000", first["name"])
    assert first == {
        "id": f"{arm.pool('gpunp')}/machines/{first['name']}",
        "name": first["name"],
        "type": "Microsoft.ContainerService/managedClusters/agentPools/machines",
        "properties": {
            "network": {"ipAddresses": [{"ip": "10.224.0.4", "family": "IPv4"}]},
            "resourceId": f"{arm.subscription}/resourceGroups/MC_myResourceGroup_myAKSCluster_westus2/providers"
            f"/Microsoft.Compute/virtualMachineScaleSets/{first['name'][:-6]}/virtualMachines/0",
        },
        "zones": ["2"],
    }
    one = arm.ask("GET", f"{arm.pool('gpunp')}/machines/{second['name']}").json()
    assert one == {**second, "id": f"{second['id']}/{second['name']}"}
    assert arm.ask("GET", f"{arm.pool('gpunp')}/machines/aks-gpunp-0-vmss00000z").status_code == 404
    machines = sandbox.container_service("owner").machines
    assert [each.zones for each in machines.list(sandbox.resource_group, sandbox.cluster, "gpunp")] == [["2"], ["3"]]


@pytest.mark.parametrize("lowers", [True, False])
def test_deleted_machines(arm: Arm, sandbox: Sandbox, lowers: bool) -> None:
    """CLI test_aks_nodepool_delete_machines.yaml, 2024-09-19: 4, then 3. That others take their place: no witness."""
    arm.create("gpunp", {**GPU_POOL, "count": 4})
    names = [each["name"] for each in arm.ask("GET", arm.pool("gpunp") + "/machines").json()["value"]]
    with sandbox.having(delete_machines_lowers_count=lowers):
        response = arm.ask("POST", arm.pool("gpunp") + "/deleteMachines", {"machineNames": names[:1]})
        assert (response.status_code, response.content) == (202, b"")
        assert {"azure-asyncoperation", "location"} <= {name.lower() for name in response.headers}
        assert arm.wait(response)["status"] == "Succeeded"
    result = arm.ask("GET", response.headers["location"])
    assert (result.status_code, "location" in result.headers) == (204, True)
    assert arm.properties("gpunp")["count"] == (3 if lowers else 4)
    left = [each["name"] for each in arm.ask("GET", arm.pool("gpunp") + "/machines").json()["value"]]
    assert left[:3] == names[1:]
    assert len(left) == (3 if lowers else 4)
    unknown = arm.ask("POST", arm.pool("gpunp") + "/deleteMachines", {"machineNames": names[:1]})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "InvalidParameter")


def test_the_sdk_deletes_machines_and_reads_free_text(arm: Arm, sandbox: Sandbox) -> None:
    client: Any = sandbox.container_service("owner")
    where = (sandbox.resource_group, sandbox.cluster, "gpunp")
    client.agent_pools.begin_create_or_update(
        *where, {"properties": {**GPU_POOL, "count": 2}}, polling_interval=0.01
    ).result()
    (name, *_rest) = [each.name for each in client.machines.list(*where)]
    client.agent_pools.begin_delete_machines(*where, {"machineNames": [name]}).result()
    assert client.agent_pools.get(*where).properties.count == 1
    with pytest.raises(ResourceExistsError) as caught:
        client.agent_pools.begin_abort_latest_operation(*where)
    assert "Cancel operation is not allowed" in str(caught.value)
    with sandbox.having(failure_shape="details"):
        sandbox.fault("PUT", "/agentPools/gpunp", operation=INNER)
        with pytest.raises(HttpResponseError) as failed:
            client.agent_pools.begin_create_or_update(*where, {"properties": {**GPU_POOL, "count": 3}}).result()
    assert failed.value.error is not None
    assert failed.value.error.code == "ResourceOperationFailure"
    assert [each.code for each in failed.value.error.details] == ["ZonalAllocationFailed"]


def test_choices_of_settings_and_faults_are_checked(sandbox: Sandbox) -> None:
    for name in ("busy_answer", "failure_shape", "create_precondition", "spot_max_price_default"):
        with pytest.raises(SandboxError, match="is not one of"):
            sandbox.set(**{name: "whatever"})
    for fields in ({"in_progress": "whatever"}, {"operation": {"code": "X", "message": "Y", "shape": "whatever"}}):
        with pytest.raises(SandboxError):
            sandbox.fault("PUT", "/agentPools/", **fields)
    assert Settings().busy_answer in BUSY_ANSWERS


def test_the_states_of_a_stopped_cluster(arm: Arm) -> None:
    """No witness: a pool that was stopped by itself stays so."""
    arm.create("gpunp", {**GPU_POOL, "count": 2})
    arm.wait(arm.put_pool("gpunp", {**GPU_POOL, "count": 2, "powerState": {"code": "Stopped"}}))
    arm.wait(arm.ask("POST", arm.cluster + "/stop"))
    arm.wait(arm.ask("POST", arm.cluster + "/start"))
    assert shown(arm.properties("gpunp")) == (0, "Stopped", "Succeeded")
    assert shown(arm.properties("nodepool1")) == (1, "Running", "Succeeded")
