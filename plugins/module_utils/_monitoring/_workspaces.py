# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a cluster's metrics go: its Log Analytics workspace, its Azure Monitor workspace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._subscription import cluster, clusters

ADDON = "omsagent"
WORKSPACE_KEY = "logAnalyticsWorkspaceResourceID"
AAD_KEY = "useAADAuth"
ASSOCIATIONS = "/providers/Microsoft.Insights/dataCollectionRuleAssociations"


@dataclass(frozen=True)
class MonitoredCluster:
    """A cluster, and what of monitoring is on.

    Attributes:
        id: The ARM id.
        name: The name.
        kubernetes_version: As it runs.
        insights: Whether Container Insights is on.
        workspace_id: ARM id of the Log Analytics workspace that is set, be it on or off; or None.
        prometheus: Whether Managed Prometheus is on.
    """

    id: str
    name: str
    kubernetes_version: str
    insights: bool
    workspace_id: str | None
    prometheus: bool

    @property
    def subscription_id(self) -> str:
        """The subscription that it is in."""
        return self.id.split("/")[2]


def monitored(body: Mapping[str, Any]) -> MonitoredCluster:
    """Returns what a cluster's body says of its monitoring."""
    properties = body.get("properties") or {}
    profile = insights_profile(properties)
    addon = omsagent(properties)[1]
    chosen = profile if profile.get("enabled") or not addon.get("enabled") else {}
    workspace = chosen.get("logAnalyticsWorkspaceResourceId") or addon_workspace(addon)
    return MonitoredCluster(
        id=normalized_workspace_id(str(body.get("id") or "")),
        name=str(body.get("name") or ""),
        kubernetes_version=str(properties.get("currentKubernetesVersion") or properties.get("kubernetesVersion") or ""),
        insights=bool(profile.get("enabled") or addon.get("enabled")),
        workspace_id=workspace or None,
        prometheus=bool(prometheus_profile(properties).get("enabled")),
    )


def normalized_workspace_id(resource_id: str) -> str:
    """Returns an ARM id with the spelling of its fixed parts that ARM documents; AKS returns another."""
    parts = resource_id.split("/")
    return "/".join("resourceGroups" if part.lower() == "resourcegroups" else part for part in parts)


def insights_profile(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``azureMonitorProfile.containerInsights``, empty when there is none."""
    return dict((properties.get("azureMonitorProfile") or {}).get("containerInsights") or {})


def prometheus_profile(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns ``azureMonitorProfile.metrics``, empty when there is none."""
    return dict((properties.get("azureMonitorProfile") or {}).get("metrics") or {})


def omsagent(properties: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the add-on of Container Insights and its key, whose letter case depends on who wrote it."""
    for key, value in (properties.get("addonProfiles") or {}).items():
        if key.lower() == ADDON:
            return key, dict(value or {})
    return ADDON, {}


def addon_workspace(addon: Mapping[str, Any]) -> str | None:
    """Returns the workspace that the add-on names."""
    return next(
        (str(value) for key, value in (addon.get("config") or {}).items() if key.lower() == WORKSPACE_KEY.lower()), None
    )


def find_clusters(client: ArmClient, wanted: Sequence[tuple[str, str, str]]) -> list[MonitoredCluster]:
    """Returns clusters, read one by one, or by one LIST of each subscription that has several of them.

    Args:
        client: Of Resource Manager.
        wanted: Subscription, resource group and name of each.

    Raises:
        AzureError: They can't be read.
        Failure: Some are not there; the message names them all.
    """
    by_subscription: dict[str, list[tuple[str, str]]] = {}
    for subscription, group, name in wanted:
        by_subscription.setdefault(subscription.lower(), []).append((group, name))
    found: dict[tuple[str, str, str], MonitoredCluster] = {}
    for subscription, names in by_subscription.items():
        if len(set(names)) == 1:
            group, name = names[0]
            found[subscription, group.lower(), name.lower()] = monitored(cluster(client, subscription, group, name))
            continue
        for body in clusters(client, subscription):
            parts = str(body.get("id")).split("/")
            found[subscription, parts[4].lower(), parts[-1].lower()] = monitored(body)
    missing = [
        f"{name} in {group}"
        for subscription, group, name in wanted
        if _resource_key(subscription, group, name) not in found
    ]
    if missing:
        raise Failure(
            f"There is no cluster {', '.join(sorted(missing)[:20])}{' and others' if len(missing) > 20 else ''}.",
            hint="Check clusters: resource_group and cluster_name of each, and subscription_id.",
        )
    return list({each.id.lower(): each for each in (found[_resource_key(*place)] for place in wanted)}.values())


def _resource_key(subscription: str, group: str, name: str) -> tuple[str, str, str]:
    return subscription.lower(), group.lower(), name.lower()


def customer_id(client: ArmClient, workspace_id: str) -> str:
    """Returns the id by which Log Analytics' query interface knows a workspace.

    Raises:
        AzureError: The workspace can't be read.
        Failure: It names none.
    """
    name = workspace_id.rpartition("/")[2]
    body = client.get(workspace_id, "workspaces", activity=f"Reading workspace {name}").body
    found = ((body or {}).get("properties") or {}).get("customerId")
    if not found:
        raise Failure(f"Reading workspace {name}: the answer names no customerId.")
    return str(found)


def query_endpoint(client: ArmClient, account_id: str) -> str:
    """Returns the base URL of an Azure Monitor workspace's query interface.

    Raises:
        AzureError: The workspace can't be read.
        Failure: It names none.
    """
    name = account_id.rpartition("/")[2]
    body = client.get(account_id, "monitor_accounts", activity=f"Reading Azure Monitor workspace {name}").body
    metrics = ((body or {}).get("properties") or {}).get("metrics") or {}
    if not metrics.get("prometheusQueryEndpoint"):
        raise Failure(f"Reading Azure Monitor workspace {name}: it has no query endpoint.")
    return str(metrics["prometheusQueryEndpoint"]).rstrip("/")


def rules_of(client: ArmClient, cluster_id: str) -> dict[str, str]:
    """Returns the data collection rules of a cluster: ARM ids by the name of the association.

    Raises:
        AzureError: They can't be read.
    """
    found = client.items(
        cluster_id + ASSOCIATIONS,
        "data_collection",
        activity=f"Reading the data collection rules of cluster {cluster_id.rpartition('/')[2]}",
    )
    return {
        str(each.get("name")): str((each.get("properties") or {}).get("dataCollectionRuleId") or "")
        for each in found
        if (each.get("properties") or {}).get("dataCollectionRuleId")
    }


def accounts_of(client: ArmClient, wanted: Iterable[MonitoredCluster]) -> dict[str, list[str]]:
    """Returns the Azure Monitor workspaces that clusters send Prometheus metrics to.

    The rules are listed once for a subscription; which of them a cluster has can only be asked of the cluster.

    Args:
        client: Of Resource Manager.
        wanted: The clusters.

    Returns:
        ARM ids of workspaces, by lower-case ARM id of the cluster.

    Raises:
        AzureError: They can't be read.
    """
    rules: dict[str, Mapping[str, Any]] = {}
    listed: set[str] = set()
    found: dict[str, list[str]] = {}
    for each in wanted:
        subscription = each.subscription_id
        if subscription.lower() not in listed:
            listed.add(subscription.lower())
            path = f"/subscriptions/{quote(subscription)}/providers/Microsoft.Insights/dataCollectionRules"
            for rule in client.items(path, "data_collection", activity="Listing the data collection rules"):
                rules[str(rule.get("id")).lower()] = rule
        accounts: dict[str, str] = {}
        for rule_id in rules_of(client, each.id).values():
            known = rules.get(rule_id.lower()) or client.get(rule_id, "data_collection").body
            for account in ((known.get("properties") or {}).get("destinations") or {}).get("monitoringAccounts") or ():
                if account.get("accountResourceId"):
                    accounts[account["accountResourceId"].lower()] = account["accountResourceId"]
        found[each.id.lower()] = list(accounts.values())
    return found
