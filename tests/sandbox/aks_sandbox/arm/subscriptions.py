"""Cloud metadata, subscriptions, resource groups, preview features and resource providers."""

from __future__ import annotations

import fnmatch
from typing import Any

from . import api_versions
from .calls import Call, Reply, Route, route
from .errors import GatewayError
from .world import Subscription, World

Json = dict[str, Any]

FEATURES = {
    "Microsoft.ContainerService": (
        "GPUDedicatedVHDPreview",
        "ManagedGPUExperiencePreview",
        "AKSWindowsGPUPreview",
        "AutoScaleSetVMProfilePreview",
    )
}
"""Preview features that exist, by namespace."""

REGIONS = {"eastus": "East US", "eastus2": "East US 2", "westeurope": "West Europe", "westus2": "West US 2"}
"""Regions as the portal shows them, where that is not the name."""
PROVIDERS = {
    "Microsoft.ContainerService": ("managedClusters", "managedClusters/agentPools", "locations/operations"),
    "Microsoft.Compute": ("virtualMachineScaleSets", "skus", "locations/usages"),
    "Microsoft.Network": ("virtualNetworks", "virtualNetworks/subnets", "loadBalancers"),
    "Microsoft.OperationsManagement": ("solutions",),
    "Microsoft.OperationalInsights": ("workspaces",),
    "microsoft.insights": ("dataCollectionRules", "dataCollectionRuleAssociations", "dataCollectionEndpoints"),
    "Microsoft.Monitor": ("accounts",),
    "Microsoft.Features": ("features",),
    "Microsoft.Authorization": ("permissions", "roleAssignments"),
    "Microsoft.Resources": ("resourceGroups", "subscriptions"),
}
TRACKED = ("managedClusters", "virtualMachineScaleSets", "virtualNetworks", "loadBalancers", "workspaces", "accounts")
"""Resource types that have tags and a location of their own."""
CAPABILITIES = "CrossResourceGroupResourceMove, CrossSubscriptionResourceMove, SupportsTags, SupportsLocation"
AUTHORIZATIONS = {
    "Microsoft.ContainerService": [
        {
            "applicationId": "7319c514-987d-4e9b-ac3d-d38c4f427f4c",
            "roleDefinitionId": "1b4a0c7f-2217-416f-acfa-cf73452fdc1c",
            "managedByRoleDefinitionId": "9e3af657-a8ff-583c-a75c-2fe7c4bcb635",
            "managedByAuthorization": {"allowManagedByInheritance": True},
        }
    ]
}
"""The first of the applications that a provider acts by; the other providers' are left out."""
POLICY_SINCE = "2019-10-01"
"""The first version of Resource Manager's interface here that shows `registrationPolicy`."""
UNREGISTERED = ("Microsoft.Monitor", "Microsoft.OperationsManagement")
"""Providers that a new subscription has not registered."""


def new_subscription(subscription_id: str, name: str, tenant: str) -> Subscription:
    """A subscription as it is before anybody used it, but for the providers that AKS needs."""
    subscription = Subscription(subscription_id, name, tenant)
    for namespace in PROVIDERS:
        state = "NotRegistered" if namespace in UNREGISTERED else "Registered"
        subscription.providers[namespace.lower()] = {"namespace": namespace, "registrationState": state}
    return subscription


class Subscriptions:
    """Handlers of this file's resources."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        """Everything served here."""
        features = "/subscriptions/{subscription}/providers/Microsoft.Features/providers/{namespace}/features"
        provider = "/subscriptions/{subscription}/providers"
        write = "Microsoft.Features/providers/features"
        return [
            route("GET", "/metadata/endpoints", self.metadata, None),
            route("GET", "/tenants", self.tenants, "Microsoft.Resources/subscriptions/read"),
            route("GET", "/subscriptions", self.list, "Microsoft.Resources/subscriptions/read"),
            route("GET", "/subscriptions/{subscription}", self.get, "Microsoft.Resources/subscriptions/read"),
            route(
                "GET",
                "/subscriptions/{subscription}/locations",
                self.locations,
                "Microsoft.Resources/subscriptions/read",
            ),
            route(
                "GET",
                "/subscriptions/{subscription}/resourcegroups",
                self.groups,
                "Microsoft.Resources/subscriptions/resourceGroups/read",
            ),
            *(
                route(
                    method,
                    "/subscriptions/{subscription}/resourcegroups/{resource_group}",
                    self.group,
                    "Microsoft.Resources/subscriptions/resourceGroups/read",
                )
                for method in ("GET", "HEAD")
            ),
            route("GET", features, self.features, f"{write}/read"),
            route("GET", features + "/{feature}", self.feature, f"{write}/read"),
            route("POST", features + "/{feature}/register", self.register_feature, f"{write}/register/action"),
            route("POST", features + "/{feature}/unregister", self.unregister_feature, f"{write}/unregister/action"),
            route("GET", provider, self.providers, "Microsoft.Resources/subscriptions/providers/read"),
            route("GET", provider + "/{namespace}", self.provider, "Microsoft.Resources/subscriptions/providers/read"),
            route("POST", provider + "/{namespace}/register", self.register_provider, "{namespace}/register/action"),
            route(
                "POST", provider + "/{namespace}/unregister", self.unregister_provider, "{namespace}/unregister/action"
            ),
        ]

    def _subscription(self, call: Call) -> Subscription:
        return self._world.subscriptions[call.names["subscription"].lower()]

    # the cloud

    async def metadata(self, call: Call) -> Reply:
        """GET /metadata/endpoints: one cloud since 2022, before that a list of clouds, before 2018 something else.

        Witness: what az 2.91 and the SDKs read of it.
        No witness: the list of clouds of the versions between, which holds one cloud here.
        """
        base = call.base_url
        audiences = ["https://management.core.windows.net/", "https://management.azure.com/"]
        if call.query.get("api-version", "") < "2018-01-01":
            return Reply(
                200,
                {
                    "galleryEndpoint": f"{base}/gallery",
                    "graphEndpoint": f"{base}/graph",
                    "portalEndpoint": f"{base}/portal",
                    "authentication": {"loginEndpoint": base, "audiences": audiences},
                },
            )
        cloud = {
            "portal": f"{base}/portal",
            "authentication": {
                "loginEndpoint": base,
                "audiences": audiences,
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "media": f"{base}/media",
            "graphAudience": "https://graph.windows.net/",
            "graph": f"{base}/graph",
            "name": "AKSSandbox",
            "suffixes": {
                "storage": "core.windows.net",
                "sqlServerHostname": "database.windows.net",
                "keyVaultDns": "vault.azure.net",
                "acrLoginServer": "azurecr.io",
            },
            "batch": "https://batch.core.windows.net/",
            "resourceManager": f"{base}/",
            "vmImageAliasDoc": f"{base}/aliases.json",
            "sqlManagement": f"{base}/sql",
            "microsoftGraphResourceId": "https://graph.microsoft.com/",
            "activeDirectoryDataLake": "https://datalake.azure.net/",
            "gallery": f"{base}/gallery",
            "logAnalyticsResourceId": base,
            "appInsightsResourceId": "https://api.applicationinsights.io",
        }
        several = call.query.get("api-version", "") < "2022-09-01"
        return Reply(200, [cloud] if several else cloud)

    async def tenants(self, call: Call) -> Reply:
        """GET /tenants"""
        tenants = sorted({each.tenant for each in self._world.subscriptions.values()})
        return Reply(
            200,
            {
                "value": [
                    {"id": f"/tenants/{each}", "tenantId": each, "displayName": "aks-sandbox", "tenantCategory": "Home"}
                    for each in tenants
                ]
            },
        )

    @staticmethod
    def _subscription_json(subscription: Subscription) -> Json:
        return {
            "id": f"/subscriptions/{subscription.id}",
            "authorizationSource": "RoleBased",
            "managedByTenants": [],
            "subscriptionId": subscription.id,
            "tenantId": subscription.tenant,
            "displayName": subscription.name,
            "state": "Enabled",
            "subscriptionPolicies": {
                "locationPlacementId": "Internal_2014-09-01",
                "quotaId": "Internal_2014-09-01",
                "spendingLimit": "Off",
            },
        }

    async def list(self, call: Call) -> Reply:
        """GET /subscriptions"""
        subscriptions = [self._subscription_json(each) for each in self._world.subscriptions.values()]
        return Reply(200, {"value": subscriptions, "count": {"type": "Total", "value": len(subscriptions)}})

    async def get(self, call: Call) -> Reply:
        """GET /subscriptions/{subscription}"""
        return Reply(200, self._subscription_json(self._subscription(call)))

    async def locations(self, call: Call) -> Reply:
        """GET /subscriptions/{subscription}/locations"""
        subscription = self._subscription(call)
        names = sorted({each["location"] for each in subscription.resource_groups.values()} | {"westus2", "eastus"})
        return Reply(
            200,
            {
                "value": [
                    {
                        "id": f"/subscriptions/{subscription.id}/locations/{name}",
                        "name": name,
                        "type": "Region",
                        "displayName": REGIONS.get(name, name),
                        "regionalDisplayName": REGIONS.get(name, name),
                        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
                    }
                    for name in names
                ]
            },
        )

    # resource groups

    async def groups(self, call: Call) -> Reply:
        """GET …/resourcegroups

        Witness: PS TestSpot.json, 2025-10-28, and CLI test_monitor_account.yaml, 2023-05-06, for one of them.
        """
        return Reply(200, {"value": list(self._subscription(call).resource_groups.values())})

    async def group(self, call: Call) -> Reply:
        """GET or HEAD …/resourcegroups/{resource_group}"""
        group = self._subscription(call).resource_groups.get(call.names["resource_group"].lower())
        if group is None:
            if call.method == "HEAD":
                return Reply(404)
            raise group_not_found(call.names["resource_group"])
        return Reply(204) if call.method == "HEAD" else Reply(200, group)

    # features

    def _feature_json(self, subscription: Subscription, namespace: str, name: str) -> Json:
        """Witness: CLI resource test_feature_unregister.yaml, 2020, of GET and of unregister."""
        state = subscription.features.get((namespace.lower(), name.lower()), {}).get("state", "NotRegistered")
        return {
            "properties": {"state": state},
            "id": f"/subscriptions/{subscription.id}/providers/Microsoft.Features/providers/{namespace}"
            f"/features/{name}",
            "type": "Microsoft.Features/providers/features",
            "name": f"{namespace}/{name}",
        }

    def _feature(self, call: Call) -> tuple[str, str]:
        for namespace, names in FEATURES.items():
            if namespace.lower() == call.names["namespace"].lower():
                for name in names:
                    if name.lower() == call.names["feature"].lower():
                        return namespace, name
        raise GatewayError(404, "FeatureNotFound", f"The feature '{call.names['feature']}' could not be found.")

    async def features(self, call: Call) -> Reply:
        """GET …/features"""
        found = [
            self._feature_json(self._subscription(call), namespace, name)
            for namespace, names in FEATURES.items()
            if namespace.lower() == call.names["namespace"].lower()
            for name in names
        ]
        return Reply(200, {"value": found})

    async def feature(self, call: Call) -> Reply:
        """GET …/features/{feature}"""
        return Reply(200, self._feature_json(self._subscription(call), *self._feature(call)))

    async def register_feature(self, call: Call) -> Reply:
        """POST …/features/{feature}/register

        No witness: `Registering` and `Pending`, and how long they last.
        """
        subscription, (namespace, name) = self._subscription(call), self._feature(call)
        key = (namespace.lower(), name.lower())
        feature = subscription.features.setdefault(key, {"state": "NotRegistered"})
        if feature["state"] in ("NotRegistered", "Unregistered", "Unregistering"):
            pending = any(fnmatch.fnmatchcase(name, each) for each in self._world.settings.features_pending)
            feature["state"] = "Pending" if pending else "Registering"
            if not pending:
                self._later(feature, "Registering", "Registered")
        return Reply(200, self._feature_json(subscription, namespace, name))

    async def unregister_feature(self, call: Call) -> Reply:
        """POST …/features/{feature}/unregister"""
        subscription, (namespace, name) = self._subscription(call), self._feature(call)
        feature = subscription.features.setdefault((namespace.lower(), name.lower()), {"state": "NotRegistered"})
        if feature["state"] not in ("NotRegistered", "Unregistered", "Unregistering"):
            feature["state"] = "Unregistering"
            self._later(feature, "Unregistering", "Unregistered")
        return Reply(200, self._feature_json(subscription, namespace, name))

    def _later(self, feature: Json, during: str, then: str) -> None:
        async def work() -> None:
            await self._world.clock.sleep(self._world.settings.feature_seconds)
            if feature["state"] == during:
                feature["state"] = then
                feature["since"] = self._world.clock.seconds()

        self._world.spawn(work(), f"feature {then}")

    # providers

    def _provider(self, call: Call) -> Json:
        provider = self._subscription(call).providers.get(call.names["namespace"].lower())
        if provider is None:
            raise GatewayError(
                404, "InvalidResourceNamespace", f"The resource namespace '{call.names['namespace']}' is invalid."
            )
        return provider

    def _provider_json(self, call: Call, provider: Json) -> Json:
        """A provider.

        Witness: PS TestSpot.json, 2025-10-28 (2016-09-01: no `registrationPolicy`), for Microsoft.ContainerService; CLX
        test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23 (2022-01-01), for Microsoft.Monitor.
        No witness: `capabilities` of the types besides Microsoft.Monitor/accounts, the version since which there is a
        `registrationPolicy`, and that only two regions and the types that are emulated are listed.
        """
        namespace = provider["namespace"]
        body: Json = {
            "id": f"/subscriptions/{call.names['subscription']}/providers/{namespace}",
            "namespace": namespace,
        }
        if namespace in AUTHORIZATIONS:
            body["authorizations"] = AUTHORIZATIONS[namespace]
        body["resourceTypes"] = [
            {
                "resourceType": each,
                "locations": [REGIONS["westus2"], REGIONS["eastus"]],
                "apiVersions": api_versions.served(namespace, each),
                "capabilities": CAPABILITIES if each in TRACKED else "None",
            }
            for each in PROVIDERS[namespace]
        ]
        body["registrationState"] = provider["registrationState"]
        if call.query["api-version"] >= POLICY_SINCE:
            body["registrationPolicy"] = "RegistrationRequired"
        return body

    async def providers(self, call: Call) -> Reply:
        """GET …/providers"""
        providers = [self._provider_json(call, each) for each in self._subscription(call).providers.values()]
        if wanted := call.query.get("$select"):
            names = [each.strip().lower() for each in wanted.split(",")]
            providers = [{key: value for key, value in each.items() if key.lower() in names} for each in providers]
        return Reply(200, {"value": providers})

    async def provider(self, call: Call) -> Reply:
        """GET …/providers/{namespace}"""
        return Reply(200, self._provider_json(call, self._provider(call)))

    async def register_provider(self, call: Call) -> Reply:
        """POST …/providers/{namespace}/register. For a registered provider it makes feature changes known to it."""
        provider, subscription = self._provider(call), self._subscription(call)
        subscription.refreshed[provider["namespace"].lower()] = self._world.clock.seconds()
        if provider["registrationState"] != "Registered":
            provider["registrationState"] = "Registering"
            self._provider_later(provider, "Registering", "Registered")
        return Reply(200, self._provider_json(call, provider))

    async def unregister_provider(self, call: Call) -> Reply:
        """POST …/providers/{namespace}/unregister

        Witness: CLI resource test_provider_registration.yaml, 2020.
        No witness: that a provider in use is unregistered.
        """
        provider = self._provider(call)
        if provider["registrationState"] in ("Registered", "Registering"):
            provider["registrationState"] = "Unregistering"
            self._provider_later(provider, "Unregistering", "Unregistered")
        return Reply(200, self._provider_json(call, provider))

    def _provider_later(self, provider: Json, during: str, then: str) -> None:
        async def work() -> None:
            await self._world.clock.sleep(self._world.settings.provider_seconds)
            if provider["registrationState"] == during:
                provider["registrationState"] = then

        self._world.spawn(work(), f"provider {then}")

    # what other providers ask

    def feature_in_effect(self, subscription_id: str, namespace: str, name: str) -> bool:
        """Is the feature Registered, and has the provider been registered again since?

        Witness: Microsoft's pages on preview features of AKS say to register the provider again.
        No witness: that a feature has no effect until the provider is registered again.
        """
        subscription = self._world.subscriptions[subscription_id.lower()]
        feature = subscription.features.get((namespace.lower(), name.lower()), {})
        refreshed = subscription.refreshed.get(namespace.lower(), -1.0)
        return feature.get("state") == "Registered" and refreshed >= feature.get("since", 0.0)

    def require_provider(self, subscription_id: str, namespace: str) -> None:
        """
        Raises:
            GatewayError: 409 MissingSubscriptionRegistration. Witness: https://github.com/nforgeio/neonKUBE/issues/1670,
                2022-09-02.
        """
        provider = self._world.subscriptions[subscription_id.lower()].providers[namespace.lower()]
        if provider["registrationState"] not in ("Registered", "Registering"):
            raise GatewayError(
                409,
                "MissingSubscriptionRegistration",
                f"The subscription is not registered to use namespace '{namespace}'. See "
                "https://aka.ms/rps-not-found for how to register subscriptions.",
            )


def group_not_found(name: str) -> GatewayError:
    """404 for a resource group."""
    return GatewayError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
