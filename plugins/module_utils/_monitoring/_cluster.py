# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster's own part of monitoring: what it looks like, and the body of an update that changes nothing else. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.aks.gpu.plugins.module_utils._monitoring._workspaces import (
    AAD_KEY,
    WORKSPACE_KEY,
    addon_workspace,
    insights_profile,
    omsagent,
    prometheus_profile,
)

MONITORING_PROFILE = "profile"
ADDON_METHOD = "addon"
METHODS = (MONITORING_PROFILE, ADDON_METHOD)

_READ_ONLY: tuple[tuple[str, ...], ...] = (
    *(
        (name,)
        for name in (
            "provisioningState",
            "powerState",
            "maxAgentPools",
            "currentKubernetesVersion",
            "fqdn",
            "privateFQDN",
            "azurePortalFQDN",
            "resourceUID",
            "status",
        )
    ),
    *(
        ("agentPoolProfiles", "*", *path)
        for path in (
            ("provisioningState",),
            ("currentOrchestratorVersion",),
            ("nodeImageVersion",),
            ("eTag",),
            ("status",),
            ("localDNSProfile", "state"),
        )
    ),
    ("addonProfiles", "*", "identity"),
    ("ingressProfile", "webAppRouting", "identity"),
    ("networkProfile", "loadBalancerProfile", "effectiveOutboundIPs"),
    ("networkProfile", "natGatewayProfile", "effectiveOutboundIPs"),
    ("oidcIssuerProfile", "issuerURL"),
    ("podIdentityProfile", "userAssignedIdentities", "*", "provisioningInfo"),
    ("podIdentityProfile", "userAssignedIdentities", "*", "provisioningState"),
    ("privateLinkResources", "*", "privateLinkServiceID"),
)
"""Paths below ``properties``; ``*`` is every item of a list or map. They are what the models of
azure-mgmt-containerservice 41.8 mark as read-only, so what the SDK and the az CLI leave out of a request, and two more:
``nodeImageVersion``, which in a PUT would roll the node image back, and ``status``. ``identityProfile`` is not among
them: it may be written, and the CLI sends it back."""
_TOP = ("location", "tags", "sku", "identity", "extendedLocation", "kind")


def writable_cluster(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the body of a PUT that changes nothing: what GET returned, without what only AKS may say.

    Args:
        cluster: The managed cluster as ARM has it. Keys that are not known are kept.
    """
    known = {"id", "name", "type", "eTag", "etag", "systemData", "properties", *_TOP}
    body = {key: copy.deepcopy(value) for key, value in cluster.items() if key in _TOP or key not in known}
    identity = body.get("identity")
    if isinstance(identity, dict):
        identity = {key: value for key, value in identity.items() if key not in ("principalId", "tenantId")}
        assigned = identity.get("userAssignedIdentities")
        if assigned:
            identity["userAssignedIdentities"] = {key: {} for key in assigned}
        body["identity"] = identity
    body["properties"] = copy.deepcopy(dict(cluster.get("properties") or {}))
    for path in _READ_ONLY:
        _drop(body["properties"], path)
    return body


def _drop(value: Any, path: Sequence[str]) -> None:
    """Removes a key, in place; what is not there or has another shape is left alone.

    Args:
        value: A JSON value.
        path: The way to the key; ``*`` is every item of a list or map.
    """
    key, *rest = path
    if key == "*":
        for each in list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ():
            _drop(each, rest)
    elif isinstance(value, dict) and not rest:
        value.pop(key, None)
    elif isinstance(value, dict):
        _drop(value.get(key), rest)


def insights_state(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how Container Insights is set: ``enabled``, ``method`` and ``workspace``."""
    profile, addon = insights_profile(properties), omsagent(properties)[1]
    by_addon = bool(addon.get("enabled")) and not profile.get("enabled")
    enabled = by_addon or bool(profile.get("enabled"))
    workspace = addon_workspace(addon) if by_addon else profile.get("logAnalyticsWorkspaceResourceId")
    return {
        "enabled": enabled,
        "method": (ADDON_METHOD if by_addon else MONITORING_PROFILE) if enabled else None,
        "workspace": workspace or addon_workspace(addon),
    }


def set_insights(properties: dict[str, Any], enabled: bool, workspace: str | None, method: str) -> None:
    """Sets Container Insights in the properties of a body. What is there besides stays, the workspace as well.

    Args:
        properties: Changed in place.
        enabled: On or off.
        workspace: ARM id; None leaves the one that is set.
        method: One of ``METHODS``.
    """
    if method == MONITORING_PROFILE:
        profile = {**insights_profile(properties), "enabled": enabled}
        if workspace:
            profile["logAnalyticsWorkspaceResourceId"] = workspace
        properties["azureMonitorProfile"] = {
            **(properties.get("azureMonitorProfile") or {}),
            "containerInsights": profile,
        }
        return
    key, addon = omsagent(properties)
    config = dict(addon.get("config") or {})
    if workspace:
        config = {name: value for name, value in config.items() if name.lower() != WORKSPACE_KEY.lower()}
        config[WORKSPACE_KEY] = workspace
    if enabled:
        config = {name: value for name, value in config.items() if name.lower() != AAD_KEY.lower()}
        config[AAD_KEY] = "true"
    properties["addonProfiles"] = {
        **(properties.get("addonProfiles") or {}),
        key: {**addon, "enabled": enabled, "config": config},
    }


def uses_own_sign_in(properties: Mapping[str, Any]) -> bool:
    """Says whether the add-on signs in by its managed identity, so that a data collection rule directs it."""
    config = omsagent(properties)[1].get("config") or {}
    return any(name.lower() == AAD_KEY.lower() and str(value).lower() == "true" for name, value in config.items())


def set_prometheus(properties: dict[str, Any], enabled: bool) -> None:
    """Switches Managed Prometheus in the properties of a body. Its other settings stay.

    Args:
        properties: Changed in place.
        enabled: On or off.
    """
    properties["azureMonitorProfile"] = {
        **(properties.get("azureMonitorProfile") or {}),
        "metrics": {**prometheus_profile(properties), "enabled": enabled},
    }
