# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a cluster's data to a workspace: a data collection rule, and the association of the cluster with it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._ownership import is_created_by_us, ownership_tags
from ansible_collections.aks.gpu.plugins.module_utils._monitoring._workspaces import (
    ASSOCIATIONS,
    normalized_workspace_id,
)

API = "data_collection"

PREVIOUS_RULE = "aks.gpu.previous-rule"
"""Tag: the rule that the cluster was associated with before."""
PREVIOUS_WORKSPACE = "aks.gpu.previous-workspace"
"""Tag: the workspace that the data went to before."""

OWN_DESTINATION = "aksgpu"
"""Name of the destination that is added to a rule which others have directed to several places."""

_READ_ONLY_OF_DESTINATIONS = ("accountId", "workspaceId")
"""What Azure adds to a destination: the id of the workspace that it leads to, by another name than its ARM id. Source:
azure-rest-api-specs, Microsoft.Insights 2022-06-01, dataCollectionRules_API.json."""


@dataclass(frozen=True)
class DataStream:
    """What is sent.

    Attributes:
        name: Of the stream, as in a rule.
        association: The name that AKS expects the association to have.
        prefix: Of the rule's name.
        destination: The key of a rule's destinations.
        field: The key of a destination that names the workspace.
        label: The destination's own name.
        source: The rule's data source.
        has_endpoint: Whether the rule needs a data collection endpoint.
        longest_name: Of rule and endpoint, in characters.
    """

    name: str
    association: str
    prefix: str
    destination: str
    field: str
    label: str
    source: Mapping[str, Any]
    has_endpoint: bool = False
    longest_name: int = 64


INSIGHTS_STREAM = DataStream(
    name="Microsoft-ContainerInsights-Group-Default",
    association="ContainerInsightsExtension",
    prefix="MSCI",
    destination="logAnalytics",
    field="workspaceResourceId",
    label="ciworkspace",
    source={
        "extensions": [
            {
                "name": "ContainerInsightsExtension",
                "extensionName": "ContainerInsights",
                "streams": ["Microsoft-ContainerInsights-Group-Default"],
                "extensionSettings": {
                    "dataCollectionSettings": {
                        "interval": "1m",
                        "namespaceFilteringMode": "Off",
                        "enableContainerLogV2": True,
                    }
                },
            }
        ]
    },
)
PROMETHEUS_STREAM = DataStream(
    name="Microsoft-PrometheusMetrics",
    association="ContainerInsightsMetricsExtension",
    prefix="MSProm",
    destination="monitoringAccounts",
    field="accountResourceId",
    label="MonitoringAccount1",
    source={"prometheusForwarder": [{"name": "PrometheusDataSource", "streams": ["Microsoft-PrometheusMetrics"]}]},
    has_endpoint=True,
    longest_name=44,
)

CollectionStep = tuple[str, Callable[[], Any]]
"""What a step does, for progress and diff, and the doing."""


class DataCollection:
    """One stream of one cluster, as it is in Azure.

    Args:
        client: Of Resource Manager.
        stream: Which.
        cluster_id: ARM id of the cluster.
        location: The region of the cluster.
    """

    def __init__(self, client: ArmClient, stream: DataStream, cluster_id: str, location: str) -> None:
        self._client = client
        self.stream = stream
        cluster_name = cluster_id.rpartition("/")[2]
        group = cluster_id.partition("/providers/")[0]
        name = f"{stream.prefix}-{location}-{cluster_name}"[: stream.longest_name].rstrip("-_")
        self.rule_id = f"{group}/providers/Microsoft.Insights/dataCollectionRules/{name}"
        self.endpoint_id = f"{group}/providers/Microsoft.Insights/dataCollectionEndpoints/{name}"
        self.association_id = f"{cluster_id}{ASSOCIATIONS}/{stream.association}"
        self._location = location
        self.association: dict[str, Any] | None = None
        self.associated: dict[str, Any] | None = None
        self.own: dict[str, Any] | None = None

    def read(self) -> DataCollection:
        """Reads the association, the rule that it names, and the rule of the name that this collection gives.

        Raises:
            AzureError: They can't be read.
        """
        self.association = self._client.get_or_none(
            self.association_id, API, activity=f"Reading the association {self.stream.association}"
        )
        rule_id = self.associated_rule_id
        self.own = self._client.get_or_none(self.rule_id, API, activity="Reading the data collection rule")
        if rule_id and rule_id.lower() == self.rule_id.lower():
            self.associated = self.own
        elif rule_id:
            self.associated = self._client.get_or_none(rule_id, API, activity="Reading the data collection rule")
        return self

    @property
    def associated_rule_id(self) -> str | None:
        """ARM id of the rule that the cluster is associated with."""
        found = ((self.association or {}).get("properties") or {}).get("dataCollectionRuleId")
        return normalized_workspace_id(found) if found else None

    @property
    def workspace(self) -> str | None:
        """ARM id of the workspace that the stream goes to, or None."""
        return self._workspace_of(self.associated)

    @property
    def is_own(self) -> bool:
        """Whether this collection made the rule."""
        return is_created_by_us(self._tags)

    @property
    def previous_workspace(self) -> str | None:
        """Where the data went before this collection directed it elsewhere."""
        return self._tags.get(PREVIOUS_WORKSPACE)

    @property
    def _tags(self) -> dict[str, str]:
        return (self.own or {}).get("tags") or {}

    def _targets(self, rule: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Returns the destinations of a rule that the stream goes to, our own one first."""
        properties = (rule or {}).get("properties") or {}
        flowing = {
            name
            for flow in properties.get("dataFlows") or ()
            if self.stream.name in (flow.get("streams") or ())
            for name in flow.get("destinations") or ()
        }
        found = [
            each
            for each in (properties.get("destinations") or {}).get(self.stream.destination) or ()
            if each.get("name") in flowing and each.get(self.stream.field)
        ]
        return sorted(found, key=lambda each: each["name"] != OWN_DESTINATION)

    def _workspace_of(self, rule: Mapping[str, Any] | None) -> str | None:
        return next((normalized_workspace_id(each[self.stream.field]) for each in self._targets(rule)), None)

    def _is_shared(self, rule: Mapping[str, Any]) -> bool:
        """Says whether directing the stream elsewhere would take it, or other data, from somebody else."""
        targets = {each["name"] for each in self._targets(rule)}
        others = {
            name
            for flow in (rule.get("properties") or {}).get("dataFlows") or ()
            if set(flow.get("streams") or ()) - {self.stream.name}
            for name in flow.get("destinations") or ()
        }
        return len(targets) > 1 or bool(targets & others)

    def _has_own_destination(self, rule: Mapping[str, Any] | None) -> bool:
        return any(each["name"] == OWN_DESTINATION for each in self._targets(rule))

    def _require_told_apart(self, rule: Mapping[str, Any]) -> None:
        """Refuses a rule of which it is unknown what this collection has added to it.

        Raises:
            Failure: The message says what to look at.
        """
        known = bool(self.previous_workspace)
        if self._is_shared(rule) and known != self._has_own_destination(rule):
            raise Failure(
                f"The data collection rule {self.rule_id.rpartition('/')[2]} has several destinations, and it is "
                "unknown which of them aks.gpu has added. Nothing was changed.",
                hint=f"Remove the data flows and destinations that are not meant, and the tag {PREVIOUS_WORKSPACE}.",
            )

    def leads_to(self, workspace: str) -> bool:
        """Says whether the stream goes to a workspace already."""
        return any(
            normalized_workspace_id(each[self.stream.field]).lower() == workspace.lower()
            for each in self._targets(self.associated)
        )

    def steps_on(self, workspace: str, location: str, previous: str | None) -> list[CollectionStep]:
        """Returns what makes the stream go to a workspace.

        Args:
            workspace: ARM id.
            location: The region of the workspace, which is the rule's.
            previous: The workspace that the cluster's data went to so far, or None.
        """
        if self.leads_to(workspace):
            return []
        steps: list[CollectionStep] = []
        name = self.rule_id.rpartition("/")[2]
        if self.own is not None and not self.is_own:
            self._require_told_apart(self.own)
        if (self._workspace_of(self.own) or "").lower() != workspace.lower():
            if self.stream.has_endpoint and self.own is None:
                steps.append((f"data collection endpoint {name}", lambda: self._put_endpoint(location)))
            steps.append((f"data collection rule {name}", lambda: self._put_rule(workspace, location, previous)))
        if (self.associated_rule_id or "").lower() != self.rule_id.lower():
            steps.append((f"association {self.stream.association}", lambda: self._associate(self.rule_id)))
        return steps

    def steps_off(self) -> list[CollectionStep]:
        """Returns what puts everything of the stream back that this collection made or changed."""
        steps: list[CollectionStep] = []
        name = self.rule_id.rpartition("/")[2]
        before = self._tags.get(PREVIOUS_RULE)
        ours = (self.associated_rule_id or "").lower() == self.rule_id.lower()
        if ours and before:
            steps.append((f"association {self.stream.association}", lambda: self._associate(before)))
        elif ours and self.is_own:
            steps.append((f"association {self.stream.association}", lambda: self._delete(self.association_id)))
        if self.is_own:
            steps.append((f"data collection rule {name}", lambda: self._delete(self.rule_id)))
            if self.stream.has_endpoint:
                steps.append((f"data collection endpoint {name}", lambda: self._delete(self.endpoint_id)))
        elif self.own is not None and self.previous_workspace:
            self._require_told_apart(self.own)
            steps.append((f"data collection rule {name}", self._direct_back))
        return steps

    def _put_endpoint(self, location: str) -> None:
        body = {
            "location": location,
            "kind": "Linux",
            "tags": ownership_tags(None),
            "properties": {"networkAcls": {"publicNetworkAccess": "Enabled"}},
        }
        self._client.put(self.endpoint_id, API, body, activity="Creating the data collection endpoint")

    def _put_rule(self, workspace: str, location: str, previous: str | None) -> None:
        """Makes the rule, or directs the one of that name elsewhere without touching its other settings."""
        if self.own is not None:
            before = self.previous_workspace or self._workspace_of(self.own)
            self._direct(workspace, {PREVIOUS_WORKSPACE: before} if not self.is_own else {})
            return
        stream = self.stream
        tags = ownership_tags(None)
        if self.associated_rule_id:
            tags[PREVIOUS_RULE] = self.associated_rule_id
        if previous and previous.lower() != workspace.lower():
            tags[PREVIOUS_WORKSPACE] = previous
        properties: dict[str, Any] = {
            "dataSources": copy.deepcopy(dict(stream.source)),
            "destinations": {stream.destination: [{"name": stream.label, stream.field: workspace}]},
            "dataFlows": [{"streams": [stream.name], "destinations": [stream.label]}],
        }
        if stream.has_endpoint:
            properties["dataCollectionEndpointId"] = self.endpoint_id
        body = {"location": location, "kind": "Linux", "tags": tags, "properties": properties}
        self._client.put(self.rule_id, API, body, activity="Creating the data collection rule")

    def _direct(self, workspace: str | None, tags: Mapping[str, str | None]) -> None:
        if self.own is None:
            raise AssertionError("only a rule that is there is directed")
        body = {
            key: copy.deepcopy(self.own[key]) for key in ("location", "kind", "tags", "properties") if key in self.own
        }
        for key in ("provisioningState", "immutableId"):
            body["properties"].pop(key, None)
        if self.is_own or not self._is_shared(self.own):
            targets = {each["name"] for each in self._targets(self.own)}
            for each in body["properties"]["destinations"][self.stream.destination]:
                if each.get("name") in targets:
                    each[self.stream.field] = workspace
        else:
            self._set_own_destination(body["properties"], workspace)
        for destinations in body["properties"]["destinations"].values():
            for each in destinations if isinstance(destinations, list) else ():
                for key in _READ_ONLY_OF_DESTINATIONS:
                    each.pop(key, None)
        merged = {**(body.get("tags") or {}), **tags}
        body["tags"] = {key: value for key, value in merged.items() if value is not None}
        self._client.put(self.rule_id, API, body, activity="Directing the data collection rule")

    def _set_own_destination(self, properties: dict[str, Any], workspace: str | None) -> None:
        """Puts our own destination into a rule beside those of others, or takes it away (None)."""
        destinations = properties["destinations"][self.stream.destination]
        kept = [each for each in destinations if each.get("name") != OWN_DESTINATION]
        flows = [each for each in properties["dataFlows"] if each.get("destinations") != [OWN_DESTINATION]]
        if workspace is not None:
            kept.append({"name": OWN_DESTINATION, self.stream.field: workspace})
            flows.append({"streams": [self.stream.name], "destinations": [OWN_DESTINATION]})
        properties["destinations"][self.stream.destination] = kept
        properties["dataFlows"] = flows

    def _direct_back(self) -> None:
        before = None if self._has_own_destination(self.own) else self.previous_workspace
        self._direct(before, {PREVIOUS_WORKSPACE: None})

    def _associate(self, rule_id: str) -> None:
        properties = {
            "dataCollectionRuleId": rule_id,
            "description": "Deleting this association stops the collection of data for this AKS cluster.",
        }
        activity = f"Associating the cluster with {rule_id.rpartition('/')[2]}"
        self._client.put(self.association_id, API, {"properties": properties}, activity=activity)

    def _delete(self, resource_id: str) -> None:
        self._client.delete(resource_id, API, activity=f"Deleting {resource_id.rpartition('/')[2]}")
