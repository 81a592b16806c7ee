# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The body of a cluster's update: what GET returned, without what only AKS may say."""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._monitoring._cluster import writable_cluster

Json = dict[str, Any]

RECORDED: Json = {
    "id": "/subscriptions/s/resourcegroups/g/providers/Microsoft.ContainerService/managedClusters/c",
    "location": "westus2",
    "name": "c",
    "type": "Microsoft.ContainerService/ManagedClusters",
    "kind": "Base",
    "properties": {
        "provisioningState": "Succeeded",
        "powerState": {"code": "Running"},
        "agentPoolProfiles": [{"name": "nodepool1", "count": 1, "eTag": "e", "nodeImageVersion": "AKSUbuntu-1"}],
        "addonProfiles": {"extensionManager": {"enabled": True, "config": None, "identity": {"clientId": "x"}}},
        "networkProfile": {
            "loadBalancerProfile": {
                "managedOutboundIPs": {"count": 1},
                "effectiveOutboundIPs": [{"id": "/subscriptions/s/…/publicIPAddresses/p"}],
                "backendPoolType": "nodeIPConfiguration",
            }
        },
        "identityProfile": {"kubeletidentity": {"resourceId": "/r", "clientId": "x", "objectId": "y"}},
        "oidcIssuerProfile": {"enabled": True, "issuerURL": "https://oidc/"},
        "hostedSystemProfile": {"enabled": False},
        "azureMonitorProfile": {
            "metrics": {
                "enabled": True,
                "kubeStateMetrics": {"metricLabelsAllowlist": "", "metricAnnotationsAllowList": ""},
            }
        },
        "somethingNew": {"state": "kept", "provisioningState": "kept"},
    },
    "sku": {"name": "Base", "tier": "Free"},
    "eTag": "e",
}
"""The keys of a cluster's GET. Witness: azure-service-operator Test_AKS_ManagedCluster_20260501_CRUD.yaml,
2026-09-18."""


def test_what_azure_returns_is_sent_back_without_what_only_it_may_say() -> None:
    before = copy.deepcopy(RECORDED)
    body = writable_cluster(RECORDED)
    assert before == RECORDED
    assert set(body) == {"location", "kind", "properties", "sku"}
    properties = body["properties"]
    assert properties["networkProfile"]["loadBalancerProfile"] == {
        "managedOutboundIPs": {"count": 1},
        "backendPoolType": "nodeIPConfiguration",
    }
    assert properties["oidcIssuerProfile"] == {"enabled": True}
    assert properties["agentPoolProfiles"] == [{"name": "nodepool1", "count": 1}]
    assert properties["addonProfiles"] == {"extensionManager": {"enabled": True, "config": None}}
    for kept in ("identityProfile", "hostedSystemProfile", "azureMonitorProfile", "somethingNew"):
        assert properties[kept] == RECORDED["properties"][kept]
