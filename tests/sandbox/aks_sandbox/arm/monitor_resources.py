"""Resources of Azure Monitor: Log Analytics workspaces, data collection rules, endpoints and associations, and Azure
Monitor workspaces. What they hold and how it is queried is `monitor_data`'s.

Witness: CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23 (endpoint, rule, association, Azure Monitor
workspace); CLI test_monitor_account.yaml, 2023-05-06 (Azure Monitor workspace and its list); CLI
test_monitor_log_analytics_workspace_default.yaml, 2021-01-15 (Log Analytics workspace): status, bodies, letter case of
ids.
No witness: the refusals (name, location, a workspace that a rule names but that is not there), all of DELETE, the lists
of rules, endpoints and associations.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any

from .calls import Call, Reply, Route, route
from .errors import GatewayError, resource_not_found
from .subscriptions import Subscriptions, group_not_found
from .world import World, new_etag

Json = dict[str, Any]

ASSOCIATIONS = "/providers/microsoft.insights/datacollectionruleassociations"


@dataclass(frozen=True)
class Kind:
    """One type of resource that lives in a resource group."""

    namespace: str
    type: str
    needs_location: bool = True

    @property
    def full(self) -> str:
        return f"{self.namespace}/{self.type}"


WORKSPACE = Kind("Microsoft.OperationalInsights", "workspaces")
RULE = Kind("Microsoft.Insights", "dataCollectionRules")
ENDPOINT = Kind("Microsoft.Insights", "dataCollectionEndpoints")
ACCOUNT = Kind("Microsoft.Monitor", "accounts")
KINDS = (WORKSPACE, RULE, ENDPOINT, ACCOUNT)

_NAMES = {
    WORKSPACE: r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    RULE: r"[A-Za-z0-9][A-Za-z0-9-]{1,62}[A-Za-z0-9]",
    ENDPOINT: r"[A-Za-z0-9][A-Za-z0-9-]{1,42}[A-Za-z0-9]",
    ACCOUNT: r"[A-Za-z0-9][A-Za-z0-9-]{2,42}[A-Za-z0-9]",
}


class MonitorResources:
    """Handlers of this file's resources. `resources`: by lower-case id."""

    def __init__(self, world: World, subscriptions: Subscriptions) -> None:
        self._world = world
        self._subscriptions = subscriptions
        self.resources: dict[str, Json] = {}
        self.on_association: Callable[[], None] = lambda: None
        self.associations: dict[str, Json] = {}
        """By the lower-case id of the association, below the resource that it belongs to."""

    def routes(self) -> list[Route]:
        """Everything served here."""
        found: list[Route] = []
        for kind in KINDS:
            in_subscription = f"/subscriptions/{{subscription}}/providers/{kind.full}"
            in_group = f"/subscriptions/{{subscription}}/resourcegroups/{{resource_group}}/providers/{kind.full}"
            one = in_group + "/{name}"
            found += [
                route("GET", in_subscription, self._handler(self.listed, kind), f"{kind.full}/read"),
                route("GET", in_group, self._handler(self.listed, kind), f"{kind.full}/read"),
                route("GET", one, self._handler(self.get, kind), f"{kind.full}/read"),
                route("PUT", one, self._handler(self.put, kind), f"{kind.full}/write"),
                route("DELETE", one, self._handler(self.delete, kind), f"{kind.full}/delete"),
            ]
        associations = "/subscriptions/{subscription}/resourcegroups/{resource_group}/{scope*}" + ASSOCIATIONS
        action = "Microsoft.Insights/dataCollectionRuleAssociations"
        return [
            *found,
            route("GET", associations, self.list_associations, f"{action}/read"),
            route("GET", associations + "/{name}", self.get_association, f"{action}/read"),
            route("PUT", associations + "/{name}", self.put_association, f"{action}/write"),
            route("DELETE", associations + "/{name}", self.delete_association, f"{action}/delete"),
        ]

    @staticmethod
    def _handler(method: Any, kind: Kind) -> Any:
        async def handle(call: Call) -> Reply:
            return await method(call, kind)  # type: ignore[no-any-return]

        return handle

    def _id(self, call: Call, kind: Kind) -> str:
        """The id as Azure shows it: these two providers write all that they can in lower case."""
        names = call.names
        if kind is WORKSPACE:
            group, provider, name = names["resource_group"], kind.namespace.lower(), names["name"]
        elif kind is ACCOUNT:
            group, provider, name = names["resource_group"].lower(), kind.namespace.lower(), names["name"].lower()
        else:
            return (
                f"/subscriptions/{names['subscription']}/resourceGroups/{names['resource_group']}"
                f"/providers/{kind.full}/{names['name']}"
            )
        return f"/subscriptions/{names['subscription']}/resourcegroups/{group}/providers/{provider}/{kind.type}/{name}"

    def _group(self, call: Call) -> None:
        subscription = self._world.subscriptions[call.names["subscription"].lower()]
        if call.names["resource_group"].lower() not in subscription.resource_groups:
            raise group_not_found(call.names["resource_group"])

    async def listed(self, call: Call, kind: Kind) -> Reply:
        """GET a list, of a subscription or a group"""
        start = f"/subscriptions/{call.names['subscription']}/".lower()
        group = call.names.get("resource_group")
        if group:
            self._group(call)
            start += f"resourcegroups/{group}/".lower()
        part = f"/providers/{kind.full}/".lower()
        found = [each for key, each in self.resources.items() if key.startswith(start) and part in key]
        return Reply(200, {"value": found, "nextLink": None} if kind is ACCOUNT else {"value": found})

    async def get(self, call: Call, kind: Kind) -> Reply:
        """GET one"""
        self._group(call)
        found = self.resources.get(self._id(call, kind).lower())
        if found is None:
            raise resource_not_found(kind.full, call.names["name"], call.names["resource_group"])
        return Reply(200, found)

    async def put(self, call: Call, kind: Kind) -> Reply:
        """PUT one: made, or replaced in what can be written"""
        self._group(call)
        self._subscriptions.require_provider(call.names["subscription"], kind.namespace)
        body = call.json()
        if not re.fullmatch(_NAMES[kind], call.names["name"]):
            raise GatewayError(400, "InvalidResourceName", f"Resource name {call.names['name']} is invalid.")
        if not body.get("location"):
            raise GatewayError(400, "LocationRequired", "The location property is required for this definition.")
        id_ = self._id(call, kind)
        current = self.resources.get(id_.lower())
        if current is not None and current["location"].lower() != str(body["location"]).lower():
            raise GatewayError(
                409,
                "InvalidResourceLocation",
                f"The resource '{call.names['name']}' already exists in location '{current['location']}' in resource "
                f"group '{call.names['resource_group']}'. A resource with the same name cannot be created in location "
                f"'{body['location']}'. Please select a new resource name.",
            )
        resource: Json = {
            "properties": self._properties(kind, body.get("properties") or {}, current, call),
            "location": body["location"],
            **({"tags": body["tags"]} if body.get("tags") is not None else {}),
            **({"kind": body["kind"]} if body.get("kind") else {}),
            "id": id_,
            "name": call.names["name"],
            "type": kind.full,
        }
        if kind is not WORKSPACE:
            resource.update(self._written(call, current))
        self.resources[id_.lower()] = resource
        if kind is WORKSPACE and current is None:
            answer = copy.deepcopy(resource)
            self._world.spawn(self._workspace_made(resource["properties"]), f"workspace {call.names['name']}")
            return Reply(201, answer)
        return Reply(200, resource)

    async def _workspace_made(self, properties: Json) -> None:
        await self._world.clock.sleep(self._world.settings.workspace_seconds)
        properties["provisioningState"] = "Succeeded"

    def _written(self, call: Call, current: Json | None) -> Json:
        """The etag, a text with quotes in it, and who wrote it when."""
        assert call.principal is not None
        who, now = call.principal.client_id, self._world.clock.timestamp()
        made = {"createdBy": who, "createdByType": "Application", "createdAt": now}
        changed = {"lastModifiedBy": who, "lastModifiedByType": "Application", "lastModifiedAt": now}
        return {"etag": f'"{new_etag()}"', "systemData": {**((current or {}).get("systemData") or made), **changed}}

    def _properties(self, kind: Kind, sent: Json, current: Json | None, call: Call) -> Json:
        old = (current or {}).get("properties", {})
        if kind is WORKSPACE:
            return self._workspace(sent, old)
        properties = {**copy.deepcopy(sent), "provisioningState": "Succeeded"}
        name = call.names["name"].lower()
        if kind is RULE:
            properties["immutableId"] = old.get("immutableId") or f"dcr-{uuid.uuid4().hex}"
            for destinations in (properties.get("destinations") or {}).values():
                for each in destinations if isinstance(destinations, list) else ():
                    self._lead(each)
        elif kind is ENDPOINT:
            properties["immutableId"] = old.get("immutableId") or f"dce-{uuid.uuid4().hex}"
            host = f"{name}-{properties['immutableId'][-4:]}.{call.json()['location']}-1"
            properties["configurationAccess"] = {"endpoint": f"https://{host}.handler.control.monitor.azure.com"}
            properties["logsIngestion"] = {"endpoint": f"https://{host}.ingest.monitor.azure.com"}
            properties["metricsIngestion"] = {"endpoint": f"https://{host}.metrics.ingest.monitor.azure.com"}
            properties.setdefault("networkAcls", {"publicNetworkAccess": "Enabled"})
        elif kind is ACCOUNT:
            account, location = old.get("accountId") or str(uuid.uuid4()), call.json()["location"]
            group = f"/subscriptions/{call.names['subscription']}/resourceGroups/MA_{name}_{location}_managed"
            managed = f"{group}/providers"
            properties["accountId"] = account
            properties["metrics"] = {
                "prometheusQueryEndpoint": f"{call.base_url}/prometheus/{name}",
                "internalId": f"mac_{account}",
            }
            properties["defaultIngestionSettings"] = {
                "dataCollectionRuleResourceId": f"{managed}/Microsoft.Insights/dataCollectionRules/{name}",
                "dataCollectionEndpointResourceId": f"{managed}/Microsoft.Insights/dataCollectionEndpoints/{name}",
            }
            properties["publicNetworkAccess"] = "Enabled"
        return properties

    def _workspace(self, sent: Json, old: Json) -> Json:
        """A Log Analytics workspace's properties. It exists, `Creating`, before it can be used."""
        now = format_datetime(datetime.now(timezone.utc), usegmt=True)
        sku = str((sent.get("sku") or {}).get("name") or "PerGB2018").lower()
        capping = {
            "dailyQuotaGb": -1.0,
            "quotaNextResetTime": now,
            "dataIngestionStatus": "RespectQuota",
            **(sent.get("workspaceCapping") or {}),
        }
        return {
            "source": "Azure",
            "customerId": old.get("customerId") or str(uuid.uuid4()),
            "provisioningState": old.get("provisioningState") or "Creating",
            "sku": {"name": sku, "lastSkuUpdate": (old.get("sku") or {}).get("lastSkuUpdate") or now},
            "retentionInDays": sent.get("retentionInDays") or 30,
            "features": old.get("features")
            or {"legacy": 0, "searchVersion": 1, "enableLogAccessUsingOnlyResourcePermissions": True},
            "workspaceCapping": capping,
            "publicNetworkAccessForIngestion": sent.get("publicNetworkAccessForIngestion") or "Enabled",
            "publicNetworkAccessForQuery": sent.get("publicNetworkAccessForQuery") or "Enabled",
            "createdDate": old.get("createdDate") or now,
            "modifiedDate": now,
        }

    def _lead(self, destination: Json) -> None:
        """A rule's destination shows, besides what was sent, the workspace's own id.

        No witness: that a rule is refused while the workspace is still being created.
        """
        for sent, shown, theirs in (
            ("workspaceResourceId", "workspaceId", "customerId"),
            ("accountResourceId", "accountId", "accountId"),
        ):
            if id_ := destination.get(sent):
                self._require(id_)
                destination[shown] = self.resources[id_.lower()]["properties"][theirs]

    def _require(self, id_: str | None) -> None:
        if not id_:
            return
        found = self.resources.get(id_.lower())
        if found is None:
            raise GatewayError(400, "InvalidPayload", f"Data collection rule is invalid: '{id_}' was not found.")
        if found["properties"]["provisioningState"] != "Succeeded":
            raise GatewayError(400, "InvalidPayload", f"Data collection rule is invalid: '{id_}' is being created.")

    async def delete(self, call: Call, kind: Kind) -> Reply:
        """DELETE one"""
        self._group(call)
        id_ = self._id(call, kind).lower()
        users = [each for each in self.associations.values() if _rule_of(each) == id_]
        if users and call.query.get("deleteassociations", "").lower() != "true":
            raise GatewayError(
                409, "Conflict", f"Data collection rule {call.names['name']} has associations: delete them first."
            )
        for each in users:
            self.associations.pop(each["id"].lower())
        return Reply(200 if self.resources.pop(id_, None) else 204)

    # associations

    def _scope(self, call: Call) -> str:
        scope = call.path.lower().split(ASSOCIATIONS)[0]
        if scope not in self._world.clusters:
            raise resource_not_found(
                "Microsoft.ContainerService/managedClusters", scope.rpartition("/")[2], call.names["resource_group"]
            )
        return scope

    async def list_associations(self, call: Call) -> Reply:
        """GET …/dataCollectionRuleAssociations"""
        start = self._scope(call) + ASSOCIATIONS
        return Reply(200, {"value": [each for key, each in self.associations.items() if key.startswith(start)]})

    async def get_association(self, call: Call) -> Reply:
        """GET …/dataCollectionRuleAssociations/{name}"""
        self._scope(call)
        found = self.associations.get(call.path.lower().rstrip("/"))
        if found is None:
            raise resource_not_found(
                "Microsoft.Insights/dataCollectionRuleAssociations", call.names["name"], call.names["resource_group"]
            )
        return Reply(200, found)

    async def put_association(self, call: Call) -> Reply:
        """PUT …/dataCollectionRuleAssociations/{name}"""
        self._scope(call)
        properties = call.json().get("properties") or {}
        self._require(properties.get("dataCollectionRuleId"))
        self._require(properties.get("dataCollectionEndpointId"))
        key = call.path.lower().rstrip("/")
        current = self.associations.get(key)
        self.on_association()
        self.associations[key] = {
            "properties": properties,
            "id": call.path.rstrip("/"),
            "name": call.names["name"],
            "type": "Microsoft.Insights/dataCollectionRuleAssociations",
            **self._written(call, current),
        }
        return Reply(200, self.associations[key])

    async def delete_association(self, call: Call) -> Reply:
        """DELETE …/dataCollectionRuleAssociations/{name}"""
        self._scope(call)
        return Reply(200 if self.associations.pop(call.path.lower().rstrip("/"), None) else 204)

    # what follows from them

    def rules_of(self, cluster_key: str) -> list[Json]:
        """The data collection rules that a cluster is associated with."""
        start = cluster_key + ASSOCIATIONS
        found = [self.resources.get(_rule_of(each)) for key, each in self.associations.items() if key.startswith(start)]
        return [rule for rule in found if rule is not None]

    def workspaces_of(self, cluster_key: str) -> list[Json]:
        """The Log Analytics workspaces that Container Insights of a cluster writes to."""
        return self._destinations(cluster_key, "Microsoft-ContainerInsights", "logAnalytics", "workspaceResourceId")

    def accounts_of(self, cluster_key: str) -> list[Json]:
        """The Azure Monitor workspaces that Prometheus metrics of a cluster go to."""
        return self._destinations(cluster_key, "Microsoft-PrometheusMetrics", "monitoringAccounts", "accountResourceId")

    def _destinations(self, cluster_key: str, stream: str, kind: str, field: str) -> list[Json]:
        found: dict[str, Json] = {}
        for rule in self.rules_of(cluster_key):
            properties = rule["properties"]
            names = {
                name
                for flow in properties.get("dataFlows", ())
                if any(each.startswith(stream) for each in flow.get("streams", ()))
                for name in flow.get("destinations", ())
            }
            for each in (properties.get("destinations") or {}).get(kind, ()):
                resource = self.resources.get(str(each.get(field, "")).lower())
                if each.get("name") in names and resource is not None:
                    found[resource["id"].lower()] = resource
        return list(found.values())


def _rule_of(association: Json) -> str:
    return str(association["properties"].get("dataCollectionRuleId", "")).lower()
