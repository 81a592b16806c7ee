"""What is around agent pools answers as Azure was recorded to; each test names the recording."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aks_sandbox.arm import api_versions
from aks_sandbox.arm_client import GPU_POOL, Arm
from aks_sandbox.testing import Sandbox

Json = dict[str, Any]

METRICS = "2022-06-01"
SPOT_POOL = {**GPU_POOL, "scaleSetPriority": "Spot"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.started("test-arm-azure", kubernetes=False, settings={"clock_speed": 40}) as sandbox:
        sandbox.act("provider", namespace="Microsoft.Monitor", state="Registered")
        yield sandbox


@pytest.fixture
def arm(sandbox: Sandbox) -> Iterator[Arm]:
    arm = Arm(sandbox, "owner")
    yield arm
    sandbox.clear_faults()
    arm.delete_all()


@pytest.fixture
def group(arm: Arm) -> str:
    return f"{arm.subscription}/resourceGroups/myResourceGroup/providers"


# lists


def test_the_list_of_pools_ends_with_a_link_to_an_empty_page(arm: Arm) -> None:
    """CLI test_aks_create_spot_node_pool.yaml, 2025-07-07."""
    first = arm.ask("GET", arm.cluster + "/agentPools").json()
    assert [each["name"] for each in first["value"]] == ["nodepool1"]
    link = first["nextLink"].partition("/agentPools")[2]
    assert re.fullmatch(r"\?%24skipToken=(\d+)&api-version=2026-08-01&skipToken=\1", link)
    assert arm.ask("GET", first["nextLink"]).json() == {"value": []}


def test_other_lists_end_where_they_end(arm: Arm, sandbox: Sandbox) -> None:
    clusters = arm.cluster.rpartition("/")[0]
    assert "nextLink" not in arm.ask("GET", clusters).json()
    with sandbox.having(empty_last_page="none"):
        assert "nextLink" not in arm.ask("GET", arm.cluster + "/agentPools").json()
    with sandbox.having(empty_last_page="all"):
        assert "nextLink" in arm.ask("GET", clusters).json()


# quotas


def usages(arm: Arm) -> dict[str, Json]:
    path = f"{arm.subscription}/providers/Microsoft.Compute/locations/westus2/usages"
    return {each["name"]["value"]: each for each in arm.ask("GET", path, version="2026-04-01").json()["value"]}


def test_the_quotas_of_a_region(arm: Arm) -> None:
    """CLI vm test_vm_usage.yaml, 2023; the T4's as https://learn.microsoft.com/azure/quotas shows it."""
    found = usages(arm)
    assert list(found)[:7] == [
        "availabilitySets", "cores", "virtualMachines", "virtualMachineScaleSets", "dedicatedVCpus", "cloudServices",
        "lowPriorityCores",
    ]  # fmt: skip
    assert found["availabilitySets"] == {
        "limit": 2500,
        "unit": "Count",
        "currentValue": 0,
        "name": {"value": "availabilitySets", "localizedValue": "Availability Sets"},
    }
    shown = {name: each["name"]["localizedValue"] for name, each in found.items()}
    assert shown["cores"] == "Total Regional vCPUs"
    assert shown["lowPriorityCores"] == "Total Regional Low-priority vCPUs"
    assert shown["standardDSv2Family"] == "Standard DSv2 Family vCPUs"
    assert shown["Standard NCASv3_T4 Family"] == "Standard NCASv3_T4 Family vCPUs"


def test_a_familys_quota_is_refused_on_the_put(arm: Arm, sandbox: Sandbox) -> None:
    """ISS "Terraform Troubleshooting 08" (azurerm, a pool's creation), motordesk#14 (2026): body, text and status."""
    with sandbox.having(quotas={"Standard NCASv3_T4 Family": 6}):
        response = arm.put_pool("gpunp", {**GPU_POOL, "count": 2})
        assert (response.status_code, response.headers["content-type"]) == (400, "application/json")
        assert response.json() == {
            "code": "ErrCode_InsufficientVCPUQuota",
            "details": None,
            "message": "Insufficient vcpu quota requested 8, remaining 6 for family Standard NCASv3_T4 Family for "
            "region westus2. If you want to increase the quota, please follow this instruction: "
            "https://learn.microsoft.com/en-us/azure/quotas/view-quotas. Surge nodes would also consume vcpu quota, "
            "please consider use smaller maxSurge or use maxUnavailable to proceed upgrade without surge nodes, "
            "details: aka.ms/aks/maxUnavailable.",
            "subcode": "",
        }
        assert arm.create("gpunp")["status"] == "Succeeded"
        response = arm.put_pool("gpunp", {**GPU_POOL, "count": 2})
        assert "requested 4, remaining 2 for family" in response.json()["message"]
    with sandbox.having(quotas={"Standard NCASv3_T4 Family": 2}, family_quota="operation"):
        assert arm.create("other")["error"]["code"] == "QuotaExceeded"


def test_spot_nodes_have_a_quota_of_their_own(arm: Arm, sandbox: Sandbox) -> None:
    """Azure's documentation of Spot quotas; the text as karpenter-provider-azure has it (2026)."""
    before = {name: each["currentValue"] for name, each in usages(arm).items()}
    with sandbox.having(quotas={"Standard NCASv3_T4 Family": 0, "cores": 4}):
        assert arm.create("spot", SPOT_POOL)["status"] == "Succeeded"
    after = {name: each["currentValue"] for name, each in usages(arm).items()}
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"lowPriorityCores": 4, "virtualMachines": 1, "virtualMachineScaleSets": 1}
    with sandbox.having(quotas={"lowPriorityCores": 7}):
        assert usages(arm)["lowPriorityCores"]["limit"] == 7
        end = arm.create("spot2", SPOT_POOL)
    assert (end["status"], end["error"]["code"]) == ("Failed", "QuotaExceeded")
    assert "exceeding approved LowPriorityCores quota. Additional details" in end["error"]["message"]
    assert "Current Limit: 7, Current Usage: 4, Additional Required: 4" in end["error"]["message"]


# run-command


def test_run_command(arm: Arm, sandbox: Sandbox) -> None:
    """CLI test_aks_run_command.yaml, 2022-05-13."""
    with sandbox.having(run_command_seconds=20.0):
        begun = arm.ask("POST", arm.cluster + "/runCommand", {"command": "kubectl version", "context": ""})
        assert (begun.status_code, begun.content) == (202, b"")
        assert "azure-asyncoperation" not in begun.headers
        location = begun.headers["location"]
        path = location.partition("://")[2].partition("/")[2].partition("?")[0]
        key = path.rpartition("/")[2]
        assert re.fullmatch("[0-9a-f]{32}", key)
        assert path == (
            f"{arm.subscription.lstrip('/')}/resourceGroups/myResourceGroup/providers/Microsoft.ContainerService"
            f"/managedclusters/myAKSCluster/commandResults/{key}"
        )
        running = arm.ask("GET", location)
    assert (running.status_code, running.headers["location"]) == (202, location)
    assert running.json() == {"id": key, "properties": {"provisioningState": "Running"}}
    deadline = time.monotonic() + 20
    while (done := arm.ask("GET", location)).status_code == 202:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "location" not in done.headers
    assert done.json()["id"] == key


# a cluster


def test_a_cluster_shows_what_aks_adds(arm: Arm) -> None:
    """ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18, and PS TestSpot.json, 2025-10-28."""
    body = arm.ask("GET", arm.cluster).json()
    assert body["kind"] == "Base"
    properties = body["properties"]
    balancer = properties["networkProfile"]["loadBalancerProfile"]
    assert balancer["managedOutboundIPs"] == {"count": 1}
    assert balancer["backendPoolType"] == "nodeIPConfiguration"
    (address,) = balancer["effectiveOutboundIPs"]
    assert "/resourceGroups/MC_myResourceGroup_myAKSCluster_westus2/" in address["id"]
    kubelet = properties["identityProfile"]["kubeletidentity"]
    assert set(kubelet) == {"resourceId", "clientId", "objectId"}
    assert kubelet["resourceId"].endswith("/userAssignedIdentities/myAKSCluster-agentpool")
    assert properties["addonProfiles"]["extensionManager"] == {"enabled": True, "config": None}
    assert properties["oidcIssuerProfile"]["enabled"] is True
    assert properties["oidcIssuerProfile"]["issuerURL"].startswith("https://westus2.oic.prod-aks.azure.com/")
    assert properties["hostedSystemProfile"] == {"enabled": False}
    assert "disableLocalAccounts" not in properties


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("2025-04-01", {"nodeProvisioningProfile", "hostedSystemProfile"}),
        ("2025-08-01", {"hostedSystemProfile"}),
        ("2026-05-01", set()),
    ],
)
def test_older_versions_lack_what_came_later(arm: Arm, version: str, missing: set[str]) -> None:
    """CLI test_aks_create_spot_node_pool.yaml, 2025-07-07; PS TestSpot.json, 2025-10-28; ASO
    Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18."""
    today = arm.ask("GET", arm.cluster).json()["properties"]
    body = arm.ask("GET", arm.cluster, version=version).json()
    assert ("kind" in body) is (version != "2025-04-01")
    then = body["properties"]
    assert set(today) - set(then) == missing
    shown = then.get("nodeProvisioningProfile", {})
    assert ("defaultNodePools" in shown) is (version == "2025-08-01")
    (listed,) = arm.ask("GET", arm.cluster.rpartition("/")[0], version=version).json()["value"]
    assert set(listed["properties"]) == set(then)


def test_what_aks_alone_says_survives_a_put_without_it(arm: Arm) -> None:
    """As any update by the CLI, whose models leave these fields out of what they send."""
    before = arm.ask("GET", arm.cluster).json()["properties"]
    sent = {key: arm.ask("GET", arm.cluster).json()[key] for key in ("location", "kind", "properties", "sku")}
    del sent["properties"]["networkProfile"]["loadBalancerProfile"]["effectiveOutboundIPs"]
    sent["properties"]["oidcIssuerProfile"]["issuerURL"] = "https://nobody.example/"
    sent["properties"]["disableLocalAccounts"] = False
    answer = arm.ask("PUT", arm.cluster, sent)
    assert answer.status_code == 200
    assert answer.headers["x-ms-request-id"] in answer.headers["azure-asyncoperation"]
    arm.wait(answer)
    after = arm.ask("GET", arm.cluster).json()["properties"]
    assert after["networkProfile"]["loadBalancerProfile"] == before["networkProfile"]["loadBalancerProfile"]
    assert after["oidcIssuerProfile"] == before["oidcIssuerProfile"]
    assert after["disableLocalAccounts"] is False


# Azure Monitor


def put(arm: Arm, path: str, version: str, **body: Any) -> Any:
    return arm.ask("PUT", path, {"location": "westus2", **body}, version)


def written(body: Json) -> None:
    """The etag, with quotes in it, and systemData."""
    assert re.fullmatch(r'"[0-9a-f-]{36}"', body["etag"])
    assert set(body["systemData"]) == {
        *("createdBy", "createdByType", "createdAt", "lastModifiedBy", "lastModifiedByType", "lastModifiedAt")
    }


def test_a_new_log_analytics_workspace_is_being_created_at_first(arm: Arm, sandbox: Sandbox, group: str) -> None:
    """CLI test_monitor_log_analytics_workspace_default.yaml, 2021-01-15."""
    path = f"{group}/Microsoft.OperationalInsights/workspaces/logsOne"
    with sandbox.having(workspace_seconds=40.0):
        made = put(arm, path, "2020-08-01", properties={"sku": {"name": "PerGB2018"}, "retentionInDays": 30})
        assert (made.status_code, made.headers["content-type"]) == (201, "application/json")
        assert not {"azure-asyncoperation", "location"} & set(made.headers)
        body = made.json()
        assert body["id"] == path.replace("resourceGroups", "resourcegroups").replace(
            "Microsoft.OperationalInsights", "microsoft.operationalinsights"
        )
        assert not {"etag", "systemData"} & set(body)
        assert body["properties"]["provisioningState"] == "Creating"
        assert body["properties"]["sku"]["name"] == "pergb2018"
        assert body["properties"]["customerId"]
        rule = {"destinations": {"logAnalytics": [{"name": "x", "workspaceResourceId": path}]}, "dataFlows": []}
        refused = put(arm, f"{group}/Microsoft.Insights/dataCollectionRules/early", METRICS, properties=rule)
        assert refused.status_code == 400
    deadline = time.monotonic() + 10
    while (seen := arm.ask("GET", path, version="2020-08-01").json())["properties"]["provisioningState"] == "Creating":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert seen["properties"]["customerId"] == body["properties"]["customerId"]
    again = put(arm, path, "2020-08-01", properties={"retentionInDays": 100})
    assert (again.status_code, again.json()["properties"]["provisioningState"]) == (200, "Succeeded")
    made = put(arm, f"{group}/Microsoft.Insights/dataCollectionRules/late", METRICS, properties=rule).json()
    assert made["properties"]["destinations"]["logAnalytics"][0]["workspaceId"] == body["properties"]["customerId"]


def test_prometheus_resources(arm: Arm, group: str) -> None:
    """CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23; CLI test_monitor_account.yaml, 2023-05-06."""
    account = f"{group}/Microsoft.Monitor/accounts/MetricsOne"
    made = put(arm, account, "2023-04-03")
    assert (made.status_code, made.headers["content-type"]) == (200, "application/json; charset=utf-8")
    body = made.json()
    lower = "resourcegroups/myresourcegroup/providers/microsoft.monitor/accounts/metricsone"
    assert body["id"] == f"{arm.subscription}/{lower}"
    assert body["name"] == "MetricsOne"
    written(body)
    assert body["properties"]["metrics"]["internalId"] == f"mac_{body['properties']['accountId']}"
    assert set(body["properties"]["defaultIngestionSettings"]) == {
        *("dataCollectionRuleResourceId", "dataCollectionEndpointResourceId")
    }
    listed = arm.ask("GET", account.rpartition("/")[0], version="2023-04-03").json()
    assert (len(listed["value"]), listed["nextLink"]) == (1, None)

    endpoint = f"{group}/Microsoft.Insights/dataCollectionEndpoints/MSProm"
    made = put(arm, endpoint, METRICS, kind="Linux", properties={})
    assert made.status_code == 200
    body = made.json()
    assert body["id"] == endpoint
    written(body)
    assert set(body["properties"]) == {
        *("immutableId", "configurationAccess", "logsIngestion", "metricsIngestion", "networkAcls", "provisioningState")
    }
    assert re.fullmatch("dce-[0-9a-f]{32}", body["properties"]["immutableId"])

    rule = f"{group}/Microsoft.Insights/dataCollectionRules/MSProm"
    destination = {"name": "MonitoringAccount1", "accountResourceId": account}
    properties = {
        "dataCollectionEndpointId": endpoint,
        "destinations": {"monitoringAccounts": [destination]},
        "dataFlows": [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount1"]}],
    }
    made = put(arm, rule, METRICS, kind="Linux", properties=properties)
    assert (made.status_code, made.json()["id"]) == (200, rule)
    written(made.json())
    (shown,) = made.json()["properties"]["destinations"]["monitoringAccounts"]
    account_id = arm.ask("GET", account, version="2023-04-03").json()["properties"]["accountId"]
    assert shown == {**destination, "accountId": account_id}

    name = "ContainerInsightsMetricsExtension"
    association = f"{arm.cluster}/providers/Microsoft.Insights/dataCollectionRuleAssociations/{name}"
    made = arm.ask("PUT", association, {"properties": {"dataCollectionRuleId": rule, "description": "d"}}, METRICS)
    assert made.status_code == 200
    assert made.json()["properties"] == {"dataCollectionRuleId": rule, "description": "d"}
    written(made.json())


# versions, providers, headers


def test_which_versions_are_served(arm: Arm) -> None:
    """PS TestSpot.json, 2025-10-28: the oldest, the previews, and no version of 2020."""
    for version in ("2021-02-01", "2024-09-01", "2025-08-02-preview", "2026-08-01"):
        assert arm.ask("GET", arm.cluster, version=version).status_code == 200, version
    for version in ("2020-12-01", "2024-09-02", "2025-08-03-preview"):
        answer = arm.ask("GET", arm.cluster, version=version)
        assert answer.json()["error"]["code"] == "NoRegisteredProviderFound", version
    workspaces = f"{arm.subscription}/providers/Microsoft.OperationalInsights/workspaces"
    for version in ("2015-11-01-preview", "2025-02-01"):
        assert arm.ask("GET", workspaces, version=version).status_code == 200, version


def test_a_provider(arm: Arm) -> None:
    """PS TestSpot.json, 2025-10-28 (2016-09-01); CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23."""
    path = f"{arm.subscription}/providers/Microsoft.ContainerService"
    old, new = (arm.ask("GET", path, version=version) for version in ("2016-09-01", "2025-04-01"))
    assert "registrationPolicy" not in old.json()
    assert new.json()["registrationPolicy"] == "RegistrationRequired"
    assert list(old.json()) == ["id", "namespace", "authorizations", "resourceTypes", "registrationState"]
    types = {each["resourceType"]: each for each in new.json()["resourceTypes"]}
    versions = types["managedClusters"]["apiVersions"]
    assert versions == sorted(api_versions.CONTAINER_SERVICE, reverse=True)
    assert "West US 2" in types["managedClusters"]["locations"]
    monitor = arm.ask("GET", f"{arm.subscription}/providers/Microsoft.Monitor", version="2022-09-01").json()
    assert monitor["resourceTypes"][0]["capabilities"] == (
        "CrossResourceGroupResourceMove, CrossSubscriptionResourceMove, SupportsTags, SupportsLocation"
    )
    insights = arm.ask("GET", f"{arm.subscription}/providers/Microsoft.Insights", version="2025-04-01").json()
    assert insights["namespace"] == "microsoft.insights"
    chosen = {"$select": "namespace,registrationstate"}
    listed = arm.ask("GET", f"{arm.subscription}/providers", version="2021-04-01", params=chosen).json()["value"]
    assert {frozenset(each) for each in listed} == {frozenset({"namespace", "registrationState"})}


EVERYWHERE = {
    "cache-control": "no-cache",
    "pragma": "no-cache",
    "expires": "-1",
    "strict-transport-security": "max-age=31536000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "x-cache": "CONFIG_NOCACHE",
}


def test_headers(arm: Arm) -> None:
    """PS TestSpot.json, 2025-10-28: whole headers of the gateway, of AKS, and of what the gateway refuses."""
    own = arm.ask("GET", f"{arm.subscription}/resourcegroups/myResourceGroup", version="2025-04-01").headers
    pools = arm.ask("GET", arm.cluster + "/agentPools").headers
    cluster = arm.ask("GET", arm.cluster).headers
    missing = arm.ask("GET", arm.cluster + "x").headers
    refused = arm.ask("GET", arm.pool("nopool")).headers
    for headers in (own, pools, cluster, missing, refused):
        assert {name: headers[name] for name in EVERYWHERE} == EVERYWHERE
        assert re.fullmatch(r"Ref A: [0-9A-F]{32} Ref B: \S+ Ref C: \S+", headers["x-msedge-ref"])
        assert headers["x-ms-routing-request-id"].endswith(headers["x-ms-correlation-request-id"])
    assert own["content-type"] == missing["content-type"] == "application/json; charset=utf-8"
    assert pools["content-type"] == cluster["content-type"] == refused["content-type"] == "application/json"
    for headers in (own, pools, cluster, refused):
        assert headers["x-ms-ratelimit-remaining-subscription-reads"] == "249"
        assert headers["x-ms-ratelimit-remaining-subscription-global-reads"] == "3749"
    assert not [name for name in missing if name.startswith("x-ms-ratelimit")]
    assert "tenantId=" in refused["x-ms-operation-identifier"]
    assert "x-ms-operation-identifier" not in own
    assert "x-ms-operation-identifier" not in cluster
    put = arm.put_pool("gpunp", GPU_POOL)
    assert put.headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert put.headers["x-ms-ratelimit-remaining-subscription-global-writes"] == "2999"
    assert f"/operations/{put.headers['x-ms-request-id']}?" in put.headers["azure-asyncoperation"]
    arm.wait(put)
