# Copyright: (c) 2026, the aks.gpu authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a subscription holds: clusters, features, resource providers, VM sizes, quotas, permissions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.aks.gpu.plugins.module_utils._ansible._errors import Failure
from ansible_collections.aks.gpu.plugins.module_utils._azure._client import ArmClient
from ansible_collections.aks.gpu.plugins.module_utils._azure._errors import AzureError

AKS_NAMESPACE = "Microsoft.ContainerService"


def cluster_path(subscription_id: str, resource_group: str, cluster_name: str) -> str:
    """Returns the ARM id of a managed cluster."""
    return (
        f"/subscriptions/{quote(subscription_id)}/resourceGroups/{quote(resource_group)}"
        f"/providers/{AKS_NAMESPACE}/managedClusters/{quote(cluster_name)}"
    )


def cluster(client: ArmClient, subscription_id: str, resource_group: str, cluster_name: str) -> dict[str, Any]:
    """Returns a managed cluster as ARM has it.

    Args:
        client: The client.
        subscription_id: Where the cluster is.
        resource_group: Where the cluster is.
        cluster_name: Its name.

    Raises:
        AzureError: It can't be read. When it doesn't exist, the message lists what the resource group has instead.
    """
    activity = f"Reading cluster {cluster_name}"
    try:
        clusters_there = client.aks_of(subscription_id).managed_clusters
        body = client.run(clusters_there.get, resource_group, cluster_name, activity=activity).body
    except AzureError as error:
        if error.status == 404:
            raise missing_cluster(client, subscription_id, resource_group, cluster_name, error) from error
        raise
    return body if isinstance(body, dict) else {}


def clusters(client: ArmClient, subscription_id: str) -> list[dict[str, Any]]:
    """Returns all managed clusters of a subscription as ARM has them, with their pools: one LIST, page by page.

    Raises:
        AzureError: They can't be read.
    """
    activity = f"Listing the clusters of subscription {subscription_id}"
    return client.list(client.aks_of(subscription_id).managed_clusters.list, activity=activity)


def subscriptions(client: ArmClient) -> list[dict[str, Any]]:
    """Returns the subscriptions that the signed-in principal can see.

    Raises:
        AzureError: They can't be read.
    """
    return list(client.items("/subscriptions", "subscriptions", activity="Listing the subscriptions"))


def missing_cluster(
    client: ArmClient, subscription_id: str, resource_group: str, cluster_name: str, error: AzureError
) -> AzureError:
    """Returns the error of a cluster that isn't there, with the clusters or resource groups that are."""
    try:
        if error.code == "ResourceGroupNotFound":
            path = f"/subscriptions/{quote(subscription_id)}/resourceGroups"
            names = [str(group.get("name")) for group in client.items(path, "resource_groups")]
            place, kind = f"Subscription {subscription_id}", "resource groups"
        elif error.code == "SubscriptionNotFound":
            return error
        else:
            listing = client.aks_of(subscription_id).managed_clusters.list_by_resource_group
            activity = f"Listing the clusters of resource group {resource_group}"
            names = [str(found.get("name")) for found in client.list(listing, resource_group, activity=activity)]
            place, kind = f"Resource group {resource_group}", "clusters"
    except AzureError as refused:
        if refused.code == "ResourceGroupNotFound" and error.code != "ResourceGroupNotFound":
            return missing_cluster(client, subscription_id, resource_group, cluster_name, refused)
        # Listing needs more rights than the caller may have; the plain error then has to do.
        return error
    found_text = ", ".join(sorted(names)) if names else "none"
    return AzureError(
        error.code,
        error.azure_message,
        status=error.status,
        request_id=error.request_id,
        target=error.target,
        activity=f"Reading cluster {cluster_name}",
        hint=f"{place} has these {kind}: {found_text}.",
    )


def cluster_credentials(
    client: ArmClient, subscription_id: str, resource_group: str, cluster_name: str, admin: bool = False
) -> str:
    """Returns a kubeconfig of a cluster, as YAML. It is a secret.

    Args:
        client: The client.
        subscription_id: Where the cluster is.
        resource_group: Where the cluster is.
        cluster_name: Its name.
        admin: Whether to ask for the cluster's administrator instead of the user.

    Raises:
        AzureError: Azure refused; a cluster that doesn't exist is answered with those that do.
        Failure: The answer holds no kubeconfig.
    """
    there = client.aks_of(subscription_id).managed_clusters
    action = there.list_cluster_admin_credentials if admin else there.list_cluster_user_credentials
    activity = f"Reading the credentials of cluster {cluster_name}"
    try:
        body = client.run(action, resource_group, cluster_name, activity=activity).body
    except AzureError as error:
        if error.status == 404:
            raise missing_cluster(client, subscription_id, resource_group, cluster_name, error) from error
        raise
    kubeconfigs = body.get("kubeconfigs") if isinstance(body, Mapping) else None
    try:
        return base64.b64decode(kubeconfigs[0]["value"]).decode() if kubeconfigs else _no_kubeconfig(activity)
    except (KeyError, binascii.Error, UnicodeDecodeError) as error:
        raise Failure(f"{activity}: the answer of Azure holds no kubeconfig.") from error


def _no_kubeconfig(activity: str) -> str:
    raise Failure(f"{activity}: the answer of Azure holds no kubeconfig.")


# --- features and resource providers -----------------------------------------------------------------------------


def feature_path(subscription_id: str, namespace: str, name: str) -> str:
    """Returns the ARM id of a preview feature of a subscription."""
    return (
        f"/subscriptions/{quote(subscription_id)}/providers/Microsoft.Features/providers/{quote(namespace)}"
        f"/features/{quote(name)}"
    )


def feature_state(client: ArmClient, subscription_id: str, namespace: str, name: str) -> str:
    """Returns the state of a feature: ``NotRegistered``, ``Registering``, ``Registered``, ``Pending`` and so on.

    Raises:
        AzureError: It can't be read, or Azure has no such feature.
    """
    body = client.get(
        feature_path(subscription_id, namespace, name), "features", activity=f"Reading feature {namespace}/{name}"
    ).body
    return state_of_feature(body)


def state_of_feature(body: Any) -> str:
    """Returns the state that a feature's body names."""
    properties = body.get("properties") if isinstance(body, Mapping) else None
    return str((properties or {}).get("state") or "NotRegistered")


def provider_path(subscription_id: str, namespace: str) -> str:
    """Returns the ARM id of a resource provider of a subscription."""
    return f"/subscriptions/{quote(subscription_id)}/providers/{quote(namespace)}"


# --- VM sizes, quotas, permissions -------------------------------------------------------------------------------


def vm_skus(client: ArmClient, subscription_id: str, location: str) -> list[dict[str, Any]]:
    """Returns the VM sizes of a region as ARM describes them, with restrictions of the subscription.

    Raises:
        AzureError: They can't be read.
    """
    found = client.items(
        f"/subscriptions/{quote(subscription_id)}/providers/Microsoft.Compute/skus",
        "skus",
        query={"$filter": f"location eq '{location}'"},
        activity=f"Reading the VM sizes of {location}",
    )
    return [sku for sku in found if str(sku.get("resourceType")).lower() == "virtualmachines"]


def vm_usages(client: ArmClient, subscription_id: str, location: str) -> list[dict[str, Any]]:
    """Returns the vCPU quotas of a region and how much of each is in use.

    Raises:
        AzureError: They can't be read.
    """
    return list(
        client.items(
            f"/subscriptions/{quote(subscription_id)}/providers/Microsoft.Compute/locations/{quote(location)}/usages",
            "usages",
            activity=f"Reading the quotas of {location}",
        )
    )


def vnet_subnet(client: ArmClient, subnet_id: str) -> dict[str, Any] | None:
    """Returns a subnet as ARM has it, or None when there is none.

    Raises:
        AzureError: It can't be read.
    """
    found: dict[str, Any] | None = client.get_or_none(subnet_id, "subnets", activity="Reading the subnet")
    return found


def permissions(client: ArmClient, scope: str) -> list[tuple[list[str], list[str]]]:
    """Returns what the signed-in principal may do on a resource: actions and excluded actions, a pair for each role.

    Args:
        client: The client.
        scope: The ARM id of the resource.

    Raises:
        AzureError: They can't be read.
    """
    found = client.items(
        f"{scope}/providers/Microsoft.Authorization/permissions",
        "permissions",
        activity="Reading one's own permissions",
    )
    return [(list(role.get("actions") or ()), list(role.get("notActions") or ())) for role in found]
