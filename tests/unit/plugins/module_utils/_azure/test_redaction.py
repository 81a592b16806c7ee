# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recording may hold: nothing that was planted, and what it is compared by.

The shapes are those of public recordings of real Azure: the cluster and the pool of azure-service-operator's
Test_AKS_ManagedCluster_20260501_CRUD.yaml (2026-09-18), headers of azure-powershell's TestSpot.json (2025-10-28), the
run-command of azure-cli's test_aks_run_command.yaml (2022-05-13), credentials of azure-cli's
test_aks_nodepool_update_taints_msi.yaml (2022-05-13), Azure Monitor of aks-preview's
test_aks_create_with_azuremonitormetrics.yaml (2025-07-23); errors are those that people pasted in public issues.
"""

from __future__ import annotations

import base64
import json
import re
import string
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest
from ansible_collections.aks.gpu.plugins.module_utils._azure import _redaction as redaction
from ansible_collections.aks.gpu.plugins.module_utils._azure._redaction import REDACTED, Names, redacted
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

Json = dict[str, Any]

HOST = "https://management.azure.com"
AKS = "providers/Microsoft.ContainerService"

GUIDS = ("subscription", "tenant", "object", "client", "principal", "operation", "request", "etag")
NAMES = ("group", "cluster", "pool", "system_pool", "node_group", "network", "subnet", "workspace", "identity",
         "rule", "admin", "prefix", "tag_key", "tag_value", "label_key", "label_value", "taint", "policy")  # fmt: skip

guids = st.uuids(version=4).map(str)
names = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{5,11}", fullmatch=True),
    st.from_regex(r"[A-Za-z][A-Za-z0-9]{2,8}[-_][A-Za-z0-9]{3,12}", fullmatch=True),
    st.from_regex(r"rg-\([a-z]{4,8}\)", fullmatch=True),
    st.from_regex(r"[a-z]{3,6}[äöüé][a-z]{2,6}", fullmatch=True),
)
tokens = st.binary(min_size=30, max_size=200).map(
    lambda data: "eyJ" + base64.urlsafe_b64encode(data).decode().rstrip("=")
)
secrets = st.one_of(
    tokens,
    st.tuples(tokens, tokens, tokens).map(".".join),
    guids,
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.from_regex(r"[a-z]{3,8}\.[a-z]{3,8}@[a-z]{4,8}\.(com|onmicrosoft\.com)", fullmatch=True),
    st.from_regex(r"[a-z]{4,8}-dns-[0-9a-f]{8}\.hcp\.westus2\.azmk8s\.io", fullmatch=True),
    st.binary(min_size=120, max_size=280).map(lambda key: f"ssh-rsa {base64.b64encode(key).decode()} me@laptop"),
    st.binary(min_size=32, max_size=32).map(
        lambda key: f"DefaultEndpointsProtocol=https;AccountName=store;AccountKey={base64.b64encode(key).decode()}"
    ),
    st.binary(min_size=100, max_size=300).map(
        lambda key: f"-----BEGIN RSA PRIVATE KEY-----\n{base64.b64encode(key).decode()}\n-----END RSA PRIVATE KEY-----"
    ),
    st.text(string.ascii_letters + string.digits + "!$%&~.-", min_size=16, max_size=40).filter(
        lambda text: re.search(r"[0-9]", text) and re.search(r"[!$%&~]", text) and re.search(r"[A-Za-z]{2}", text)
    ),
)
few = settings(phases=[Phase.explicit, Phase.generate], max_examples=settings().max_examples // 4)
"""Each case is of a dozen exchanges, and as easy to read as a shrunk one."""

addresses = st.ip_addresses(v=4).map(str)


@st.composite
def planted(draw: st.DrawFn) -> dict[str, str]:
    """What must not be told, by what it is; all different."""
    values = {name: draw(guids) for name in GUIDS} | {name: draw(names) for name in NAMES}
    values["outbound"] = draw(addresses)
    values["user"] = f"{draw(st.from_regex('[a-z]{6,10}', fullmatch=True))}@example.org"
    values["token"] = draw(tokens)
    values["key"] = base64.b64encode(draw(st.binary(min_size=100, max_size=150))).decode()
    folded = [value.casefold() for value in values.values()]
    assume(not any(one in other for i, one in enumerate(folded) for j, other in enumerate(folded) if i != j))
    return values


PLAINLY = {
    **{name: str(uuid.UUID(int=number + 1)) for number, name in enumerate(GUIDS)},
    **{name: f"{name}x7" for name in NAMES},
    "outbound": "20.9.8.7",
    "user": "jane@example.org",
    "token": "eyJ" + "x1" * 40,
    "key": "Ab1" * 40,
}
"""Something planted that is the same each time."""


class Azure:
    """Exchanges as real Azure answers them, about what was planted."""

    def __init__(self, planted: dict[str, str]) -> None:
        self.it = planted
        self.subscription = f"/subscriptions/{planted['subscription']}"
        self.group = f"{self.subscription}/resourceGroups/{quote(planted['group'])}"
        self.cluster = f"{self.group}/{AKS}/managedClusters/{planted['cluster']}"
        self.pool = f"{self.cluster}/agentPools/{planted['pool']}"
        self.operation = f"{self.subscription}/{AKS}/locations/westus2/operations/{planted['operation']}"

    def exchanges(self) -> Iterator[Json]:
        """One of each kind."""
        yield self.exchange("GET", self.cluster, 200, self.cluster_body())
        yield self.exchange("PUT", self.pool, 201, self.pool_body(), {"properties": self.pool_properties()})
        yield self.exchange("GET", self.pool, 404, self.missing_pool())
        yield self.exchange("GET", self.cluster, 403, self.forbidden())
        yield self.exchange("PUT", self.pool, 403, self.forbidden_by_policy())
        yield self.exchange("GET", self.operation, 200, self.failed_operation())
        yield self.exchange("POST", f"{self.cluster}/listClusterUserCredential", 200, self.credentials())
        yield self.exchange("POST", f"{self.cluster}/runCommand", 202, self.run_command(), self.command())
        yield self.exchange("PUT", f"{self.group}/providers/Microsoft.Insights/dataCollectionRules/{self.it['rule']}",
                            200, self.rule())  # fmt: skip
        yield self.exchange("GET", "/subscriptions", 200, self.subscriptions())
        yield self.exchange("GET", f"{self.subscription}/{AKS}", 200, self.provider())

    def exchange(self, method: str, path: str, status: int, answer: Any, sent: Any = None) -> Json:
        url = f"{HOST}{self.operation}?api-version=2025-03-01&t=638973&c={self.it['key']}&s=a-{self.it['token']}&h=x"
        return {
            "method": method,
            "url": f"{HOST}{path}?api-version=2026-08-01&$skipToken={self.it['token']}",
            "request_headers": {
                "Authorization": f"Bearer {self.it['token']}",
                "Cookie": f"x={self.it['token']}",
                "If-Match": f'"{self.it["etag"]}"',
                "User-Agent": f"ansible-aks.gpu Python/3.11 (Linux-{self.it['admin']})",
                "x-ms-client-request-id": self.it["request"],
            },
            "request_body": sent,
            "status": status,
            "response_headers": {
                "Content-Type": "application/json; charset=utf-8",
                "Date": "Tue, 28 Oct 2025 09:07:48 GMT",
                "ETag": f'W/"{self.it["etag"]}"',
                "Azure-AsyncOperation": url,
                "Location": url.replace("operations", "operationresults"),
                "Retry-After": "10",
                "Set-Cookie": f"session={self.it['token']}",
                "x-ms-failure-cause": "gateway",
                "x-ms-operation-identifier": f"tenantId={self.it['tenant']},objectId={self.it['object']}"
                f"/westus2/{self.it['request']}",
                "x-ms-ratelimit-remaining-subscription-writes": "199",
                "x-ms-routing-request-id": f"WESTUS2:20251028T090748Z:{self.it['request']}",
                "X-MSEdge-Ref": f"Ref A: {self.it['key']} Ref B: {self.it['admin']} Ref C: 2025-10-28T09:07:48Z",
            },
            "response_body": answer,
        }

    def pool_properties(self) -> Json:
        return {
            "count": 1,
            "vmSize": "Standard_NC4as_T4_v3",
            "vnetSubnetID": f"{self.group}/providers/Microsoft.Network/virtualNetworks/{self.it['network']}"
            f"/subnets/{self.it['subnet']}",
            "mode": "User",
            "enableAutoScaling": True,
            "spotMaxPrice": 0.57699,
            "availabilityZones": ["1"],
            "nodeImageVersion": "AKSUbuntu-2204gen2containerd-202506.16.0",
            "currentOrchestratorVersion": "1.32.7",
            "provisioningState": "Creating",
            "powerState": {"code": "Running"},
            "upgradeSettings": {"maxSurge": "10%", "maxUnavailable": "0"},
            "tags": {self.it["tag_key"]: self.it["tag_value"], "aks.gpu.created-by": "aks.gpu"},
            "nodeLabels": {
                self.it["label_key"]: self.it["label_value"],
                "kubernetes.azure.com/scalesetpriority": "spot",
            },
            "nodeTaints": ["sku=gpu:NoSchedule", f"{self.it['taint']}={self.it['label_value']}:NoExecute"],
            "eTag": self.it["etag"],
        }

    def pool_body(self) -> Json:
        return {
            "id": self.pool.replace("resourceGroups", "resourcegroups"),
            "name": self.it["pool"],
            "type": "Microsoft.ContainerService/managedClusters/agentPools",
            "properties": self.pool_properties(),
        }

    def cluster_body(self) -> Json:
        host = f"{self.it['prefix']}-1a2b3c4d.hcp.westus2.azmk8s.io"
        identity = f"{self.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{self.it['identity']}"
        return {
            "id": self.cluster,
            "location": "westus2",
            "name": self.it["cluster"],
            "kind": "Base",
            "type": "Microsoft.ContainerService/ManagedClusters",
            "tags": {self.it["tag_key"]: self.it["tag_value"]},
            "properties": {
                "provisioningState": "Succeeded",
                "kubernetesVersion": "1.32",
                "dnsPrefix": self.it["prefix"],
                "fqdn": host,
                "azurePortalFQDN": host.replace("hcp", "portal.hcp"),
                "agentPoolProfiles": [
                    {"name": self.it["system_pool"], "vmSize": "Standard_D4ds_v5", "osType": "Linux"}
                ],
                "linuxProfile": {
                    "adminUsername": self.it["admin"],
                    "ssh": {"publicKeys": [{"keyData": f"ssh-rsa {self.it['key']} {self.it['user']}"}]},
                },
                "servicePrincipalProfile": {"clientId": self.it["client"]},
                "addonProfiles": {
                    "omsagent": {
                        "enabled": True,
                        "config": {
                            "logAnalyticsWorkspaceResourceID": f"{self.group}/providers/Microsoft.OperationalInsights"
                            f"/workspaces/{self.it['workspace']}",
                            "useAADAuth": "true",
                        },
                    },
                    "azureKeyvaultSecretsProvider": {"enabled": True, "config": {"rotationPollInterval": "2m"}},
                },
                "nodeResourceGroup": self.it["node_group"],
                "networkProfile": {
                    "networkPlugin": "azure",
                    "podCidr": f"{self.it['outbound']}/16",
                    "ipFamilies": ["IPv4"],
                    "loadBalancerProfile": {
                        "effectiveOutboundIPs": [
                            {
                                "id": f"{self.subscription}/resourceGroups/{quote(self.it['node_group'])}/providers"
                                f"/Microsoft.Network/publicIPAddresses/{self.it['operation']}"
                            }
                        ]
                    },
                },
                "aadProfile": {"managed": True, "adminGroupObjectIDs": [self.it["object"]]},
                "apiServerAccessProfile": {"authorizedIPRanges": [f"{self.it['outbound']}/32"]},
                "httpProxyConfig": {
                    "httpProxy": f"http://{self.it['user'].replace('@', ':')}@{self.it['prefix']}.example.org:3128/",
                    "noProxy": [f"{self.it['admin']}.example.org"],
                    "trustedCa": self.it["key"],
                },
                "identityProfile": {
                    "kubeletidentity": {
                        "resourceId": identity,
                        "clientId": self.it["client"],
                        "objectId": self.it["principal"],
                    }
                },
                "oidcIssuerProfile": {
                    "enabled": True,
                    "issuerURL": f"https://westus2.oic.prod-aks.azure.com/{self.it['tenant']}/{self.it['object']}/",
                },
                "azureMonitorProfile": {
                    "metrics": {"kubeStateMetrics": {"metricLabelsAllowlist": self.it["label_key"]}}
                },
                "somethingNew": {"ownerOfIt": self.it["admin"], "since": "2025-10-28T09:07:48.3685935Z"},
            },
            "identity": {
                "type": "UserAssigned",
                "tenantId": self.it["tenant"],
                "userAssignedIdentities": {
                    identity: {"clientId": self.it["client"], "principalId": self.it["principal"]}
                },
            },
            "sku": {"name": "Base", "tier": "Free"},
            "eTag": self.it["etag"],
        }

    def missing_pool(self) -> Json:
        return {
            "code": "NotFound",
            "details": [{"code": "Unspecified", "message": "rpc error: code = NotFound desc = Agent Pool not found"}],
            "message": f"Could not find the agentpool: {self.it['pool']} in subscription: {self.it['subscription']}, "
            f"resourceGroup: {self.it['group']}, resourceName: {self.it['cluster']}.",
            "subcode": "GetAgentPool_NotFound_HCPServerError",
        }

    def forbidden(self) -> Json:
        return {
            "error": {
                "code": "AuthorizationFailed",
                "message": f"The client '{self.it['user']}' with object id '{self.it['object']}' does not have "
                "authorization to perform action 'Microsoft.ContainerService/managedClusters/read' over scope "
                f"'{unquote(self.cluster)}' or the scope is invalid.",
            }
        }

    def forbidden_by_policy(self) -> Json:
        assignment = f"{self.subscription}/providers/Microsoft.Authorization/policyAssignments/{self.it['policy']}"
        inner = json.dumps([{"policyAssignment": {"name": self.it["policy"], "id": assignment}}])
        return {
            "error": {
                "code": "RequestDisallowedByPolicy",
                "target": self.it["pool"],
                "message": f"Resource '{self.it['pool']}' was disallowed by policy. Policy identifiers: '{inner}'.",
                "additionalInfo": [
                    {"type": "PolicyViolation", "info": {"policyAssignmentDisplayName": self.it["policy"]}}
                ],
            }
        }

    def failed_operation(self) -> Json:
        inner = json.dumps(
            {"code": "PodDrainFailure", "message": f"node aks-{self.it['pool']}-123-vmss000000 has a budget."}
        )
        return {
            "name": self.it["operation"],
            "status": "Failed",
            "startTime": "2025-10-28T09:07:48.3685935Z",
            "error": {
                "code": "DeleteVMSSAgentPoolFailed",
                "message": f"VMSSAgentPoolReconciler retry failed: {inner} in {self.it['node_group']} of"
                f" {self.it['cluster']} at {self.it['outbound']}, see https://aka.ms/aks/drain",
            },
        }

    def credentials(self) -> Json:
        kubeconfig = json.dumps(
            {"server": f"https://{self.it['prefix']}.hcp.westus2.azmk8s.io", "token": self.it["token"]}
        )
        return {"kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(kubeconfig.encode()).decode()}]}

    def command(self) -> Json:
        return {
            "command": f"kubectl get pod {self.it['admin']}",
            "context": self.it["key"],
            "clusterToken": self.it["token"],
        }

    def run_command(self) -> Json:
        return {
            "id": f"{self.cluster}/commandResults/{uuid.UUID(self.it['operation']).hex}",
            "properties": {"provisioningState": "Succeeded", "exitCode": 0, "logs": f"{self.it['admin']} 1/1 Running"},
        }

    def rule(self) -> Json:
        account = f"{self.group}/providers/microsoft.monitor/accounts/{self.it['workspace']}"
        return {
            "properties": {
                "immutableId": f"dcr-{uuid.UUID(self.it['operation']).hex}",
                "destinations": {"monitoringAccounts": [{"accountResourceId": account, "name": self.it["workspace"]}]},
                "dataFlows": [{"streams": ["Microsoft-PrometheusMetrics"], "destinations": [self.it["workspace"]]}],
            },
            "name": self.it["rule"],
            "etag": f'"{self.it["etag"]}"',
            "systemData": {"createdBy": self.it["user"], "createdByType": "User"},
        }

    def subscriptions(self) -> Json:
        return {
            "value": [{"id": self.subscription, "displayName": f"Of {self.it['admin']}", "state": "Enabled"}],
            "nextLink": f"{HOST}/subscriptions?api-version=2022-12-01&$skipToken={self.it['token']}",
        }

    def provider(self) -> Json:
        return {
            "id": f"{self.subscription}/{AKS}",
            "namespace": "Microsoft.ContainerService",
            "authorizations": [{"applicationId": self.it["client"], "roleDefinitionId": self.it["object"]}],
            "resourceTypes": [
                {
                    "resourceType": "managedClusters",
                    "locations": ["West US 2"],
                    "apiVersions": ["2026-08-01"],
                    "capabilities": "SupportsTags, SupportsLocation",
                }
            ],
            "registrationState": "Registered",
        }


def dumped(entry: Json) -> str:
    return json.dumps(entry, ensure_ascii=False)


def found(value: str, text: str) -> bool:
    """Is a value in a text: as it is, as a URL has it, or in base64 at any offset?"""
    forms = {value, quote(value), quote(value, safe=""), json.dumps(value)[1:-1]}
    if len(value) > 8:
        forms |= {base64.b64encode(b"\0" * n + value.encode()).decode().rstrip("=")[4:-2] for n in range(3)}
    return any(form.casefold() in text.casefold() for form in forms)


def leaves(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all texts of a body or of headers."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*way, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*way, index))
    elif isinstance(value, str):
        yield way


def with_(value: Any, way: tuple[Any, ...], text: str) -> Any:
    """A copy with another text at the end of a way."""
    if not way:
        return text
    if isinstance(value, dict):
        return {key: with_(each, way[1:], text) if key == way[0] else each for key, each in value.items()}
    return [with_(each, way[1:], text) if index == way[0] else each for index, each in enumerate(value)]


@few
@given(planted())
def test_nothing_planted_survives(it: dict[str, str]) -> None:
    names_of_recording = Names()
    for entry in Azure(it).exchanges():
        text = dumped(redacted(entry, names_of_recording))
        assert [name for name, value in it.items() if found(value, text)] == [], text
    state = json.dumps(names_of_recording.state())
    assert [name for name, value in it.items() if found(value, state)] == []


@few
@given(planted(), secrets, st.data())
def test_a_secret_survives_at_no_place(it: dict[str, str], secret: str, data: st.DataObject) -> None:
    exchanges = list(Azure(it).exchanges())
    entry = data.draw(st.sampled_from(exchanges))
    ways = [way for way in leaves(entry) if way[0] in ("request_body", "response_body", "response_headers")]
    way = data.draw(st.sampled_from(ways))
    shown = data.draw(st.sampled_from(["{}", "a {} b", "'{}'"])).format(secret)
    text = dumped(redacted(with_(entry, way, shown), Names()))
    assert not found(secret, text), (way, text)


@few
@given(planted(), st.text(min_size=4, max_size=40), st.data())
def test_what_stands_in_an_unknown_field_is_not_told(it: dict[str, str], text: str, data: st.DataObject) -> None:
    assume(not redaction._PLAIN.fullmatch(text) and any(char.isalnum() for char in text))
    answer = {"properties": {"unheardOf": text, "new": {"list": [text, {"inner": text}]}}}
    shown = redacted(Azure(it).exchange("GET", Azure(it).pool, 200, answer), Names())["response_body"]["properties"]
    assert {shown["unheardOf"], shown["new"]["list"][0], shown["new"]["list"][1]["inner"]} != {text}
    assert re.fullmatch(
        r"(?:text|host|user|address|hex\d+)-\d+|0*\d+|REDACTED|[0-9-]{36}|\S+://\S*|/.*", shown["unheardOf"]
    )


@few
@given(planted())
def test_a_name_has_one_stand_in_throughout(it: dict[str, str]) -> None:
    azure = Azure(it)
    one = Names()
    first = redacted(azure.exchange("PUT", azure.pool, 201, azure.pool_body()), one)
    again = Names(json.loads(json.dumps(one.state())))  # as another process goes on
    assert redacted(azure.exchange("PUT", azure.pool, 201, azure.pool_body()), again) == first
    assert not again.grown
    body = first["response_body"]
    assert body["id"].split("/")[-1] == body["name"] == first["url"].partition("?")[0].split("/")[-1] == "pool-1"
    message = redacted(azure.exchange("GET", azure.pool, 404, azure.missing_pool()), again)["response_body"]["message"]
    assert message == (
        "Could not find the agentpool: pool-1 in subscription: 00000000-0000-0000-0000-000000000001, "
        "resourceGroup: group-1, resourceName: cluster-1."
    )


def test_what_a_recording_is_compared_by_stays() -> None:
    azure = Azure(PLAINLY)
    names_of_recording = Names()
    shown = redacted(azure.exchange("PUT", azure.pool, 201, azure.pool_body()), names_of_recording)
    properties = shown["response_body"]["properties"]
    kept = ("count", "vmSize", "mode", "enableAutoScaling", "spotMaxPrice", "availabilityZones", "nodeImageVersion",
            "currentOrchestratorVersion", "provisioningState", "powerState", "upgradeSettings")  # fmt: skip
    assert {name: properties[name] for name in kept} == {name: azure.pool_properties()[name] for name in kept}
    assert list(properties) == list(azure.pool_properties())
    assert properties["nodeTaints"][0] == "sku=gpu:NoSchedule"
    assert re.fullmatch(r"label-\d+=value-\d+:NoExecute", properties["nodeTaints"][1])
    assert properties["tags"]["aks.gpu.created-by"] == "aks.gpu"
    assert shown["response_body"]["type"] == "Microsoft.ContainerService/managedClusters/agentPools"
    assert "/resourcegroups/group-1/" in shown["response_body"]["id"]
    assert shown["url"] == (
        f"{HOST}/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/group-1/{AKS}"
        "/managedClusters/cluster-1/agentPools/pool-1?api-version=2026-08-01&$skipToken=REDACTED"
    )
    headers = shown["response_headers"]
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Date"] == "Tue, 28 Oct 2025 09:07:48 GMT"
    assert headers["Retry-After"] == "10"
    assert headers["x-ms-ratelimit-remaining-subscription-writes"] == "199"
    assert headers["x-ms-failure-cause"] == "gateway"
    assert re.fullmatch(r"WESTUS2:20251028T090748Z:[0-9-]{36}", headers["x-ms-routing-request-id"])
    assert re.fullmatch(
        r"tenantId=[0-9-]{36},objectId=[0-9-]{36}/westus2/[0-9-]{36}", headers["x-ms-operation-identifier"]
    )
    assert headers["Azure-AsyncOperation"].endswith("?api-version=2025-03-01&t=638973&c=REDACTED&s=REDACTED&h=REDACTED")
    assert headers["Set-Cookie"] == shown["request_headers"]["Authorization"] == REDACTED
    assert shown["request_headers"]["User-Agent"] == "ansible-aks.gpu"
    cluster = redacted(azure.exchange("GET", azure.cluster, 200, azure.cluster_body()), names_of_recording)
    assert cluster["response_body"]["properties"]["kubernetesVersion"] == "1.32"
    assert cluster["response_body"]["properties"]["networkProfile"]["networkPlugin"] == "azure"
    assert cluster["response_body"]["properties"]["somethingNew"]["since"] == "2025-10-28T09:07:48.3685935Z"
    assert cluster["response_body"]["sku"] == {"name": "Base", "tier": "Free"}
    provider = azure.exchange("GET", f"{azure.subscription}/{AKS}", 200, azure.provider())
    assert redacted(provider, names_of_recording)["response_body"]["resourceTypes"] == azure.provider()["resourceTypes"]
    operation = redacted(azure.exchange("GET", azure.operation, 200, azure.failed_operation()), names_of_recording)
    assert operation["response_body"]["error"]["message"].startswith(
        'VMSSAgentPoolReconciler retry failed: {"code":"PodDrainFailure","message":"node text-'
    )
    assert re.search(r" at address-\d, see https://aka.ms/aks/drain$", operation["response_body"]["error"]["message"])


@pytest.mark.parametrize(
    "text",
    [
        # Azure/azure-powershell TestSpot.json (2025-10-28), TestAPI20250801WithMSI.json (2025-12-12)
        "CreatingAgentPools",
        "CreatingAgentPools: 0/1 nodes completed",
        # terraform-provider-azurerm#28878 (2025-02-27)
        "Operation is not allowed because there's an in progress create managed cluster operation.",
        # motordesk#14 (2026)
        "Insufficient vcpu quota requested 2, remaining 0 for family StandardDasv7Family for region eastus.",
        # ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml (2026-09-18)
        "rpc error: code = NotFound desc = Agent Pool not found",
        # pulumi-azure-native#959 (2021)
        "Changing property 'properties.nodeTaints' is not allowed.",
    ],
)
def test_azures_own_sentences_stay(text: str) -> None:
    assert redaction.text_of(text, Names()) == text


@pytest.mark.parametrize("name", ["eastus", "Standard_NC6", "gpu", "2024", "1.32", "Succeeded", "system", "properties"])
def test_a_name_that_looks_like_a_word_of_azures_is_a_name(name: str) -> None:
    path = f"/subscriptions/{uuid.UUID(int=7)}/resourceGroups/{name}"
    message = f"Resource group '{name}' could not be found; {name} is missing in {path}, resourceGroup: {name}."
    answer = {"error": {"code": "ResourceGroupNotFound", "message": message}}
    entry = {**Azure(PLAINLY).exchange("GET", "", 404, answer), "url": f"{HOST}{path}?api-version=2025-04-01"}
    shown = redacted(entry, Names())
    assert list(shown["response_body"]) == ["error"]
    guid = "00000000-0000-0000-0000-000000000001"
    assert shown["response_body"]["error"]["message"] == (
        "Resource group 'group-1' could not be found; group-1 is missing in"
        f" /subscriptions/{guid}/resourceGroups/group-1, resourceGroup: group-1."
    )


@pytest.mark.parametrize("body", ["<html>Proxy of Contoso</html>", "Contoso"])
def test_what_is_not_json_is_not_told(body: str) -> None:
    entry = Azure(PLAINLY).exchange("GET", "/x", 502, body)
    assert redacted(entry, Names())["response_body"] == f"REDACTED: {len(body)} characters that are not JSON"


def test_the_fields_of_words_are_those_that_the_sdk_declares() -> None:
    """azure-mgmt-containerservice says which properties are enumerations; names and states are judged otherwise."""
    models = pytest.importorskip("azure.mgmt.containerservice.models", reason="the SDK is not among what runs here")
    if hasattr(models.AgentPool, "_attribute_map"):
        pytest.skip("the models of an older SDK are not dictionaries and name their fields differently")
    declared = set()
    for model in vars(models).values():
        if "_models" not in getattr(model, "__module__", ""):
            continue
        fields = model({})._attr_to_rest_field  # made with the first instance
        types = {
            name: str(each)
            for each in reversed(model.__mro__)
            for name, each in vars(each).get("__annotations__", {}).items()
        }
        declared |= {field._rest_name.lower() for name, field in fields.items() if "Union[str" in types.get(name, "")}
    assert len(declared) > 40
    assert declared - redaction.WORD_FIELDS == {"name", "status"}
