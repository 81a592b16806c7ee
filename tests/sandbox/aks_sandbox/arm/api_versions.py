"""Which api-version of which interface is served.

Azure serves more than these: here are the versions that recordings show, and those that the SDKs of azure.azcollection
3, the az CLI 2.91 and azure-mgmt-* of 2026 contain or send. One that Azure never published is refused, as it would be
there.
"""

from __future__ import annotations

import re

from .errors import GatewayError

SUBSCRIPTIONS = ("2016-06-01", "2018-06-01", "2019-06-01", "2019-11-01", "2020-01-01", "2021-01-01", "2022-12-01")
RESOURCES = (
    *("2015-01-01", "2016-02-01", "2016-09-01", "2017-05-10", "2018-02-01", "2018-05-01", "2019-03-01", "2019-05-01"),
    *("2019-05-10", "2019-07-01", "2019-08-01", "2019-10-01", "2020-06-01", "2020-10-01", "2021-01-01", "2021-04-01"),
    *("2022-09-01", "2024-07-01", "2024-11-01", "2025-03-01", "2025-04-01"),
)
_PREVIEWS = (
    *("2023-09", "2023-10", "2023-11", "2024-01", "2024-02", "2024-03", "2024-04", "2024-05", "2024-06", "2024-07"),
    *("2024-08", "2024-09", "2024-10", "2025-01", "2025-02", "2025-03", "2025-04", "2025-05", "2025-06", "2025-07"),
    "2025-08",
)
CONTAINER_SERVICE = (
    *("2021-02-01", "2021-03-01", "2021-05-01", "2021-07-01", "2021-08-01", "2021-09-01", "2021-10-01"),
    *("2022-01-01", "2022-02-01", "2022-03-01", "2022-04-01", "2022-06-01", "2022-07-01", "2022-08-01", "2022-09-01"),
    *("2022-11-01", "2023-01-01", "2023-02-01", "2023-03-01", "2023-04-01", "2023-05-01", "2023-06-01", "2023-07-01"),
    *("2023-08-01", "2023-09-01", "2023-10-01", "2023-11-01", "2024-01-01", "2024-02-01", "2024-05-01", "2024-06-01"),
    *("2024-07-01", "2024-08-01", "2024-09-01", "2024-10-01", "2025-01-01", "2025-02-01", "2025-03-01", "2025-04-01"),
    *("2025-05-01", "2025-06-01", "2025-07-01", "2025-08-01", "2025-09-01"),
    *(f"{month}-02-preview" for month in _PREVIEWS),
    *("2026-04-01", "2026-05-01", "2026-06-01", "2026-07-01", "2026-08-01"),
)
"""Witness: PS TestSpot.json, 2025-10-28, GET of the provider: everything up to 2025-08-02-preview, the previews' second
day, and that nothing older is left. After that: what Microsoft's documents and azure-mgmt-containerservice 41.8 name.
No witness: which versions between 2025-08 and 2026-08 are missing here, and whether a version of 2021 is still
served."""
SERVED: dict[str, tuple[str, ...]] = {
    "microsoft.authorization": ("2015-07-01", "2018-07-01", "2022-04-01"),
    "microsoft.compute/locations": ("2021-07-01", "2024-03-01", "2024-07-01", "2024-11-01", "2026-04-01"),
    "microsoft.compute/skus": ("2017-09-01", "2019-04-01", "2021-07-01"),
    "microsoft.containerservice/locations": ("2016-03-30", "2017-08-31", *CONTAINER_SERVICE),
    "microsoft.containerservice/managedclusters": CONTAINER_SERVICE,
    "microsoft.features": ("2015-12-01", "2021-07-01"),
    "microsoft.insights": ("2021-04-01", "2021-09-01-preview", "2022-06-01", "2023-03-11", "2024-03-11", "2025-05-11"),
    "microsoft.monitor": ("2021-06-03-preview", "2023-04-03", "2025-05-03-preview", "2025-10-03"),
    "microsoft.network": ("2022-01-01", "2024-03-01", "2024-05-01"),
    "microsoft.operationalinsights": (
        *("2015-11-01-preview", "2020-08-01", "2021-06-01", "2022-10-01", "2023-09-01", "2025-02-01"),
    ),
}
"""By resource type, or by namespace where all its types have the same; in lower case.

Witness: CLX test_aks_create_with_azuremonitormetrics.yaml, 2025-07-23, for Microsoft.Insights and Microsoft.Monitor;
for Microsoft.OperationalInsights, and 2025-10-03 of Microsoft.Monitor, what az 2.91 sends. The others are what SDKs of
2026 send."""

OWN = ("microsoft.authorization", "microsoft.features")
"""Namespaces of Resource Manager itself, which has an error of its own for them."""


def served(namespace: str, kind: str) -> list[str]:
    """The versions of a resource type, newest first; empty for one of which only the name is known here."""
    versions = SERVED.get(namespace.lower()) or SERVED.get(f"{namespace}/{kind.partition('/')[0]}".lower(), ())
    return sorted(versions, reverse=True)


def check(path: str, version: str, location: str) -> None:
    """
    Args:
        path: Of the request.
        version: Its api-version.
        location: Where the resource is, as far as it is known; for the text.

    Raises:
        GatewayError: 400 InvalidApiVersionParameter or NoRegisteredProviderFound.
    """
    namespace, kinds = _type_of(path)
    if not namespace:
        group = re.match(r"/subscriptions/[^/]+/(?:resourcegroups|providers)(?:/|$)", path, re.IGNORECASE)
        served: tuple[str, ...] = RESOURCES if group else SUBSCRIPTIONS
    else:
        served = SERVED.get(namespace.lower()) or SERVED.get(f"{namespace}/{kinds[0]}".lower(), ())
    if version in served:
        return
    listed = ", ".join(served)
    if not namespace or namespace.lower() in OWN:
        raise GatewayError(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '{listed}'.",
        )
    raise GatewayError(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location '{location}' and API version '{version}' for type "
        f"'{'/'.join(kinds)}'. The supported api-versions are '{listed}'. The supported locations are '{location}'.",
    )


def _type_of(path: str) -> tuple[str, list[str]]:
    """Namespace and type of what a path names; an empty namespace for Resource Manager's own subscriptions and groups.

    A provider itself (…/providers/Microsoft.X, with or without an action) is a resource of Resource Manager's.
    """
    found = re.split("/providers/", path.rstrip("/"), flags=re.IGNORECASE)
    if len(found) > 2 and found[1].lower() == "microsoft.features":
        return "Microsoft.Features", ["features"]
    if len(found) == 1:
        return "", []
    namespace, *rest = found[-1].split("/")
    if not rest or rest in (["register"], ["unregister"]):
        return "", []
    return namespace, rest[::2]


SINCE = {
    "kind": "2025-08-01",
    "properties.nodeProvisioningProfile": "2025-08-01",
    "properties.hostedSystemProfile": "2026-05-01",
    "agentPools.securityProfile.sshAccess": "2025-08-01",
}
"""Parts of a cluster and of its pools, and the stable API version that they were first seen in.

Witness: CLI test_aks_create_spot_node_pool.yaml, 2025-07-07 (2025-04-01) has none of them; PS TestSpot.json, 2025-10-28
(2025-08-01), all but hostedSystemProfile; ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18 (2026-05-01), all.
No witness: the versions between these, and that previews, which have all of them here, show them earlier."""

UNTIL = {"properties.nodeProvisioningProfile.defaultNodePools": "2026-05-01"}
"""Parts that a stable API version and all later ones no longer have.

Witness: PS TestSpot.json, 2025-10-28 (2025-08-01), has it; ASO Test_AKS_ManagedCluster_20260501_CRUD.yaml, 2026-09-18,
has not. No witness: the versions between these, and previews, which have it here."""


def not_in(version: str) -> tuple[str, ...]:
    """The parts of a cluster and of its pools that an API version does not have; see `Cluster.as_json`."""
    if version.endswith("-preview"):
        return ()
    early = [path for path, first in SINCE.items() if version < first]
    return (*early, *(path for path, end in UNTIL.items() if version >= end))
