# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container Insights and Managed Prometheus on and off, on a sandbox without Kubernetes; read back by plain GETs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aks_sandbox.testing import Sandbox
from monitoring_harness import ACCOUNT_TYPE, WORKSPACE_TYPE, Monitored, monitoring_environment

Json = dict[str, Any]

USERS: Json = {
    "azureMonitorProfile": {"metrics": {"enabled": False, "kubeStateMetrics": {"metricLabelsAllowlist": "pods=[app]"}}},
    "addonProfiles": {"azurepolicy": {"enabled": True, "config": {"version": "v2"}}},
    "somethingNew": {"nobody": "knows it"},
    "apiServerAccessProfile": {"authorizedIPRanges": ["10.0.0.0/8"]},
}


ETAG_MISMATCH: Json = {
    "code": "EtagMismatch",
    "details": [{"code": "Unspecified", "message": "rpc error: code = FailedPrecondition desc = Etag mismatched"}],
    "message": "Operation is not allowed: Another operation is in progress",
    "subcode": "PutManagedClusterAndComponents_Fa",
}


def workspace_of(cluster: Monitored, name: str = "logs-one") -> str:
    """Make a Log Analytics workspace; its ARM id as users write it, for Azure's own answer is in lower case."""
    cluster.workspace(name)
    return cluster.resource_id(WORKSPACE_TYPE, name)


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with Sandbox.started("monitoring", kubernetes=False, settings={"clock_speed": 20.0}) as sandbox:
        yield sandbox


@pytest.fixture
def cluster(shared: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitored]:
    for name, value in monitoring_environment(shared).items():
        monkeypatch.setenv(name, value)
    shared.clear_faults()
    found = Monitored(shared)
    shared.act("cluster", cluster=found.name, properties=USERS, tags={"team": "vision"})
    yield found
    shared.clear_faults()
    found.forget()


def rest_of(body: Json) -> Json:
    """A cluster without what monitoring and time change."""
    properties = {
        key: value
        for key, value in body["properties"].items()
        if key not in ("azureMonitorProfile", "provisioningState")
    }
    properties["addonProfiles"] = {
        key: value for key, value in (properties.get("addonProfiles") or {}).items() if key != "omsagent"
    }
    properties["agentPoolProfiles"] = [
        {key: value for key, value in pool.items() if key not in ("eTag", "provisioningState")}
        for pool in properties["agentPoolProfiles"]
    ]
    return {**{key: value for key, value in body.items() if key != "eTag"}, "properties": properties}


def test_on_by_the_profile(cluster: Monitored) -> None:
    workspace = workspace_of(cluster)
    before = cluster.cluster()
    mark = cluster.sandbox.mark()
    options = {"container_insights": True, "workspace": "logs-one"}
    predicted = cluster.run("monitoring", check=True, **options)
    assert cluster.sandbox.writes(mark) == []
    made, again, checked = (cluster.run("monitoring", check=check, **options) for check in (False, False, True))
    assert [each["changed"] for each in (predicted, made, again, checked)] == [True, True, False, False]
    assert predicted["monitoring"] == made["monitoring"] == again["monitoring"] == checked["monitoring"]
    assert made["diff"]["before"]["container_insights"]["enabled"] is False
    assert made["diff"]["after"]["container_insights"]["enabled"] is True
    assert any("data collection rule MSCI-westus2-" in text for text in made["diff"]["after"]["written"])
    after = cluster.cluster()
    assert after["properties"]["azureMonitorProfile"]["containerInsights"] == {
        "enabled": True,
        "logAnalyticsWorkspaceResourceId": workspace,
    }
    assert after["properties"]["azureMonitorProfile"]["metrics"] == USERS["azureMonitorProfile"]["metrics"]
    assert rest_of(after) == rest_of(before)
    rule = cluster.rules()[f"MSCI-westus2-{cluster.name}"]
    assert cluster.associations() == {"ContainerInsightsExtension": rule["id"]}
    assert rule["properties"]["dataFlows"] == [
        {"streams": ["Microsoft-ContainerInsights-Group-Default"], "destinations": ["ciworkspace"]}
    ]


def test_the_update_carries_the_etag_and_nothing_that_only_aks_may_say(cluster: Monitored) -> None:
    cluster.workspace("logs-one")
    etag = cluster.cluster()["eTag"]
    mark = cluster.sandbox.mark()
    assert cluster.run("monitoring", container_insights=True, workspace="logs-one")["changed"]
    (put,) = [
        each
        for each in cluster.sandbox.writes(mark)
        if each["method"] == "PUT" and each["url"].partition("?")[0].endswith(f"/managedClusters/{cluster.name}")
    ]
    assert put["request_headers"]["if-match"] == f'"{etag}"'  # as azure-core's quote_etag writes it
    body = put["request_body"]
    assert not {"provisioningState", "powerState", "fqdn"} & set(body["properties"])
    assert not {"principalId", "tenantId"} & set(body["identity"])
    assert body["kind"] == "Base"
    assert set(body["properties"]["networkProfile"]["loadBalancerProfile"]) == {"managedOutboundIPs", "backendPoolType"}
    assert body["properties"]["oidcIssuerProfile"] == {"enabled": True}
    assert body["properties"]["identityProfile"]["kubeletidentity"]["resourceId"]
    for pool in body["properties"]["agentPoolProfiles"]:
        assert not {"nodeImageVersion", "eTag", "provisioningState"} & set(pool)
    assert all(pool["rollbacks"] == [] for pool in cluster.sandbox.status()["clusters"][0]["pools"])


def test_off_restores_and_never_blanks_the_workspace(cluster: Monitored) -> None:
    workspace = workspace_of(cluster)
    before = cluster.cluster()
    cluster.run("monitoring", container_insights=True, workspace="logs-one")
    results = cluster.four("monitoring", container_insights=False)
    assert [each["changed"] for each in results] == [True, True, False, False]
    after = cluster.cluster()
    assert after["properties"]["azureMonitorProfile"]["containerInsights"] == {
        "enabled": False,
        "logAnalyticsWorkspaceResourceId": workspace,
    }
    assert rest_of(after) == rest_of(before)
    assert cluster.associations() == {}
    assert cluster.rules() == {}
    kept = cluster.of_kind("Microsoft.OperationalInsights/workspaces", "2023-09-01")
    assert list(kept) == ["logs-one"]
    again = cluster.run("monitoring", container_insights=True)
    assert again["monitoring"]["container_insights"]["workspace"] == workspace


def test_on_by_the_addon(cluster: Monitored) -> None:
    workspace = workspace_of(cluster)
    results = cluster.four("monitoring", container_insights=True, workspace=workspace, method="addon")
    assert [each["changed"] for each in results] == [True, True, False, False]
    addons = cluster.cluster()["properties"]["addonProfiles"]
    assert addons["omsagent"] == {
        "enabled": True,
        "config": {"logAnalyticsWorkspaceResourceID": workspace, "useAADAuth": "true"},
    }
    assert addons["azurepolicy"] == USERS["addonProfiles"]["azurepolicy"]
    assert "containerInsights" not in cluster.cluster()["properties"]["azureMonitorProfile"]
    # It stays with the way by which it is on.
    assert not cluster.run("monitoring", container_insights=True)["changed"]
    refused = cluster.run("monitoring", container_insights=True, method="profile")
    assert refused["failed"]
    assert "is on by the addon" in refused["msg"]
    off = cluster.four("monitoring", container_insights=False)
    assert [each["changed"] for each in off] == [True, True, False, False]
    assert cluster.cluster()["properties"]["addonProfiles"]["omsagent"] == {
        "enabled": False,
        "config": {"logAnalyticsWorkspaceResourceID": workspace, "useAADAuth": "true"},
    }


def test_an_old_addon_is_left_as_it_is(cluster: Monitored) -> None:
    workspace = workspace_of(cluster)
    addon = {"enabled": True, "config": {"LogAnalyticsWorkspaceResourceID": workspace.lower()}}
    cluster.sandbox.act("cluster", cluster=cluster.name, properties={"addonProfiles": {"omsAgent": addon}})
    found = cluster.run("monitoring", container_insights=True)
    assert not found["failed"], found["msg"]
    assert not found["changed"]
    assert cluster.cluster()["properties"]["addonProfiles"]["omsAgent"] == addon
    off = cluster.four("monitoring", container_insights=False)
    assert [each["changed"] for each in off] == [True, True, False, False]
    assert cluster.cluster()["properties"]["addonProfiles"]["omsAgent"] == {**addon, "enabled": False}


def test_an_api_that_does_not_know_the_profile(cluster: Monitored) -> None:
    cluster.workspace("logs-one")
    with cluster.sandbox.having(container_insights_in_profile=False):
        made = cluster.run("monitoring", container_insights=True, workspace="logs-one")
    assert not made["failed"], made["msg"]
    assert made["monitoring"]["container_insights"]["method"] == "addon"
    assert cluster.cluster()["properties"]["addonProfiles"]["omsagent"]["enabled"]


def test_a_workspace_is_created_only_when_asked_for(cluster: Monitored) -> None:
    cluster.workspace("logs-one")
    mark = cluster.sandbox.mark()
    refused = cluster.run("monitoring", container_insights=True, workspace="logs-two")
    assert refused["failed"]
    assert "there is no Log Analytics workspace logs-two in myResourceGroup" in refused["msg"]
    assert "The subscription has logs-one (in myResourceGroup)" in refused["msg"]
    assert cluster.sandbox.writes(mark) == []
    results = cluster.four("monitoring", container_insights=True, workspace="logs-two", create_workspace=True)
    assert [each["changed"] for each in results] == [True, True, False, False]
    made = cluster.of_kind("Microsoft.OperationalInsights/workspaces", "2023-09-01")["logs-two"]
    assert made["location"] == "westus2"
    assert made["properties"]["sku"]["name"] == "pergb2018"


def test_a_rule_waits_for_the_workspace_that_it_names(cluster: Monitored) -> None:
    """A new workspace is `Creating`, without an operation to watch. CLI
    test_monitor_log_analytics_workspace_default.yaml, 2021-01-15."""
    options: Json = {"container_insights": True, "workspace": "logs-two", "create_workspace": True}
    with cluster.sandbox.having(workspace_seconds=60.0):  # 3 s: the clock of Azure is 20 times as fast
        mark = cluster.sandbox.mark()
        assert cluster.run("monitoring", **options)["changed"]
    sent = [(each["method"], each["url"].partition("?")[0], each["status"]) for each in cluster.sandbox.traffic(mark)]
    made = next(n for n, each in enumerate(sent) if each[0] == "PUT" and each[1].endswith("/workspaces/logs-two"))
    rule = next(n for n, each in enumerate(sent) if each[0] == "PUT" and "/dataCollectionRules/" in each[1])
    looks = [each for each in sent[made + 1 : rule] if each[1].endswith("/workspaces/logs-two")]
    assert sent[made][2] == 201
    assert {each[0] for each in looks} == {"GET"}
    assert len(looks) >= 2
    assert [each for each in sent if each[2] >= 400 and each[0] == "PUT"] == []


def test_a_workspace_that_never_comes_ends_with_the_deadline(cluster: Monitored) -> None:
    with cluster.sandbox.having(workspace_seconds=6000.0):
        options: Json = {"container_insights": True, "workspace": "logs-two", "create_workspace": True}
        options["wait_timeout"] = 2
        failed = cluster.run("monitoring", **options)
    assert failed["failed"]
    assert "Creating Log Analytics workspace logs-two is still Creating after 2" in failed["msg"]
    assert cluster.rules() == {}


def test_every_problem_is_named_at_once(cluster: Monitored) -> None:
    mark = cluster.sandbox.mark()
    refused = cluster.run(
        "monitoring",
        container_insights=True,
        workspace="x",
        prometheus=False,
        azure_monitor_workspace="metrics-one",
        create_azure_monitor_workspace=True,
    )
    assert refused["failed"]
    assert "workspace: 'x' is no name of one" in refused["msg"]
    assert "azure_monitor_workspace is of use with prometheus: true only" in refused["msg"]
    assert cluster.sandbox.writes(mark) == []
    none = cluster.run("monitoring", container_insights=True, prometheus=True)
    assert "(1) workspace is needed: the cluster has none so far. The subscription has none." in none["msg"]
    assert "(2) azure_monitor_workspace is needed" in none["msg"]


def test_another_workspace_and_back(cluster: Monitored) -> None:
    """A cluster that somebody has monitored by a rule of their own is put back to just that."""
    first, second = (workspace_of(cluster, name) for name in ("logs-one", "logs-two"))
    rule = cluster.put(
        "Microsoft.Insights/dataCollectionRules",
        "their-rule",
        "2022-06-01",
        kind="Linux",
        properties={
            "destinations": {"logAnalytics": [{"name": "theirs", "workspaceResourceId": first}]},
            "dataFlows": [{"streams": ["Microsoft-ContainerInsights-Group-Default"], "destinations": ["theirs"]}],
        },
    )
    association = (
        f"{cluster.path}/providers/Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsExtension"
    )
    cluster.arm.ask("PUT", association, {"properties": {"dataCollectionRuleId": rule["id"]}}, "2022-06-01")
    profile = {"enabled": True, "logAnalyticsWorkspaceResourceId": first, "syslogPort": 28331}
    cluster.sandbox.act(
        "cluster", cluster=cluster.name, properties={"azureMonitorProfile": {"containerInsights": profile}}
    )
    assert not cluster.run("monitoring", container_insights=True)["changed"]
    assert not cluster.run("monitoring", container_insights=True, workspace="logs-one")["changed"]
    kept = cluster.run("monitoring", container_insights=False, only_created_by_us=True)
    assert not kept["changed"]
    assert cluster.cluster()["properties"]["azureMonitorProfile"]["containerInsights"] == profile
    moved = cluster.four("monitoring", container_insights=True, workspace="logs-two")
    assert [each["changed"] for each in moved] == [True, True, False, False]
    now = cluster.cluster()["properties"]["azureMonitorProfile"]["containerInsights"]
    assert now == {**profile, "logAnalyticsWorkspaceResourceId": second}
    back = cluster.four("monitoring", container_insights=False, only_created_by_us=True)
    assert [each["changed"] for each in back] == [True, True, False, False]
    assert cluster.cluster()["properties"]["azureMonitorProfile"]["containerInsights"] == profile
    assert cluster.associations() == {"ContainerInsightsExtension": rule["id"]}
    assert list(cluster.rules()) == ["their-rule"]


TEAM_RULES: dict[str, Json] = {
    # A flow may have several destinations:
    # https://learn.microsoft.com/azure/azure-monitor/essentials/data-collection-rule-structure
    "two destinations": {"audit": ["Microsoft-ContainerInsights-Group-Default"]},
    "a destination that has other data too": {"audit": ["Microsoft-Syslog"]},
    "two flows": {"audit": ["Microsoft-ContainerInsights-Group-Default", "Microsoft-Syslog"]},
    # Container Insights with logs of high scale: https://learn.microsoft.com/azure/azure-monitor/containers/
    # container-insights-high-scale
    "one destination for two streams": {"team": ["Microsoft-ContainerLogV2-HighScale"]},
}


@pytest.mark.parametrize("name", TEAM_RULES)
def test_destinations_of_others_stay(cluster: Monitored, name: str) -> None:
    """Findings, B7: a rule of the name that AKS gives, directed by its owners to team and audit."""
    team, second, audit = (workspace_of(cluster, each) for each in ("logs-one", "logs-two", "logs-audit"))
    flows = [{"streams": ["Microsoft-ContainerInsights-Group-Default"], "destinations": ["team"]}]
    flows += [{"streams": streams, "destinations": [to]} for to, streams in TEAM_RULES[name].items()]
    theirs = {
        "destinations": {
            "logAnalytics": [
                {"name": "team", "workspaceResourceId": team},
                {"name": "audit", "workspaceResourceId": audit},
            ]
        },
        "dataFlows": flows,
    }
    rule_name = f"MSCI-westus2-{cluster.name}"
    rule = cluster.put(
        "Microsoft.Insights/dataCollectionRules", rule_name, "2022-06-01", kind="Linux", properties=theirs
    )
    association = (
        f"{cluster.path}/providers/Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsExtension"
    )
    cluster.arm.ask("PUT", association, {"properties": {"dataCollectionRuleId": rule["id"]}}, "2022-06-01")
    profile = {"enabled": True, "logAnalyticsWorkspaceResourceId": team}
    cluster.sandbox.act(
        "cluster", cluster=cluster.name, properties={"azureMonitorProfile": {"containerInsights": profile}}
    )

    def read() -> tuple[Json, list[Json]]:
        properties = cluster.rules()[rule_name]["properties"]
        found = {each["name"]: each["workspaceResourceId"] for each in properties["destinations"]["logAnalytics"]}
        return found, properties["dataFlows"]

    before = read()
    moved = cluster.four("monitoring", container_insights=True, workspace="logs-two")
    assert [each["changed"] for each in moved] == [True, True, False, False]
    destinations, now = read()
    others = {key: value for key, value in destinations.items() if key in before[0]}
    shared = name != "a destination that has other data too"
    assert others == (before[0] if shared else {"team": second, "audit": audit})
    assert second in destinations.values()
    assert [flow for flow in now if flow in before[1]] == before[1]
    back = cluster.four("monitoring", container_insights=False, only_created_by_us=True)
    assert [each["changed"] for each in back] == [True, True, False, False]
    assert read() == before


def test_prometheus_on_and_off(cluster: Monitored) -> None:
    cluster.account("metrics-one")
    account = cluster.resource_id(ACCOUNT_TYPE, "metrics-one")
    before = cluster.cluster()
    results = cluster.four("monitoring", prometheus=True, azure_monitor_workspace="metrics-one")
    assert [each["changed"] for each in results] == [True, True, False, False]
    assert results[0]["monitoring"] == results[1]["monitoring"]
    metrics = cluster.cluster()["properties"]["azureMonitorProfile"]["metrics"]
    assert metrics == {**USERS["azureMonitorProfile"]["metrics"], "enabled": True}
    rule = cluster.rules()[f"MSProm-westus2-{cluster.name}"]
    assert rule["properties"]["destinations"]["monitoringAccounts"][0]["accountResourceId"] == account
    endpoints = cluster.of_kind("Microsoft.Insights/dataCollectionEndpoints", "2022-06-01")
    assert rule["properties"]["dataCollectionEndpointId"] == endpoints[f"MSProm-westus2-{cluster.name}"]["id"]
    assert cluster.associations() == {"ContainerInsightsMetricsExtension": rule["id"]}
    off = cluster.four("monitoring", prometheus=False)
    assert [each["changed"] for each in off] == [True, True, False, False]
    assert rest_of(cluster.cluster()) == rest_of(before)
    assert cluster.cluster()["properties"]["azureMonitorProfile"] == USERS["azureMonitorProfile"]
    assert (cluster.associations(), cluster.rules()) == ({}, {})
    assert cluster.of_kind("Microsoft.Insights/dataCollectionEndpoints", "2022-06-01") == {}


def test_a_rule_that_is_directed_elsewhere_is_sent_without_the_old_workspaces_id(cluster: Monitored) -> None:
    """`accountId` is Azure's own. CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23; read-only by
    azure-rest-api-specs, dataCollectionRules_API.json of 2022-06-01."""
    for name in ("metrics-one", "metrics-two"):
        cluster.account(name)
    name = f"MSProm-westus2-{cluster.name}"
    theirs = {
        "destinations": {
            "monitoringAccounts": [
                {"name": "MonitoringAccount1", "accountResourceId": cluster.resource_id(ACCOUNT_TYPE, "metrics-one")}
            ]
        },
        "dataFlows": [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": ["MonitoringAccount1"]}],
    }
    rule = cluster.put("Microsoft.Insights/dataCollectionRules", name, "2022-06-01", kind="Linux", properties=theirs)
    assert "accountId" in rule["properties"]["destinations"]["monitoringAccounts"][0]
    association = (
        f"{cluster.path}/providers/Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsMetricsExtension"
    )
    cluster.arm.ask("PUT", association, {"properties": {"dataCollectionRuleId": rule["id"]}}, "2022-06-01")
    mark = cluster.sandbox.mark()
    assert cluster.run("monitoring", prometheus=True, azure_monitor_workspace="metrics-two")["changed"]
    (put,) = [each for each in cluster.sandbox.writes(mark) if each["url"].partition("?")[0].endswith(name)]
    assert put["request_body"]["properties"]["destinations"]["monitoringAccounts"] == [
        {"name": "MonitoringAccount1", "accountResourceId": cluster.resource_id(ACCOUNT_TYPE, "metrics-two")}
    ]


def test_both_in_one_update(cluster: Monitored) -> None:
    cluster.workspace("logs-one")
    cluster.account("metrics-one")
    mark = cluster.sandbox.mark()
    cluster.run(
        "monitoring",
        container_insights=True,
        workspace="logs-one",
        prometheus=True,
        azure_monitor_workspace="metrics-one",
    )
    updates = [
        each
        for each in cluster.sandbox.writes(mark)
        if each["url"].partition("?")[0].endswith(f"/managedClusters/{cluster.name}")
    ]
    assert len(updates) == 1


def test_somebody_else_was_quicker(cluster: Monitored) -> None:
    cluster.workspace("logs-one")
    cluster.sandbox.fault("PUT", f"/managedClusters/{cluster.name}\\?", precondition_failed=True)
    cluster.sandbox.act("cluster", cluster=cluster.name, properties={"somethingElse": 1})
    made = cluster.run("monitoring", container_insights=True, workspace="logs-one")
    assert not made["failed"], made["msg"]
    properties = cluster.cluster()["properties"]
    assert properties["azureMonitorProfile"]["containerInsights"]["enabled"]
    assert properties["somethingElse"] == 1


def test_an_add_on_works_in_the_background(cluster: Monitored) -> None:
    """Azure/terraform-azurerm-aks#604 (2024-11-15): the cluster's PUT meets another operation. No other client wrote.

    The cluster is read again before each attempt.
    """
    cluster.workspace("logs-one")
    path = f"/managedClusters/{cluster.name}\\?"
    cluster.sandbox.fault("PUT", path, status=409, body=ETAG_MISMATCH, times=2)
    mark = cluster.sandbox.mark()
    made = cluster.run("monitoring", container_insights=True, workspace="logs-one")
    assert not made["failed"], made["msg"]
    assert made["changed"]
    assert cluster.cluster()["properties"]["azureMonitorProfile"]["containerInsights"]["enabled"]
    ending = f"/managedClusters/{cluster.name}".lower()
    methods = [
        each["method"]
        for each in cluster.sandbox.traffic(mark)
        if each["url"].partition("?")[0].lower().endswith(ending)
    ]
    puts = [number for number, method in enumerate(methods) if method == "PUT"]
    assert len(puts) == 3
    assert all("GET" in methods[one:other] for one, other in itertools.pairwise(puts))
    assert not cluster.run("monitoring", container_insights=True, workspace="logs-one")["changed"]


def test_another_operation_on_the_cluster_without_end(cluster: Monitored) -> None:
    cluster.workspace("logs-one")
    cluster.sandbox.fault("PUT", f"/managedClusters/{cluster.name}\\?", status=409, body=ETAG_MISMATCH, times=0)
    started = time.monotonic()
    refused = cluster.run("monitoring", container_insights=True, workspace="logs-one", wait_timeout=4)
    assert time.monotonic() - started < 30
    assert refused["failed"]
    assert "EtagMismatch" in refused["msg"]
    assert "Another operation is in progress" in refused["msg"]
    assert "nothing was changed" not in refused["msg"].lower(), "the data collection rule was"


def test_without_permission(cluster: Monitored, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.workspace("logs-one")
    for name in ("AZURE_CLIENT_ID", "AZURE_SECRET", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, cluster.sandbox.variables[name])
    refused = cluster.run("monitoring", container_insights=True, workspace="logs-one")
    assert refused["failed"]
    assert refused["code"] == "AuthorizationFailed"


def test_a_provider_that_is_not_registered(cluster: Monitored) -> None:
    cluster.sandbox.act("provider", namespace="Microsoft.Monitor", state="NotRegistered")
    refused = cluster.run(
        "monitoring",
        prometheus=True,
        azure_monitor_workspace="metrics-two",
        create_azure_monitor_workspace=True,
    )
    assert refused["code"] == "MissingSubscriptionRegistration"
    assert "aks.gpu.resource_provider" in refused["msg"]
